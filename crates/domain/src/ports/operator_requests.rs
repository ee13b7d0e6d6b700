//! Requests of an operator to whichever instance leads: the port of the command line and the page to the state store.

use super::StoreError;
use crate::lease::Token;
use alloc::boxed::Box;
use async_trait::async_trait;

/// Answer to a request to hand over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StepDown {
    /// The holder finds it with its next renewal, which a hint makes it send immediately.
    Requested,
    /// That token no longer holds the lease; nothing was written.
    Superseded,
}

/// Requests that an operator leaves in the state store for the leader.
#[async_trait]
pub trait OperatorRequests: Send + Sync {
    /// Requests the holder of `token` to hand over; at most 256 characters of `reason` are kept. Does not
    /// change the lease's seq. Hints others. The next claim clears it.
    async fn request_step_down(&self, token: &Token, reason: &str) -> Result<StepDown, StoreError>;
}
