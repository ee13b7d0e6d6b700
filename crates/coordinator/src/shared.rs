//! The state that the driver, the heartbeat and the handle share: settings, stores and the channels to listeners.

use crate::answers::Answers;
use crate::clock;
use crate::commits::Commits;
use crate::exits::Exits;
use crate::leadership::Leadership;
use crate::memory::{Ability, EpochMemory};
use crate::notice::Notice;
use domain::alert::Report;
use domain::election::Epochs;
use domain::id::{InstanceId, Nonce};
use domain::lease::Epoch;
use domain::metrics::{Disagreement, Fact, Metrics, Snapshot, Urgent, View};
use domain::ports::{LeaderStore, Recovery, StateStore, StoreError};
use domain::recovery::{Recovered, RecoveryFault};
use domain::settings::SharedSettings;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;

/// Settings of the start, which do not change.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) id: InstanceId,
    pub(crate) nonce: Nonce,
    pub(crate) host: String,
    pub(crate) address: String,
    pub(crate) version: String,
    pub(crate) ttl: Duration,
    pub(crate) heartbeat: Duration,
    pub(crate) schema: u32,
    pub(crate) started_ms: i64,
    pub(crate) published: SharedSettings,
}

pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) state_store: Arc<dyn StateStore>,
    pub(crate) leader_store: Option<Arc<dyn LeaderStore>>,
    pub(crate) recovery: Arc<dyn Recovery>,
    pub(crate) epochs: Option<Arc<dyn EpochMemory>>,
    pub(crate) exits: Option<Arc<dyn Exits>>,
    /// Whether the epochs can be kept.
    pub(crate) ability: Ability,
    /// What the epochs' memory was last seen to have: another instance may have kept more.
    pub(crate) remembered: watch::Sender<Epochs>,
    pub(crate) leadership: watch::Sender<Leadership>,
    /// How many pieces of leader's work are running.
    pub(crate) works: watch::Sender<usize>,
    /// How the last recovery ended; `None` before there was one.
    pub(crate) recovered: watch::Sender<Option<Result<Recovered, RecoveryFault>>>,
    /// The epoch of the leadership whose recovery has not passed yet, and its first attempt.
    pub(crate) recovering: Mutex<Option<(Option<Epoch>, Instant)>>,
    pub(crate) notices: broadcast::Sender<Notice>,
    /// With its time, unix milliseconds.
    pub(crate) urgent: broadcast::Sender<(Urgent, i64)>,
    pub(crate) metrics: Mutex<Metrics>,
    /// The last answers of the stores, for pages.
    pub(crate) answers: Answers,
    /// The latencies of the state store's commits.
    pub(crate) commits: Commits,
    pub(crate) heartbeat_running: AtomicBool,
    /// Grows while the thread of the election is not blocked.
    pub(crate) election_turns: AtomicU64,
    /// The last known disagreement of the stores about the leader.
    pub(crate) disagreement: Mutex<Option<Disagreement>>,
    /// What the start waits for.
    pub(crate) waiting_for: Mutex<Option<String>>,
    /// Why the election's last request to the state store failed, if it did.
    pub(crate) store_fault: Mutex<Option<StoreError>>,
}

impl Shared {
    /// There may be no listener for what is urgent; that is not an error.
    pub(crate) fn record(&self, fact: Fact) {
        let urgent = self.metrics().record(fact);
        if let Some(urgent) = urgent {
            let _ = self.urgent.send((urgent, clock::calendar_ms()));
        }
    }

    /// There may be no listener; that is not an error.
    pub(crate) fn notify(&self, notice: Notice) {
        let _ = self.notices.send(notice);
    }

    /// The outcome of keeping epochs, or of a check: what the memory has is for the elector.
    pub(crate) fn remembered(&self, kept: &Result<Epochs, String>) {
        self.ability.found(kept);
        let Ok(kept) = *kept else { return };
        self.remembered.send_if_modified(|known| {
            let before = *known;
            *known = kept.and(before);
            *known != before
        });
    }

    /// The election has ended: nothing is held any more, and waiters see it. Pages that the service still serves show
    /// the last answers of the stores as the last known ones.
    pub(crate) fn over(&self) {
        self.leadership.send_modify(|seen| {
            seen.held = None;
            seen.stopped = true;
        });
        self.answers.update(|last| last.ended(clock::calendar_ms()));
    }

    pub(crate) fn report(&self) -> Report {
        Report::of(self.snapshot())
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let now = clock::now();
        let leadership = self.leadership.borrow().clone();
        let token = leadership.token(now);
        let lease_left = token.and(leadership.deadline()).map(|deadline| deadline.since(now));
        let now_ms = clock::calendar_ms();
        let mut view = View {
            state: leadership.state,
            is_leader: token.is_some(),
            leader_db: leadership.leader,
            state_store_answers: leadership.state_store_answers,
            leader_redis: leadership.ticket_holder,
            uses_redis: self.leader_store.is_some(),
            disagreement: None,
            fallback: leadership.fallback,
            heartbeat_running: self.heartbeat_running.load(Ordering::Relaxed),
            lease_left,
            ttl: self.settings.ttl,
            epoch: leadership.epoch.filter(|epoch| epoch.0 > 0),
        };
        {
            let mut known = self.disagreement.lock().unwrap_or_else(PoisonError::into_inner);
            *known = view.disagreement(known.take(), now_ms);
            view.disagreement.clone_from(&known);
        }
        self.metrics().snapshot(view, now_ms)
    }

    pub(crate) fn not_started_because(&self, error: &StoreError) {
        *self.waiting_for.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
    }

    /// The outcome of a request of the election to the state store.
    pub(crate) fn state_store_answered(&self, error: Option<&StoreError>) {
        *self.store_fault.lock().unwrap_or_else(PoisonError::into_inner) = error.cloned();
    }

    /// What is wrong with the state store, when its last answer was none that can be used.
    pub(crate) fn why_no_store(&self) -> String {
        match &*self.store_fault.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(StoreError::Unknown(why)) => format!("the state store does not answer: {why}"),
            Some(error) => format!("the state store cannot be used: {error}"),
            None => "the state store does not answer".into(),
        }
    }

    pub(crate) fn why_not_started(&self) -> String {
        let waiting_for = self.waiting_for.lock().unwrap_or_else(PoisonError::into_inner);
        match &*waiting_for {
            Some(error) => format!("waiting for the state store: {error}"),
            None => "starting".into(),
        }
    }

    /// After a panic of a recorder the metrics are still those of all facts before.
    fn metrics(&self) -> MutexGuard<'_, Metrics> {
        self.metrics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
