//! Faults, as values that can be printed, saved and parsed.

use std::fmt;
use std::str::FromStr;

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal),* $(,)?) => {
        /// Every kind of fault.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind { $($(#[$doc])* $kind),* }

        impl Kind {
            /// Every kind, in the order of the report.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            /// The name in schedules and reports.
            pub fn name(self) -> &'static str {
                match self { $(Self::$kind => $name),* }
            }
        }
    };
}

kinds! {
    /// SIGKILL; restarted under the same id after a while.
    Kill = "kill",
    /// SIGKILL, and restarted at once under the same id.
    RestartSameId = "restart-same-id",
    /// SIGKILL, and restarted at once under another id.
    RestartNewId = "restart-new-id",
    /// SIGSTOP for less than a lease.
    PauseShort = "pause-short",
    /// SIGSTOP for longer than a lease.
    PausePastLease = "pause-past-lease",
    /// SIGSTOP between the last check of the fence and the send to the broker.
    PauseMidSend = "pause-mid-send",
    /// SIGKILL between the send to the broker and its answer.
    KillMidSend = "kill-mid-send",
    /// The operator stops an instance and starts it again.
    CleanStop = "clean-stop",
    /// The operator requests a handover.
    StepDown = "step-down",
    /// The rate of a clock changes, within the bound of the kernel.
    ClockRate = "clock-rate",
    /// No connection to the database.
    DbRefuse = "db-refuse",
    /// Requests to the database are lost.
    DbSilent = "db-silent",
    /// The database's replies are lost.
    DbRepliesLost = "db-replies-lost",
    /// Requests to the database and its replies take up to a heartbeat each.
    DbSlow = "db-slow",
    /// Requests to the database arrive long after their sender's timeout.
    DbLate = "db-late",
    /// Hints of the database are lost.
    DbHintsLost = "db-hints-lost",
    /// As for the database.
    RedisRefuse = "redis-refuse",
    /// As for the database.
    RedisSilent = "redis-silent",
    /// As for the database.
    RedisRepliesLost = "redis-replies-lost",
    /// As for the database.
    RedisSlow = "redis-slow",
    /// As for the database.
    RedisLate = "redis-late",
    /// As for the database.
    RedisHintsLost = "redis-hints-lost",
    /// Redis restarts without its data.
    RedisRestart = "redis-restart",
    /// FLUSHALL.
    RedisFlush = "redis-flush",
    /// A replica takes over that lacks the latest writes.
    RedisFailover = "redis-failover",
    /// The clock of Redis's host jumps forward: tickets expire at once.
    RedisClockForward = "redis-clock-forward",
    /// The clock of Redis's host jumps back: tickets last far longer than their ttl.
    RedisClockBack = "redis-clock-back",
    /// A client writes a value into the key that is not a ticket.
    RedisHostile = "redis-hostile",
    /// The database restarts: connections break, what is in flight is unknown.
    DbRestart = "db-restart",
    /// The synchronous standby stalls: no write is acknowledged until it continues.
    DbStall = "db-stall",
    /// A standby is promoted that lacks the latest writes.
    DbFailoverLoss = "db-failover-loss",
    /// A standby is promoted that has every write.
    DbFailoverKeep = "db-failover-keep",
    /// The database's clock jumps.
    DbClockJump = "db-clock-jump",
    /// A backup is restored on the same timeline while instances run. It is taken when the fault begins.
    DbRestore = "db-restore",
    /// The same while all instances are stopped.
    DbRestoreStopped = "db-restore-stopped",
    /// The portfolio is corrupted, and repaired later.
    PortfolioCorrupt = "portfolio-corrupt",
    /// The broker refuses connections.
    BrokerAway = "broker-away",
    /// Orders take long to reach the broker.
    BrokerSlow = "broker-slow",
    /// The broker accepts orders and its answers are lost.
    BrokerRepliesLost = "broker-replies-lost",
    /// The operator pauses all sending and resumes it later.
    KillSwitch = "kill-switch",
}

/// The target of a kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// The leader.
    Leader,
    /// An instance.
    Instance,
    /// The line between instances and a store.
    Line(Store, Trouble),
    /// The leader store's server.
    Redis,
    /// The database's server.
    Database,
    /// The broker.
    Broker,
    /// The ledger's kill switch.
    KillSwitch,
}

/// A store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Store {
    /// The state store.
    Database,
    /// The leader store.
    Redis,
}

/// A fault of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// No connection.
    Refuse,
    /// Requests are lost.
    Silent,
    /// Replies are lost.
    LoseReplies,
    /// Each way takes up to a heartbeat.
    Slow,
    /// Requests arrive after their sender's timeout.
    Late,
    /// Hints are lost.
    LoseHints,
}

impl Kind {
    /// The target of this kind.
    pub fn target(self) -> Target {
        match self {
            Self::StepDown | Self::PauseMidSend | Self::KillMidSend => Target::Leader,
            Self::Kill
            | Self::RestartSameId
            | Self::RestartNewId
            | Self::PauseShort
            | Self::PausePastLease
            | Self::CleanStop
            | Self::ClockRate => Target::Instance,
            Self::DbRefuse => Target::Line(Store::Database, Trouble::Refuse),
            Self::DbSilent => Target::Line(Store::Database, Trouble::Silent),
            Self::DbRepliesLost => Target::Line(Store::Database, Trouble::LoseReplies),
            Self::DbSlow => Target::Line(Store::Database, Trouble::Slow),
            Self::DbLate => Target::Line(Store::Database, Trouble::Late),
            Self::DbHintsLost => Target::Line(Store::Database, Trouble::LoseHints),
            Self::RedisRefuse => Target::Line(Store::Redis, Trouble::Refuse),
            Self::RedisSilent => Target::Line(Store::Redis, Trouble::Silent),
            Self::RedisRepliesLost => Target::Line(Store::Redis, Trouble::LoseReplies),
            Self::RedisSlow => Target::Line(Store::Redis, Trouble::Slow),
            Self::RedisLate => Target::Line(Store::Redis, Trouble::Late),
            Self::RedisHintsLost => Target::Line(Store::Redis, Trouble::LoseHints),
            Self::RedisRestart
            | Self::RedisFlush
            | Self::RedisFailover
            | Self::RedisClockForward
            | Self::RedisClockBack
            | Self::RedisHostile => Target::Redis,
            Self::DbRestart
            | Self::DbStall
            | Self::DbFailoverLoss
            | Self::DbFailoverKeep
            | Self::DbClockJump
            | Self::DbRestore
            | Self::DbRestoreStopped
            | Self::PortfolioCorrupt => Target::Database,
            Self::BrokerAway | Self::BrokerSlow | Self::BrokerRepliesLost => Target::Broker,
            Self::KillSwitch => Target::KillSwitch,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The victim of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Victim {
    /// Every instance and the operator, or a server itself.
    All,
    /// The leader at that time; the first instance if there is none.
    Leader,
    /// The instance in that place.
    Place(usize),
    /// The operator, at the command line.
    Operator,
}

/// One fault of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fault {
    /// The beginning, in milliseconds after the start.
    pub at_ms: u64,
    /// The kind.
    pub kind: Kind,
    /// The victim.
    pub victim: Victim,
    /// The duration, in milliseconds.
    pub for_ms: u64,
    /// Random number for the details.
    pub draw: u64,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {} {} ", self.at_ms, self.kind)?;
        match self.victim {
            Victim::All => write!(f, "all")?,
            Victim::Leader => write!(f, "leader")?,
            Victim::Place(place) => write!(f, "{place}")?,
            Victim::Operator => write!(f, "operator")?,
        }
        write!(f, " for {} draw {}", self.for_ms, self.draw)
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let wrong = || format!("{line:?} is not `at MS KIND VICTIM for MS draw N`");
        let words: Vec<&str> = line.split_whitespace().collect();
        let ["at", at, kind, victim, "for", length, "draw", draw] = words.as_slice() else {
            return Err(wrong());
        };
        let victim = match *victim {
            "all" => Victim::All,
            "leader" => Victim::Leader,
            "operator" => Victim::Operator,
            place => Victim::Place(place.parse().map_err(|_| wrong())?),
        };
        let number = |text: &str| text.parse().map_err(|_| wrong());
        let named = Kind::ALL.iter().find(|known| known.name() == *kind);
        Ok(Self {
            at_ms: number(at)?,
            kind: *named.ok_or_else(wrong)?,
            victim,
            for_ms: number(length)?,
            draw: number(draw)?,
        })
    }
}
