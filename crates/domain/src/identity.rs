//! The process that takes part in an election, as every store and the election know it. A process has one [`Identity`];
//! each of its stores is opened with a copy, and the election takes it from the state store.

use crate::id::{GroupId, InstanceId, Nonce};
use alloc::string::String;
use core::time::Duration;

/// One start of one instance of a group, with the LEADER_TTL that it elects by. Claims, hints, tickets and audit lines
/// carry it, and stores derive their timeouts from it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The election group.
    pub group: GroupId,
    /// The instance; unique in the group.
    pub id: InstanceId,
    /// This start of the instance; fresh at every start of a process.
    pub nonce: Nonce,
    /// The host name, for operators: the instance table, the history and the audit show it.
    pub host: String,
    /// LEADER_TTL, equal on every instance of the group.
    pub ttl: Duration,
}

impl Identity {
    /// The first field in which `other` differs, with both values as text; `None` when they are equal.
    pub fn difference(&self, other: &Self) -> Option<Difference> {
        use alloc::{format, string::ToString};
        let Self { group, id, nonce, host, ttl } = self;
        let fields = [
            ("the group", group.to_string(), other.group.to_string()),
            ("the instance id", id.to_string(), other.id.to_string()),
            ("the nonce", nonce.to_string(), other.nonce.to_string()),
            ("the host", host.clone(), other.host.clone()),
            ("LEADER_TTL", format!("{ttl:?}"), format!("{:?}", other.ttl)),
        ];
        let differing = fields.into_iter().find(|(_, own, others)| own != others);
        differing.map(|(what, own, other)| Difference { what, own, other })
    }
}

/// The field in which two identities differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The field, with its article.
    pub what: &'static str,
    /// Its value in the identity that was asked.
    pub own: String,
    /// Its value in the other identity.
    pub other: String,
}
