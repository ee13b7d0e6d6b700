//! The last answers of the stores, for the pages. The task reads the state store once in each heartbeat, and at once
//! when the election sees a change, on the connections of the pages. No election rule reads what it keeps, and it
//! never delays the election.

use crate::clock;
use crate::leadership::Leadership;
use crate::shared::Shared;
use domain::member::{HEARTBEAT_INTERVAL_MAX, LeaseSeen, MemberSeen, Term};
use domain::overview::{Facts, Known, LastAnswers, Samples, TERMS_KEPT};
use domain::ports::StoreError;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// Shortest time between two reads, however often the election changes.
const PAUSE_MIN: Duration = Duration::from_millis(250);

/// Readers take the pointer, so a slow page never delays the task.
pub(crate) struct Answers {
    pub(crate) last: watch::Sender<Arc<LastAnswers>>,
    pub(crate) samples: watch::Sender<Arc<Samples>>,
}

impl Answers {
    pub(crate) fn new(facts: Facts) -> Self {
        let last = Arc::new(LastAnswers::none(facts));
        Self { last: watch::channel(last).0, samples: watch::channel(Arc::default()).0 }
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut LastAnswers)) {
        self.last.send_modify(|last| change(Arc::make_mut(last)));
    }
}

/// Keeps the answers until the coordinator stops.
pub(crate) async fn keep(shared: Arc<Shared>) {
    let mut seen = shared.leadership.subscribe();
    let period = shared.settings.heartbeat.min(HEARTBEAT_INTERVAL_MAX);
    loop {
        let noticed = Noticed::of(&seen.borrow_and_update());
        if noticed.stopped {
            return;
        }
        let next = Instant::now() + period;
        ticket(&shared);
        state_store(&shared).await;
        sample(&shared);
        sleep(PAUSE_MIN).await;
        // The sender is in `shared`, which this task holds.
        let changed = seen.wait_for(|now| Noticed::of(now) != noticed);
        tokio::select! { biased; () = sleep_until(next) => {}, _ = changed => {} }
    }
}

/// The part of the election whose change makes the last answers outdated.
#[derive(PartialEq, Eq)]
struct Noticed {
    state: domain::member::MemberState,
    leader: Option<domain::id::InstanceId>,
    epoch: Option<domain::lease::Epoch>,
    ticket_holder: Option<domain::id::InstanceId>,
    answers: (bool, bool),
    stopped: bool,
}

impl Noticed {
    fn of(seen: &Leadership) -> Self {
        Self {
            state: seen.state,
            leader: seen.leader.clone(),
            epoch: seen.epoch,
            ticket_holder: seen.ticket_holder.clone(),
            answers: (seen.state_store_answers, seen.fallback),
            stopped: seen.stopped,
        }
    }
}

/// The election reads the ticket, so nothing is read here.
fn ticket(shared: &Shared) {
    let now_ms = clock::calendar_ms();
    let (holder, away) = {
        let seen = shared.leadership.borrow();
        (seen.ticket_holder.clone(), seen.fallback)
    };
    shared.answers.update(|last| {
        let Some(ticket) = &mut last.facts.ticket else { return };
        if away { ticket.failed(now_ms) } else { ticket.answered(holder, now_ms) }
    });
}

async fn state_store(shared: &Shared) {
    let time_max = shared.settings.heartbeat;
    let silent = |_| Err(StoreError::Unknown(format!("nothing was read within {time_max:?}")));
    let answer = timeout(time_max, read(shared)).await.unwrap_or_else(silent);
    let now_ms = clock::calendar_ms();
    shared.answers.update(|last| match answer {
        Ok(answers) => last.state_store_answered(answers, now_ms),
        Err(error) => {
            tracing::debug!("the pages show the last answers of the state store: {error}");
            last.state_store_failed(now_ms);
        }
    });
}

async fn read(shared: &Shared) -> Result<(LeaseSeen, Vec<MemberSeen>, Vec<Term>), StoreError> {
    let store = &shared.state_store;
    Ok((store.lease().await?, store.members().await?, store.history(TERMS_KEPT).await?))
}

fn sample(shared: &Shared) {
    if !shared.leadership.borrow().started {
        return;
    }
    let snapshot = shared.snapshot();
    let members: Known<Vec<MemberSeen>> = shared.answers.last.borrow().facts.members.clone();
    shared.answers.samples.send_modify(|samples| Arc::make_mut(samples).record(&snapshot, &members));
}
