//! Decisions of operators that concern no signal: an instance was removed on purpose, a failed recovery was
//! acknowledged. The state store keeps them for good and never changes one.

use crate::id::InstanceId;
use crate::ledger::Actor;
use crate::recovery::RecoveryCode;
use alloc::string::String;
use core::fmt;

/// One decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The time, in unix milliseconds by the state store's clock.
    pub at_ms: i64,
    /// The operator.
    pub actor: Actor,
    /// What was decided.
    pub subject: Subject,
    /// The operator's reason; at most 256 characters are kept.
    pub reason: String,
}

/// What a decision is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// An instance was removed on purpose. It is left out until it writes another heartbeat.
    InstanceRemoved {
        /// The id of the instance.
        id: InstanceId,
        /// The start of its process, in unix milliseconds by the clock of its host.
        started_ms: i64,
    },
    /// An operator takes responsibility for the failed recoveries before this moment.
    RecoveryAcknowledged {
        /// The result of the recovery check at this moment; `None` if it passed.
        verdict: Option<RecoveryCode>,
    },
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InstanceRemoved { id, .. } => write!(f, "removed the instance {id}"),
            Self::RecoveryAcknowledged { verdict: None } => {
                f.write_str("acknowledged the failed recoveries; the check passed")
            }
            Self::RecoveryAcknowledged { verdict: Some(code) } => {
                write!(f, "acknowledged the failed recoveries; the check failed with {code}")
            }
        }
    }
}
