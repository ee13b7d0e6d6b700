//! [`StateStore`](domain::ports::StateStore) and [`SignalLedger`](domain::ports::SignalLedger) on
//! PostgreSQL.
//!
//! Modules:
//!
//! - [`PostgresConfig`] (`config`): the URL, the identity of this process, the relations of the portfolio.
//! - `hosts`: the hosts of the URL, and the search for the one that is a primary.
//! - `pool`: lanes of connections. A connection whose request was dropped or failed is closed and never
//!   reused, so no request ever finds another request's open transaction.
//! - [`PostgresStore`] (`state_store`): one lane for the election, one for everything else, one listener.
//! - `lease`: the row that decides who leads; every write is one statement.
//! - `names`: the schema, which qualifies the names in every statement.
//! - `fence`: the one SQL fragment that checks a token; every fenced statement uses it.
//! - `database`: the reasons to refuse a database, checked before the schema is touched.
//! - `doctor`: the facts for `coordinator doctor`, read from the server.
//! - `members`, `portfolio`, `schema`: the rest of `StateStore`.
//! - `signal_ledger`: the effects, all fenced; [`ROLES`] has the rights that it needs.
//! - `listen`: hints by LISTEN; `hint_gate`: the rate at which they are passed on.
//! - `row`, `error`: checks of the server's values and errors.
//! - [`CommitWarnings`] (`warning`): detection of a synchronous commit that was cancelled.
//!
//! # What is not detected
//! When an operator cancels (`pg_cancel_backend`) a commit that waits for a synchronous standby, the server
//! answers success and a warning, which sqlx only logs. [`CommitWarnings`] turns it into
//! [`StoreError::Unknown`](domain::ports::StoreError::Unknown); a process that does not install it treats
//! such a commit as a success. `pg_terminate_backend` breaks the connection, and the outcome is always
//! unknown. In both cases the row is on the primary, and a later poll finds it. That it may be missing on the
//! standby is reported only once, and after a promotion by the timeline.

mod config;
mod database;
mod decisions;
mod doctor;
mod error;
mod fence;
mod hint_gate;
mod hosts;
mod lease;
mod listen;
mod members;
mod names;
mod pool;
mod portfolio;
mod row;
mod schema;
mod signal_ledger;
mod state_store;
mod tls_files;
mod warning;

/// Script for psql. It creates a role with exactly the rights that the service needs.
pub const ROLES: &str = include_str!("../sql/roles.sql");

/// Statements for a benchmark of the database alone. Not part of the public interface.
#[doc(hidden)]
pub mod statements {
    /// Stores new signals; a comment at the statement describes its arguments.
    pub const SUBMIT: &str = crate::signal_ledger::SUBMIT;
    /// Claims signals.
    pub const CLAIM: &str = crate::signal_ledger::CLAIM;
    /// Records outcomes of attempts.
    pub const RECORD: &str = crate::signal_ledger::RECORD;
}

pub use config::PostgresConfig;
pub use hosts::{InvalidUrl, check_url, protection};
pub use names::{InvalidSchema, SchemaName};
pub use state_store::PostgresStore;
pub use warning::CommitWarnings;
