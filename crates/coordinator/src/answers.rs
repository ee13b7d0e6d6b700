//! The last answers of the stores, for the pages. The task reads the state store once in each heartbeat, and at once
//! when the election sees a change, on the connections of the pages. No election rule reads what it keeps, and it
//! never delays the election.

use crate::clock;
use crate::leadership::Leadership;
use crate::shared::Shared;
use domain::id::InstanceId;
use domain::member::{HEARTBEAT_INTERVAL_MAX, LeaseSeen, MemberSeen, Term};
use domain::overview::{Facts, Known, LastAnswers, Samples, TERMS_KEPT};
use domain::ports::StoreError;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// Shortest time between two reads, however often the election changes.
const PAUSE_MIN: Duration = Duration::from_millis(250);

/// Longest read, if the heartbeat is longer. After it, the pages show the answers as the last known ones. The read has
/// three requests, each of which a healthy store answers within milliseconds.
const READ_MAX: Duration = Duration::from_secs(2);

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
    let mut answered = false;
    loop {
        let noticed = Noticed::of(&seen.borrow_and_update());
        if noticed.stopped {
            return;
        }
        let next = Instant::now() + period;
        ticket(&shared);
        let answers = noticed.answers.0;
        if answered && !answers {
            // The pages should not show the last answers as the present ones until the read below has failed too.
            shared.answers.update(|last| last.election_failed(clock::calendar_ms()));
        }
        answered = answers;
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
    leader: Option<InstanceId>,
    epoch: Option<domain::lease::Epoch>,
    ticket_holder: Option<InstanceId>,
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
        if let Some(ticket) = &mut last.facts.ticket {
            take_in(ticket, holder, away, now_ms);
        }
    });
}

/// The election has no holder also before its first request to Redis has ended. So the first answer is a holder or a
/// failure: a ticket that is free is acquired, and only then is it known that Redis answers.
fn take_in(ticket: &mut Known<Option<InstanceId>>, holder: Option<InstanceId>, away: bool, now_ms: i64) {
    let is_first = ticket.last().is_none() && ticket.away_since_ms().is_none();
    if away {
        ticket.failed(now_ms);
    } else if holder.is_some() || !is_first {
        ticket.answered(holder, now_ms);
    }
}

async fn state_store(shared: &Shared) {
    let time_max = shared.settings.heartbeat.min(READ_MAX);
    let silent = |_| Err(StoreError::Unknown(format!("nothing was read within {time_max:?}")));
    let answer = timeout(time_max, read(shared)).await.unwrap_or_else(silent);
    let now_ms = clock::calendar_ms();
    shared.answers.update(|last| match answer {
        // An answer that arrives after the end is not followed by another one.
        _ if shared.leadership.borrow().stopped => {}
        Ok(answers) => last.state_store_answered(answers, now_ms),
        Err(error) => {
            tracing::debug!("the pages show the last answers of the state store: {error}");
            last.state_store_failed(now_ms);
            last.facts.state_store_fault = match error {
                StoreError::Corrupt(fault) => Some(fault),
                StoreError::Unavailable(_) | StoreError::Unknown(_) => None,
            };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Coordinator;
    use contract::Opening;
    use contract::fake::{FakeDatabase, FakeStateStore, Fault};
    use domain::election::{Config, TicketUse};
    use domain::id::GroupId;
    use domain::ports::{Migrate, StateStore};

    fn id(name: &str) -> InstanceId {
        InstanceId::parse(name).expect("an id")
    }

    /// An instance with a LEADER_TTL of 60 s whose store has answered once.
    async fn instance() -> (Arc<Shared>, Arc<FakeStateStore>) {
        let group = GroupId::parse("answers").expect("an id");
        let opening = Opening { ttl: Duration::from_mins(1), ..Opening::new(&group, "mine") };
        let store = FakeDatabase::new().process(&opening);
        store.migrate(Migrate::Apply).await.expect("it migrates");
        let needed = domain::SCHEMA_VERSION;
        let config = Config::new(opening.id.clone(), opening.nonce, opening.ttl, TicketUse::None, needed);
        let builder = Coordinator::builder(Arc::clone(&store) as Arc<dyn StateStore>);
        let shared = Arc::new(builder.into_shared(&config.expect("valid")));
        shared.leadership.send_modify(|seen| seen.state_store_answers = true);
        state_store(&shared).await;
        assert!(shared.answers.last.borrow().facts.lease.current().is_some());
        (shared, store)
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_hangs_is_away_after_two_seconds_whatever_the_heartbeat_is() {
        let (shared, store) = instance().await;
        store.faults().lasting(Fault::HangBefore);
        let began = Instant::now();
        state_store(&shared).await;
        assert!(shared.answers.last.borrow().facts.members.away_since_ms().is_some());
        // The clock of the test moves only while everything waits.
        assert_eq!(began.elapsed().as_secs(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn the_pages_know_that_the_store_is_away_as_soon_as_the_election_knows_it() {
        let (shared, store) = instance().await;
        let mut last = shared.answers.last.subscribe();
        let keeps = tokio::spawn(keep(Arc::clone(&shared)));
        // The task has read once and waits for the next heartbeat.
        sleep(Duration::from_secs(1)).await;
        store.faults().lasting(Fault::HangBefore);
        let began = Instant::now();
        shared.leadership.send_modify(|seen| seen.state_store_answers = false);
        let away = |last: &Arc<LastAnswers>| {
            last.facts.lease.away_since_ms().is_some() && last.facts.members.away_since_ms().is_some()
        };
        drop(last.wait_for(away).await.expect("the sender is kept"));
        assert_eq!(began.elapsed(), Duration::ZERO, "before the read has failed");
        keeps.abort();
    }

    #[tokio::test]
    async fn an_answer_that_arrives_after_the_end_is_not_shown_as_the_present() {
        let (shared, _store) = instance().await;
        shared.over();
        assert!(
            shared.answers.last.borrow().facts.lease.away_since_ms().is_some(),
            "nothing is read any more"
        );
        state_store(&shared).await;
        assert!(shared.answers.last.borrow().facts.lease.away_since_ms().is_some());
    }

    #[test]
    fn redis_has_not_answered_before_the_first_holder_or_failure() {
        let mut ticket = Known::default();
        take_in(&mut ticket, None, false, 1_000);
        assert_eq!((ticket.current(), ticket.away_since_ms()), (None, None));
        take_in(&mut ticket, Some(id("desk-1")), false, 2_000);
        assert_eq!(ticket.current(), Some(&Some(id("desk-1"))));
        take_in(&mut ticket, None, false, 3_000);
        assert_eq!(ticket.current(), Some(&None), "the ticket was released");

        let mut ticket = Known::default();
        take_in(&mut ticket, None, true, 1_000);
        assert_eq!(ticket.away_since_ms(), Some(1_000));
        take_in(&mut ticket, None, false, 2_000);
        assert_eq!(ticket.current(), Some(&None), "Redis is back, and the ticket is free");
    }
}
