//! One simulated process: the real coordinator, the leader's work, and its observer.

use crate::broker::Trap;
use crate::database::DatabaseClient;
use crate::handler::Handler;
use crate::judge::Judge;
use crate::redis::RedisClient;
use crate::world::World;
use contract::Opening;
use contract::event::{Event, EventKind, Record};
use contract::invariants::no_ended_leadership_is_revived;
use coordinator::clock::Process;
use coordinator::{Coordinator, Ended, Ledger, LedgerSettings, Notice, NoticeKind};
use domain::id::{InstanceId, Nonce};
use domain::ledger::{Actor, Limits, NewSignal};
use domain::ports::{LeaderStore, Recorded, Report, SignalHandler, StateStore, Submit};
use domain::time::Time;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{broadcast, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Maximum of a boot clock when a process starts: a month, in seconds.
const UPTIME_S_MAX: u64 = 30 * 86_400;

/// One start of a process in its place.
pub struct Instance {
    /// The id.
    pub id: InstanceId,
    /// The nonce of this start: all its claims contain it.
    pub nonce: Nonce,
    /// The handle to pause and kill the process.
    pub process: Process,
    /// The real coordinator.
    pub coordinator: Coordinator,
    /// A fault that is triggered by the next send.
    pub trap: Arc<Mutex<Option<Trap>>>,
    ledger: Ledger,
    /// The time of the latest query that it answered.
    heard: Arc<Mutex<Instant>>,
    /// Tasks outside the process: its hints, and its observer.
    carriers: Vec<JoinHandle<()>>,
}

impl Instance {
    /// Starts an instance in `place`, the `start`th there.
    ///
    /// # Panics
    /// If the plan's LEADER_TTL is out of range, or there is no such place.
    pub fn start(world: &Arc<World>, place: usize, start: u64, id: InstanceId) -> Arc<Self> {
        let mut rng = world.rng(&[10, place as u64, start]);
        let boot = Time::from_nanos(rng.between(1, UPTIME_S_MAX * 1_000) * 1_000_000);
        let process = Process::new(boot, drawn_rate(world.plan.clock_ppm, rng.draw()));
        let nonce = Nonce::new((u128::from(rng.draw()) << 64) | u128::from(rng.draw()));
        let opening = Opening {
            group: world.group.clone(),
            id: id.clone(),
            nonce,
            host: format!("host-{place}"),
            ttl: world.plan.ttl(),
            positions: "portfolio_positions".to_owned(),
            portfolio: "portfolio_state".to_owned(),
        };
        let stores = DatabaseClient::new(
            &world.database,
            &opening,
            &world.database_lines[place],
            &world.knowledge[place],
        );
        let mut carriers = vec![
            tokio::spawn(Arc::clone(&stores).carry_lease_hints()),
            tokio::spawn(Arc::clone(&stores).carry_signal_hints()),
        ];
        let state: Arc<dyn StateStore> = stores.clone();
        let memory = Arc::clone(&world.memories[place]);
        let mut builder =
            Coordinator::builder(state).recovery(stores.clone()).epochs(memory).exits(world.ends.clone());
        if let Some(redis) = &world.redis {
            let tickets = RedisClient::new(redis, &opening, &world.redis_lines[place]);
            carriers.push(tokio::spawn(Arc::clone(&tickets).carry_hints()));
            let tickets: Arc<dyn LeaderStore> = tickets;
            builder = builder.leader_store(tickets);
        }
        let coordinator =
            process.enter(|| builder.start()).expect("a plan's LEADER_TTL is within the limits");
        let name = format!("{id} (start {start})");
        world.judge.watch(&name, nonce, &process, coordinator.leadership());
        carriers.push(tokio::spawn(observe(
            Arc::clone(&world.judge),
            name,
            coordinator.clone(),
            world.plan.ttl(),
        )));
        let settings =
            LedgerSettings::default().with_limits(Limits::NONE).with_handler_time_max(world.patience());
        let ledger = Ledger::new(coordinator.clone(), stores, settings).expect("its own store");
        let trap = Arc::new(Mutex::new(None));
        let handler: Arc<dyn SignalHandler> = Arc::new(Handler {
            process: process.clone(),
            broker: Arc::clone(&world.broker),
            desk: Arc::clone(&world.desk),
            trap: Arc::clone(&trap),
            caution: world.plan.caution,
        });
        let work = ledger.clone();
        tokio::spawn(process.gate(async move { work.run(Some(handler)).await }));
        let heard = Arc::new(Mutex::new(Instant::now()));
        Arc::new(Self { id, nonce, process, coordinator, trap, ledger, heard, carriers })
    }

    /// True if it leads actively, by its own clock.
    pub fn acts(&self) -> bool {
        self.coordinator.leadership().borrow().is_active(self.process.now())
    }

    /// SIGKILL.
    pub fn kill(&self) {
        self.process.kill();
        self.trap.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.carriers.iter().for_each(JoinHandle::abort);
    }

    /// The reason why it ended without a request.
    pub async fn ended(&self) -> Result<(), Ended> {
        self.coordinator.ended().await
    }

    /// A client's request to this instance. `None` if the process dies before it answers, or the store does not
    /// answer. Waits while the process is paused: the client must set its own timeout.
    pub async fn submit(&self, signal: NewSignal, client: Actor) -> Option<Submit> {
        let (answer, answered) = oneshot::channel();
        let ledger = self.ledger.clone();
        tokio::spawn(self.process.gate(async move {
            let said = ledger.submit(&signal, &client).await;
            // The client may have timed out.
            let _ = answer.send(said.ok());
        }));
        answered.await.ok().flatten()
    }

    /// A report of a service on this instance's host. `None` if it is unknown whether the report was recorded, or if
    /// this instance does not lead.
    pub async fn report(&self, report: Report) -> Option<Recorded> {
        let (answer, answered) = oneshot::channel();
        let ledger = self.ledger.clone();
        tokio::spawn(self.process.gate(async move {
            // The caller may have stopped waiting.
            let _ = answer.send(ledger.report(report, None).await.ok());
        }));
        answered.await.ok().flatten()
    }

    /// The operator queries whether the process runs.
    pub fn ask(&self) {
        let (heard, asked) = (Arc::clone(&self.heard), Instant::now());
        tokio::spawn(self.process.gate(async move {
            *heard.lock().unwrap_or_else(PoisonError::into_inner) = asked;
        }));
    }

    /// The time of the latest query that it answered.
    pub fn heard(&self) -> Instant {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A clock rate between `-most_ppm` and `most_ppm`.
pub fn drawn_rate(most_ppm: u32, draw: u64) -> i32 {
    let most = i64::from(most_ppm);
    let rate = i64::try_from(draw % (u64::from(most_ppm) * 2 + 1)).unwrap_or(most) - most;
    i32::try_from(rate).unwrap_or(0)
}

/// Judges the leadership of this instance at every change, and at the end whether an ended one became valid again.
async fn observe(judge: Arc<Judge>, name: String, coordinator: Coordinator, ttl: Duration) {
    let mut notices = coordinator.notices();
    let mut seen = coordinator.leadership();
    let mut record = Record { name, events: Vec::new(), ended: None };
    loop {
        tokio::select! {
            biased;
            notice = notices.recv() => match notice {
                Ok(notice) => {
                    judge.note((&record.name, format!("{:?}", notice.kind)), || details(&record.name, &notice));
                    record.events.push(event(&notice));
                    judge_revival(&judge, &mut record, ttl);
                }
                Err(broadcast::error::RecvError::Lagged(lost)) => {
                    judge.violation("the observer receives every notice", format!("{lost} lost"));
                }
                Err(broadcast::error::RecvError::Closed) => return,
            },
            changed = seen.changed() => {
                if changed.is_err() {
                    return;
                }
                judge.check_leases();
            }
        }
    }
}

/// Judges the latest notice, and then drops every notice except the one that the next is compared with: the latest
/// grant of a leadership that continues.
fn judge_revival(judge: &Judge, record: &mut Record, ttl: Duration) {
    for violation in no_ended_leadership_is_revived(std::slice::from_ref(record), ttl) {
        judge.violation(violation.invariant, violation.details);
    }
    let grant = record.events.pop().filter(|latest| match latest.kind {
        EventKind::Lead | EventKind::Renew => true,
        EventKind::Ready | EventKind::Lost | EventKind::Resign | EventKind::Resigned => false,
    });
    record.events.clear();
    record.events.extend(grant.map(|latest| Event { kind: EventKind::Lead, ..latest }));
}

fn event(notice: &Notice) -> Event {
    let (kind, sent) = match notice.kind {
        NoticeKind::Ready => (EventKind::Ready, None),
        NoticeKind::Lead { sent } => (EventKind::Lead, Some(sent)),
        NoticeKind::Renew { sent } => (EventKind::Renew, Some(sent)),
        NoticeKind::Lost => (EventKind::Lost, None),
        NoticeKind::Resign => (EventKind::Resign, None),
        NoticeKind::Resigned => (EventKind::Resigned, None),
        kind => unreachable!("the checker does not know {kind:?}"),
    };
    Event { kind, t: notice.at.as_nanos(), epoch: notice.epoch.0, sent: sent.map(Time::as_nanos) }
}

fn details(name: &str, notice: &Notice) -> String {
    format!("{name}: {:?}, epoch {}", notice.kind, notice.epoch)
}
