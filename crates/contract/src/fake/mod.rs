//! The ports in memory: several "processes" share one [`FakeDatabase`] or one [`FakeTickets`], each call is executed
//! in one step, and any call can be made to fail ([`Faults`]).
//!
//! They pass the same suites as the real adapters (`tests/contract.rs`). Time is tokio's, so a test with a
//! paused clock decides when a ticket expires and how old a heartbeat is.

mod database;
mod decisions;
mod faults;
mod leader_store;
mod listeners;
mod portfolio;
mod signal_ledger;
mod state_store;
mod submission;

pub use database::{FakeDatabase, Snapshot};
pub use faults::{Call, Fault, Faults};
pub use leader_store::{FakeLeaderStore, FakeTickets, TicketSnapshot};
pub use state_store::FakeStateStore;
