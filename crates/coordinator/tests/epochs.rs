//! The fencing number is kept before it is asked for, and never goes back.

mod log;

use async_trait::async_trait;
use contract::fake::{FakeDatabase, FakeStateStore};
use contract::{Opening, StateStores, Tamper};
use coordinator::{Coordinator, EpochMemory};
use domain::election::Epochs;
use domain::id::GroupId;
use domain::lease::{Epoch, Seq};
use domain::member::MemberState;
use domain::ports::{LeaseStore, MemberStore};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

/// Long enough that a busy machine does not cost a healthy leader its lease.
const TTL: Duration = Duration::from_secs(3);
/// A bound for what must happen at all, not for how fast.
const LONG: Duration = Duration::from_mins(1);

/// Keeps what it is given, unless it is broken, and notes the row's epoch at that moment.
struct Memory {
    store: Arc<FakeStateStore>,
    kept: Epochs,
    /// What is kept, by every instance that shares the place.
    place: Arc<Mutex<Epochs>>,
    broken: AtomicBool,
    /// A check shows nothing: what others have kept is learned with a claim alone.
    blind: AtomicBool,
    calls: Mutex<Vec<(Epochs, Epoch)>>,
}

#[async_trait]
impl EpochMemory for Memory {
    fn kept(&self) -> Epochs {
        self.kept
    }

    async fn keep(&self, epochs: Epochs) -> Result<Epochs, String> {
        let row = self.store.observe().await.expect("a row").version.token.epoch;
        self.calls.lock().expect("no panic").push((epochs, row));
        self.works()?;
        let mut place = self.place.lock().expect("no panic");
        let before = *place;
        *place = before.and(epochs);
        Ok(before)
    }

    async fn check(&self) -> Result<Epochs, String> {
        self.works()?;
        let blind = self.blind.load(Relaxed);
        Ok(if blind { Epochs::NONE } else { *self.place.lock().expect("no panic") })
    }
}

impl Memory {
    fn works(&self) -> Result<(), String> {
        if self.broken.load(Relaxed) { Err("no space left on device".to_owned()) } else { Ok(()) }
    }
}

fn start(kept: Epochs, broken: bool) -> (Coordinator, Arc<Memory>) {
    start_in(&FakeDatabase::new(), "a", kept, broken)
}

fn start_in(database: &FakeDatabase, name: &str, kept: Epochs, broken: bool) -> (Coordinator, Arc<Memory>) {
    start_sharing(database, name, &Arc::new(Mutex::new(kept)), broken)
}

/// As [`start_in`], of an instance that keeps its epochs where others keep theirs.
fn start_sharing(
    database: &FakeDatabase,
    name: &str,
    place: &Arc<Mutex<Epochs>>,
    broken: bool,
) -> (Coordinator, Arc<Memory>) {
    let (kept, place) = (*place.lock().expect("no panic"), Arc::clone(place));
    let opening = Opening { ttl: TTL, ..Opening::new(&GroupId::parse("g").expect("a group"), name) };
    let store = database.process(&opening);
    let memory = Arc::new(Memory {
        store: Arc::clone(&store),
        kept,
        place,
        broken: broken.into(),
        blind: AtomicBool::new(false),
        calls: Mutex::default(),
    });
    let builder = Coordinator::builder(store).epochs(memory.clone());
    (builder.start().expect("a valid start"), memory)
}

#[tokio::test]
async fn a_number_is_kept_before_it_is_in_the_row_and_is_above_all_that_was_kept() {
    let (coordinator, memory) = start(Epochs { seen: Epoch(5), asked: Epoch(7), ..Epochs::NONE }, false);
    let mut leadership = coordinator.leadership();
    let active = leadership.wait_for(|now| now.state == MemberState::Active);
    let epoch = timeout(LONG, active).await.expect("it leads").expect("it runs").epoch;
    assert_eq!(epoch, Some(Epoch(8)));
    let first = memory.calls.lock().expect("no panic")[0];
    assert_eq!((first.0.asked, first.1), (Epoch(8), Epoch(0)), "kept before the row has it");
    coordinator.shutdown().await;
}

/// Rule M23: after a restart an instance knows a row from before its stop, also one of the same term.
#[tokio::test]
async fn how_far_the_row_has_come_is_kept() {
    let (coordinator, memory) = start(Epochs::NONE, false);
    let kept = async {
        while !memory.calls.lock().expect("no panic").iter().any(|(kept, _)| kept.seq > Seq(0)) {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, kept).await.expect("the first renewal is kept at once");
    coordinator.shutdown().await;
}

/// What an instance logs from now on.
fn logged() -> (log::Subscribed, watch::Receiver<Vec<String>>) {
    let (said, lines) = watch::channel(Vec::new());
    (log::subscribe("coordinator", move |message| said.send_modify(|lines| lines.push(message))), lines)
}

async fn wait_line(lines: &mut watch::Receiver<Vec<String>>, line: &str) {
    let found = timeout(LONG, lines.wait_for(|lines| lines.iter().any(|said| said == line))).await;
    drop(found.unwrap_or_else(|_| panic!("it does not log {line:?}")));
}

#[tokio::test]
async fn a_number_that_cannot_be_kept_is_not_asked_for_and_is_no_fault_of_the_state_store() {
    let (_subscribed, mut lines) = logged();
    let (coordinator, memory) = start(Epochs::NONE, true);
    let tried_again = async {
        while memory.calls.lock().expect("no panic").len() < 3 {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, tried_again).await.expect("it tries again");
    assert_eq!(memory.store.observe().await.expect("a row").version.token.epoch, Epoch(0));
    let asked = |calls: &[(Epochs, Epoch)]| calls.iter().map(|(epochs, _)| epochs.asked).collect::<Vec<_>>();
    assert_eq!(
        asked(&memory.calls.lock().expect("no panic")[..3]),
        [Epoch(1); 3],
        "a number that no claim carried is used again"
    );
    let why = "this instance cannot lead: no space left on device";
    wait_line(&mut lines, why).await;
    assert!(coordinator.leadership().borrow().state_store_answers);
    assert_eq!(coordinator.ready().as_ref().map_err(String::as_str), Err(why));

    memory.broken.store(false, Relaxed);
    let mut leadership = coordinator.leadership();
    let active = leadership.wait_for(|now| now.state == MemberState::Active);
    timeout(LONG, active).await.expect("it leads").expect("it runs");
    wait_line(&mut lines, "this instance can lead again: its epochs can be kept").await;
    coordinator.shutdown().await;
    let lines = lines.borrow();
    // On a busy machine its commits may be reported as slow.
    let blamed = |line: &&String| line.contains("state store") && !line.contains("commits");
    assert_eq!(lines.iter().find(blamed), None, "{lines:?}");
    assert_eq!(lines.iter().filter(|line| *line == why).count(), 1, "{lines:?}");
}

#[tokio::test]
async fn an_instance_that_could_not_keep_its_number_says_so_in_the_instance_table() {
    let (coordinator, memory) = start(Epochs::NONE, false);
    let mut leadership = coordinator.leadership();
    let active = leadership.wait_for(|now| now.state == MemberState::Active);
    timeout(LONG, active).await.expect("it leads").expect("it runs");
    for (broken, said) in [(true, Some("no space left on device")), (false, None)] {
        memory.broken.store(broken, Relaxed);
        let shown = async {
            while memory.store.members().await.expect("members")[0].member.cannot_lead.as_deref() != said {
                tokio::task::yield_now().await;
            }
        };
        timeout(LONG, shown).await.expect("the next heartbeat says so");
    }
    coordinator.shutdown().await;
}

/// A damaged memory must not spend the numbers that there are.
#[tokio::test]
async fn an_epoch_that_no_store_can_have_forgotten_is_refused() {
    let absurd = Epochs { asked: Epoch((1 << 32) + 1), ..Epochs::NONE };
    let (_subscribed, mut lines) = logged();
    let (coordinator, memory) = start(absurd, false);
    wait_line(
        &mut lines,
        "this instance cannot lead: it remembers epoch 4294967297, which is far beyond the lease row's 0: its file of epochs \
         is damaged. Stop it, copy the file from another instance or delete it, and start it again (docs/integration.md)",
    )
    .await;
    let shown = async {
        // The second heartbeat has checked the memory, which could be written.
        let mut beats = 0;
        while beats < 2 {
            let members = memory.store.members().await.expect("members");
            if members.first().is_some_and(|seen| seen.member.cannot_lead.is_some()) {
                beats += 1;
                let _ = memory.store.leave(&members[0].member.id, members[0].member.nonce).await;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, shown).await.expect("it stays so");
    assert_eq!(memory.store.observe().await.expect("a row").version.token.epoch, Epoch(0));
    assert!(memory.calls.lock().expect("no panic").is_empty(), "nor is it kept");
    coordinator.shutdown().await;
    assert_eq!(lines.borrow().iter().filter(|line| line.contains("lead")).count(), 1, "{:?}", lines.borrow());
}

/// A backup was restored. The instance that starts first was away since before it was made; the one that comes back later
/// cannot lead, as its disk is full, and still its numbers are not given out again.
#[tokio::test]
async fn a_follower_that_knows_more_ends_the_term_and_the_next_number_is_above_all_that_it_knows() {
    let database = FakeDatabase::new();
    let (away, memory) = start_in(&database, "away", Epochs::NONE, false);
    let mut leadership = away.leadership();
    let active = leadership.wait_for(|now| now.state == MemberState::Active);
    assert_eq!(timeout(LONG, active).await.expect("it leads").expect("it runs").epoch, Some(Epoch(1)));
    let (_subscribed, lines) = logged();
    let kept = Epochs { seen: Epoch(5), seq: Seq(9), asked: Epoch(6), ..Epochs::NONE };
    let (back, _) = start_in(&database, "back", kept, true);
    let next = leadership.wait_for(|now| {
        now.is_active(coordinator::clock::now()) && now.epoch.is_some_and(|epoch| epoch > Epoch(1))
    });
    assert_eq!(timeout(LONG, next).await.expect("it leads again").expect("it runs").epoch, Some(Epoch(7)));
    assert!(memory.store.lease().await.expect("the lease").forgot_ms.is_some());
    let terms = memory.store.history(9).await.expect("history");
    assert_eq!(terms.iter().map(|term| term.epoch).collect::<Vec<_>>(), [Epoch(7), Epoch(1)]);
    assert_eq!(terms[1].reason.as_deref(), Some("the state store has forgotten"));
    let reported =
        lines.borrow().iter().filter(|line| line.contains("the state store has forgotten (a backup")).count();
    assert_eq!(reported, 1, "{:?}", lines.borrow());
    for coordinator in [back, away] {
        coordinator.shutdown().await;
    }
}

/// A data directory is shared by an instance that runs and by one that has led since and is gone, when a backup is restored.
fn later_terms() -> Epochs {
    Epochs { seen: Epoch(4), seq: Seq(9), asked: Epoch(4), ..Epochs::NONE }
}

async fn leads_at(coordinator: &Coordinator, epoch: Epoch) {
    let mut leadership = coordinator.leadership();
    let active = leadership.wait_for(|now| {
        now.is_active(coordinator::clock::now()) && now.epoch.is_some_and(|now| now >= epoch)
    });
    let led = timeout(LONG, active).await.expect("it leads").expect("it runs").epoch;
    assert_eq!(led, Some(epoch));
}

#[tokio::test]
async fn a_claim_is_above_what_another_instance_has_kept_in_the_same_place_since_this_one_started() {
    let database = FakeDatabase::new();
    let place = Arc::new(Mutex::new(Epochs::NONE));
    let (first, _) = start_sharing(&database, "first", &place, false);
    leads_at(&first, Epoch(1)).await;
    let (second, memory) = start_sharing(&database, "second", &place, false);
    memory.blind.store(true, Relaxed);
    let ready = async {
        while second.ready().is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, ready).await.expect("it has read the lease");
    let noted = memory.store.lease().await.expect("the lease").forgot_ms;
    assert_eq!(noted, None);
    *place.lock().expect("no panic") = later_terms();
    first.shutdown().await;
    leads_at(&second, Epoch(5)).await;
    assert!(
        memory.store.lease().await.expect("the lease").forgot_ms.is_some(),
        "what was sent before is looked up"
    );
    let asked: Vec<Epoch> =
        memory.calls.lock().expect("no panic").iter().map(|(kept, _)| kept.asked).collect();
    assert!(asked.contains(&Epoch(2)), "it learned that with its claim: {asked:?}");
    second.shutdown().await;
}

#[tokio::test]
async fn a_leader_gives_the_lease_back_when_another_instance_has_kept_a_later_one_in_the_same_place() {
    let database = FakeDatabase::new();
    let place = Arc::new(Mutex::new(Epochs::NONE));
    let (coordinator, memory) = start_sharing(&database, "a", &place, false);
    leads_at(&coordinator, Epoch(1)).await;
    *place.lock().expect("no panic") = later_terms();
    leads_at(&coordinator, Epoch(5)).await;
    assert!(memory.store.lease().await.expect("the lease").forgot_ms.is_some());
    let terms = memory.store.history(9).await.expect("history");
    assert_eq!(terms.iter().map(|term| term.epoch).collect::<Vec<_>>(), [Epoch(5), Epoch(1)]);
    assert_eq!(terms[1].reason.as_deref(), Some("the state store has forgotten"));
    coordinator.shutdown().await;
}

/// The row is deleted, or the table emptied, under a leader: no other instance leads, and this one cannot.
#[tokio::test]
async fn a_leader_whose_lease_is_missing_ends_its_term_at_once_and_names_what_is_missing() {
    let database = FakeDatabase::new();
    let (_subscribed, mut lines) = logged();
    let (coordinator, _) = start_in(&database, "a", Epochs::NONE, false);
    leads_at(&coordinator, Epoch(1)).await;
    let group = GroupId::parse("g").expect("a group");
    database.tamper(&Tamper::DeleteLease { group }).await.expect("an operator may do that");
    let lost = "lost: the state store is damaged or was replaced";
    wait_line(&mut lines, lost).await;
    assert!(!coordinator.leadership().borrow().is_active(coordinator::clock::now()), "nothing may act");
    coordinator.shutdown().await;
    let lines = lines.borrow();
    assert!(
        lines.iter().any(|line| line == "state store: coordinator_lease has no row of this group"),
        "{lines:?}"
    );
    assert!(!lines.iter().any(|line| line.contains("split-brain")), "{lines:?}");
}
