//! Reports of a process about its role (`coordinator run --events-json`), as values.
//! [`invariants`](crate::invariants) judges them, from real and from simulated processes.

/// A role change that a process reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// The kind.
    pub kind: EventKind,
    /// The time, in CLOCK_MONOTONIC nanoseconds.
    pub t: u64,
    /// The epoch.
    pub epoch: u64,
    /// For the begin or renewal of a leadership: the time when the acknowledged request was sent.
    pub sent: Option<u64>,
}

/// The kind of a role change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// The lease was read for the first time.
    Ready,
    /// The process holds a valid lease from now on.
    Lead,
    /// The lease was renewed.
    Renew,
    /// The lease is no longer valid, without a release.
    Lost,
    /// The lease is no longer valid, on purpose.
    Resign,
    /// The lease is open for others.
    Resigned,
}

impl EventKind {
    /// The event of that name, as in `--events-json`.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "ready" => Self::Ready,
            "lead" => Self::Lead,
            "renew" => Self::Renew,
            "lost" => Self::Lost,
            "resign" => Self::Resign,
            "resigned" => Self::Resigned,
            _ => return None,
        })
    }
}

/// The reports of one process, in order, and its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The name of the process.
    pub name: String,
    /// Its reports.
    pub events: Vec<Event>,
    /// The time when it was known to be dead, in CLOCK_MONOTONIC nanoseconds; `None` while it lives.
    pub ended: Option<u64>,
}
