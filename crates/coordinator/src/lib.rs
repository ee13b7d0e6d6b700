//! Lead from at most one process: leader election with fencing for services that must act exactly once.
//!
//! A [`Coordinator`] runs the election of [`domain`] in the background on the stores it is given. The
//! service runs its work through [`Coordinator::run_while_leader`] and writes every effect under
//! [`Leader::fence`], so that the database refuses what a former leader still has in flight.
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use domain::{id::InstanceId, ports::StateStore};
//! # async fn example(store: Arc<dyn StateStore>, id: InstanceId, nonce: domain::id::Nonce)
//! #     -> Result<(), Box<dyn std::error::Error>> {
//! use coordinator::Coordinator;
//!
//! let coordinator = Coordinator::builder(id, nonce, store).start()?;
//! coordinator
//!     .run_while_leader(async |leader| {
//!         println!("leading in epoch {}", leader.epoch());
//!         // act; `leader.fence()` before every effect
//!         std::future::pending::<()>().await
//!     })
//!     .await?;
//! # Ok(())
//! # }
//! ```
//!
//! What the pieces are: [`Builder`] (settings and start), `driver` (the loop around the elector; decides
//! nothing), `election` (its thread), `beat` (the instance table), `recover` (crash recovery), [`Leadership`] (what is known now),
//! [`Ledger`] (signals: accepted on any instance, acted on once by the leader),
//! [`EpochMemory`] (the fencing number, whatever the store forgets), [`Notice`] (role changes in order), [`clock`] (the only clock of the election).

mod builder;
pub mod clock;
mod commits;
mod complaints;
#[doc(hidden)]
pub mod crash_point;
mod driver;
mod election;
mod handle;
mod heartbeat;
mod leadership;
mod ledger;
mod memory;
mod notice;
mod recover;
mod shared;
mod within;

pub use builder::{Builder, Ended, StartError};
pub use domain;
pub use domain::ledger::HandlerFence;
pub use handle::{Coordinator, NotLeading};
pub use heartbeat::heartbeat_interval;
pub use leadership::{Leader, Leadership, LeadershipOver};
pub use ledger::{
    HANDLER_TIME_DEFAULT, Ledger, LedgerSettings, NotNow, Pulled, RETENTION_DEFAULT, RETENTION_MIN,
};
pub use memory::EpochMemory;
pub use notice::{Notice, NoticeKind};

use domain::id::Nonce;

/// Random bits that no other process start has.
///
/// # Errors
/// When the operating system has no randomness to give.
pub fn fresh_nonce() -> Result<Nonce, getrandom::Error> {
    let mut random = [0_u8; 16];
    getrandom::fill(&mut random)?;
    Ok(Nonce::new(u128::from_le_bytes(random)))
}
