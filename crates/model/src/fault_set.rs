//! Fault sets: the faults that one exploration may inject. A set is small enough that the exploration tries every
//! fault at every place and in every order, up to its budget.

use domain::election::TicketUse;
use std::time::Duration;

/// LEADER_TTL in the model; the margin is 12 ms.
pub const TTL: Duration = Duration::from_secs(10);
/// A shorter LEADER_TTL, from an earlier configuration.
pub const SHORT_TTL: Duration = Duration::from_secs(4);

/// One kind of fault. Each use takes one from the set's budget; its end takes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// A request, a reply or a leader's work is held back and arrives at any later time.
    Hold,
    /// A request is lost.
    Lose,
    /// A request is carried out and its reply is lost.
    LoseReply,
    /// A request is carried out and its reply arrives at any later time.
    HoldReply,
    /// An instance cannot reach the state store: its requests are lost until the link is restored.
    CutLease,
    /// An instance cannot reach the leader store until the link is restored.
    CutTicket,
    /// The state store refuses an instance's requests at once, until it recovers.
    RefuseLease,
    /// An instance is killed; it may be started again under the same id.
    Crash,
    /// As [`Self::Crash`], and the kernel reports the end of the process to every other instance, at any later time or
    /// never.
    Kill,
    /// An instance is paused and resumes at any later time.
    Pause,
    /// The operator requests a handover.
    StepDown,
    /// The operator requests a handover to one instance.
    HandOver,
    /// An instance receives a request to stop.
    Stop,
    /// Crash recovery fails: the database is unreachable, or the data is corrupt.
    FailRecovery,
    /// A lagging standby becomes the primary.
    Promote,
    /// A backup is restored, on the same timeline. Messages in flight stay in flight.
    Restore,
    /// The database's clock jumps forward by an hour.
    DatabaseClock,
    /// Redis loses all data.
    Flush,
    /// A lagging Redis replica becomes the primary.
    RedisFailover,
    /// The clock of Redis's host jumps forward: every ticket expires.
    RedisClockForward,
    /// The clock of Redis's host jumps back: every ticket lasts an hour longer.
    RedisClockBack,
    /// A process that does not lead has the ticket: until it expires, forever, or in a key without expiry.
    StuckTicket,
    /// Time advances to just before the next timer, so that messages in flight arrive just before it.
    JustBefore,
    /// Continuous hints without any write.
    HintStorm,
    /// The state store takes almost a heartbeat for each answer.
    SlowStore,
}

impl Fault {
    /// True if a term must survive the fault: the state store answers every request within a heartbeat, no handover
    /// is requested, and every process runs.
    pub fn leaves_terms_alone(self) -> bool {
        match self {
            Self::CutTicket
            | Self::DatabaseClock
            | Self::Flush
            | Self::RedisFailover
            | Self::RedisClockForward
            | Self::RedisClockBack
            | Self::StuckTicket
            | Self::JustBefore
            | Self::HintStorm
            | Self::SlowStore => true,
            Self::Hold
            | Self::Lose
            | Self::LoseReply
            | Self::HoldReply
            | Self::CutLease
            | Self::RefuseLease
            | Self::Crash
            | Self::Kill
            | Self::Pause
            | Self::StepDown
            | Self::HandOver
            | Self::Stop
            | Self::FailRecovery
            | Self::Promote
            | Self::Restore => false,
        }
    }
}

/// One exploration.
#[derive(Debug, Clone)]
pub struct FaultSet {
    pub name: &'static str,
    /// Description for the report.
    pub about: &'static str,
    pub instances: u8,
    pub tickets: TicketUse,
    pub faults: &'static [Fault],
    /// Maximum number of faults in one run. A long exploration allows one more.
    pub budget: u8,
    /// Clock rates of the instances in ppm, one list for each initial state.
    pub rates: &'static [[i32; 3]],
    /// Faults may begin until this time, in tenths of LEADER_TTL.
    pub horizon: u32,
    pub beginning: Beginning,
    pub clocks: Clocks,
}

/// States whether the clocks stay within the bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clocks {
    /// Within 500 ppm of true time.
    AsPromised,
    /// Beyond the bound: two instances may hold a valid lease at once, and no other property may break.
    Beyond,
}

/// The lease at the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beginning {
    /// No instance has led yet.
    Unclaimed,
    /// Left by an instance with a shorter LEADER_TTL, which died.
    LeftByShortTtl,
    /// One instance has handed over to another while its last renewal is still in flight. The standby has received
    /// neither the renewal nor any later write.
    HandedOverWithRenewalUnderWay,
    /// One instance leads, and its effect is in flight. The other was cut off before the claim and has not read it,
    /// and the standby has not received it.
    LeadsUnseen,
}

const EXACT: &[[i32; 3]] = &[[0, 0, 0]];
/// The bound that the margin covers, in the critical directions.
const DRIFT: &[[i32; 3]] = &[[-500, 500, 0], [500, -500, 0], [500, 500, -500]];
/// Rates beyond the bound.
const TOO_MUCH: &[[i32; 3]] = &[[-5_000, 5_000, 0]];

/// Every exploration in which no property may break.
pub const SETS: &[FaultSet] = &[
    FaultSet {
        name: "network",
        about: "requests and replies late, reordered and lost, hints or none; the state store cut off",
        instances: 2,
        tickets: TicketUse::None,
        faults: &[
            Fault::Hold,
            Fault::Lose,
            Fault::LoseReply,
            Fault::HoldReply,
            Fault::CutLease,
            Fault::JustBefore,
        ],
        budget: 2,
        rates: EXACT,
        horizon: 24,
        beginning: Beginning::Unclaimed,
        clocks: Clocks::AsPromised,
    },
    FaultSet {
        name: "processes",
        about: "pauses, crashes, restarts under the same id, step-downs, stops, work that hangs, failed recoveries",
        instances: 2,
        tickets: TicketUse::None,
        faults: &[
            Fault::Hold,
            Fault::Pause,
            Fault::Crash,
            Fault::StepDown,
            Fault::Stop,
            Fault::FailRecovery,
            Fault::HoldReply,
        ],
        budget: 2,
        rates: EXACT,
        horizon: 22,
        beginning: Beginning::Unclaimed,
        clocks: Clocks::AsPromised,
    },
    FaultSet {
        name: "clocks",
        about: "clock rates 500 ppm apart in either direction, jumps of the database's clock",
        instances: 2,
        tickets: TicketUse::None,
        faults: &[Fault::CutLease, Fault::LoseReply, Fault::Pause, Fault::DatabaseClock, Fault::JustBefore],
        budget: 2,
        rates: DRIFT,
        horizon: 22,
        beginning: Beginning::Unclaimed,
        clocks: Clocks::AsPromised,
    },
    FaultSet {
        name: "failover",
        about: "promotion of an asynchronous standby that lost the last writes",
        instances: 2,
        tickets: TicketUse::None,
        faults: &[Fault::Promote, Fault::Hold, Fault::HoldReply, Fault::CutLease, Fault::StepDown],
        budget: 2,
        rates: EXACT,
        horizon: 22,
        beginning: Beginning::Unclaimed,
        clocks: Clocks::AsPromised,
    },
    FaultSet {
        name: "short-lease",
        about: "the same, with a lease left by an instance with a shorter LEADER_TTL",
        instances: 2,
        tickets: TicketUse::None,
        faults: &[Fault::Promote, Fault::CutLease, Fault::Hold],
        budget: 2,
        rates: EXACT,
        horizon: 24,
        beginning: Beginning::LeftByShortTtl,
        clocks: Clocks::AsPromised,
    },
    FaultSet {
        name: "tickets",
        about: "Redis restarted, failed over, flushed, its clock jumping; stuck tickets; cut off",
        instances: 2,
        tickets: TicketUse::Redis,
        faults: &[
            Fault::Flush,
            Fault::RedisFailover,
            Fault::RedisClockForward,
            Fault::RedisClockBack,
            Fault::StuckTicket,
            Fault::CutTicket,
            Fault::Hold,
            Fault::Crash,
        ],
        budget: 2,
        rates: EXACT,
        horizon: 16,
        beginning: Beginning::Unclaimed,
        clocks: Clocks::AsPromised,
    },
    FaultSet {
        name: "stuck-tickets",
        about: "a process that does not lead holds the ticket, and the leader dies",
        instances: 2,
        tickets: TicketUse::Redis,
        faults: &[Fault::StuckTicket, Fault::Crash],
        budget: 2,
        rates: EXACT,
        horizon: 10,
        beginning: Beginning::Unclaimed,
        clocks: Clocks::AsPromised,
    },
    FaultSet {
        name: "late-releases",
        about: "leaders that lead again, and late requests of their former leadership",
        instances: 2,
        tickets: TicketUse::Redis,
        faults: &[Fault::StepDown, Fault::Hold, Fault::Crash],
        budget: 3,
        rates: EXACT,
        horizon: 14,
        beginning: Beginning::Unclaimed,
        clocks: Clocks::AsPromised,
    },
    FaultSet {
        name: "late-effects",
        about: "effects that arrive after leaders have changed and a standby was promoted",
        instances: 2,
        tickets: TicketUse::None,
        faults: &[Fault::Promote, Fault::StepDown, Fault::Hold],
        budget: 3,
        rates: EXACT,
        horizon: 14,
        beginning: Beginning::Unclaimed,
        clocks: Clocks::AsPromised,
    },
    FaultSet {
        name: "steady",
        about: "hint storms and a slow state store, which must not end a term",
        instances: 2,
        tickets: TicketUse::None,
        faults: &[Fault::HintStorm, Fault::SlowStore, Fault::JustBefore, Fault::DatabaseClock],
        budget: 3,
        rates: EXACT,
        horizon: 24,
        beginning: Beginning::LeftByShortTtl,
        clocks: Clocks::AsPromised,
    },
    FaultSet {
        name: "steady-with-redis",
        about: "the same with Redis under all of its faults",
        instances: 2,
        tickets: TicketUse::Redis,
        faults: &[
            Fault::HintStorm,
            Fault::SlowStore,
            Fault::Flush,
            Fault::CutTicket,
            Fault::StuckTicket,
            Fault::JustBefore,
        ],
        budget: 2,
        rates: EXACT,
        horizon: 24,
        beginning: Beginning::Unclaimed,
        clocks: Clocks::AsPromised,
    },
    FaultSet {
        name: "paused-followers",
        about: "a follower that was paused for longer than a lease, with Redis",
        instances: 2,
        tickets: TicketUse::Redis,
        faults: &[Fault::Pause, Fault::HintStorm],
        budget: 2,
        rates: EXACT,
        horizon: 16,
        beginning: Beginning::Unclaimed,
        clocks: Clocks::AsPromised,
    },
    FaultSet {
        name: "carry",
        about: "a renewal in flight while leaders change and a standby is promoted; three instances",
        instances: 3,
        tickets: TicketUse::None,
        faults: &[Fault::Promote, Fault::Hold, Fault::CutLease, Fault::Lose],
        budget: 2,
        rates: EXACT,
        horizon: 30,
        beginning: Beginning::HandedOverWithRenewalUnderWay,
        clocks: Clocks::AsPromised,
    },
    FaultSet {
        name: "unseen",
        about: "a standby is promoted that lacks the leader's claim, and the next claimer has not read it either",
        instances: 2,
        tickets: TicketUse::None,
        faults: &[Fault::Promote, Fault::Hold, Fault::HoldReply],
        budget: 2,
        rates: EXACT,
        horizon: 24,
        beginning: Beginning::LeadsUnseen,
        clocks: Clocks::AsPromised,
    },
    FaultSet {
        name: "restore",
        about: "a backup is restored on the same timeline while instances run",
        instances: 2,
        tickets: TicketUse::None,
        faults: &[Fault::Restore, Fault::StepDown, Fault::HoldReply, Fault::Crash],
        budget: 2,
        rates: EXACT,
        horizon: 22,
        beginning: Beginning::Unclaimed,
        clocks: Clocks::AsPromised,
    },
    FaultSet {
        name: "handover",
        about: "handovers to one instance, which may die or be cut off, with Redis; three instances",
        instances: 3,
        tickets: TicketUse::Redis,
        faults: &[Fault::HandOver, Fault::Crash, Fault::CutLease],
        budget: 2,
        rates: EXACT,
        horizon: 10,
        beginning: Beginning::Unclaimed,
        clocks: Clocks::AsPromised,
    },
    FaultSet {
        name: "restore-again",
        about: "a backup from before the first leader, restored once or more often, and late requests",
        instances: 2,
        tickets: TicketUse::None,
        faults: &[Fault::Restore, Fault::Hold],
        budget: 2,
        rates: EXACT,
        horizon: 16,
        beginning: Beginning::LeftByShortTtl,
        clocks: Clocks::AsPromised,
    },
    FaultSet {
        name: "kills",
        about: "processes killed, evidence of exit late or never, restarts under the same id, late requests of the dead",
        instances: 2,
        tickets: TicketUse::None,
        faults: &[Fault::Kill, Fault::Hold, Fault::HoldReply, Fault::CutLease, Fault::Pause],
        budget: 2,
        rates: EXACT,
        horizon: 16,
        beginning: Beginning::Unclaimed,
        clocks: Clocks::AsPromised,
    },
    FaultSet {
        name: "kills-and-failover",
        about: "a process is killed, and a standby is promoted that lost the claim made on that evidence; three instances",
        instances: 3,
        tickets: TicketUse::None,
        faults: &[Fault::Kill, Fault::Promote, Fault::CutLease],
        budget: 2,
        rates: EXACT,
        horizon: 12,
        beginning: Beginning::Unclaimed,
        clocks: Clocks::AsPromised,
    },
    FaultSet {
        name: "three",
        about: "three instances, with Redis, faults of every origin",
        instances: 3,
        tickets: TicketUse::Redis,
        faults: &[
            Fault::Hold,
            Fault::LoseReply,
            Fault::CutLease,
            Fault::RefuseLease,
            Fault::CutTicket,
            Fault::Crash,
            Fault::Pause,
            Fault::Promote,
            Fault::Flush,
            Fault::StepDown,
        ],
        budget: 1,
        rates: EXACT,
        horizon: 20,
        beginning: Beginning::Unclaimed,
        clocks: Clocks::AsPromised,
    },
];

/// Clocks beyond the bound. Here the property of at most one valid lease must be seen to break, and every other
/// property must hold.
pub const BEYOND: FaultSet = FaultSet {
    name: "beyond-the-margin",
    about: "clock rates 10,000 ppm apart, ten times the bound",
    instances: 2,
    tickets: TicketUse::None,
    faults: &[Fault::CutLease, Fault::Hold],
    budget: 2,
    rates: TOO_MUCH,
    horizon: 22,
    beginning: Beginning::Unclaimed,
    clocks: Clocks::Beyond,
};

/// The set of that name.
pub fn find(name: &str) -> Option<&'static FaultSet> {
    SETS.iter().chain([&BEYOND]).find(|set| set.name == name)
}
