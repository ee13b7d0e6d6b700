//! One run: instances, stores, broker, clients and an operator on one runtime with virtual time.

use crate::broker::Broker;
use crate::database::{Database, DatabaseClient};
use crate::desk::Desk;
use crate::exits::Ends;
use crate::instance::Instance;
use crate::judge::{Judge, Recording};
use crate::knowledge::Knowledge;
use crate::line::Line;
use crate::memory::{Keeps, Memory};
use crate::outcome::Outcome;
use crate::plan::{self, Caution, Plan};
use crate::redis::Redis;
use crate::rng::Rng;
use contract::Opening;
use coordinator::Ended;
use domain::id::{GroupId, InstanceId, Nonce};
use domain::ledger::{SignalId, SignalState};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::RngSeed;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, sleep_until};

/// The time until a run is quiet, without the part that grows with LEADER_TTL: a start whose migration was lost (60
/// s), the interval of a halted leader's checks (30 s), a recovery without an answer (10 s) and its backoff (5 s).
const QUIET_FIXED: Duration = Duration::from_mins(2);
/// The part that grows with LEADER_TTL: late requests, orders in flight, an election, all steps for a signal in doubt
/// (twice).
const QUIET_TTLS: u32 = 30;
/// The time for which a term is watched after the run is quiet.
const STABLE_TTLS: u32 = 5;

/// The world; see the [module](self).
pub struct World {
    /// The plan.
    pub plan: Plan,
    /// The group of the instances.
    pub group: GroupId,
    /// The judge.
    pub judge: Arc<Judge>,
    /// The state store.
    pub database: Arc<Database>,
    /// The lines to the database, by place.
    pub database_lines: Vec<Arc<Line>>,
    /// The data directories, by place.
    pub memories: Vec<Arc<Memory>>,
    /// The judge's records of the reads of instances, by place.
    pub knowledge: Vec<Arc<Knowledge>>,
    /// The kernel's reports about killed processes.
    pub ends: Arc<Ends>,
    /// The leader store, if there is one.
    pub redis: Option<Arc<Redis>>,
    /// The lines to the leader store, by place.
    pub redis_lines: Vec<Arc<Line>>,
    /// The broker.
    pub broker: Arc<Broker>,
    /// The desk for signals in doubt.
    pub desk: Arc<Desk>,
    /// The operator's command line.
    pub operator: Arc<DatabaseClient>,
    /// The operator's line to the database.
    pub operator_line: Arc<Line>,
    healed: AtomicBool,
    /// No instance may be started.
    closed: AtomicBool,
    places: Mutex<Vec<Place>>,
    /// Signals whose submission was acknowledged.
    acknowledged: Mutex<BTreeSet<SignalId>>,
    /// The unfinished tasks of faults.
    unfinished: Mutex<Vec<AbortHandle>>,
}

/// Signals and attempts in the order in which the broker accepts them.
pub type Acceptances = mpsc::UnboundedReceiver<(SignalId, u32)>;

#[derive(Default)]
struct Place {
    instance: Option<Arc<Instance>>,
    starts: u64,
    /// The id of the latest start.
    id: Option<InstanceId>,
}

/// The id under which a process is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// The same id.
    Same,
    /// A new id.
    New,
}

/// Runs `plan` from its start to its verdict.
///
/// # Panics
/// If there is no runtime.
pub fn play(plan: &Plan, recording: Recording) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        // The order in which tasks that wait for the same event are woken.
        .rng_seed(RngSeed::from_bytes(&plan.seed.to_le_bytes()))
        .build()
        .expect("a runtime without any IO needs nothing of the system");
    runtime.block_on(async {
        let (world, accepted) = World::new(plan.clone(), recording);
        world.run(accepted).await
    })
}

impl World {
    /// The world of a plan, with the acceptances of its broker.
    fn new(plan: Plan, recording: Recording) -> (Arc<Self>, Acceptances) {
        let judge = Judge::new(recording, plan.cluster, plan.ttl());
        let group = GroupId::parse("sim").expect("an id");
        let line = |store: u64, place: usize| {
            let rng = Rng::new(plan.seed, &[store, place as u64]);
            Arc::new(Line::new(Arc::clone(&judge), rng, plan.heartbeat_ms(), plan.late_max()))
        };
        let database = Database::new(group.clone(), Arc::clone(&judge));
        let keeps = if plan.caution == Caution::NoMemory { Keeps::Nothing } else { Keeps::Everything };
        let operator_line = line(20, plan.instances);
        let (broker, accepted) = Broker::new(Arc::clone(&judge), &plan);
        let world = Arc::new(Self {
            operator: DatabaseClient::new(
                &database,
                &operators(&group, plan.ttl()),
                &operator_line,
                &Arc::default(),
            ),
            operator_line,
            database,
            healed: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            database_lines: (0..plan.instances).map(|place| line(20, place)).collect(),
            memories: (0..plan.instances).map(|_| Arc::new(Memory::new(keeps))).collect(),
            knowledge: (0..plan.instances).map(|_| Arc::default()).collect(),
            ends: Arc::new(Ends::new(Rng::new(plan.seed, &[13]), plan.ttl())),
            redis: (plan.redis == plan::Redis::Present).then(Redis::new),
            redis_lines: (0..plan.instances).map(|place| line(21, place)).collect(),
            broker,
            desk: Desk::new(Arc::clone(&judge), plan.flight_max(), plan.caution),
            places: Mutex::new((0..plan.instances).map(|_| Place::default()).collect()),
            acknowledged: Mutex::default(),
            unfinished: Mutex::default(),
            group,
            judge,
            plan,
        });
        (world, accepted)
    }

    async fn run(self: Arc<Self>, accepted: Acceptances) -> Outcome {
        let begin = Instant::now();
        for place in 0..self.plan.instances {
            self.start(place, Identity::New);
        }
        for number in 0..self.plan.signals.len() {
            tokio::spawn(Arc::clone(&self).client(number, begin));
        }
        tokio::spawn(Arc::clone(&self).operate());
        tokio::spawn(Arc::clone(&self).report_results(accepted));
        for fault in self.plan.faults.clone() {
            sleep_until(begin + Duration::from_millis(fault.at_ms)).await;
            self.inject(&fault).await;
        }
        self.let_faults_end(begin).await;
        self.heal().await;
        let limit = Instant::now() + QUIET_FIXED + self.plan.ttl() * QUIET_TTLS;
        while !self.is_settled() && Instant::now() < limit {
            sleep(self.plan.ttl() / 4).await;
        }
        self.judge_the_end();
        self.judge_stability().await;
        Outcome::of(&self)
    }

    /// Random numbers of this run for one purpose.
    pub fn rng(&self, purpose: &[u64]) -> Rng {
        Rng::new(self.plan.seed, purpose)
    }

    /// The timeout of clients.
    pub fn patience(&self) -> Duration {
        self.plan.ttl() / 3
    }

    // --- processes ----------------------------------------------------------------------------------

    /// The instance in that place, if there is one.
    pub fn instance(&self, place: usize) -> Option<Arc<Instance>> {
        self.places().get(place)?.instance.clone()
    }

    /// All instances.
    pub fn instances(&self) -> Vec<Arc<Instance>> {
        self.places().iter().filter_map(|place| place.instance.clone()).collect()
    }

    /// The place of the instance that leads actively now.
    pub fn leader(&self) -> Option<usize> {
        self.places().iter().position(|place| place.instance.as_ref().is_some_and(|one| one.acts()))
    }

    /// Starts a process in an empty place.
    ///
    /// # Panics
    /// If there is no such place.
    pub fn start(self: &Arc<Self>, place: usize, identity: Identity) {
        let (start, id) = {
            let mut places = self.places();
            let there = &mut places[place];
            if there.instance.is_some() || self.closed.load(Ordering::Relaxed) {
                return;
            }
            there.starts += 1;
            let fresh = || InstanceId::parse(&format!("i{place}-{}", there.starts)).expect("an id");
            let id = match (identity, &there.id) {
                (Identity::Same, Some(id)) => id.clone(),
                (Identity::Same, None) | (Identity::New, _) => fresh(),
            };
            there.id = Some(id.clone());
            (there.starts, id)
        };
        self.judge.note(("start", place, start), || format!("{id} starts in place {place}"));
        let instance = Instance::start(self, place, start, id);
        self.places()[place].instance = Some(Arc::clone(&instance));
        tokio::spawn(Arc::clone(self).supervise(place, instance));
    }

    /// Kills the instance in `place`; `None` if there is none.
    pub fn kill(&self, place: usize) -> Option<()> {
        let instance = self.places().get_mut(place)?.instance.take()?;
        instance.kill();
        self.knowledge[place].process_is_gone();
        let reported = self.ends.killed(instance.nonce, self.rng(&[14, place as u64, self.starts(place)]));
        self.judge.note(("kill", place, reported), || {
            let report = if reported { ", and the kernel reports it" } else { "" };
            format!("{} is killed{report}", instance.id)
        });
        Some(())
    }

    fn starts(&self, place: usize) -> u64 {
        self.places()[place].starts
    }

    /// Acts as the service manager: an instance that has ended is started again, a moment later.
    async fn supervise(self: Arc<Self>, place: usize, instance: Arc<Instance>) {
        let outcome = instance.ended().await;
        if instance.process.is_dead() {
            return;
        }
        self.judge.note(("ended", place), || format!("{} has ended: {outcome:?}", instance.id));
        if matches!(outcome, Ok(()) | Err(Ended::Stopped)) {
            self.knowledge[place].process_ended();
        }
        let identity = match outcome {
            Ok(()) | Err(Ended::Stopped) => Identity::Same,
            // An entry of a dead process came back, or arrived late.
            Err(Ended::IdInUse { .. }) => Identity::New,
            Err(error) => {
                self.judge.violation("a coordinator ends only on request", format!("{error}"));
                Identity::Same
            }
        };
        self.kill(place);
        sleep(self.patience()).await;
        self.start(place, identity);
    }

    /// Runs a task of a fault, which stops when the faults do.
    pub fn later(&self, work: impl Future<Output = ()> + Send + 'static) {
        let handle = tokio::spawn(work).abort_handle();
        self.unfinished().push(handle);
    }

    /// Gives lasting faults their time, but not forever.
    async fn let_faults_end(&self, begin: Instant) {
        let ends = self.plan.faults.iter().map(|fault| fault.at_ms + fault.for_ms).max().unwrap_or(0);
        // By then every instance is up, even in a plan without faults.
        let ends = Duration::from_millis(ends).max(self.plan.ttl() * plan::QUIET_START_TTLS);
        sleep_until(begin + ends).await;
    }

    async fn heal(self: &Arc<Self>) {
        self.judge.note("healed", || "every fault is over".to_owned());
        self.unfinished().drain(..).for_each(|handle| handle.abort());
        self.database_lines.iter().chain(&self.redis_lines).for_each(|line| line.heal());
        self.operator_line.heal();
        self.database.server.heal();
        self.mend_portfolio().await;
        self.broker.heal();
        if let Some(redis) = &self.redis {
            redis.server.heal();
            // An operator deletes a foreign value in the key.
            redis.fake.flush();
        }
        for instance in self.instances() {
            instance.trap.lock().unwrap_or_else(PoisonError::into_inner).take();
            instance.process.resume();
        }
        self.judge.check_leases();
        self.open();
        self.healed.store(true, Ordering::Relaxed);
    }

    /// True if no instance may be started, because all were stopped for a restore.
    pub fn set_closed(&self, closed: bool) {
        self.closed.store(closed, Ordering::Relaxed);
    }

    /// True if every fault is over.
    pub fn is_healed(&self) -> bool {
        self.healed.load(Ordering::Relaxed)
    }

    // --- the verdict --------------------------------------------------------------------------------

    fn is_settled(&self) -> bool {
        let waits = self.acknowledged().len() < self.plan.signals.len();
        let one_acts = self.instances().iter().filter(|instance| instance.acts()).count() == 1;
        let all_there = self.instances().len() == self.plan.instances;
        let open = self.database.signals().iter().any(|signal| signal.state != SignalState::Done);
        !waits && one_acts && all_there && !open
    }

    fn judge_the_end(&self) {
        let leaders = self.instances().iter().filter(|instance| instance.acts()).count();
        if leaders != 1 {
            self.judge.violation("exactly one leader in the end", format!("{leaders} act"));
        }
        let waiting = self.plan.signals.len() - self.acknowledged().len();
        if waiting > 0 {
            self.judge.violation("every submission is acknowledged", format!("{waiting} are not"));
        }
    }

    /// Faults are over and late messages have arrived: from now on no term may end (docs/protocol.md, Stability).
    async fn judge_stability(&self) {
        sleep(self.plan.late_max()).await;
        let leads = || {
            let active = self.instances().into_iter().find(|instance| instance.acts())?;
            Some((active.id.clone(), active.coordinator.leadership().borrow().epoch))
        };
        let before = leads();
        sleep(self.plan.ttl() * STABLE_TTLS).await;
        let after = leads();
        if before.is_some() && before != after {
            let seen = format!("{before:?} led, and {STABLE_TTLS} LEADER_TTL later {after:?}");
            self.judge.violation("a term does not end without a fault", seen);
        }
    }

    /// Signals whose submission was acknowledged.
    pub fn acknowledged(&self) -> MutexGuard<'_, BTreeSet<SignalId>> {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn places(&self) -> MutexGuard<'_, Vec<Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unfinished(&self) -> MutexGuard<'_, Vec<AbortHandle>> {
        self.unfinished.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens the ledger for the operator's commands, which take no part in the election.
fn operators(group: &GroupId, ttl: Duration) -> Opening {
    Opening {
        group: group.clone(),
        id: InstanceId::parse("operator").expect("an id"),
        nonce: Nonce::new(0),
        host: "desk".to_owned(),
        ttl,
        positions: "portfolio_positions".to_owned(),
        portfolio: "portfolio_state".to_owned(),
    }
}
