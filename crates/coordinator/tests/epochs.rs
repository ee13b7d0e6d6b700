//! The fencing number is kept before it is asked for, and never goes back.

use async_trait::async_trait;
use contract::Opening;
use contract::fake::{FakeDatabase, FakeStateStore};
use coordinator::{Coordinator, EpochMemory};
use domain::election::Epochs;
use domain::id::GroupId;
use domain::lease::{Epoch, Seq};
use domain::member::Standing;
use domain::ports::StateStore;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::timeout;

const TTL: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(20);

/// Keeps what it is given, unless it is broken, and notes the row's epoch at that moment.
struct Memory {
    store: Arc<FakeStateStore>,
    kept: Epochs,
    broken: bool,
    calls: Mutex<Vec<(Epochs, Epoch)>>,
}

#[async_trait]
impl EpochMemory for Memory {
    fn kept(&self) -> Epochs {
        self.kept
    }

    async fn keep(&self, epochs: Epochs) -> Result<(), String> {
        let row = self.store.observe().await.expect("a row").version.token.epoch;
        self.calls.lock().expect("no panic").push((epochs, row));
        if self.broken { Err("no space left on device".to_owned()) } else { Ok(()) }
    }
}

fn start(kept: Epochs, broken: bool) -> (Coordinator, Arc<Memory>) {
    let opening = Opening { ttl: TTL, ..Opening::new(&GroupId::parse("g").expect("a group"), "a") };
    let store = FakeDatabase::new().process(&opening);
    let memory = Arc::new(Memory { store: Arc::clone(&store), kept, broken, calls: Mutex::default() });
    let builder = Coordinator::builder(opening.id, opening.nonce, store).ttl(TTL).epochs(memory.clone());
    (builder.start().expect("a valid start"), memory)
}

#[tokio::test]
async fn a_number_is_kept_before_it_is_in_the_row_and_is_above_all_that_was_kept() {
    let (coordinator, memory) = start(Epochs { seen: Epoch(5), seq: Seq(0), asked: Epoch(7) }, false);
    let mut leadership = coordinator.leadership();
    let active = leadership.wait_for(|now| now.standing == Standing::Active);
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

#[tokio::test]
async fn a_number_that_cannot_be_kept_is_not_asked_for() {
    let (coordinator, memory) = start(Epochs::NONE, true);
    let tried_again = async {
        while memory.calls.lock().expect("no panic").len() < 3 {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, tried_again).await.expect("it tries again");
    assert_eq!(memory.store.observe().await.expect("a row").version.token.epoch, Epoch(0));
    coordinator.shutdown().await;
}
