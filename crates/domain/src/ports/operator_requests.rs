//! Requests of an operator to whichever instance leads, and decisions about the group: the port of the command line and
//! the page to the state store.

use super::StoreError;
use crate::decision::Decision;
use crate::id::InstanceId;
use crate::lease::Token;
use crate::ledger::Actor;
use crate::recovery::RecoveryCode;
use alloc::boxed::Box;
use alloc::vec::Vec;
use async_trait::async_trait;
use core::time::Duration;

/// Most decisions that one answer carries: more than a year of them, because each is made by hand.
pub const DECISIONS_READ_MAX: u32 = 1_000;

/// Answer to a request to hand over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StepDown {
    /// The holder finds it with its next renewal, which a hint makes it send immediately.
    Requested,
    /// That token no longer holds the lease; nothing was written.
    Superseded,
}

/// Answer to the removal of an instance. Only [`Removed`](Self::Removed) changed anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Removal {
    /// It is left out of the instance table until it writes another heartbeat.
    Removed,
    /// The instance table does not have it: it never was there, it stopped cleanly, or it was removed before.
    Unknown,
    /// Its last heartbeat is younger than the limit, so it may be alive.
    Alive {
        /// The age of its last heartbeat.
        heartbeat_age: Duration,
    },
    /// It holds the lease, and the lease has not ended.
    Leads,
}

/// Requests that an operator leaves in the state store, and decisions that it records there.
#[async_trait]
pub trait OperatorRequests: Send + Sync {
    /// Requests the holder of `token` to hand over to `successor`, or to any instance; at most 256 characters of `reason`
    /// are kept. Does not change the lease's seq. Hints others. A later request replaces it, and the next claim clears it.
    async fn request_handover(
        &self,
        token: &Token,
        successor: Option<&InstanceId>,
        reason: &str,
    ) -> Result<StepDown, StoreError>;

    /// As [`request_handover`](Self::request_handover), to any instance.
    async fn request_step_down(&self, token: &Token, reason: &str) -> Result<StepDown, StoreError> {
        self.request_handover(token, None, reason).await
    }

    /// Leaves an instance out of the instance table because an operator removed it on purpose, and records the
    /// decision. Refused while its last heartbeat is younger than `recent` or it holds a lease that has not ended. It
    /// prevents nothing: an instance that is alive is in the table again with its next heartbeat.
    async fn remove_instance(
        &self,
        id: &InstanceId,
        recent: Duration,
        actor: &Actor,
        reason: &str,
    ) -> Result<Removal, StoreError>;

    /// Records that an operator takes responsibility for the failed recoveries so far. `verdict` is the present result
    /// of the recovery. It changes no election and no recovery.
    async fn acknowledge_recovery(
        &self,
        verdict: Option<RecoveryCode>,
        actor: &Actor,
        reason: &str,
    ) -> Result<(), StoreError>;

    /// The latest decisions, newest first, at most `limit` and [`DECISIONS_READ_MAX`].
    async fn decisions(&self, limit: u32) -> Result<Vec<Decision>, StoreError>;
}
