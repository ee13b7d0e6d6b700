//! A broker that accepts whatever arrives and never asks whether it came before: what it accepted twice was
//! done twice. One that fences refuses what a former leader sends (see [`HandlerFence`]), and does not de-duplicate either.

use crate::judge::{Effect, Judge};
use crate::order::Order;
use crate::plan::{Plan, Receiver, Results};
use crate::rng::Rng;
use coordinator::clock::Process;
use domain::lease::Token;
use domain::ledger::{HandlerFence, SignalId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep};

/// One way that nothing is wrong with takes less than this, in milliseconds.
const USUAL_MS: u64 = 4;
/// One in so many orders is held up between the last look at the fence and the wire, as a thread that the
/// kernel puts aside there would hold it up.
const HELD_UP_ONCE_IN: u64 = 8;
/// Of a broker that is away, one in so many connections is refused, and the sender knows that nothing was sent.
const REFUSED_ONCE_IN: u64 = 2;

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ailment {
    /// Nobody can connect.
    Away,
    /// Orders and questions take up to the longest flight.
    Slow,
    /// It accepts, and its answers are lost.
    LosesReplies,
}

/// Why there is no good answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// This order, or question, was refused for good.
    Refused,
    /// Nothing was heard. The order may have been accepted, or may be still on its way.
    NoAnswer,
}

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

/// What the broker accepted of one signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Accepted {
    /// How often.
    pub times: u64,
    /// Its place, the first time, among everything that was accepted.
    pub first: u64,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Broker {
    judge: Arc<Judge>,
    flight_max: Duration,
    results: Results,
    /// Every acceptance, for whoever reports results.
    accepts: mpsc::UnboundedSender<(SignalId, u32)>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    rng: Rng,
    accepted: BTreeMap<SignalId, Accepted>,
    acceptances: u64,
    /// From the begin of a send until it is accepted, refused or lost.
    under_way: BTreeMap<u64, Order>,
    sends: u64,
    /// Two signals of one instrument that were under way at once.
    overlaps: Vec<(SignalId, SignalId)>,
    /// `None`: everything is accepted.
    fence: Option<HandlerFence<SignalId>>,
    ailments: Vec<(Ailment, Instant, Arc<Effect>)>,
}

impl Broker {
    /// The plan's, with the signals and attempts that it accepts.
    pub fn new(judge: Arc<Judge>, plan: &Plan) -> (Arc<Self>, mpsc::UnboundedReceiver<(SignalId, u32)>) {
        let fence = match plan.receiver {
            Receiver::Plain => None,
            Receiver::Fencing => Some(HandlerFence::default()),
        };
        let state = State {
            rng: Rng::new(plan.seed, &[22]),
            accepted: BTreeMap::new(),
            acceptances: 0,
            under_way: BTreeMap::new(),
            sends: 0,
            overlaps: Vec::new(),
            fence,
            ailments: Vec::new(),
        };
        let (accepts, accepted) = mpsc::unbounded_channel();
        let (flight_max, results, state) = (plan.flight_max(), plan.results, Mutex::new(state));
        (Arc::new(Self { judge, flight_max, results, accepts, state }), accepted)
    }

    /// From now on, for `lasting`.
    pub fn ail(&self, ailment: Ailment, lasting: Duration, effect: Arc<Effect>) {
        self.state().ailments.push((ailment, Instant::now() + lasting, effect));
    }

    /// Well again; what is on its way stays on its way.
    pub fn heal(&self) {
        self.state().ailments.clear();
    }

    /// Every signal that was accepted.
    pub fn accepted(&self) -> BTreeMap<SignalId, Accepted> {
        self.state().accepted.clone()
    }

    /// Pairs of signals of one instrument of which the second was sent while the first was under way.
    pub fn overlaps(&self) -> Vec<(SignalId, SignalId)> {
        self.state().overlaps.clone()
    }

    /// Whether it says that something was not executed only when it never will be.
    pub fn fences(&self) -> bool {
        self.state().fence.is_some()
    }

    /// Whether it fences, and refuses whatever a leader with this token sends.
    pub fn refuses_leader(&self, token: &Token) -> bool {
        self.state().fence.as_ref().is_some_and(|fence| fence.is_past(token.epoch, token.claim))
    }

    /// Whether an accepted order is executed by that, or its result is still to come.
    pub fn results(&self) -> Results {
        self.results
    }

    /// Sends an order from `process`. Once called it goes its way, whoever waits for the answer: unless the
    /// process is stopped, or dies, before the order is on the wire.
    ///
    /// # Errors
    /// [`Failure`]: a refused order was not executed and never will be.
    pub async fn send(
        self: &Arc<Self>,
        process: &Process,
        order: Order,
        trap: Option<Trap>,
    ) -> Result<(), Failure> {
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
        let (broker, under_way) = (Arc::clone(self), self.begin(&order));
        tokio::spawn(process.gate(async move {
            if !held_up.is_zero() {
                sleep(held_up).await;
            }
            tokio::spawn(broker.flight(order, under_way, answer));
            if let Some(spring) = after {
                spring();
            }
        }));
        answered.await.unwrap_or(Err(Failure::NoAnswer))
    }

    /// Whether an order for that signal was accepted, for a program that asks under `order`'s epoch. What is on its
    /// way is not known; one that fences will not accept `order` any more once it has said no.
    ///
    /// # Errors
    /// [`Failure`]: who comes with an epoch of the past is told nothing.
    pub async fn lookup(self: &Arc<Self>, order: Order) -> Result<bool, Failure> {
        let (answer, answered) = oneshot::channel();
        tokio::spawn(Arc::clone(self).question(order, answer));
        answered.await.unwrap_or(Err(Failure::NoAnswer))
    }

    /// Whether an order for that signal was accepted, for a person before a screen.
    ///
    /// # Errors
    /// [`Failure::NoAnswer`].
    pub async fn has(&self, id: &SignalId) -> Result<bool, Failure> {
        let (mute, takes) = {
            let mut state = self.state();
            let mute = state.present(Ailment::Away).or_else(|| state.present(Ailment::LosesReplies));
            (mute, Duration::from_millis(state.rng.below(USUAL_MS)))
        };
        if let Some(effect) = mute {
            self.judge.took_effect(&effect);
            return Err(Failure::NoAnswer);
        }
        sleep(takes).await;
        Ok(self.state().accepted.contains_key(id))
    }

    /// The order is under way as long as the result lives.
    fn begin(self: &Arc<Self>, order: &Order) -> UnderWay {
        let mut state = self.state();
        let others = state.under_way.values().filter(|other| {
            let refused = state
                .fence
                .as_ref()
                .is_some_and(|fence| fence.refuses(&other.id, other.attempt, other.epoch, other.claim));
            other.instrument == order.instrument && other.id != order.id && !refused
        });
        let overlaps: Vec<_> = others.map(|other| (other.id.clone(), order.id.clone())).collect();
        state.overlaps.extend(overlaps);
        state.sends += 1;
        let number = state.sends;
        state.under_way.insert(number, order.clone());
        UnderWay { broker: Arc::clone(self), number }
    }

    async fn flight(
        self: Arc<Self>,
        order: Order,
        under_way: UnderWay,
        answer: oneshot::Sender<Result<(), Failure>>,
    ) {
        if let Some(effect) = self.ailment(Ailment::Away) {
            self.judge.took_effect(&effect);
            if self.state().rng.once_in(REFUSED_ONCE_IN) {
                // Whoever asked may have gone away; also below.
                let _ = answer.send(Err(Failure::Refused));
            }
            return;
        }
        self.travel().await;
        let accepted = self.accept(&order);
        drop(under_way);
        if let Some(effect) = self.ailment(Ailment::LosesReplies) {
            self.judge.took_effect(&effect);
            return;
        }
        self.travel_back().await;
        let _ = answer.send(accepted);
    }

    fn accept(&self, order: &Order) -> Result<(), Failure> {
        let mut state = self.state();
        let id = &order.id;
        if let Some(fence) = &mut state.fence {
            if fence.refuses(&order.id, order.attempt, order.epoch, order.claim) {
                self.judge.note(("refused", id.as_str(), order.attempt, order.epoch), || {
                    format!("the broker refuses {id}, attempt {} of epoch {}", order.attempt, order.epoch)
                });
                return Err(Failure::Refused);
            }
            fence.see(order.epoch, order.claim);
        }
        state.acceptances += 1;
        let first = state.acceptances;
        let accepted = state.accepted.entry(id.clone()).or_insert(Accepted { times: 0, first });
        accepted.times += 1;
        let times = accepted.times;
        // Nobody listens any more when the run is over.
        let _ = self.accepts.send((id.clone(), order.attempt));
        self.judge.note(("accepted", id.as_str(), times), || {
            format!("the broker accepts {id}, attempt {} (time {times})", order.attempt)
        });
        Ok(())
    }

    async fn question(self: Arc<Self>, order: Order, answer: oneshot::Sender<Result<bool, Failure>>) {
        if let Some(effect) = self.ailment(Ailment::Away) {
            self.judge.took_effect(&effect);
            return;
        }
        self.travel().await;
        let known = {
            let mut state = self.state();
            let has = state.accepted.contains_key(&order.id);
            match &mut state.fence {
                Some(fence) if fence.is_past(order.epoch, order.claim) => Err(Failure::Refused),
                Some(fence) => {
                    fence.see(order.epoch, order.claim);
                    if !has {
                        fence.promise(order.id.clone(), order.attempt);
                    }
                    Ok(has)
                }
                None => Ok(has),
            }
        };
        self.judge.note(("looked up", order.id.as_str(), order.attempt, format!("{known:?}")), || {
            format!("{} is looked up, attempt {}: {known:?}", order.id, order.attempt)
        });
        if let Some(effect) = self.ailment(Ailment::LosesReplies) {
            self.judge.took_effect(&effect);
            return;
        }
        // An answer may be old when it arrives.
        self.travel().await;
        let _ = answer.send(known);
    }

    /// One way.
    async fn travel(&self) {
        let (slow, mut takes_ms) = {
            let mut state = self.state();
            (state.present(Ailment::Slow), state.rng.below(USUAL_MS))
        };
        if let Some(effect) = slow {
            self.judge.took_effect(&effect);
            let most_ms = u64::try_from(self.flight_max.as_millis()).unwrap_or(u64::MAX);
            takes_ms = self.state().rng.below(most_ms);
        }
        sleep(Duration::from_millis(takes_ms)).await;
    }

    /// The answer to an order, which is not slow: what takes long is the way there.
    async fn travel_back(&self) {
        let takes_ms = self.state().rng.below(USUAL_MS);
        sleep(Duration::from_millis(takes_ms)).await;
    }

    fn ailment(&self, which: Ailment) -> Option<Arc<Effect>> {
        self.state().present(which)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An order that was not accepted, refused or lost yet. It is lost when the process dies that was to send it.
#[derive(Debug)]
struct UnderWay {
    broker: Arc<Broker>,
    number: u64,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.broker.state().under_way.remove(&self.number);
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
