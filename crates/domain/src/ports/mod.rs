//! The ports: what the core needs from the outside, and what each method promises.
//!
//! | port | for | implemented by |
//! |---|---|---|
//! | [`StateStore`] | who leads; it has a part for each of its users: [`LeaseStore`], [`MemberStore`], [`OperatorRequests`] | PostgreSQL, SQLite |
//! | [`LeaderStore`] | a fast failover | Redis |
//! | [`SignalLedger`] | the effects | PostgreSQL, SQLite |
//! | [`Recovery`] | what a new leader loads and checks before it acts | [`NothingToRecover`], every [`PortfolioSource`], or the service |
//! | [`SignalHandler`] | the execution of signals | the service |
//!
//! An adapter of a store is correct when it passes the suites of the crate `contract`. If two adapters could differ in
//! something, a suite has a case for it.
//!
//! Rules for every method of a store:
//! - An expected answer (the race was lost, the write was fenced, a duplicate) is a value of an outcome enum, not an
//!   error.
//! - Every write is one statement at the store. Dropping the future leaves the effect unknown, never half done, and
//!   never leaves an open transaction on a connection that is used again.
//! - No method retries. The caller does, because only the caller knows the deadline.
//! - Texts read from a store are hostile: ids pass [`InstanceId::from_stored`](crate::id::InstanceId::from_stored), numbers are range-checked.

mod leader_store;
mod lease_store;
mod member_store;
mod operator_requests;
mod recovery;
mod signal_handler;
mod signal_ledger;
mod store_error;

pub use leader_store::{Acquire, LeaderStore, Ticket, TicketFault, TicketRenewal};
pub use lease_store::{Claim, ClaimRequest, FormerTerm, LeaseStore, Noted, Release, Renewal};
pub use member_store::{MEMBERS_READ_MAX, MemberStore};
pub use operator_requests::{DECISIONS_READ_MAX, OperatorRequests, Removal, StepDown};
pub use recovery::{NothingToRecover, PortfolioSource, Recovery};
pub use signal_handler::{Answer, SignalHandler};
pub use signal_ledger::{
    AUDIT_READ_MAX, CLAIM_MAX, InFlight, ListQuery, Recorded, Report, Resolution, SIGNALS_READ_MAX,
    SignalClaim, SignalLedger, Submit, Swept, Switch, Switched,
};
pub use store_error::StoreError;

use crate::identity::Identity;
use alloc::boxed::Box;
use async_trait::async_trait;

/// State of the database's schema after [`StateStore::migrate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Schema {
    /// As this binary needs it.
    Current,
    /// A newer binary has been here: this one must not write.
    Newer {
        /// The version found.
        found: u32,
    },
    /// Older than this binary, and [`Migrate::Check`] changed nothing.
    Older {
        /// The version found; 0 when there is no schema yet.
        found: u32,
    },
}

/// Whether [`StateStore::migrate`] may change anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Migrate {
    /// Brings the schema up to date.
    Apply,
    /// Only reports its state.
    Check,
}

/// The state store of one group: the lease that decides who leads, the instance table, the history, and the requests of
/// operators. Its parts are traits of their own users, so that a page cannot claim the lease; this trait adds what is
/// needed before any of them.
#[async_trait]
pub trait StateStore: LeaseStore + MemberStore + OperatorRequests {
    /// What it was opened for.
    fn identity(&self) -> Identity;

    /// Brings the schema to this binary's version, behind a lock so that several starting instances do it once, and
    /// creates the group's lease, open (`released`), when it is missing. The lease's epoch then starts at the highest
    /// epoch that the history knows for the group, never below. [`Migrate::Check`] only reads.
    async fn migrate(&self, how: Migrate) -> Result<Schema, StoreError>;
}
