//! The plan of a run: a world and a schedule of faults, both drawn from one seed, with a text form.

use crate::fault::{Fault, Kind, Store, Target, Victim};
use crate::rng::Rng;
use std::time::Duration;

/// One gap between faults in this number is a long one, so that work completes in it.
const QUIET_ONCE_IN: u64 = 12;
/// One schedule in this number restores a backup; only one, because the data after the backup is then forgotten.
const RESTORE_ONCE_IN: u64 = 2;
/// Maximum age of a recent backup, in LEADER_TTL.
const BACKUP_TTLS_SHORT: u64 = 2;
/// Maximum age of an old backup, in LEADER_TTL.
const BACKUP_TTLS_LONG: u64 = 60;
/// Maximum rate error of a clock that the kernel corrects; the margin of the election covers it.
const CLOCK_PPM: u32 = 500;
/// One broker in this number reports results later.
const RESULTS_LATER_ONCE_IN: u64 = 4;
/// One LEADER_TTL in this number is a long one.
const LONG_TTL_ONCE_IN: u64 = 10;
/// Time before the first fault, in LEADER_TTL: every instance starts and one is elected.
pub const QUIET_START_TTLS: u32 = 3;
/// One signal is submitted for this number of faults, so that some are always in progress.
const FAULTS_PER_SIGNAL: usize = 2;
/// Maximum number of instruments: few, so that several signals of each wait for their turn.
const INSTRUMENTS_MAX: u64 = 3;
/// One fault of the lines to the database in this number hits only the operator's line.
const OPERATOR_ONCE_IN: u64 = 8;
/// Timeout of a request to the ledger (`ANSWER_TIME_MAX` of the library).
pub const LEDGER_PATIENCE: Duration = Duration::from_secs(5);

/// Replication to the database's standby.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cluster {
    /// A write is acknowledged when the standby has it: a promotion loses only unacknowledged writes.
    Synchronous,
    /// A write is acknowledged at once: a promotion may lose it, which is the documented limit.
    Asynchronous,
}

/// The broker's treatment of orders of former leaders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Receiver {
    /// Accepts every order.
    Plain,
    /// Refuses epochs below the largest one seen, and attempts that it reported as not received: a lookup may answer
    /// at once that a signal was not executed.
    Fencing,
}

/// The time when the broker reports the result of an accepted order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Results {
    /// With the acceptance: the signal is then done.
    AtOnce,
    /// To a service on the leader's host, which reports it: the signal is sent, and done later.
    Later,
}

/// The behaviour of the handler and the operator when they cannot know an outcome, and the deployment of instances.
/// All but the first are mistakes that the judge must find.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Caution {
    /// They report only what is certain.
    Careful,
    /// The handler reports a signal that the broker does not have (yet) as not executed.
    Blind,
    /// The handler treats a missing answer of the broker as "not executed".
    SilenceIsNo,
    /// The operator queries the broker once, and does not wait for orders in flight.
    Hasty,
    /// The operator's decision names the latest attempt instead of the one checked.
    LatestAttempt,
    /// Instances have no data directory: a restart loses the memory of the lease.
    NoMemory,
}

/// A signal that a client submits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Submission {
    /// The time of the submission, in milliseconds after the start.
    pub at_ms: u64,
    /// The number of the instrument.
    pub instrument: u64,
}

/// The complete input of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The seed of latencies, clocks and nonces.
    pub seed: u64,
    /// Number of coordinators.
    pub instances: usize,
    /// LEADER_TTL.
    pub ttl_ms: u64,
    /// Maximum error of a clock's rate.
    pub clock_ppm: u32,
    /// Longest flight of an order to the broker, which the operator knows.
    pub flight_ms: u64,
    /// The kind of database.
    pub cluster: Cluster,
    /// Presence of a Redis.
    pub redis: Redis,
    /// The broker's treatment of former leaders.
    pub receiver: Receiver,
    /// The time when the broker reports results.
    pub results: Results,
    /// The behaviour of the handler and the operator.
    pub caution: Caution,
    /// The submissions.
    pub signals: Vec<Submission>,
    /// The faults, in order of time.
    pub faults: Vec<Fault>,
}

/// Use of a leader store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Redis {
    /// With a leader store.
    Present,
    /// The database alone.
    Absent,
}

/// The settings of the command line.
#[derive(Debug, Clone, Copy)]
pub struct Wishes {
    /// Number of faults in a schedule.
    pub faults: usize,
    /// Number of coordinators; drawn if not given.
    pub instances: Option<usize>,
    /// The behaviour of the handler and the operator.
    pub caution: Caution,
}

impl Plan {
    /// The plan of `seed`.
    pub fn draw(seed: u64, wishes: &Wishes) -> Self {
        let mut rng = Rng::new(seed, &[1]);
        let drawn = rng.pick(&[2, 3, 3, 3, 4, 5]);
        // Mostly short, so that less simulated time passes between faults. Sometimes long, because waits that do not
        // grow with LEADER_TTL then have another proportion to it.
        let ttl_ms = match rng.below(LONG_TTL_ONCE_IN) {
            0 => rng.pick(&[10_000, 60_000]),
            _ => rng.pick(&[1_000, 1_000, 1_200, 1_500, 1_500, 2_000, 2_000, 3_000, 5_000]),
        };
        let cluster = rng.pick(&[Cluster::Synchronous, Cluster::Asynchronous]);
        let redis = if rng.once_in(8) { Redis::Absent } else { Redis::Present };
        // Epochs go back when a failover loses elections, and then it is undefined when such a broker accepts orders
        // again.
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

    /// The longest flight of an order to the broker.
    pub fn flight_max(&self) -> Duration {
        Duration::from_millis(self.flight_ms)
    }

    /// The longest flight of a request to a store: longer than the timeout of its sender.
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

    /// Draws the restore separately from the other faults, so that most of a schedule is judged without its excuses.
    fn schedule_restore(&mut self) {
        let mut rng = Rng::new(self.seed, &[3]);
        if self.faults.is_empty() || !rng.once_in(RESTORE_ONCE_IN) {
            return;
        }
        let at = usize::try_from(rng.below(self.faults.len() as u64)).unwrap_or(0);
        let kind = rng.pick(&[Kind::DbRestore, Kind::DbRestoreStopped]);
        let (at_ms, draw) = (self.faults[at].at_ms, rng.draw() % 1_000_000);
        let for_ms = self.length_ms(kind, &mut rng);
        // A backup of an earlier timeline is not restored, so no standby is promoted between backup and restore.
        self.faults.retain(|fault| {
            let promotes = matches!(fault.kind, Kind::DbFailoverLoss | Kind::DbFailoverKeep);
            let over = fault.at_ms + if fault.kind == Kind::DbFailoverLoss { fault.for_ms } else { 0 };
            !promotes || over < at_ms || fault.at_ms > at_ms + for_ms
        });
        let at = self.faults.partition_point(|fault| fault.at_ms < at_ms);
        self.faults.insert(at, Fault { at_ms, kind, victim: Victim::All, for_ms, draw });
    }

    /// True if it may be drawn as one of many.
    fn is_possible(&self, kind: Kind) -> bool {
        match kind.target() {
            Target::Redis | Target::Line(Store::Redis, _) => self.redis == Redis::Present,
            Target::Database => match kind {
                // An asynchronous standby cannot delay acknowledgements.
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
