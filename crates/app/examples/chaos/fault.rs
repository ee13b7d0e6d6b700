//! The faults and their order: a deck of all kinds, which is shuffled again when it is empty, so that every
//! kind occurs in a run of at least one deck.

use domain::lease::TTL_MIN;
use std::collections::VecDeque;
use std::time::Duration;

/// LEADER_TTL of every run: the shortest allowed, because a fault of the same length then has the largest
/// effect.
pub const TTL: Duration = TTL_MIN;

/// Commits that a standby without synchronous replication lacks, in milliseconds: a bad moment, not a broken
/// standby.
const LAG_MS: (u64, u64) = (200, 1_500);

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A fault of one instance, or of its network.
    Instance(Whom, Harm),
    /// A fault of Redis.
    Redis(RedisFault),
    /// A fault of PostgreSQL or its standby.
    Postgres(PostgresFault),
}

/// The affected instance. If none of that kind is free, another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    /// The leader.
    Leader,
    /// An instance that does not lead.
    Follower,
    /// Any instance.
    Any,
}

/// The fault of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// `kill -9`; a new process starts later, under the old id or a new one.
    Kill,
    /// SIGSTOP, and later SIGCONT.
    Stop,
    /// A twentieth of a processor, as under a CPU quota: it runs for 5 ms, then stops for 95 ms.
    Starve,
    /// It loses both stores.
    CutBoth,
    /// It loses PostgreSQL only.
    CutPostgres,
    /// It loses Redis only.
    CutRedis,
    /// Its requests arrive, at one store or both, and no reply arrives.
    CutReplies,
    /// Its requests do not arrive, at one store or both.
    CutRequests,
    /// What it sends to PostgreSQL, or what comes back, arrives late.
    Late,
    /// Everything between it and both stores is slow.
    CutMidway,
    /// Everything between it and both stores is slow.
    Slow,
}

/// The fault of Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedisFault {
    /// It stops running, and continues later.
    Pause,
    /// It is killed and starts again empty.
    RestartEmpty,
    /// It is killed and starts again with the data that it had saved.
    RestartSaved,
    /// FLUSHALL.
    Flush,
    /// The clock of its host jumps ahead. For Redis that means that every key with an expiry has expired. It
    /// is simulated by moving the expiry of every key to now.
    ClockAhead,
    /// The clock of its host jumps back by an hour, and later ahead again. It is simulated by moving the
    /// expiry of every key by an hour, and later to now.
    ClockBack,
}

/// The fault of PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PostgresFault {
    /// It and its sessions stop running, and continue later.
    Pause,
    /// It is shut down (mode fast) and started again.
    Restart,
    /// It is killed with SIGKILL, which is harsher than its immediate stop, and recovers from its log.
    Crash,
    /// Every transaction is read-only (`default_transaction_read_only`).
    ReadOnly,
    /// Every session is ended, and another client holds all connections.
    Exhausted,
    /// It is shut down, and its standby, which has all data, replaces it.
    Promotion,
    /// Replication stops; the primary runs for a while and is killed; its standby, which lacks the data of
    /// that while, replaces it.
    PromotionWithLoss,
    /// The same with a synchronous standby: while replication is stopped, no commit is answered, so nothing
    /// that was acknowledged is lost, and nothing is excused.
    PromotionSynchronous,
}

impl Kind {
    /// All kinds that are drawn.
    pub const ALL: [Self; 28] = [
        Self::Instance(Whom::Leader, Harm::Kill),
        Self::Instance(Whom::Any, Harm::Kill),
        Self::Instance(Whom::Leader, Harm::Stop),
        Self::Instance(Whom::Any, Harm::Stop),
        Self::Instance(Whom::Any, Harm::Starve),
        Self::Instance(Whom::Leader, Harm::CutBoth),
        Self::Instance(Whom::Follower, Harm::CutBoth),
        Self::Instance(Whom::Leader, Harm::CutPostgres),
        Self::Instance(Whom::Leader, Harm::CutRedis),
        Self::Instance(Whom::Any, Harm::CutReplies),
        Self::Instance(Whom::Any, Harm::CutRequests),
        Self::Instance(Whom::Leader, Harm::Late),
        Self::Instance(Whom::Leader, Harm::CutMidway),
        Self::Instance(Whom::Any, Harm::Slow),
        Self::Redis(RedisFault::Pause),
        Self::Redis(RedisFault::RestartEmpty),
        Self::Redis(RedisFault::RestartSaved),
        Self::Redis(RedisFault::Flush),
        Self::Redis(RedisFault::ClockAhead),
        Self::Redis(RedisFault::ClockBack),
        Self::Postgres(PostgresFault::Pause),
        Self::Postgres(PostgresFault::Restart),
        Self::Postgres(PostgresFault::Crash),
        Self::Postgres(PostgresFault::ReadOnly),
        Self::Postgres(PostgresFault::Exhausted),
        Self::Postgres(PostgresFault::Promotion),
        Self::Postgres(PostgresFault::PromotionWithLoss),
        Self::Postgres(PostgresFault::PromotionSynchronous),
    ];

    /// Name for output and for the record.
    pub fn name(self) -> String {
        match self {
            Self::Instance(whom, harm) => format!("{}, {}", harm.name(), whom.name()),
            Self::Redis(fault) => fault.name().to_owned(),
            Self::Postgres(fault) => fault.name().to_owned(),
        }
    }

    /// The kind with that name.
    ///
    /// # Errors
    /// All names, if there is no such kind.
    pub fn parse(name: &str) -> Result<Self, String> {
        let names = || Self::ALL.map(|kind| format!("\n  {}", kind.name())).concat();
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| format!("it is one of{}", names()))
    }

    /// Duration of the fault; zero if it is over at once.
    pub fn lasting(self, dice: &mut Dice) -> Duration {
        match self {
            Self::Redis(RedisFault::Flush | RedisFault::ClockAhead)
            | Self::Postgres(PostgresFault::Promotion) => Duration::ZERO,
            Self::Postgres(PostgresFault::PromotionWithLoss) => dice.millis(LAG_MS.0, LAG_MS.1),
            Self::Instance(..) | Self::Redis(_) | Self::Postgres(_) => dice.lasting(),
        }
    }
}

impl Whom {
    fn name(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Follower => "follower",
            Self::Any => "any",
        }
    }
}

impl Harm {
    fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill -9",
            Self::Stop => "SIGSTOP",
            Self::Starve => "CPU starvation",
            Self::CutBoth => "cut from both stores",
            Self::CutPostgres => "cut from PostgreSQL",
            Self::CutRedis => "cut from Redis",
            Self::CutReplies => "replies cut",
            Self::CutRequests => "requests cut",
            Self::Late => "late delivery",
            Self::CutMidway => "cut within a message",
            Self::Slow => "slow replies",
        }
    }
}

impl RedisFault {
    fn name(self) -> &'static str {
        match self {
            Self::Pause => "Redis paused",
            Self::RestartEmpty => "Redis restart, empty",
            Self::RestartSaved => "Redis restart, saved",
            Self::Flush => "FLUSHALL",
            Self::ClockAhead => "Redis clock ahead",
            Self::ClockBack => "Redis clock back",
        }
    }
}

impl PostgresFault {
    fn name(self) -> &'static str {
        match self {
            Self::Pause => "PostgreSQL paused",
            Self::Restart => "PostgreSQL restart",
            Self::Crash => "PostgreSQL crash",
            Self::ReadOnly => "PostgreSQL read-only",
            Self::Exhausted => "PostgreSQL connections exhausted",
            Self::Promotion => "promotion",
            Self::PromotionWithLoss => "promotion with loss",
            Self::PromotionSynchronous => "promotion, synchronous",
        }
    }
}

/// Random numbers from a seed (SplitMix64): the same faults in the same order for the same seed. Their timing
/// depends on the machine.
#[derive(Debug, Clone)]
pub struct Dice {
    state: u64,
}

impl Dice {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One of `choices`.
    ///
    /// # Panics
    /// If there is none.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.index(choices.len())]
    }

    /// An index below `count`.
    ///
    /// # Panics
    /// If `count` is 0.
    pub fn index(&mut self, count: usize) -> usize {
        let count = u64::try_from(count).expect("a handful");
        usize::try_from(self.below(count)).expect("below the length")
    }

    /// True with a probability of 1 in `many`.
    pub fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Separate dice for another part.
    pub fn fork(&mut self) -> Self {
        Self { state: self.next() }
    }

    /// From `least` to `most` milliseconds.
    pub fn millis(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(least + self.next() % (most - least + 1))
    }

    /// Duration of a fault: half a LEADER_TTL to twenty of them, mostly short.
    pub fn lasting(&mut self) -> Duration {
        let ttl = u64::try_from(TTL.as_millis()).expect("a second");
        let (least, most) = match self.next() % 20 {
            0..=12 => (ttl / 2, 2 * ttl),
            13..=17 => (2 * ttl, 5 * ttl),
            18 => (5 * ttl, 10 * ttl),
            _ => (10 * ttl, 20 * ttl),
        };
        self.millis(least, most)
    }

    fn shuffle<T>(&mut self, deck: &mut [T]) {
        for last in (1..deck.len()).rev() {
            let bound = u64::try_from(last + 1).expect("a handful");
            deck.swap(last, usize::try_from(self.next() % bound).expect("below the length"));
        }
    }
}

/// The order of the faults.
#[derive(Debug)]
pub struct Deck {
    dice: Dice,
    kinds: Vec<Kind>,
    cards: VecDeque<Kind>,
}

impl Deck {
    /// A deck of these kinds, in the order that `dice` give.
    pub fn new(kinds: &[Kind], dice: Dice) -> Self {
        Self { dice, kinds: kinds.to_vec(), cards: VecDeque::new() }
    }

    /// The first kind that fits; those before it keep their places for later.
    pub fn draw(&mut self, fits: impl Fn(Kind) -> bool) -> Option<Kind> {
        if self.cards.is_empty() {
            let mut fresh = self.kinds.clone();
            self.dice.shuffle(&mut fresh);
            self.cards.extend(fresh);
        }
        let at = self.cards.iter().position(|&kind| fits(kind))?;
        self.cards.remove(at)
    }
}
