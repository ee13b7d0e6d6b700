//! The election: a pure state machine, stepped by a driver.
//!
//! ```text
//!             lease open: ticket, then claim       recovery passed
//!  Follower ───────► Candidate ───────► Leader(Recovering) ───────► Leader(Active)
//!     ▲  ▲               │                 │   │ corrupt or inconsistent   │
//!     │  └───────────────┘                 │   └────► Leader(Halted) ──────┤
//!     │     lost the race                  │            (checked again)    │ handover requested
//!     │                                    ▼                               ▼
//!     └──────────── deadline passed, or superseded ◄──────────── Leader(Draining) ─► released
//! ```
//!
//! # The contract of [`Elector::step`]
//!
//! The driver calls `step(now, event)` for every event, one after the other, and carries out the
//! [`Command`]s it returns, in that order, without deciding anything:
//!
//! - `now` is read from CLOCK_BOOTTIME after the event was received and before the commands are sent. A deadline that
//!   counts from `now` is therefore never later than one that counts from the send, and an age that counts from `now`
//!   is never larger than the time since the receipt.
//! - A command with a [`CallId`] gets exactly one answer event with the same id: the answer of the store, or
//!   [`StoreError::Unknown`](crate::ports::StoreError::Unknown) if its timeout has passed or the task that carries it
//!   out has failed. At most one call per store is in progress; an answer with another id is ignored.
//! - At [`Elector::next_wakeup`] the driver calls `step(now, Event::Wakeup)`. An early wakeup is harmless. A late
//!   wakeup never lengthens a lease, because every reader compares the deadline with its own clock.
//! - A dropped hint costs only time.
//!
//! The same configuration and events give the same state and commands. The value is `Clone + Eq + Hash`, so the model
//! checker explores the state machine that ships.
//!
//! # Where each rule of docs/protocol.md is implemented
//!
//! | rule | where |
//! |---|---|
//! | expiry by observation (M9, M14, M19) | `reading.rs` |
//! | evidence of exit (M24) | `reading.rs`, `lease.rs` |
//! | deadline from the send (M13), late answers, carrying to a new timeline (M17, M20) | `lease.rs` |
//! | hints prove nothing: bounded, and they delay nothing (M21) | `hints.rs`, `lease.rs` |
//! | a claim with an unknown outcome; a lease of a former run is never adopted (M15) | `lease.rs`, `Own` |
//! | ticket before claim, at the latest one heartbeat without it, release of the ticket (M18) | `ticket.rs` |
//! | the role, and everything that changes it | `elector.rs` |
//! | drain before release, keep-out after a step-down, recovery before active | `elector.rs` |

mod call;
mod command;
mod config;
mod elector;
mod event;
mod hints;
mod lane;
mod lease;
mod reading;
mod role;
mod ticket;

pub use command::{CallId, Command, LeaseRequest, LossReason, Report, TicketRequest};
pub use config::{Config, Epochs, InvalidConfig, TicketUse};
pub use elector::Elector;
pub use event::{Event, LeaseAnswer, Resign, TicketAnswer};
pub use role::{Leadership, Phase, Role};
