//! What each cut leaves behind: written once, judged by the processes' test, printed into docs/crash-points.md.
//!
//! A new crash point does not compile here until somebody says what it leaves.

use crate::crash_point::{CrashPoint, Cut};

/// The signals of every run, in their order of arrival, when the leader that is cut starts.
pub const SIGNALS: [(&str, &str); 3] = [
    ("sent", "claimed by a former leader, which had sent it and did not record that"),
    ("unsent", "claimed by a former leader, which had not sent it yet"),
    ("new", "received, and nobody had it"),
];

/// How a signal stands: in the ledger and at the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stands {
    /// Its state in the ledger; one of several where the request may have arrived or not.
    pub states: &'static [&'static str],
    /// Whether the broker has it.
    pub at: Broker,
}

/// Whether the broker has a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broker {
    Has,
    HasNot,
}

/// What is awaited at a point, and what a cut there leaves of [`SIGNALS`].
pub struct Expectation {
    /// What is waited for.
    pub awaits: &'static str,
    /// After [`Cut::KilledBefore`].
    pub before: [Stands; 3],
    /// After [`Cut::KilledAfter`].
    pub after: [Stands; 3],
    /// What the next leader does.
    pub next: &'static str,
    /// What the same leader does after [`Cut::Dropped`].
    pub dropped: &'static str,
}

const RECEIVED: Stands = Stands { states: &["received"], at: Broker::HasNot };
const CLAIMED: Stands = Stands { states: &["claimed"], at: Broker::HasNot };
const CLAIMED_OR_NOT: Stands = Stands { states: &["received", "claimed"], at: Broker::HasNot };
const CLAIMED_AND_SENT: Stands = Stands { states: &["claimed"], at: Broker::Has };
const DOUBTED: Stands = Stands { states: &["in_doubt"], at: Broker::HasNot };
const DOUBTED_AND_SENT: Stands = Stands { states: &["in_doubt"], at: Broker::Has };
const RESOLVED_OR_NOT: Stands = Stands { states: &["in_doubt", "done"], at: Broker::Has };
const DONE: Stands = Stands { states: &["done"], at: Broker::Has };

/// As the leader that is cut finds them.
const FOUND: [Stands; 3] = [CLAIMED_AND_SENT, CLAIMED, RECEIVED];

/// How the points behind a failure are made to come by.
pub fn provoked_by(point: CrashPoint) -> Option<(CrashPoint, Cut)> {
    match point {
        CrashPoint::Retry => Some((CrashPoint::Claim, Cut::Dropped)),
        CrashPoint::HandOver => Some((CrashPoint::Resolve, Cut::Dropped)),
        CrashPoint::Lead
        | CrashPoint::TakeOver
        | CrashPoint::Resolve
        | CrashPoint::Claim
        | CrashPoint::Settle
        | CrashPoint::Wait => None,
    }
}

/// What is to be expected at a point.
pub fn expectation(point: CrashPoint) -> Expectation {
    match point {
        CrashPoint::Lead => Expectation {
            awaits: "a leadership, and one round of the work under it",
            before: FOUND,
            after: [DONE, DONE, DONE],
            next: "takes over, looks both claimed signals up, sends what was not sent",
            dropped: "the round begins again with a take-over, wherever it was",
        },
        CrashPoint::TakeOver => Expectation {
            awaits: "`take_over`: what former leaders left becomes in doubt",
            before: FOUND,
            after: [DOUBTED_AND_SENT, DOUBTED, RECEIVED],
            next: "takes over again, which hands out what is in doubt already, and looks it up",
            dropped: "takes over again",
        },
        CrashPoint::Resolve => Expectation {
            awaits: "`resolve` of the first signal in doubt, after the broker was asked for it",
            before: [DOUBTED_AND_SENT, DOUBTED, RECEIVED],
            after: [DONE, DOUBTED, RECEIVED],
            next: "is handed what is still in doubt, and asks the broker again",
            dropped: "hands over, so that the late resolution is refused; the next leader asks the broker again",
        },
        CrashPoint::Claim => Expectation {
            awaits: "`claim_next`: the oldest signal becomes this leader's to send",
            before: [DONE, RECEIVED, RECEIVED],
            after: [DONE, CLAIMED, RECEIVED],
            next: "finds the claimed signal not at the broker: it waits again, and is sent",
            dropped: "takes over: its own claim, if it arrived, is in doubt and looked up",
        },
        CrashPoint::Settle => Expectation {
            awaits: "`settle`, after the signal was sent",
            before: [DONE, CLAIMED_AND_SENT, RECEIVED],
            after: [DONE, DONE, RECEIVED],
            next: "finds the claimed signal at the broker: it is done, and not sent again",
            dropped: "takes over: what was not recorded is found at the broker, and is done",
        },
        CrashPoint::Wait => Expectation {
            awaits: "`submitted`, or the time to look again",
            before: [DONE, DONE, DONE],
            after: [DONE, DONE, DONE],
            next: "has nothing to look up",
            dropped: "the next round looks without a hint",
        },
        CrashPoint::Retry => Expectation {
            awaits: "the pause after a failure, here a claim whose answer was lost",
            before: [DONE, CLAIMED_OR_NOT, RECEIVED],
            after: [DONE, CLAIMED_OR_NOT, RECEIVED],
            next: "looks the claimed signal up if the claim had arrived, else claims it",
            dropped: "the next round begins at once",
        },
        CrashPoint::HandOver => Expectation {
            awaits: "`step_down`, after a resolution whose answer was lost",
            before: [RESOLVED_OR_NOT, DOUBTED, RECEIVED],
            after: [RESOLVED_OR_NOT, DOUBTED, RECEIVED],
            next: "is handed what is still in doubt, and asks the broker; a late resolution of the former leader is refused",
            dropped: "goes on handing over if it had begun, else takes over again",
        },
    }
}
