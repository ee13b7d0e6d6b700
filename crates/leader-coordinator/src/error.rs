//! The reasons for which a coordinator is not started. None of them has a type of a database client.

use domain::id::InvalidId;
use std::error::Error;
use std::io;
use std::path::PathBuf;

/// A setting of a store is refused. The text shows no password.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct OpenError(Box<dyn Error + Send + Sync>);

impl OpenError {
    pub(crate) fn because(error: impl Error + Send + Sync + 'static) -> Self {
        Self(Box::new(error))
    }

    /// `why` completes a sentence that begins with "is", or is a reason as a whole sentence.
    #[cfg(any(feature = "postgres", feature = "redis"))]
    pub(crate) fn refused(store: &str, why: &str) -> Self {
        Self(format!("the URL of {store} is {why}").into())
    }
}

/// A coordinator is not started. Another try with the same settings fails as well.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The name of the group is not an id.
    #[error("the group: {0}")]
    Group(#[source] InvalidId),
    /// The instance id is not an id.
    #[error("the instance id: {0}")]
    Id(#[source] InvalidId),
    /// A store refuses its settings.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The data directory does not exist and cannot be created.
    #[error("the data directory {} cannot be created: {error}", .path.display())]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// The cause.
        #[source]
        error: io::Error,
    },
    /// The file of epochs cannot be read or is damaged; the text says what to do.
    #[error("{0}")]
    Epochs(String),
    /// The operating system gives no random bits for the nonce.
    #[error("the operating system gives no randomness: {0}")]
    Randomness(String),
    /// The election refuses LEADER_TTL or the heartbeat.
    #[error(transparent)]
    Election(#[from] coordinator::StartError),
}
