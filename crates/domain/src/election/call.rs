//! Records of the lease lane about its requests: the call in progress, the last claim, the term, and a pending release.

use super::command::CallId;
use crate::id::ClaimId;
use crate::lease::{Seq, Timeline, Token};
use crate::time::Time;
use alloc::string::String;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Call {
    pub(super) id: CallId,
    pub(super) sent: Time,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Read,
    Claim,
    /// The token of the term, and the seq that the lease has once the renewal is carried out.
    Renew(Token, Seq),
    Release,
    /// The claim of the lease that is reported to be behind.
    Note(ClaimId),
}

/// The last claim this process sent. A restarted process has none, so it can never take its former lease
/// for its own, even under the same instance id (M15).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Own {
    pub(super) claim: ClaimId,
    pub(super) sent: Time,
    /// True once the claim was held and its term has ended, or once it was refused. An abandoned claim never leads
    /// again, whatever a late answer contains.
    pub(super) abandoned: bool,
}

/// The values that change during a term.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Term {
    /// The last sequence number sent, acknowledged or not.
    pub(super) seq: Seq,
    /// The state store's own timeline, as last learned. The token's timeline is the lease's.
    pub(super) current: Timeline,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct PendingRelease {
    pub(super) token: Token,
    pub(super) seq: Seq,
    pub(super) reason: String,
}
