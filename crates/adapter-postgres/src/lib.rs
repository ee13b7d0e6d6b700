//! [`StateStore`](domain::ports::StateStore) and [`SignalLedger`](domain::ports::SignalLedger) on
//! PostgreSQL.
//!
//! The map:
//!
//! - [`PostgresConfig`] (`config`): the URL, who this process is, the relations of the portfolio.
//! - `hosts`: the hosts of the URL, and the one of them that is a primary.
//! - `pool`: lanes of connections. A connection whose request was dropped or failed is closed, never
//!   handed on, so there is no such thing as a connection with somebody else's transaction in it.
//! - [`PostgresStore`] (`state_store`): one lane for the election, one for everything else, one listener.
//! - `lease`: the row that decides; every write is one statement.
//! - `names`: the schema, with which every statement's names are qualified.
//! - `fence`: the one SQL fragment that checks a token; used by every fenced statement.
//! - `database`: what makes a database unfit, said before the schema is touched.
//! - `members`, `portfolio`, `schema`: the rest of `StateStore`.
//! - `signal_ledger`: the effects, every one fenced; [`ROLES`] has the rights that it needs.
//! - `listen`: hints by LISTEN; `hint_gate`: how many are passed on.
//! - `row`, `error`: values and errors of the server, judged.
//! - [`CommitWarnings`] (`warning`): the sign of a synchronous commit that was cancelled.
//!
//! # What is not detected
//! When an operator cancels (`pg_cancel_backend`) a commit that waits for a synchronous standby, the
//! server answers success and a warning, which sqlx only logs. [`CommitWarnings`] makes it
//! [`StoreError::Unknown`](domain::ports::StoreError::Unknown); a process that does not install it takes
//! such a commit for a success. `pg_terminate_backend` breaks the connection, which is always unknown.
//! Either way the row is on the primary and a later look finds it: that it may be missing on the standby
//! is only told once, and after a promotion by the timeline.

mod config;
mod database;
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
mod warning;

/// A script for psql: a role that may do what the service does, and no more.
pub const ROLES: &str = include_str!("../sql/roles.sql");

/// Texts for a benchmark that measures what the database alone can do with them. Not an interface.
#[doc(hidden)]
pub mod statements {
    /// Stores new signals; the arguments are described beside the text.
    pub const SUBMIT: &str = crate::signal_ledger::SUBMIT;
    /// Claims signals.
    pub const CLAIM: &str = crate::signal_ledger::CLAIM;
    /// Records results.
    pub const SETTLE: &str = crate::signal_ledger::SETTLE;
}

pub use config::PostgresConfig;
pub use hosts::{InvalidUrl, check_url};
pub use names::{InvalidSchema, SchemaName};
pub use state_store::PostgresStore;
pub use warning::CommitWarnings;
