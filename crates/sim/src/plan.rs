//! What a run is made of: a world and a schedule of faults, both drawn from one seed; read and written as text.

use crate::fault::{Fault, Kind, Store, Target, Victim};
use crate::rng::Rng;
use std::time::Duration;

/// One in so many gaps between faults is a long one, so that work gets done in between.
const QUIET_ONCE_IN: u64 = 12;
/// The kernel slews a clock by at most this, and the election's margin is made for it.
const CLOCK_PPM: u32 = 500;
/// Before the first fault everybody starts and somebody is elected.
pub const QUIET_START_TTLS: u32 = 3;
/// One of so many faults is followed by a signal, so that some are always under way.
const FAULTS_PER_SIGNAL: usize = 2;

/// How the database's standby is fed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cluster {
    /// A write is acknowledged when the standby has it: a promotion loses what was not acknowledged.
    Synchronous,
    /// A write is acknowledged at once: a promotion may lose it, which is the documented limit.
    Asynchronous,
}

/// What the leader's work does with what it cannot know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Caution {
    /// Everything that `dispatcher.rs` gives a reason for.
    Careful,
    /// Goes on with a token after a resolution had no answer. Wrong: see `dispatcher.rs`.
    KeepsToken,
    /// Takes over at the start of a leadership, and after what had no answer, and then no more. Wrong: what
    /// arrives late, or what a failover brings back, is never looked at.
    TakesOverOnce,
    /// Sends again what is in doubt. Wrong: whoever judges must find out.
    Blind,
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
    /// The leader's work.
    pub caution: Caution,
    /// When signals are submitted, milliseconds after the start.
    pub signals_ms: Vec<u64>,
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
    /// The leader's work.
    pub caution: Caution,
}

impl Plan {
    /// The plan of `seed`.
    pub fn draw(seed: u64, wishes: &Wishes) -> Self {
        let mut rng = Rng::new(seed, &[1]);
        let drawn = rng.pick(&[2, 3, 3, 3, 4, 5]);
        // Mostly short: less simulated time passes between faults. Now and then long, since the waits that
        // do not grow with LEADER_TTL then have another proportion to it.
        let ttl_ms = rng.pick(&[1_000, 1_000, 1_200, 1_500, 1_500, 2_000, 2_000, 3_000, 10_000, 60_000]);
        let cluster = rng.pick(&[Cluster::Synchronous, Cluster::Asynchronous]);
        let redis = if rng.once_in(8) { Redis::Absent } else { Redis::Present };
        let instances = wishes.instances.unwrap_or(drawn);
        let mut plan = Self {
            seed,
            instances,
            ttl_ms,
            clock_ppm: CLOCK_PPM,
            flight_ms: rng.pick(&[ttl_ms / 10, ttl_ms / 4, ttl_ms, ttl_ms * 2]),
            cluster,
            redis,
            caution: wishes.caution,
            signals_ms: Vec::new(),
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

    /// The longest that a request to a store is on its way.
    pub fn late_max(&self) -> Duration {
        self.ttl() * 3
    }

    fn schedule(&mut self, faults: usize) {
        let mut rng = Rng::new(self.seed, &[2]);
        let possible: Vec<Kind> = Kind::ALL.iter().copied().filter(|kind| self.is_possible(*kind)).collect();
        let mut at_ms = self.ttl_ms * u64::from(QUIET_START_TTLS);
        for number in 0..faults {
            let kind = rng.pick(&possible);
            let victim = self.victim(kind, &mut rng);
            let (for_ms, draw) = (self.length_ms(kind, &mut rng), rng.draw() % 1_000_000);
            self.faults.push(Fault { at_ms, kind, victim, for_ms, draw });
            if number % FAULTS_PER_SIGNAL == 0 {
                self.signals_ms.push(at_ms + rng.below(self.ttl_ms));
            }
            let quiet = rng.once_in(QUIET_ONCE_IN);
            at_ms += if quiet { rng.between(3, 6) * self.ttl_ms } else { rng.below(self.ttl_ms * 2 / 3) };
        }
    }

    fn is_possible(&self, kind: Kind) -> bool {
        match kind.target() {
            Target::Redis | Target::Line(Store::Redis, _) => self.redis == Redis::Present,
            // Nobody waits for an asynchronous standby.
            Target::Database => kind != Kind::DbStall || self.cluster == Cluster::Synchronous,
            Target::Leader | Target::Instance | Target::Line(Store::Database, _) | Target::Broker => true,
        }
    }

    fn victim(&self, kind: Kind, rng: &mut Rng) -> Victim {
        let place = Victim::Place(usize::try_from(rng.below(self.instances as u64)).unwrap_or(0));
        match kind.target() {
            Target::Leader => Victim::Leader,
            Target::Instance => rng.pick(&[Victim::Leader, place]),
            Target::Line(..) => rng.pick(&[Victim::Leader, place, Victim::All]),
            Target::Redis | Target::Database | Target::Broker => Victim::All,
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
            _ => (ttl / 10, ttl * 2),
        };
        rng.between(least, most)
    }
}
