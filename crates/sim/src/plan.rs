//! What a run is made of: a world and a schedule of faults, both drawn from one seed; read and written as text.

use crate::fault::{Fault, Kind, Store, Target, Victim};
use crate::rng::Rng;
use std::time::Duration;

/// One in so many gaps between faults is a long one, so that work gets done in between.
const QUIET_ONCE_IN: u64 = 12;
/// One in so many schedules has a restored backup: rare, because everything after the backup is then forgotten.
const RESTORE_ONCE_IN: u64 = 2;
/// A backup is older than this, in LEADER_TTL, ...
const BACKUP_TTLS_SHORT: u64 = 2;
/// ... or up to this old.
const BACKUP_TTLS_LONG: u64 = 60;
/// The kernel slews a clock by at most this, and the election's margin is made for it.
const CLOCK_PPM: u32 = 500;
/// One in so many brokers tells results later.
const RESULTS_LATER_ONCE_IN: u64 = 4;
/// One in so many LEADER_TTL is a long one.
const LONG_TTL_ONCE_IN: u64 = 10;
/// Before the first fault everybody starts and somebody is elected.
pub const QUIET_START_TTLS: u32 = 3;
/// One of so many faults is followed by a signal, so that some are always under way.
const FAULTS_PER_SIGNAL: usize = 2;
/// Signals are about so many instruments at most: few, so that several of each wait for their turn.
const INSTRUMENTS_MAX: u64 = 3;
/// One in so many faults of the ways to the database hits the operator's alone.
const OPERATOR_ONCE_IN: u64 = 8;
/// A request to the ledger that takes longer is not waited for (`ANSWER_TIME_MAX` of the library).
pub const LEDGER_PATIENCE: Duration = Duration::from_secs(5);

/// How the database's standby is fed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cluster {
    /// A write is acknowledged when the standby has it: a promotion loses what was not acknowledged.
    Synchronous,
    /// A write is acknowledged at once: a promotion may lose it, which is the documented limit.
    Asynchronous,
}

/// What the broker does with orders of former leaders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Receiver {
    /// Accepts whatever arrives.
    Plain,
    /// Refuses epochs smaller than the largest that it has seen, and attempts of which it has said that it does
    /// not have them: a lookup may answer at once that a signal was not executed.
    Fencing,
}

/// When the broker says what became of an order that it has accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Results {
    /// With the acceptance: a signal is done then.
    AtOnce,
    /// To a service beside the leader, which reports it: a signal is sent, and done later.
    Later,
}

/// What the handler and the person at the desk do with what they cannot know, and how instances are deployed. All but the first are mistakes that
/// whoever judges must find out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Caution {
    /// What is not certain is not said.
    Careful,
    /// A handler that says of what the broker does not have (yet) that it was not executed.
    Blind,
    /// A handler that takes a broker's silence for a no.
    SilenceIsNo,
    /// A person who asks the broker once, and does not wait for what may be on its way.
    Hasty,
    /// A person whose decision names whatever attempt is the latest when it is told, not the one looked into.
    LatestAttempt,
    /// Instances without a data directory: a restart forgets how far the lease had come.
    NoMemory,
}

/// A signal that a client submits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Submission {
    /// When, milliseconds after the start.
    pub at_ms: u64,
    /// About which instrument.
    pub instrument: u64,
}

/// Everything that decides how a run goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Latencies, clocks and nonces come from it.
    pub seed: u64,
    /// How many coordinators.
    pub instances: usize,
    /// LEADER_TTL.
    pub ttl_ms: u64,
    /// By how much a clock's rate may be wrong.
    pub clock_ppm: u32,
    /// The longest that an order is on its way to the broker, which the operator knows.
    pub flight_ms: u64,
    /// The kind of database.
    pub cluster: Cluster,
    /// Whether there is a Redis.
    pub redis: Redis,
    /// The kind of broker.
    pub receiver: Receiver,
    /// Another thing about it.
    pub results: Results,
    /// The handler and the person at the desk.
    pub caution: Caution,
    /// What is submitted.
    pub signals: Vec<Submission>,
    /// What goes wrong, in order of time.
    pub faults: Vec<Fault>,
}

/// Whether a leader store takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Redis {
    /// It does.
    Present,
    /// The database alone.
    Absent,
}

/// What the command line may set.
#[derive(Debug, Clone, Copy)]
pub struct Wishes {
    /// How many faults a schedule has.
    pub faults: usize,
    /// How many coordinators; drawn when not given.
    pub instances: Option<usize>,
    /// The handler and the person at the desk.
    pub caution: Caution,
}

impl Plan {
    /// The plan of `seed`.
    pub fn draw(seed: u64, wishes: &Wishes) -> Self {
        let mut rng = Rng::new(seed, &[1]);
        let drawn = rng.pick(&[2, 3, 3, 3, 4, 5]);
        // Mostly short: less simulated time passes between faults. Now and then long, since the waits that
        // do not grow with LEADER_TTL then have another proportion to it.
        let ttl_ms = match rng.below(LONG_TTL_ONCE_IN) {
            0 => rng.pick(&[10_000, 60_000]),
            _ => rng.pick(&[1_000, 1_000, 1_200, 1_500, 1_500, 2_000, 2_000, 3_000, 5_000]),
        };
        let cluster = rng.pick(&[Cluster::Synchronous, Cluster::Asynchronous]);
        let redis = if rng.once_in(8) { Redis::Absent } else { Redis::Present };
        // Epochs go back when a failover loses elections, and then nobody can say when such a broker accepts again.
        let fences = cluster == Cluster::Synchronous && rng.once_in(2);
        let instances = wishes.instances.unwrap_or(drawn);
        let mut plan = Self {
            seed,
            instances,
            ttl_ms,
            clock_ppm: CLOCK_PPM,
            flight_ms: rng.pick(&[ttl_ms / 10, ttl_ms / 4, ttl_ms, ttl_ms * 2]),
            cluster,
            redis,
            receiver: if fences { Receiver::Fencing } else { Receiver::Plain },
            results: if rng.once_in(RESULTS_LATER_ONCE_IN) { Results::Later } else { Results::AtOnce },
            caution: wishes.caution,
            signals: Vec::new(),
            faults: Vec::new(),
        };
        plan.schedule(wishes.faults);
        plan
    }

    /// LEADER_TTL.
    pub fn ttl(&self) -> Duration {
        Duration::from_millis(self.ttl_ms)
    }

    /// A third of LEADER_TTL.
    pub fn heartbeat_ms(&self) -> u64 {
        self.ttl_ms / 3
    }

    /// The longest that an order is on its way to the broker.
    pub fn flight_max(&self) -> Duration {
        Duration::from_millis(self.flight_ms)
    }

    /// The longest that a request to a store is on its way: longer than anybody waits for its answer.
    pub fn late_max(&self) -> Duration {
        self.ttl() * 3 + LEDGER_PATIENCE
    }

    fn schedule(&mut self, faults: usize) {
        let mut rng = Rng::new(self.seed, &[2]);
        let instruments = rng.between(2, INSTRUMENTS_MAX);
        let possible: Vec<Kind> = Kind::ALL.iter().copied().filter(|kind| self.is_possible(*kind)).collect();
        let mut at_ms = self.ttl_ms * u64::from(QUIET_START_TTLS);
        for number in 0..faults {
            let kind = rng.pick(&possible);
            let victim = self.victim(kind, &mut rng);
            let (for_ms, draw) = (self.length_ms(kind, &mut rng), rng.draw() % 1_000_000);
            self.faults.push(Fault { at_ms, kind, victim, for_ms, draw });
            if number % FAULTS_PER_SIGNAL == 0 {
                let (at_ms, instrument) = (at_ms + rng.below(self.ttl_ms), rng.below(instruments));
                self.signals.push(Submission { at_ms, instrument });
            }
            let quiet = rng.once_in(QUIET_ONCE_IN);
            at_ms += if quiet { rng.between(3, 6) * self.ttl_ms } else { rng.below(self.ttl_ms * 2 / 3) };
        }
        self.schedule_restore();
    }

    /// A restore is drawn apart from the other faults, so that most of a schedule is judged without its excuses.
    fn schedule_restore(&mut self) {
        let mut rng = Rng::new(self.seed, &[3]);
        if self.faults.is_empty() || !rng.once_in(RESTORE_ONCE_IN) {
            return;
        }
        let at = usize::try_from(rng.below(self.faults.len() as u64)).unwrap_or(0);
        let kind = rng.pick(&[Kind::DbRestore, Kind::DbRestoreStopped]);
        let (at_ms, draw) = (self.faults[at].at_ms, rng.draw() % 1_000_000);
        let for_ms = self.length_ms(kind, &mut rng);
        // A backup of an earlier timeline is not restored, so no standby is promoted in between.
        self.faults.retain(|fault| {
            let promotes = matches!(fault.kind, Kind::DbFailoverLoss | Kind::DbFailoverKeep);
            let over = fault.at_ms + if fault.kind == Kind::DbFailoverLoss { fault.for_ms } else { 0 };
            !promotes || over < at_ms || fault.at_ms > at_ms + for_ms
        });
        let at = self.faults.partition_point(|fault| fault.at_ms < at_ms);
        self.faults.insert(at, Fault { at_ms, kind, victim: Victim::All, for_ms, draw });
    }

    /// Whether it may be drawn as one of many.
    fn is_possible(&self, kind: Kind) -> bool {
        match kind.target() {
            Target::Redis | Target::Line(Store::Redis, _) => self.redis == Redis::Present,
            Target::Database => match kind {
                // Nobody waits for an asynchronous standby.
                Kind::DbStall => self.cluster == Cluster::Synchronous,
                Kind::DbRestore | Kind::DbRestoreStopped => false,
                _ => true,
            },
            Target::Leader
            | Target::Instance
            | Target::Line(Store::Database, _)
            | Target::Broker
            | Target::KillSwitch => true,
        }
    }

    fn victim(&self, kind: Kind, rng: &mut Rng) -> Victim {
        let place = Victim::Place(usize::try_from(rng.below(self.instances as u64)).unwrap_or(0));
        match kind.target() {
            Target::Leader => Victim::Leader,
            Target::Instance => rng.pick(&[Victim::Leader, place]),
            Target::Line(Store::Database, _) if rng.once_in(OPERATOR_ONCE_IN) => Victim::Operator,
            Target::Line(..) => rng.pick(&[Victim::Leader, place, Victim::All]),
            Target::Redis | Target::Database | Target::Broker | Target::KillSwitch => Victim::All,
        }
    }

    fn length_ms(&self, kind: Kind, rng: &mut Rng) -> u64 {
        let ttl = self.ttl_ms;
        let (least, most) = match kind {
            Kind::RestartSameId | Kind::RestartNewId => (0, ttl / 4),
            Kind::PauseShort => (ttl / 20, ttl * 9 / 10),
            Kind::PausePastLease => (ttl + ttl / 10, ttl * 3),
            Kind::PauseMidSend => (ttl / 4, ttl * 3),
            Kind::DbRestart | Kind::RedisRestart | Kind::DbStall => (ttl / 20, ttl),
            Kind::DbFailoverLoss | Kind::RedisFailover => (ttl / 20, ttl * 3 / 2),
            Kind::PortfolioCorrupt => (ttl / 2, ttl * 4),
            Kind::DbRestore | Kind::DbRestoreStopped if rng.once_in(2) => (1, ttl * BACKUP_TTLS_SHORT),
            Kind::DbRestore | Kind::DbRestoreStopped => (ttl, ttl * BACKUP_TTLS_LONG),
            _ => (ttl / 10, ttl * 2),
        };
        rng.between(least, most)
    }
}
