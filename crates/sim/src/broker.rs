//! A broker that accepts whatever arrives and never asks whether it came before: what it accepted twice was
//! done twice.

use crate::judge::{Effect, Judge};
use crate::rng::Rng;
use coordinator::clock::Process;
use domain::ledger::SignalId;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

/// One way that nothing is wrong with takes less than this, in milliseconds.
const USUAL_MS: u64 = 4;
/// One in so many orders is held up between the last look at the fence and the wire, as a thread that the
/// kernel puts aside there would hold it up.
const HELD_UP_ONCE_IN: u64 = 8;

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ailment {
    /// Nobody can connect.
    Away,
    /// Orders take up to the longest flight.
    Slow,
    /// It accepts, and its answers are lost.
    LosesReplies,
}

/// Nothing was heard. The order may have been accepted, or may be still on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoAnswer;

/// What happens to a process in the middle of a send.
pub struct Trap {
    /// When.
    pub moment: Moment,
    /// What.
    pub spring: Box<dyn FnOnce() + Send>,
}

/// A moment of a send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// After the last look at the fence, before the order is on the wire.
    BeforeTheWire,
    /// Just after the order is on the wire.
    OnTheWire,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Broker {
    judge: Arc<Judge>,
    flight_max: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    rng: Rng,
    accepted: BTreeMap<SignalId, u64>,
    ailments: Vec<(Ailment, Instant, Arc<Effect>)>,
}

impl Broker {
    /// One at which no order is on its way for longer than `flight_max`.
    pub fn new(judge: Arc<Judge>, rng: Rng, flight_max: Duration) -> Arc<Self> {
        let state = Mutex::new(State { rng, accepted: BTreeMap::new(), ailments: Vec::new() });
        Arc::new(Self { judge, flight_max, state })
    }

    /// From now on, for `lasting`.
    pub fn ail(&self, ailment: Ailment, lasting: Duration, effect: Arc<Effect>) {
        self.state().ailments.push((ailment, Instant::now() + lasting, effect));
    }

    /// Well again; what is on its way stays on its way.
    pub fn heal(&self) {
        self.state().ailments.clear();
    }

    /// How often each signal was accepted.
    pub fn accepted(&self) -> BTreeMap<SignalId, u64> {
        self.state().accepted.clone()
    }

    /// Sends an order from `process`. Once called it goes its way, whoever waits for the answer: unless the
    /// process is stopped, or dies, before the order is on the wire.
    ///
    /// # Errors
    /// [`NoAnswer`], also when the broker is away: who sends does not have to know why.
    pub async fn send(
        self: &Arc<Self>,
        process: &Process,
        id: &SignalId,
        trap: Option<Trap>,
    ) -> Result<(), NoAnswer> {
        let held_up = {
            let rng = &mut self.state().rng;
            Duration::from_millis(if rng.once_in(HELD_UP_ONCE_IN) { rng.below(USUAL_MS) } else { 0 })
        };
        let (before, after) = match trap {
            None => (None, None),
            Some(Trap { moment: Moment::BeforeTheWire, spring }) => (Some(spring), None),
            Some(Trap { moment: Moment::OnTheWire, spring }) => (None, Some(spring)),
        };
        if let Some(spring) = before {
            spring();
        }
        let (answer, answered) = oneshot::channel();
        let (broker, id) = (Arc::clone(self), id.clone());
        tokio::spawn(process.gate(async move {
            if !held_up.is_zero() {
                sleep(held_up).await;
            }
            tokio::spawn(broker.flight(id, answer));
            if let Some(spring) = after {
                spring();
            }
        }));
        answered.await.map_err(|_| NoAnswer)
    }

    /// Whether an order for that signal was accepted. What is on its way is not known.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn has(&self, id: &SignalId) -> Result<bool, NoAnswer> {
        let (mute, takes) = {
            let mut state = self.state();
            let mute = state.present(Ailment::Away).or_else(|| state.present(Ailment::LosesReplies));
            (mute, Duration::from_millis(state.rng.below(USUAL_MS)))
        };
        if let Some(effect) = mute {
            self.judge.took_effect(&effect);
            return Err(NoAnswer);
        }
        sleep(takes).await;
        Ok(self.state().accepted.contains_key(id))
    }

    async fn flight(self: Arc<Self>, id: SignalId, answer: oneshot::Sender<()>) {
        let (away, slow, usual, back) = {
            let mut state = self.state();
            let (away, slow) = (state.present(Ailment::Away), state.present(Ailment::Slow));
            (away, slow, state.rng.below(USUAL_MS), state.rng.below(USUAL_MS))
        };
        if let Some(effect) = away {
            self.judge.took_effect(&effect);
            return;
        }
        let there = match slow {
            None => Duration::from_millis(usual),
            Some(effect) => {
                self.judge.took_effect(&effect);
                let most_ms = u64::try_from(self.flight_max.as_millis()).unwrap_or(u64::MAX);
                Duration::from_millis(self.state().rng.below(most_ms))
            }
        };
        sleep(there).await;
        let times = {
            let mut state = self.state();
            let times = state.accepted.entry(id.clone()).or_default();
            *times += 1;
            *times
        };
        self.judge
            .note(("accepted", id.as_str(), times), || format!("the broker accepts {id} (time {times})"));
        let mute = self.state().present(Ailment::LosesReplies);
        if let Some(effect) = mute {
            self.judge.took_effect(&effect);
            return;
        }
        sleep(Duration::from_millis(back)).await;
        // Whoever asked may have gone away.
        let _ = answer.send(());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn present(&mut self, which: Ailment) -> Option<Arc<Effect>> {
        let now = Instant::now();
        self.ailments.retain(|(_, until, _)| now < *until);
        let found = self.ailments.iter().find(|(ailment, ..)| *ailment == which);
        found.map(|(.., effect)| Arc::clone(effect))
    }
}
