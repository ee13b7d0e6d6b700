//! The library as a service uses it, on the in-memory stores that pass the contract suites.

use async_trait::async_trait;
use coordinator::{Coordinator, Ended, NoticeKind, clock};
use domain::id::{GroupId, InstanceId, Nonce};
use domain::lease::{Observation, Seq, Timeline, Token};
use domain::member::{Beat, Member, MemberSeen, Standing, Term};
use domain::ports::{
    Claim, ClaimRequest, LeaderStore, Migrate, Release, Renewal, Schema, StateStore, StepDown, StoreError,
};
use domain::recovery::RawPortfolio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use testkit::contract::Opening;
use testkit::fake::{Call, FakeDatabase, FakeStateStore, FakeTickets, Fault};
use tokio::time::timeout;

const TTL: Duration = Duration::from_secs(1);
/// A bound for what must happen at all, not for how fast.
const PATIENCE: Duration = Duration::from_secs(30);

fn opening(name: &str) -> Opening {
    let group = GroupId::parse("library").expect("an id");
    Opening { ttl: TTL, ..Opening::new(&group, name) }
}

fn start(database: &FakeDatabase, opening: &Opening) -> Coordinator {
    let store = database.process(opening);
    Coordinator::builder(opening.id.clone(), opening.nonce, store).ttl(TTL).start().expect("a valid start")
}

async fn eventually<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("it never came to pass: {what}"))
}

async fn standing(coordinator: &Coordinator, wanted: Standing) {
    let mut seen = coordinator.leadership();
    let reached = seen.wait_for(|now| now.standing == wanted);
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
        let run = worker.run_while_leader(|leader| {
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
    assert_eq!(leader.fence().expect("it leads").epoch.0, 1);
    assert!(leader.portfolio().expect("it was recovered").positions.is_empty());

    let second = start(&database, &opening("second"));
    standing(&second, Standing::Standby).await;
    first.step_down("the test").await.expect("it leads");
    assert_eq!(drops.load(Ordering::SeqCst), 1, "the work is stopped before the row is given back");
    assert!(leader.fence().is_err(), "a token must not outlive its leadership");
    standing(&second, Standing::Active).await;
    first.step_down("again").await.expect_err("it does not lead any more");

    second.shutdown().await;
    let again = eventually("the work starts again", starts.recv()).await.expect("the work lives");
    assert!(again.epoch().0 >= 3, "epochs only grow");
    assert!(leader.fence().is_err(), "a token of an earlier leadership is not one of the next");
    first.shutdown().await;
    assert_eq!(eventually("the work ends", work).await.expect("no panic"), Err(Ended::Stopped));
    assert_eq!(drops.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn work_that_finishes_hands_its_result_out() {
    let coordinator = start(&FakeDatabase::new(), &opening("only"));
    let run = coordinator.run_while_leader(|leader| async move { leader.epoch().0 });
    assert_eq!(eventually("the work ends", run).await, Ok(1));
    coordinator.shutdown().await;
}

#[tokio::test]
async fn a_leader_that_cannot_renew_stops_its_work_before_another_leads() {
    let database = FakeDatabase::new();
    let opening = opening("cut-off");
    let store = database.process(&opening);
    let faults = store.faults().clone();
    let first =
        Coordinator::builder(opening.id, opening.nonce, store).ttl(TTL).start().expect("a valid start");
    standing(&first, Standing::Active).await;
    let second = start(&database, &self::opening("successor"));
    standing(&second, Standing::Standby).await;

    let drops = Arc::new(AtomicUsize::new(0));
    let (worker, counted, cut) = (first.clone(), Arc::clone(&drops), faults.clone());
    let work = tokio::spawn(async move {
        let run = worker.run_while_leader(|_| {
            cut.lasting(Fault::HangBefore);
            let dropped = Dropped(Arc::clone(&counted));
            async move {
                let _dropped = dropped;
                std::future::pending::<()>().await;
            }
        });
        run.await
    });
    standing(&second, Standing::Active).await;
    assert_eq!(drops.load(Ordering::SeqCst), 1, "the work was still there when another led");
    assert!(!first.leadership().borrow().is_active(clock::now()));
    faults.heal();
    second.shutdown().await;
    standing(&first, Standing::Active).await;
    first.shutdown().await;
    assert_eq!(eventually("the work ends", work).await.expect("no panic"), Err(Ended::Stopped));
}

#[tokio::test]
async fn a_state_store_that_is_away_at_the_start_is_waited_for() {
    let database = FakeDatabase::new();
    let opening = opening("patient");
    let store = database.process(&opening);
    let faults = store.faults().clone();
    faults.lasting(Fault::Refuse);
    let coordinator =
        Coordinator::builder(opening.id, opening.nonce, store).ttl(TTL).start().expect("a valid start");
    let refused = async {
        while !coordinator.ready().is_err_and(|why| why.contains("waiting for the state store")) {
            tokio::task::yield_now().await;
        }
    };
    eventually("it says what it waits for", refused).await;
    assert!(coordinator.snapshot().is_none(), "there is nothing to tell before the start is done");
    faults.heal();
    standing(&coordinator, Standing::Active).await;
    assert_eq!(coordinator.ready(), Ok(()));
    coordinator.shutdown().await;
}

#[tokio::test]
async fn another_schema_ends_it_with_the_reason() {
    let database = FakeDatabase::new();
    let opening = opening("old");
    let store = database.process(&opening);
    let builder = Coordinator::builder(opening.id, opening.nonce, store).ttl(TTL).migrate(Migrate::Check);
    let coordinator = builder.start().expect("a valid start");
    let ended = eventually("it ends", coordinator.ended()).await;
    assert_eq!(ended, Err(Ended::SchemaOlder { found: 0, needed: domain::SCHEMA_VERSION }));
}

#[tokio::test]
async fn the_later_of_two_processes_with_one_id_ends() {
    let database = FakeDatabase::new();
    let first = start(&database, &opening("twin"));
    standing(&first, Standing::Active).await;
    // The instance table has milliseconds: the second process must be the later one.
    let begun = clock::calendar_ms();
    while clock::calendar_ms() <= begun {
        tokio::task::yield_now().await;
    }
    let second = start(&database, &opening("twin"));
    let ended = eventually("the second ends", second.ended()).await;
    assert!(matches!(ended, Err(Ended::IdInUse { .. })), "{ended:?}");
    assert_eq!(first.leadership().borrow().standing, Standing::Active);
    first.shutdown().await;
}

#[tokio::test]
async fn without_the_leader_store_it_falls_back_and_returns() {
    let (database, tickets) = (FakeDatabase::new(), FakeTickets::new());
    let opening = opening("fallback");
    let leader_store = tickets.process(&opening);
    let faults = leader_store.faults().clone();
    let coordinator = Coordinator::builder(opening.id.clone(), opening.nonce, database.process(&opening))
        .leader_store(Arc::clone(&leader_store) as Arc<dyn LeaderStore>)
        .ttl(TTL)
        .start()
        .expect("a valid start");
    standing(&coordinator, Standing::Active).await;
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
async fn a_claim_whose_reply_is_lost_is_held_after_a_look() {
    let database = FakeDatabase::new();
    let opening = opening("lossy");
    let store = database.process(&opening);
    store.faults().next_of(Call::Claim, Fault::LoseReply);
    let faults = store.faults().clone();
    let coordinator =
        Coordinator::builder(opening.id, opening.nonce, store).ttl(TTL).start().expect("a valid start");
    standing(&coordinator, Standing::Active).await;
    assert_eq!(coordinator.leadership().borrow().epoch.map(|epoch| epoch.0), Some(1), "one claim was enough");
    assert_eq!(faults.calls().iter().filter(|call| **call == Call::Claim).count(), 1);
    coordinator.shutdown().await;
}

/// What a test wants of a renewal: `None` lets it through.
#[mockall::automock]
trait Script: Send + Sync {
    fn renewal(&self) -> Option<Renewal>;
}

/// A real (in-memory) store but for its renewals, which follow a script.
struct Scripted {
    real: Arc<FakeStateStore>,
    script: MockScript,
}

#[async_trait]
impl StateStore for Scripted {
    async fn renew(&self, token: &Token, seq: Seq, current: Timeline) -> Result<Renewal, StoreError> {
        match self.script.renewal() {
            Some(renewal) => Ok(renewal),
            None => self.real.renew(token, seq, current).await,
        }
    }
    async fn migrate(&self, apply: Migrate) -> Result<Schema, StoreError> {
        self.real.migrate(apply).await
    }
    async fn observe(&self) -> Result<Observation, StoreError> {
        self.real.observe().await
    }
    async fn claim(&self, request: &ClaimRequest) -> Result<Claim, StoreError> {
        self.real.claim(request).await
    }
    async fn release(&self, token: &Token, seq: Seq, reason: &str) -> Result<Release, StoreError> {
        self.real.release(token, seq, reason).await
    }
    async fn request_step_down(&self, token: &Token, reason: &str) -> Result<StepDown, StoreError> {
        self.real.request_step_down(token, reason).await
    }
    async fn beat(&self, member: &Member) -> Result<Beat, StoreError> {
        self.real.beat(member).await
    }
    async fn leave(&self, id: &InstanceId, nonce: Nonce) -> Result<(), StoreError> {
        self.real.leave(id, nonce).await
    }
    async fn members(&self) -> Result<Vec<MemberSeen>, StoreError> {
        self.real.members().await
    }
    async fn history(&self, limit: u32) -> Result<Vec<Term>, StoreError> {
        self.real.history(limit).await
    }
    async fn portfolio(&self) -> Result<RawPortfolio, StoreError> {
        self.real.portfolio().await
    }
    async fn changed(&self) {
        self.real.changed().await;
    }
}

#[tokio::test]
async fn a_third_renewal_that_is_superseded_ends_the_belief_and_is_counted() {
    let mut script = MockScript::new();
    let mut order = mockall::Sequence::new();
    script.expect_renewal().times(2).in_sequence(&mut order).returning(|| None);
    script.expect_renewal().times(1).in_sequence(&mut order).returning(|| Some(Renewal::Superseded));
    script.expect_renewal().returning(|| None);
    let opening = opening("scripted");
    let store = Arc::new(Scripted { real: FakeDatabase::new().process(&opening), script });
    let coordinator =
        Coordinator::builder(opening.id, opening.nonce, store).ttl(TTL).start().expect("a valid start");
    let mut notices = coordinator.notices();
    let mut renewed = 0;
    let lost = async {
        loop {
            match notices.recv().await.expect("notices").kind {
                NoticeKind::Renew { .. } => renewed += 1,
                NoticeKind::Lost => return,
                NoticeKind::Ready | NoticeKind::Lead { .. } | NoticeKind::Resign | NoticeKind::Resigned => {}
            }
        }
    };
    eventually("the leadership is lost", lost).await;
    assert_eq!(renewed, 2);
    let counters = coordinator.snapshot().expect("it started").counters;
    assert_eq!(counters.split_brains, 1);
    coordinator.shutdown().await;
}
