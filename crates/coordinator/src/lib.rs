//! Lead from at most one process: leader election with fencing for services that must act exactly once.
//!
//! A [`Coordinator`] runs the election of [`domain`] in the background on the stores of its [`Builder`]. The
//! service runs its work through [`Coordinator::run_while_leader`] and writes every effect under
//! [`Leader::token`], so that the database refuses what a former leader still has in flight.
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use domain::ports::StateStore;
//! # async fn example(store: Arc<dyn StateStore>) -> Result<(), Box<dyn std::error::Error>> {
//! use coordinator::Coordinator;
//!
//! let coordinator = Coordinator::builder(store).start()?;
//! coordinator
//!     .run_while_leader(async |leader| {
//!         while let Ok(token) = leader.token() {
//!             // one effect, in a statement that checks `token`
//!         }
//!     })
//!     .await?;
//! # Ok(())
//! # }
//! ```
//!
//! | part | subject |
//! |---|---|
//! | [`Builder`] | settings and start |
//! | `driver` | the loop around the elector, which decides nothing; `election` is its thread |
//! | `heartbeat` | the instance table |
//! | `answers` | the last answers of the stores, for pages |
//! | `recover` | crash recovery: nothing, or the [`Recovery`](domain::ports::Recovery) of the builder |
//! | [`Leader`] | one leadership, passed to the work that runs under it |
//! | [`Leadership`] | the latest state of this instance |
//! | [`Ledger`] | signals: accepted on every instance, executed once by the leader |
//! | [`EpochMemory`] | the fencing number, which never decreases although the store forgets |
//! | [`Notice`] | role changes in order |
//! | [`clock`] | the only clock of the election |

#![warn(missing_debug_implementations)]

#[cfg(not(target_os = "linux"))]
compile_error!(
    "coordinator needs Linux: its clock is CLOCK_BOOTTIME, which counts the time that a machine is suspended"
);

mod answers;
mod builder;
pub mod clock;
mod commits;
mod complaints;
#[doc(hidden)]
pub mod crash_point;
mod driver;
mod election;
mod error;
mod exits;
mod handle;
mod heartbeat;
mod keep;
mod leader;
mod leadership;
mod ledger;
mod memory;
mod notice;
mod recover;
mod shared;
mod store_call;
mod within;

pub use builder::Builder;
pub use domain;
pub use domain::ledger::HandlerFence;
pub use error::{Ended, LeadershipOver, NoRandomness, NotLeading, StartError};
pub use exits::Exits;
pub use handle::Coordinator;
pub use leader::Leader;
pub use leadership::Leadership;
pub use ledger::{
    HANDLER_TIME_DEFAULT, Ledger, LedgerSettings, NotNow, Pulled, RETENTION_DEFAULT, RETENTION_MIN,
};
pub use memory::EpochMemory;
pub use notice::{Notice, NoticeKind};

use domain::id::Nonce;

/// Random bits that no other process start has.
///
/// # Errors
/// When the operating system has no random bits to give.
pub fn fresh_nonce() -> Result<Nonce, NoRandomness> {
    let mut random = [0_u8; 16];
    getrandom::fill(&mut random).map_err(NoRandomness)?;
    Ok(Nonce::new(u128::from_le_bytes(random)))
}
