//! What the log says of a state store that commits slowly, or not in time, and of a recovery.

mod log;

use contract::Opening;
use contract::fake::{Call, FakeDatabase, Fault, Faults};
use coordinator::Coordinator;
use domain::id::GroupId;
use domain::member::MemberState;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

/// Long enough that a busy machine does not cost a healthy leader its lease.
const TTL: Duration = Duration::from_secs(3);
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
        let builder = Coordinator::builder(store.clone()).recovery(store);
        let coordinator = builder.start().expect("a valid start");
        let mut seen = coordinator.leadership();
        let active = seen.wait_for(|now| now.state == MemberState::Active);
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
    let mut slow =
        Observed::start("slow", |faults| faults.lasting_of(Call::Heartbeat, Fault::HoldReply)).await;
    let faults = slow.faults.clone();
    let answering = tokio::spawn(async move {
        loop {
            faults.holds().await;
            // Each heartbeat is acknowledged, after more than a tenth of LEADER_TTL and less than the third after which
            // it is given up.
            tokio::time::sleep(TTL / 6).await;
            faults.deliver();
        }
    });
    let line = slow.line("commits slowly").await;
    answering.abort();
    for part in [
        "the second slowest of the first ",
        "more than a tenth of LEADER_TTL (300 ms)",
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

/// A connection that is cut says nothing about commits, and nothing that the remedy for slow ones would change.
#[tokio::test]
async fn a_store_that_does_not_answer_is_not_one_that_commits_slowly() {
    // A heartbeat is given up after one second; more than 300 ms would be slow.
    let away = Observed::start("away", |faults| faults.lasting_of(Call::Heartbeat, Fault::HangBefore)).await;
    let count = |call| away.faults.calls().iter().filter(|made| **made == call).count();
    let many = async {
        // The third is sent when two are given up, and five commits are enough for a judgement.
        while count(Call::Heartbeat) < 3 || count(Call::Renew) < 5 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, many).await.expect("it tries again");
    let lines = away.finish().await;
    assert!(!lines.iter().any(|line| line.contains("commits slowly")), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("heartbeat: ")), "{lines:?}");
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

/// A start checks whether the instance could take over, and a leader recovers after its claim.
#[tokio::test]
async fn the_recovery_of_a_leader_is_logged_once() {
    let mut leader = Observed::start("recovered", |_| {}).await;
    leader.line("active: leading").await;
    let lines = leader.finish().await;
    assert_eq!(lines.iter().filter(|line| line.contains("portfolio recovered")).count(), 1, "{lines:?}");
}
