//! The failure of a request to a store.

use alloc::string::String;

/// A store did not answer as it must. The variant decides what the caller may conclude.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
pub enum StoreError {
    /// The request did not reach the store or was refused before it could do anything
    /// (no connection, wrong password, a standby). Nothing was changed.
    #[error("{0}")]
    Unavailable(String),
    /// No answer in time, or the connection broke after the request was sent: the store may have carried it out, or
    /// may still do so. Not a refusal: send the request again.
    #[error("no answer: {0}")]
    Unknown(String),
    /// The store answered with an impossible value (a missing row, a value out of range), or is not the one that was
    /// opened any more (its files were replaced). Nothing was changed. As the answer to a renewal it ends the term.
    #[error("{0}")]
    Corrupt(String),
}
