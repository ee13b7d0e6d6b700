//! Leader election with fencing for services that must act exactly once.
//!
//! # What it is
//! Several instances of a service run, and exactly one of them acts: the leader. A lease in PostgreSQL (or in one SQLite
//! file) decides which one. Every effect of the leader carries a fencing token, and the statement that writes the effect
//! checks it, so that the database refuses the writes of a former leader.
//!
//! # When to use it
//! - A second execution is expensive (an order that is sent twice), and so is a missing one.
//! - Instances crash, pause and lose their network, and another one must take over within seconds.
//! - The service has PostgreSQL already, or all of its instances run on one machine.
//!
//! If your service only needs one instance to do some housekeeping, and two at the same time would do no harm, an advisory
//! lock is simpler.
//!
//! # A whole service
//! ```no_run
#![cfg_attr(feature = "postgres", doc = "use leader_coordinator::{Postgres, builder};")]
#![cfg_attr(not(feature = "postgres"), doc = "use leader_coordinator::{Sqlite as Postgres, builder};")]
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let coordinator = builder("desk", Postgres::new("postgres://desk@db.internal/trading"))
//!     .data_dir("/var/lib/desk")
//!     .start()?;
//! coordinator
//!     .run_while_leader(async |leader| {
//!         // Refused: the leadership is over. The work is started again with the next leadership.
//!         while let Ok(token) = leader.token() {
//!             // One effect, in a statement that checks `token`.
//!             println!("acting under {token}");
//!             tokio::time::sleep(std::time::Duration::from_secs(1)).await;
//!         }
//!     })
//!     .await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`Builder`] lists the defaults: an instance id made of the host name and random characters, a fresh nonce, a LEADER_TTL
//! of 10 s, and nothing to recover. [`Builder::data_dir`] explains what is lost without a data directory.
//!
//! # Guarantees
//! - **At most one instance has a valid lease at any time**, as long as one PostgreSQL primary is alive and the rates of
//!   the instances' clocks are correct to 500 ppm. Pauses, crashes, partitions and wrong wall clocks do not break it.
//! - **The database never accepts an effect of a former leader** if the statement that writes the effect checks the fencing
//!   token. This guarantee does not depend on any clock.
//! - **An acknowledged signal is executed at most once and is never lost silently** (feature `signals`). It ends as done,
//!   rejected or expired, or it waits in doubt for a lookup or the operator.
//! - **An instance leads again** within `LEADER_TTL + margin` after the last renewal, plus a few round trips.
//! - **No instance acts without the state store.** Redis makes a failover faster; a failure of Redis never changes who
//!   leads.
//!
//! It is never enough that a process knows that it leads: it may be paused between that moment and its write. Call
//! [`Leader::token`] before every effect and put the token into the statement.
//!
//! # Features
//! | feature | adds |
//! |---|---|
//! | `postgres` (default) | `Postgres`: PostgreSQL decides |
//! | `sqlite` | `Sqlite`: one file decides, for instances on one machine |
//! | `redis` | `Redis`: an advisory ticket that makes a failover fast |
//! | `signals` | `Coordinator::ledger`: signals that are accepted on any instance and executed once by the leader |
//! | `metrics` | `Coordinator::exposition`: every metric and alert as Prometheus text |
//! | `http` | `Coordinator::pages`: a router with `/metrics`, `/leader`, `/signals` and the other pages; alerts posted to a webhook |
//!
//! With `postgres` alone no SQLite is compiled. The crate needs Linux, because its clock is `CLOCK_BOOTTIME`.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(missing_debug_implementations)]

#[cfg(not(target_os = "linux"))]
compile_error!(
    "leader-coordinator needs Linux: its clock is CLOCK_BOOTTIME, which counts the time that a machine is suspended"
);
#[cfg(not(any(feature = "postgres", feature = "sqlite")))]
compile_error!(
    "leader-coordinator needs a database that decides who leads: enable the feature `postgres` or `sqlite`"
);

mod builder;
#[cfg(feature = "client-tls")]
mod client_tls;
mod epochs;
mod error;
mod exits;
mod handle;
#[cfg(feature = "http")]
pub mod http;
mod identity;
mod stores;

/// For implementations of the ports, which are async traits.
pub use async_trait::async_trait;
pub use builder::{Builder, builder};
#[cfg(feature = "client-tls")]
pub use client_tls::ClientTls;
pub use coordinator::{
    Ended, EpochMemory, Exits, Leader, Leadership, LeadershipOver, NotLeading, Notice, NoticeKind, clock,
    domain,
};
#[cfg(feature = "signals")]
pub use coordinator::{
    HANDLER_TIME_DEFAULT, HandlerFence, Ledger, LedgerSettings, NotNow, Pulled, RETENTION_DEFAULT,
    RETENTION_MIN,
};
pub use epochs::{EpochFile, StoreKind};
pub use error::{OpenError, StartError};
pub use exits::LockFiles;
pub use handle::Coordinator;
pub use identity::identity;
#[cfg(feature = "redis")]
pub use stores::Redis;
#[cfg(feature = "sqlite")]
pub use stores::Sqlite;
#[cfg(feature = "postgres")]
pub use stores::{CommitWarnings, Postgres};
pub use stores::{Database, StoreFacts, Stores};
