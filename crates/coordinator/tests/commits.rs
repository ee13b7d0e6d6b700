//! What the log says of a state store that commits slowly, or not in time.

mod log;

use contract::Opening;
use contract::fake::{Call, FakeDatabase, Fault, Faults};
use coordinator::Coordinator;
use domain::id::GroupId;
use domain::member::Standing;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

const TTL: Duration = Duration::from_secs(1);
/// A bound for what must happen at all, not for how fast.
const PATIENCE: Duration = Duration::from_secs(30);

/// An instance that leads, and what it logs.
struct Observed {
    coordinator: Coordinator,
    faults: Faults,
    lines: watch::Receiver<Vec<String>>,
    _subscribed: log::Subscribed,
}

impl Observed {
    /// Starts it; `plan` says what goes wrong from the first request on.
    async fn start(name: &str, plan: impl FnOnce(&Faults)) -> Self {
        let (said, lines) = watch::channel(Vec::new());
        let subscribed = log::subscribe("coordinator", move |message| {
            said.send_modify(|lines| lines.push(message));
        });
        let group = GroupId::parse("commits").expect("an id");
        let opening = Opening { ttl: TTL, ..Opening::new(&group, name) };
        let store = FakeDatabase::new().process(&opening);
        let faults = store.faults().clone();
        plan(&faults);
        let builder = Coordinator::builder(opening.id, opening.nonce, store);
        let coordinator = builder.ttl(TTL).start().expect("a valid start");
        let mut seen = coordinator.leadership();
        let active = seen.wait_for(|now| now.standing == Standing::Active);
        timeout(PATIENCE, active).await.expect("it leads").expect("the coordinator lives");
        Self { coordinator, faults, lines, _subscribed: subscribed }
    }

    /// Waits for a line that has `text`.
    async fn line(&mut self, text: &str) -> String {
        let of = |lines: &Vec<String>| lines.iter().find(|line| line.contains(text)).cloned();
        let logged = timeout(PATIENCE, self.lines.wait_for(|lines| of(lines).is_some())).await.is_ok();
        let found = logged.then(|| of(&self.lines.borrow())).flatten();
        found.unwrap_or_else(|| panic!("no line says {text:?}: {:?}", self.lines.borrow()))
    }

    async fn finish(self) -> Vec<String> {
        self.faults.heal();
        self.coordinator.shutdown().await;
        self.lines.borrow().clone()
    }
}

#[tokio::test]
async fn a_store_that_commits_slowly_is_reported_once_with_the_setting_to_change() {
    let mut slow = Observed::start("slow", |faults| {
        // A heartbeat is given up after a third of LEADER_TTL.
        faults.next_of(Call::Beat, Fault::HangBefore);
        faults.next_of(Call::Beat, Fault::HangBefore);
    })
    .await;
    let line = slow.line("commits slowly").await;
    for part in [
        "the second slowest of the first ",
        "more than a tenth of LEADER_TTL (100 ms)",
        "raise leader_ttl (COORDINATOR_LEADER_TTL)",
        "move data_dir to a faster disk",
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
    // As many renewals as in a LEADER_TTL more: the episode goes on, and is not reported again.
    let mut notices = slow.coordinator.notices();
    for _ in 0..3 {
        timeout(PATIENCE, notices.recv()).await.expect("it renews").expect("the coordinator lives");
    }
    let lines = slow.finish().await;
    assert_eq!(lines.iter().filter(|line| line.contains("commits slowly")).count(), 1, "{lines:?}");
}

#[tokio::test]
async fn a_term_that_a_stalled_renewal_ends_says_so() {
    let mut stalled = Observed::start("stalled", |_| {}).await;
    stalled.faults.lasting_of(Call::Renew, Fault::HangBefore);
    let line = stalled.line("lost: no renewal was acknowledged before the deadline").await;
    assert!(line.contains("the last one had no answer for ") && line.contains(" ms"), "{line}");
    assert!(line.contains("raise leader_ttl (COORDINATOR_LEADER_TTL)"), "{line}");
    stalled.finish().await;
}

#[tokio::test]
async fn a_term_that_ends_because_renewals_fail_says_so() {
    let mut refused = Observed::start("refused", |_| {}).await;
    refused.faults.lasting_of(Call::Renew, Fault::Refuse);
    let line = refused.line("lost: no renewal was acknowledged before the deadline").await;
    assert!(line.ends_with("the last one failed"), "{line}");
    refused.finish().await;
}
