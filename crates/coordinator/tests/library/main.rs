//! The library as a service uses it, on the in-memory stores that pass the contract suites.

mod recovery;
mod scripted;
mod spans;
mod work;

use contract::Opening;
use contract::fake::{Call, FakeDatabase, FakeTickets, Fault};
use coordinator::{Coordinator, Ended, Leader, NoticeKind, StartError, clock};
use domain::id::{GroupId, InstanceId};
use domain::member::MemberState;
use domain::overview::LastAnswers;
use domain::ports::{LeaderStore, LeaseStore, MemberStore, Migrate, StateStore};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::timeout;

/// Long enough that a busy machine does not cost a healthy leader its lease.
const TTL: Duration = Duration::from_secs(3);
/// A bound for what must happen at all, not for how fast.
const PATIENCE: Duration = Duration::from_secs(30);

fn opening(name: &str) -> Opening {
    let group = GroupId::parse("library").expect("an id");
    Opening { ttl: TTL, ..Opening::new(&group, name) }
}

fn start(database: &FakeDatabase, opening: &Opening) -> Coordinator {
    let store = database.process(opening);
    Coordinator::builder(store).start().expect("a valid start")
}

async fn eventually<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("it never came to pass: {what}"))
}

async fn reached(coordinator: &Coordinator, wanted: MemberState) {
    let mut seen = coordinator.leadership();
    let reached = seen.wait_for(|now| now.state == wanted);
    eventually(wanted.as_str(), reached).await.expect("the coordinator lives");
}

/// Counts itself out when it is dropped.
struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn work_runs_while_leading_and_is_dropped_at_a_step_down() {
    let database = FakeDatabase::new();
    let first = start(&database, &opening("first"));
    let drops = Arc::new(AtomicUsize::new(0));
    let (started, mut starts) = tokio::sync::mpsc::unbounded_channel();
    let (worker, counted) = (first.clone(), Arc::clone(&drops));
    let work = tokio::spawn(async move {
        let run = worker.run_while_leader(move |leader| {
            let (dropped, started) = (Dropped(Arc::clone(&counted)), started.clone());
            async move {
                let _dropped = dropped;
                started.send(leader).expect("the test listens");
                std::future::pending::<()>().await;
            }
        });
        run.await
    });
    let leader = eventually("the work starts", starts.recv()).await.expect("the work lives");
    assert_eq!(leader.token().expect("it leads").epoch.0, 1);
    assert_eq!(leader.portfolio(), None, "there is nothing to recover unless the builder is given something");

    let second = start(&database, &opening("second"));
    reached(&second, MemberState::Standby).await;
    first.step_down("the test").await.expect("it leads");
    assert_eq!(drops.load(Ordering::SeqCst), 1, "the work is stopped before the lease is released");
    assert!(leader.token().is_err(), "a token must not outlive its leadership");
    reached(&second, MemberState::Active).await;
    first.step_down("again").await.expect_err("it does not lead any more");

    second.shutdown().await;
    let again = eventually("the work starts again", starts.recv()).await.expect("the work lives");
    assert!(again.epoch().0 >= 3, "epochs only grow");
    assert!(leader.token().is_err(), "a token of an earlier leadership is not one of the next");
    first.shutdown().await;
    assert_eq!(eventually("the work ends", work).await.expect("no panic"), Err(Ended::Stopped));
    assert_eq!(drops.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn work_that_finishes_hands_its_result_out() {
    let coordinator = start(&FakeDatabase::new(), &opening("only"));
    let run = coordinator.run_while_leader(async |leader: Leader| leader.epoch().0);
    assert_eq!(eventually("the work ends", run).await, Ok(1));
    coordinator.shutdown().await;
}

#[tokio::test]
async fn a_leader_that_cannot_renew_stops_its_work_before_another_leads() {
    let database = FakeDatabase::new();
    let opening = opening("cut-off");
    let store = database.process(&opening);
    let faults = store.faults().clone();
    let first = Coordinator::builder(store).start().expect("a valid start");
    reached(&first, MemberState::Active).await;
    let second = start(&database, &self::opening("successor"));
    reached(&second, MemberState::Standby).await;

    let drops = Arc::new(AtomicUsize::new(0));
    let (worker, counted, cut) = (first.clone(), Arc::clone(&drops), faults.clone());
    let work = tokio::spawn(async move {
        let run = worker.run_while_leader(move |_| {
            cut.lasting(Fault::HangBefore);
            let dropped = Dropped(Arc::clone(&counted));
            async move {
                let _dropped = dropped;
                std::future::pending::<()>().await;
            }
        });
        run.await
    });
    reached(&second, MemberState::Active).await;
    assert_eq!(drops.load(Ordering::SeqCst), 1, "the work was still there when another led");
    assert!(!first.leadership().borrow().is_active(clock::now()));
    faults.heal();
    second.shutdown().await;
    reached(&first, MemberState::Active).await;
    first.shutdown().await;
    assert_eq!(eventually("the work ends", work).await.expect("no panic"), Err(Ended::Stopped));
}

/// A definite refusal (a full disk, a database that is read-only, a missing table) is shown, with its cause.
#[tokio::test]
async fn an_instance_that_is_not_ready_names_what_its_state_store_said() {
    let database = FakeDatabase::new();
    let opening = opening("refused");
    let store = database.process(&opening);
    let faults = store.faults().clone();
    let coordinator = Coordinator::builder(store).start().expect("a valid start");
    reached(&coordinator, MemberState::Active).await;
    for (fault, said) in [
        (Fault::Refuse, "the state store cannot be used: refused"),
        (Fault::LoseRequest, "the state store does not answer: "),
    ] {
        faults.lasting(fault);
        let shown = async {
            while !coordinator.ready().is_err_and(|why| why.starts_with(said)) {
                tokio::task::yield_now().await;
            }
        };
        eventually(said, shown).await;
        faults.heal();
        let ready = async {
            while coordinator.ready().is_err() {
                tokio::task::yield_now().await;
            }
        };
        eventually("it is ready again", ready).await;
    }
    coordinator.shutdown().await;
}

#[tokio::test]
async fn a_state_store_that_is_away_at_the_start_is_waited_for() {
    let database = FakeDatabase::new();
    let opening = opening("patient");
    let store = database.process(&opening);
    let faults = store.faults().clone();
    faults.lasting(Fault::Refuse);
    let coordinator = Coordinator::builder(store).start().expect("a valid start");
    let refused = async {
        while !coordinator.ready().is_err_and(|why| why.contains("waiting for the state store")) {
            tokio::task::yield_now().await;
        }
    };
    eventually("it says what it waits for", refused).await;
    assert!(coordinator.report().is_none(), "there is nothing to report before the start is done");
    faults.heal();
    reached(&coordinator, MemberState::Active).await;
    assert_eq!(coordinator.ready(), Ok(()));
    coordinator.shutdown().await;
}

#[tokio::test]
async fn another_schema_ends_it_with_the_reason() {
    let database = FakeDatabase::new();
    let opening = opening("old");
    let store = database.process(&opening);
    let builder = Coordinator::builder(store).migrate(Migrate::Check);
    let coordinator = builder.start().expect("a valid start");
    let ended = eventually("it ends", coordinator.ended()).await;
    assert_eq!(ended, Err(Ended::SchemaOlder { found: 0, needed: domain::SCHEMA_VERSION }));
}

#[tokio::test]
async fn the_later_of_two_processes_with_one_id_ends() {
    let database = FakeDatabase::new();
    let first = start(&database, &opening("twin"));
    reached(&first, MemberState::Active).await;
    // The instance table has milliseconds: the second process must be the later one.
    let begun = clock::calendar_ms();
    while clock::calendar_ms() <= begun {
        tokio::task::yield_now().await;
    }
    let second = start(&database, &opening("twin"));
    let ended = eventually("the second ends", second.ended()).await;
    assert!(matches!(ended, Err(Ended::IdInUse { .. })), "{ended:?}");
    assert_eq!(first.leadership().borrow().state, MemberState::Active);
    first.shutdown().await;
}

#[tokio::test]
async fn without_the_leader_store_it_falls_back_and_returns() {
    let (database, tickets) = (FakeDatabase::new(), FakeTickets::new());
    let opening = opening("fallback");
    let leader_store = tickets.process(&opening);
    let faults = leader_store.faults().clone();
    let coordinator = Coordinator::builder(database.process(&opening))
        .leader_store(Arc::clone(&leader_store) as Arc<dyn LeaderStore>)
        .start()
        .expect("a valid start");
    reached(&coordinator, MemberState::Active).await;
    let epoch = coordinator.leadership().borrow().epoch;
    let mut seen = coordinator.leadership();
    faults.lasting(Fault::Refuse);
    eventually("fallback", seen.wait_for(|now| now.fallback)).await.expect("it lives");
    faults.heal();
    eventually("no fallback", seen.wait_for(|now| !now.fallback)).await.expect("it lives");
    tickets.flush();
    let regained = seen.wait_for(|now| now.ticket_holder.as_ref() == Some(coordinator.id()));
    eventually("the ticket is taken again", regained).await.expect("it lives");
    assert_eq!(coordinator.leadership().borrow().epoch, epoch, "none of it changed who leads");
    coordinator.shutdown().await;
}

#[tokio::test]
async fn a_claim_whose_reply_is_lost_is_held_after_the_next_read() {
    let database = FakeDatabase::new();
    let opening = opening("lossy");
    let store = database.process(&opening);
    store.faults().next_of(Call::Claim, Fault::LoseReply);
    let faults = store.faults().clone();
    let coordinator = Coordinator::builder(store).start().expect("a valid start");
    reached(&coordinator, MemberState::Active).await;
    assert_eq!(coordinator.leadership().borrow().epoch.map(|epoch| epoch.0), Some(1), "one claim was enough");
    assert_eq!(faults.calls().iter().filter(|call| **call == Call::Claim).count(), 1);
    coordinator.shutdown().await;
}

/// The README's loop, which ends when its leadership has.
#[tokio::test]
async fn work_that_ends_because_leadership_did_is_started_again_with_the_next() {
    let database = FakeDatabase::new();
    let opening = opening("paused");
    let store = database.process(&opening);
    let faults = store.faults().clone();
    let coordinator = Coordinator::builder(store).start().expect("a valid start");
    let (begun, mut begins) = tokio::sync::mpsc::unbounded_channel();
    let (worker, cut) = (coordinator.clone(), faults.clone());
    let work = tokio::spawn(async move {
        let run = worker.run_while_leader(async move |leader: Leader| {
            begun.send(leader.epoch()).expect("the test listens");
            if leader.epoch().0 > 1 {
                return;
            }
            // A pause inside of one poll: the leadership ends in it, so nothing can drop this work before it returns.
            cut.lasting(Fault::HangBefore);
            while leader.token().is_ok() {
                std::thread::yield_now();
            }
            cut.heal();
        });
        run.await
    });
    let first = eventually("the work begins", begins.recv()).await.expect("the work lives");
    let next = eventually("it begins again", begins.recv()).await.expect("the work lives");
    assert!(next > first, "{next} after {first}");
    assert_eq!(eventually("the work ends", work).await.expect("no panic"), Ok(()), "it led when it ended");
    coordinator.shutdown().await;
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Blocks the caller, its runtime included, until this instance has reported as many renewals.
fn block_until_renewed(notices: &mut tokio::sync::broadcast::Receiver<coordinator::Notice>, times: usize) {
    let began = std::time::Instant::now();
    let mut renewals = 0;
    while renewals < times {
        assert!(began.elapsed() < PATIENCE, "{renewals} renewals while the service blocks its runtime");
        match notices.try_recv().map(|notice| notice.kind) {
            Ok(NoticeKind::Renew { .. }) => renewals += 1,
            Ok(other) => panic!("{other:?} while the service blocks its runtime"),
            // Between two polls.
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

#[test]
fn a_service_that_blocks_its_runtime_keeps_its_lease() {
    /// Three in a LEADER_TTL: more than two of it.
    const RENEWALS: usize = 7;
    let database = FakeDatabase::new();
    let tickets = FakeTickets::new();
    let others = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let others = others.expect("a runtime");
    runtime().block_on(async {
        let opening = opening("blocking");
        let first = Coordinator::builder(database.process(&opening))
            .leader_store(tickets.process(&opening))
            .start()
            .expect("a valid start");
        let mut notices = first.notices();
        reached(&first, MemberState::Active).await;
        let second = others.block_on_elsewhere(|| start(&database, &self::opening("waiting")));
        reached(&second, MemberState::Standby).await;
        while notices.try_recv().is_ok() {}
        block_until_renewed(&mut notices, RENEWALS);
        assert!(first.leadership().borrow().is_active(clock::now()));
        assert_eq!(second.leadership().borrow().leader.as_ref(), Some(first.id()));
        assert_eq!(second.leadership().borrow().epoch.map(|epoch| epoch.0), Some(1), "there was one term");
        first.shutdown().await;
        reached(&second, MemberState::Active).await;
        second.shutdown().await;
    });
}

/// Runs something within a runtime, from a thread that is inside of another one.
trait Elsewhere {
    fn block_on_elsewhere<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T;
}

impl Elsewhere for tokio::runtime::Runtime {
    fn block_on_elsewhere<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let within = scope.spawn(|| {
                let _entered = self.enter();
                work()
            });
            within.join().expect("no panic")
        })
    }
}

#[test]
fn a_runtime_that_is_shut_down_hands_over() {
    let database = FakeDatabase::new();
    let opening = opening("short-lived");
    let store = database.process(&opening);
    let its_own = runtime();
    let first = its_own.block_on(async {
        let first =
            Coordinator::builder(Arc::clone(&store) as Arc<dyn StateStore>).start().expect("a valid start");
        reached(&first, MemberState::Active).await;
        first
    });
    drop(its_own);
    runtime().block_on(async {
        let mut seen = first.leadership();
        eventually("it ends", seen.wait_for(|now| now.stopped)).await.expect("it lives");
        let ended = eventually("it says so", first.ended()).await;
        assert!(matches!(&ended, Err(Ended::Failed(why)) if why.contains("shut down")), "{ended:?}");
        let second = start(&database, &self::opening("next"));
        reached(&second, MemberState::Active).await;
        let terms = store.history(2).await.expect("it answers");
        let reason = terms.last().and_then(|term| term.reason.as_deref());
        assert_ne!(reason, Some("expired"), "the lease was released: {terms:?}");
        second.shutdown().await;
    });
}

#[tokio::test]
async fn a_leader_store_that_was_opened_for_another_process_is_refused() {
    let (database, tickets) = (FakeDatabase::new(), FakeTickets::new());
    let mine = opening("mine");
    let start = |leader: &Opening| {
        let builder = Coordinator::builder(database.process(&mine));
        builder.leader_store(tickets.process(leader)).start()
    };
    let group = GroupId::parse("another").expect("an id");
    let id = InstanceId::parse("another").expect("an id");
    let nonce = Opening::new(&group, "x").nonce;
    for (other, what) in [
        (Opening { group, ..mine.clone() }, "the group"),
        (Opening { id, ..mine.clone() }, "the instance id"),
        (Opening { nonce, ..mine.clone() }, "the nonce"),
        (Opening { host: "another".to_owned(), ..mine.clone() }, "the host"),
        (Opening { ttl: TTL * 2, ..mine.clone() }, "LEADER_TTL"),
    ] {
        match start(&other).expect_err("it is refused") {
            StartError::Store { store, what: found, .. } => {
                assert_eq!((store, found), ("leader store", what));
            }
            other => panic!("{other}"),
        }
    }
    assert!(start(&mine).is_ok());
}

#[tokio::test]
async fn a_coordinator_is_the_process_that_its_state_store_was_opened_for() {
    let opening = opening("mine");
    let store = FakeDatabase::new().process(&opening);
    let coordinator = Coordinator::builder(Arc::clone(&store) as Arc<dyn StateStore>).start().expect("valid");
    reached(&coordinator, MemberState::Active).await;
    assert_eq!(coordinator.id(), &opening.id);
    let seen = store.observe().await.expect("it answers");
    assert_eq!(seen.version.token.claim, opening.nonce.claim(1), "the nonce of the claim");
    let listed = eventually("it is listed", async {
        loop {
            if let Some(seen) = store.members().await.expect("it answers").pop() {
                break seen.member;
            }
            tokio::task::yield_now().await;
        }
    });
    let listed = listed.await;
    assert_eq!((listed.id, listed.host), (opening.id, opening.host));
    coordinator.shutdown().await;
}

#[tokio::test]
async fn the_last_answers_outlive_the_store_and_say_since_when_the_present_is_unknown() {
    let opening = opening("mine");
    let store = FakeDatabase::new().process(&opening);
    let coordinator = Coordinator::builder(Arc::clone(&store) as Arc<dyn StateStore>)
        .state_store_name("PostgreSQL")
        .start()
        .expect("valid");
    let mut answers = coordinator.last_answers();
    let answered = |last: &Arc<LastAnswers>| {
        last.facts.members.current().is_some_and(|members| !members.is_empty())
            && last.terms.current().is_some_and(|terms| terms.len() == 1)
            && last.facts.lease.current().is_some_and(|lease| lease.holder.is_some())
    };
    drop(eventually("the stores answer", answers.wait_for(answered)).await.expect("it lives"));
    store.faults().lasting(Fault::Refuse);
    let away = |last: &Arc<LastAnswers>| last.facts.lease.away_since_ms().is_some();
    let last = eventually("the store is away", answers.wait_for(away)).await.expect("it lives").clone();
    assert!(last.facts.lease.current().is_none() && last.facts.lease.last().is_some());
    assert_eq!(last.terms.last().map(|(terms, _)| terms.len()), Some(1));
    assert_eq!((&*last.facts.state_store, last.facts.ticket.is_none()), ("PostgreSQL", true));
    store.faults().heal();
    let back = |last: &Arc<LastAnswers>| last.facts.lease.away_since_ms().is_none();
    drop(eventually("the store is back", answers.wait_for(back)).await.expect("it lives"));
    assert_eq!(coordinator.samples().iter().last().map(|sample| sample.heartbeat_age.len()), Some(1));
    coordinator.shutdown().await;
}
