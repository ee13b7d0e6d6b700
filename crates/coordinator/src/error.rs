//! The errors of the handle: why a coordinator was not started, why it ended, and why a request was refused.

use domain::election::InvalidConfig;
use domain::id::InstanceId;
use domain::ports::StoreError;

/// A coordinator, or the ledger on it, was not started: a setting is impossible.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// LEADER_TTL or the heartbeat is out of range.
    #[error(transparent)]
    Config(#[from] InvalidConfig),
    /// The leader store or the ledger was opened with another [`Identity`](domain::identity::Identity) than the state
    /// store, from which the coordinator takes its own: its claims, hints, timeouts and audit lines would be another's.
    #[error(
        "the {store} was opened with {what} {found}, but the state store with {expected}: open both with one identity"
    )]
    Store {
        /// Which store.
        store: &'static str,
        /// Which setting differs.
        what: &'static str,
        /// Its value in that store.
        found: String,
        /// Its value in the state store.
        expected: String,
    },
}

/// A coordinator ended, or could not start, for a reason that another try will not change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Ended {
    /// The database was migrated by a newer binary.
    #[error("the database has schema {found}, this binary writes schema {needed}: start the newer binary")]
    SchemaNewer {
        /// In the database.
        found: u32,
        /// By this binary.
        needed: u32,
    },
    /// The database is older than this binary, which was started without the permission to migrate.
    #[error("the database has schema {found}, this binary needs {needed}: run `coordinator migrate`")]
    SchemaOlder {
        /// In the database.
        found: u32,
        /// By this binary.
        needed: u32,
    },
    /// The state store cannot be used.
    #[error("the state store cannot be used: {0}")]
    Corrupt(#[source] StoreError),
    /// Two live processes use one id, and the other was first.
    #[error(
        "another live process, started at unix time {since_s}, uses the instance id {id}: give this one another"
    )]
    IdInUse {
        /// The id.
        id: InstanceId,
        /// When the other process started, unix seconds.
        since_s: i64,
    },
    /// [`Coordinator::shutdown`](crate::Coordinator::shutdown) stopped it.
    #[error("the coordinator was stopped")]
    Stopped,
    /// The kernel or the runtime failed, or the election panicked; with the reason.
    #[error("the election cannot run: {0}")]
    Failed(String),
}

/// A step-down was requested of an instance that does not lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this instance does not lead, so it has nothing to hand over")]
pub struct NotLeading;

/// The leadership is over: no effect may be begun in its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this instance does not lead any more")]
pub struct LeadershipOver;

/// The operating system has no random bits to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gives no random bits")]
pub struct NoRandomness(#[source] pub(crate) getrandom::Error);
