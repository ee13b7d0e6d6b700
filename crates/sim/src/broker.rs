//! A broker that accepts every order and never removes duplicates: an order that it accepted twice was executed
//! twice. A fencing broker refuses orders of former leaders (see [`HandlerFence`]), and does not remove duplicates
//! either.

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

/// One way without a fault takes less than this, in milliseconds.
const USUAL_MS: u64 = 4;
/// One order in this number is held up between the last check of the fence and the wire, as the kernel may hold up a
/// thread there.
const HELD_UP_ONCE_IN: u64 = 8;
/// While the broker is away, one connection in this number is refused, and the sender knows that nothing was sent.
const REFUSED_ONCE_IN: u64 = 2;

/// A fault of the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ailment {
    /// No client can connect.
    Away,
    /// Orders and queries take up to the longest flight.
    Slow,
    /// It accepts orders, and its answers are lost.
    LosesReplies,
}

/// Failure of an order or a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The order or query was refused, finally.
    Refused,
    /// No answer. The order may have been accepted, or may still be in flight.
    NoAnswer,
}

/// A fault that a process has in the middle of a send.
pub struct Trap {
    /// The moment of the send.
    pub moment: Moment,
    /// The action.
    pub spring: Box<dyn FnOnce() + Send>,
}

/// A moment of a send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// After the last check of the fence, before the order is on the wire.
    BeforeTheWire,
    /// Just after the order is on the wire.
    OnTheWire,
}

/// The acceptances of one signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Accepted {
    /// The number of acceptances.
    pub times: u64,
    /// The position of the first acceptance among all acceptances.
    pub first: u64,
}

/// The broker of one run; see the [module](self).
#[derive(Debug)]
pub struct Broker {
    judge: Arc<Judge>,
    flight_max: Duration,
    results: Results,
    /// Every acceptance, for the service that reports results.
    accepts: mpsc::UnboundedSender<(SignalId, u32)>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    rng: Rng,
    accepted: BTreeMap<SignalId, Accepted>,
    acceptances: u64,
    /// Orders from the beginning of a send until they are accepted, refused or lost.
    under_way: BTreeMap<u64, Order>,
    sends: u64,
    /// Pairs of signals of one instrument that were in flight at once.
    overlaps: Vec<(SignalId, SignalId)>,
    /// `None`: every order is accepted.
    fence: Option<HandlerFence<SignalId>>,
    ailments: Vec<(Ailment, Instant, Arc<Effect>)>,
}

impl Broker {
    /// The broker of the plan, with the signals and attempts that it accepts.
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

    /// Begins a fault that lasts for `lasting`.
    pub fn ail(&self, ailment: Ailment, lasting: Duration, effect: Arc<Effect>) {
        self.state().ailments.push((ailment, Instant::now() + lasting, effect));
    }

    /// Ends all faults; orders in flight stay in flight.
    pub fn heal(&self) {
        self.state().ailments.clear();
    }

    /// Every signal that was accepted.
    pub fn accepted(&self) -> BTreeMap<SignalId, Accepted> {
        self.state().accepted.clone()
    }

    /// Pairs of signals of one instrument of which the second was sent while the first was in flight.
    pub fn overlaps(&self) -> Vec<(SignalId, SignalId)> {
        self.state().overlaps.clone()
    }

    /// True if it reports "not executed" only for attempts that it will never execute.
    pub fn fences(&self) -> bool {
        self.state().fence.is_some()
    }

    /// True if it fences and refuses every order of a leader with this token.
    pub fn refuses_leader(&self, token: &Token) -> bool {
        self.state().fence.as_ref().is_some_and(|fence| fence.is_past(token.epoch, token.claim))
    }

    /// The time when it reports the result of an accepted order.
    pub fn results(&self) -> Results {
        self.results
    }

    /// Sends an order from `process`. Once called, the order is sent even if the caller stops waiting, unless the
    /// process is paused or dies before the order is on the wire.
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

    /// Returns whether an order for that signal was accepted, to a program that queries under `order`'s epoch. Orders
    /// in flight are not included. A fencing broker does not accept `order` any more once it has answered no.
    ///
    /// # Errors
    /// [`Failure`]: a query under an old epoch gets no answer.
    pub async fn lookup(self: &Arc<Self>, order: Order) -> Result<bool, Failure> {
        let (answer, answered) = oneshot::channel();
        tokio::spawn(Arc::clone(self).question(order, answer));
        answered.await.unwrap_or(Err(Failure::NoAnswer))
    }

    /// Returns whether an order for that signal was accepted, to an operator.
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

    /// Notes the order as in flight while the result of this function is alive.
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
                // The caller may have stopped waiting; also below.
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
        // After the end of the run there is no receiver.
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
        // An answer may be outdated when it arrives.
        self.travel().await;
        let _ = answer.send(known);
    }

    /// The delay of one way.
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

    /// The delay of the answer to an order. It is not slow: the order itself takes the time.
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

/// An order that was not accepted, refused or lost yet. It is lost when its process dies.
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
