//! The state after each cut: written once, asserted by the process tests, generated into docs/signals.md.
//!
//! A new crash point does not compile here until its state is added.

use coordinator::crash_point::CrashPoint;

/// The signals of every run, in order of arrival, when the leader that is cut starts. Each has a different
/// instrument, so that none waits for another.
pub const SIGNALS: [(&str, &str); 3] = [
    ("sent", "claimed by a former leader, which had sent it and did not record that"),
    ("unsent", "claimed by a former leader, which had not sent it yet"),
    ("new", "received, and not claimed"),
];

/// State of a signal in the ledger and at the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stands {
    /// Its state in the ledger; one of several if a request may or may not have arrived.
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

/// The wait at a point, and the state of [`SIGNALS`] after a cut there.
pub struct Expectation {
    /// What the leader waits for.
    pub awaits: &'static str,
    /// After the process was killed instead of beginning to wait.
    pub before: [Stands; 3],
    /// After the process was killed at the end of the wait.
    pub after: [Stands; 3],
    /// What the next leader, or the client, does.
    pub next: &'static str,
    /// What the same instance does after the wait was dropped in the middle.
    pub dropped: &'static str,
}

/// The event that brings an instance to a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provoked {
    /// The instance leads.
    Leading,
    /// A client submits a signal to it.
    Submission,
    /// The instance is asked to stop. The wait is over then, and not earlier.
    Stop,
}

const RECEIVED: Stands = Stands { states: &["received"], at: Broker::HasNot };
const CLAIMED: Stands = Stands { states: &["claimed"], at: Broker::HasNot };
const CLAIMED_AND_SENT: Stands = Stands { states: &["claimed"], at: Broker::Has };
const RECORDED_OR_NOT: Stands = Stands { states: &["claimed", "done"], at: Broker::Has };
const DOUBTED: Stands = Stands { states: &["in_doubt"], at: Broker::HasNot };
const DOUBTED_AND_SENT: Stands = Stands { states: &["in_doubt"], at: Broker::Has };
const DONE: Stands = Stands { states: &["done"], at: Broker::Has };

/// As the leader that is cut finds them.
const FOUND: [Stands; 3] = [CLAIMED_AND_SENT, CLAIMED, RECEIVED];
/// When nothing is left to do.
const ALL_DONE: [Stands; 3] = [DONE, DONE, DONE];

/// The event that brings an instance to a point, so that it is killed before or after it.
pub fn provoked(point: CrashPoint, before: bool) -> Provoked {
    match point {
        CrashPoint::Accept => Provoked::Submission,
        CrashPoint::Lead if !before => Provoked::Stop,
        CrashPoint::Lead
        | CrashPoint::TakeOver
        | CrashPoint::LookUp
        | CrashPoint::Claim
        | CrashPoint::Handle
        | CrashPoint::Settle
        | CrashPoint::Wait
        | CrashPoint::Sweep => Provoked::Leading,
    }
}

/// The expected state at a point.
pub fn expectation(point: CrashPoint) -> Expectation {
    match point {
        CrashPoint::Accept => Expectation {
            awaits: "`submit`: a client's signal is written before it is acknowledged",
            before: ALL_DONE,
            after: ALL_DONE,
            next: "the client has no answer and submits it again elsewhere: 201 if it was not written, 200 if it \
                   was; it is sent once",
            dropped: "answers 503; the client submits it again",
        },
        CrashPoint::Lead => Expectation {
            awaits: "a leadership, and the work under it",
            before: FOUND,
            after: ALL_DONE,
            next: "takes over, looks up what may have been sent, sends what was not",
            dropped: "begins again with a take-over, wherever it was",
        },
        CrashPoint::TakeOver => Expectation {
            awaits: "`take_over`: what former leaders left becomes in doubt",
            before: FOUND,
            after: [DOUBTED_AND_SENT, DOUBTED, RECEIVED],
            next: "takes over again, which returns what is in doubt already, and looks it up",
            dropped: "takes over again",
        },
        CrashPoint::Claim => Expectation {
            awaits: "`claim_signals`: what waits becomes this leader's to send",
            before: [DOUBTED_AND_SENT, DOUBTED, RECEIVED],
            after: [DOUBTED_AND_SENT, DOUBTED, CLAIMED],
            next: "finds that the broker has no order for what was claimed: it waits again, and is sent",
            dropped: "takes over: what arrived of the claim was never sent, so it waits again",
        },
        CrashPoint::Handle => Expectation {
            awaits: "the handler executes the signal",
            before: [DOUBTED_AND_SENT, DOUBTED, CLAIMED],
            after: [DOUBTED_AND_SENT, DOUBTED, CLAIMED_AND_SENT],
            next: "queries the broker and follows its answer",
            dropped: "it has no answer, so the signal is in doubt and looked up",
        },
        CrashPoint::LookUp => Expectation {
            awaits: "the handler's `lookup` of a signal in doubt",
            before: [DOUBTED_AND_SENT, DOUBTED, RECORDED_OR_NOT],
            after: [DOUBTED_AND_SENT, DOUBTED, RECORDED_OR_NOT],
            next: "looks it up",
            dropped: "it stays in doubt, and is looked up again soon",
        },
        CrashPoint::Settle => Expectation {
            awaits: "`record`: the outcomes of signals are recorded",
            before: [DOUBTED_AND_SENT, DOUBTED, CLAIMED_AND_SENT],
            after: [DOUBTED_AND_SENT, DOUBTED, DONE],
            next: "finds at the broker what was not recorded: it is done, and not sent again",
            dropped: "records it again, which changes nothing if it is recorded already",
        },
        CrashPoint::Wait => Expectation {
            awaits: "the end of a handler's call, a hint, or the time of the next poll",
            before: [DOUBTED_AND_SENT, DOUBTED, CLAIMED],
            after: [DOUBTED_AND_SENT, DOUBTED, CLAIMED_AND_SENT],
            next: "looks up what was claimed and is not recorded",
            dropped: "polls for work without a hint",
        },
        CrashPoint::Sweep => Expectation {
            awaits: "`sweep`: old signals and old lines of the instance table are removed",
            before: ALL_DONE,
            after: ALL_DONE,
            next: "sweeps again",
            dropped: "sweeps again some minutes later",
        },
    }
}
