//! What a process reports about its role (`coordinator run --events-json`), as values: [`invariants`](crate::invariants)
//! judges them, whether a real process or a simulated one reported them.

/// A role change that a process told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// When, CLOCK_MONOTONIC nanoseconds.
    pub t: u64,
    /// Under which epoch.
    pub epoch: u64,
    /// Of a leadership's begin or renewal: when the request that was acknowledged was sent.
    pub sent: Option<u64>,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// The row was read for the first time.
    Ready,
    /// Belief begins.
    Lead,
    /// Belief goes on.
    Renew,
    /// Belief ended without being given back.
    Lost,
    /// Belief ended on purpose.
    Resign,
    /// The row is open for others.
    Resigned,
}

impl EventKind {
    /// The event of that name, as `--events-json` writes it.
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

/// What one process told, in its order, and when it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Whose.
    pub name: String,
    /// What it told.
    pub events: Vec<Event>,
    /// When it was known to be dead, CLOCK_MONOTONIC nanoseconds; `None` while it lives.
    pub ended: Option<u64>,
}
