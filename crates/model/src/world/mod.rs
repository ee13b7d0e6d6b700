//! One state of the model: electors, stores, messages in flight, and the records of the judges.

mod memory;
mod mishap;
mod signal;

use crate::coverage::Seen;
use crate::database::{Database, Written};
use crate::fault_set::{Beginning, Fault, FaultSet, SHORT_TTL, TTL};
use crate::judge::Broken;
use crate::message::{Message, Sender};
use crate::rule::Rule;
use crate::tickets::Tickets;
use domain::election::{
    CallId, Command, Config, Elector, Epochs, Event, Report, TicketAnswer, TicketRequest,
};
use domain::id::{ClaimId, InstanceId, Nonce};
use domain::lease::{Epoch, Seq, Timeline, Token};
use domain::ports::StoreError;
use domain::recovery::RecoveryCode;
use domain::time::Time;
use memory::Memory;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// The time of every instance's clock at the beginning, in nanoseconds.
const BASE: u64 = 1_000_000_000_000;
const PPM: i128 = 1_000_000;
/// The claim of a former holder.
const FORMER: u128 = u128::MAX;

/// A process, and the faults of its machine.
// Each flag is a separate fault, and they combine.
#[allow(clippy::struct_excessive_bools)]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Node {
    pub elector: Elector,
    /// The number of the start in the group; each restart has a new one.
    pub start: u8,
    pub alive: bool,
    pub paused: bool,
    pub lease_cut: bool,
    pub lease_refused: bool,
    pub ticket_cut: bool,
    stopping: bool,
    /// Recovery passed in this leadership.
    pub recovered: bool,
    /// The calls in progress and their timeouts by its own clock.
    lease_call: Option<(CallId, Time)>,
    ticket_call: Option<(CallId, Time)>,
    /// The time when the state store last answered it, by its own clock.
    answered: Option<Time>,
    /// Events that arrived while it was paused.
    inbox: Vec<Event>,
    pub memory: Memory,
    /// The last claim that was valid, and whether it is over.
    pub last_valid: Option<(ClaimId, bool)>,
}

/// One state.
// The flags are active faults, and they combine.
#[allow(clippy::struct_excessive_bools)]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    /// Real time since the beginning, in nanoseconds.
    pub now: u64,
    pub nodes: Vec<Arc<Node>>,
    rates: [i32; 3],
    /// True if hints arrive.
    pub hints: bool,
    /// Messages without a decision yet, in order.
    pub hot: VecDeque<Message>,
    /// Messages that may arrive at any time.
    pub held: Vec<Message>,
    pub database: Arc<Database>,
    pub tickets: Tickets,
    /// [`Fault::HintStorm`] is on.
    pub storm: bool,
    /// [`Fault::SlowStore`] is on.
    pub slow: bool,
    /// The answers of the slow store in flight, and their times of arrival.
    pub late: Vec<(u64, Message)>,
    /// A fault happened that may end a term.
    harmed: bool,
    pub budget: u8,
    /// The time when the last fault began or ended.
    pub last_fault: u64,
    starts: u8,
    /// The latest granted claim, in any history of the database.
    pub latest: ClaimId,
    /// For each granted claim, the number of promotions when its lease was last written.
    pub written: Vec<(ClaimId, u8)>,
    /// Highest epoch on each timeline.
    pub epochs: Vec<(Timeline, Epoch)>,
    /// The time of the last restore.
    pub restored: Option<u64>,
    /// The lease that a restore brought back, and whether it lacks a claim of the signal, until an instance reports
    /// it.
    unnoticed: Option<((Epoch, Seq), bool)>,
    /// Number of times that the signal was sent.
    sent: u8,
    pub broken: Option<Broken>,
}

pub fn name(node: usize) -> InstanceId {
    const NAMES: [&str; 3] = ["a", "b", "c"];
    InstanceId::parse(NAMES[node]).expect("a letter is an id")
}

pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The world of `set`, stepped by the actions of the model.
pub struct Step<'a> {
    pub world: &'a mut World,
    pub set: &'a FaultSet,
    pub rule: Option<Rule>,
    pub saw: &'a mut dyn FnMut(Seen<'_>),
}

impl World {
    pub fn new(set: &FaultSet, rates: [i32; 3], hints: bool, budget: u8) -> Self {
        let database = match set.beginning {
            Beginning::Unclaimed | Beginning::HandedOverWithRenewalUnderWay | Beginning::LeadsUnseen => {
                Database::new(TTL)
            }
            Beginning::LeftByShortTtl => {
                let holder = InstanceId::parse("former").expect("a word is an id");
                Database::left_by(holder, ClaimId::from_u128(FORMER), SHORT_TTL)
            }
        };
        let mut world = Self {
            now: 0,
            nodes: Vec::new(),
            rates,
            hints,
            hot: VecDeque::new(),
            held: Vec::new(),
            database: Arc::new(database),
            tickets: Tickets::default(),
            storm: false,
            slow: false,
            late: Vec::new(),
            harmed: false,
            budget,
            last_fault: 0,
            starts: 0,
            latest: ClaimId::NIL,
            written: Vec::new(),
            epochs: Vec::new(),
            restored: None,
            unnoticed: None,
            sent: 0,
            broken: None,
        };
        for node in 0..usize::from(set.instances) {
            let fresh = world.fresh_node(set, node);
            world.nodes.push(Arc::new(fresh));
        }
        world
    }

    fn fresh_node(&mut self, set: &FaultSet, node: usize) -> Node {
        self.starts += 1;
        let before = self.nodes.get(node).filter(|_| set.restores());
        let kept = before.map_or(Epochs::NONE, |before| Memory::kept(before.elector.epochs()));
        let memory = before.map_or(Memory::nothing(), |before| before.memory.after_a_crash());
        let config = Config::new(
            name(node),
            Nonce::new(u128::from(self.starts)),
            TTL,
            set.tickets,
            crate::database::SCHEMA,
        )
        .expect("the model's TTL is in range")
        .remembering(kept);
        Node {
            elector: Elector::new(config),
            start: self.starts,
            alive: true,
            paused: false,
            lease_cut: false,
            lease_refused: false,
            ticket_cut: false,
            stopping: false,
            recovered: false,
            lease_call: None,
            ticket_call: None,
            answered: None,
            inbox: Vec::new(),
            memory,
            last_valid: None,
        }
    }

    /// The time of `node`'s clock at real time `real`.
    pub fn clock(&self, node: usize, real: u64) -> Time {
        let real = i128::from(real);
        let shown = i128::from(BASE) + real + real * i128::from(self.rates[node]) / PPM;
        Time::from_nanos(u64::try_from(shown).expect("the model's clocks are near their beginning"))
    }

    /// The first real time at which the clock of `node` shows `time`.
    fn real(&self, node: usize, time: Time) -> u64 {
        let shown = i128::from(time.as_nanos()) - i128::from(BASE);
        let estimate = shown * PPM / (PPM + i128::from(self.rates[node]));
        let mut real = u64::try_from(estimate.max(0)).expect("clamped").saturating_sub(2);
        while self.clock(node, real) < time {
            real += 1;
        }
        real
    }

    pub fn valid_token(&self, node: usize) -> Option<Token> {
        let at = self.clock(node, self.now);
        Some(&self.nodes[node]).filter(|node| node.alive).and_then(|node| node.elector.valid_token(at))
    }

    /// The next wakeup of `node`, by real time: a timer of the elector or the timeout of a call.
    fn timer(&self, node: usize) -> Option<u64> {
        let state = &self.nodes[node];
        if !state.alive || state.paused {
            return None;
        }
        let calls = [state.lease_call, state.ticket_call].into_iter().flatten().map(|(_, at)| at);
        state.elector.next_wakeup().into_iter().chain(calls).min().map(|at| self.real(node, at))
    }

    /// The next wakeup of any instance.
    pub fn next_timer(&self) -> Option<u64> {
        let late = self.late.iter().map(|(at, _)| *at);
        (0..self.nodes.len()).filter_map(|node| self.timer(node)).chain(late).min()
    }

    /// The first instance whose wakeup is due.
    pub fn due(&self) -> Option<usize> {
        (0..self.nodes.len()).find(|node| self.timer(*node).is_some_and(|at| at <= self.now))
    }

    /// No message waits for a decision at this moment.
    pub fn is_quiet(&self) -> bool {
        self.hot.is_empty() && self.due().is_none()
    }
}

impl Step<'_> {
    pub fn node(&mut self, node: usize) -> &mut Node {
        Arc::make_mut(&mut self.world.nodes[node])
    }

    /// Fires the first due timer: a timeout before a timer.
    pub fn timer(&mut self) {
        let Some(due) = self.world.due() else { return };
        let now = self.world.clock(due, self.world.now);
        let silence = || StoreError::Unknown(String::new());
        let node = self.node(due);
        let event = if let Some((call, _)) = node.lease_call.take_if(|(_, at)| *at <= now) {
            Event::Lease { call, answer: Err(silence()) }
        } else if let Some((call, _)) = node.ticket_call.take_if(|(_, at)| *at <= now) {
            Event::Ticket { call, answer: Err(silence()) }
        } else {
            Event::Wakeup
        };
        let idle = event == Event::Wakeup;
        let (before, sent) = (self.world.nodes[due].elector.clone(), self.world.hot.len());
        self.step(due, event);
        let world = &self.world;
        if idle && world.due() == Some(due) && world.nodes[due].elector == before && world.hot.len() == sent {
            self.breaks(Broken::Spins);
        }
    }

    fn step(&mut self, who: usize, event: Event) {
        let now = self.world.clock(who, self.world.now);
        let node = self.node(who);
        if let Event::Recovered { answer: Ok(()), .. } = &event {
            node.recovered = true;
        }
        if let Event::Lease { answer: Ok(_), .. } = &event {
            node.answered = Some(now);
        }
        let commands = node.elector.step(now, event);
        for command in commands {
            (self.saw)(Seen::Command(&command));
            self.carry_out(who, now, command);
        }
        (self.saw)(Seen::Role(self.world.nodes[who].elector.role()));
    }

    fn carry_out(&mut self, who: usize, now: Time, command: Command) {
        let start = self.world.nodes[who].start;
        let sender = Sender { node: who, start };
        match command {
            Command::Lease { call, timeout, request } => {
                self.node(who).lease_call = Some((call, now + timeout));
                if self.world.nodes[who].lease_refused {
                    let answer = Err(StoreError::Unavailable(String::new()));
                    self.world.hot.push_back(Message::LeaseReply { sender, call, answer, wrote: None });
                } else if !self.world.nodes[who].lease_cut {
                    let knew = self.knew(who, &request);
                    self.world.hot.push_back(Message::Lease { sender, call, request, knew });
                }
            }
            Command::Ticket { call, timeout, request } => {
                let recent = self.world.nodes[who].answered.is_some_and(|at| now < at + TTL);
                let runs = self.world.nodes[who].elector.leadership().is_none();
                if matches!(request, TicketRequest::Acquire { .. }) && runs && !recent {
                    self.breaks(Broken::TicketBeforeRead);
                }
                self.node(who).ticket_call = Some((call, now + timeout));
                if !self.world.nodes[who].ticket_cut {
                    self.world.hot.push_back(Message::Ticket { sender, call, request });
                }
            }
            Command::Recover { call, .. } => self.world.hot.push_back(Message::Recovery { sender, call }),
            Command::Drain { .. } => self.world.hot.push_back(Message::Drained { sender }),
            Command::Report(report) => self.report(who, &report),
        }
    }

    fn report(&mut self, who: usize, report: &Report) {
        match report {
            Report::Elected { .. } => {
                if self.world.nodes[who].stopping {
                    self.breaks(Broken::LedAfterStop);
                }
                self.node(who).recovered = false;
            }
            Report::Activated { token } => {
                if !self.world.nodes[who].lease_cut {
                    let sender = Sender { node: who, start: self.world.nodes[who].start };
                    let reached = self.world.nodes[who].memory.reached(token);
                    self.world.hot.push_back(Message::Effect { sender, token: *token, reached });
                }
            }
            Report::Lost { .. } => {
                if !self.world.harmed {
                    self.breaks(Broken::TermEnded);
                }
            }
            Report::Ready
            | Report::Renewed { .. }
            | Report::Halted { .. }
            | Report::Draining { .. }
            | Report::Resigning { .. }
            | Report::Released { .. }
            | Report::Fault(_)
            | Report::Stopped => {}
        }
    }

    /// A message arrives, with its reply at once unless the state store is slow.
    pub fn arrive(&mut self, message: Message) {
        let slow = self.world.slow && matches!(message, Message::Lease { .. });
        let Some(reply) = self.serve(message) else { return };
        if slow {
            let at = self.world.now + nanos(TTL / 3) - 1;
            self.world.late.push((at, reply));
        } else {
            self.deliver(reply);
        }
    }

    /// The effect of `message` at a store, and the reply; for other messages, the message itself.
    pub fn serve(&mut self, message: Message) -> Option<Message> {
        let (now, rule) = (self.world.now, self.rule);
        match message {
            Message::Lease { sender, call, request, knew } => {
                let database = Arc::make_mut(&mut self.world.database);
                let forgot_ms = database.forgot_ms();
                let too_soon = database.is_too_soon(now, &request);
                let (answer, written) = database.serve(now, (&request, knew.reached), rule);
                if too_soon && matches!(written, Written::Claimed(_)) {
                    self.breaks(Broken::NotTheSuccessor);
                }
                let wrote = self.wrote(written);
                self.judge_restore(written, forgot_ms, knew.lease);
                self.judge_write(written, knew.epoch);
                if written != Written::Nothing {
                    self.hint(sender.node, |sender| Message::LeaseHint { sender });
                }
                Some(Message::LeaseReply { sender, call, answer: Ok(answer), wrote })
            }
            Message::Ticket { sender, call, request } => {
                let id = name(sender.node);
                let (answer, deleted) = self.world.tickets.serve(now, (&id, TTL), request, rule);
                if deleted {
                    self.breaks(Broken::TicketDeleted);
                }
                if answer == TicketAnswer::Released {
                    self.hint(sender.node, |sender| Message::TicketHint { sender });
                }
                Some(Message::TicketReply { sender, call, answer: Ok(answer) })
            }
            Message::Effect { sender, token, reached } => self.effect(sender, token, reached),
            Message::EffectWrite { sender, token } => self.write_effect(sender, token),
            Message::Record { token, reached } => {
                self.record(token, reached);
                None
            }
            Message::LeaseReply { .. }
            | Message::TicketReply { .. }
            | Message::LeaseHint { .. }
            | Message::TicketHint { .. }
            | Message::Exit { .. }
            | Message::Recovery { .. }
            | Message::Drained { .. }
            | Message::Accepted { .. } => Some(message),
        }
    }

    fn hint(&mut self, writer: usize, hint: impl Fn(Sender) -> Message) {
        if !self.world.hints {
            return;
        }
        for (other, node) in self.world.nodes.iter().enumerate().filter(|(other, _)| *other != writer) {
            let hint = hint(Sender { node: other, start: node.start });
            let cut =
                if matches!(hint, Message::LeaseHint { .. }) { node.lease_cut } else { node.ticket_cut };
            if node.alive && !cut {
                self.world.hot.push_back(hint);
            }
        }
    }

    /// Delivers a message to its process, if that process still runs.
    fn deliver(&mut self, message: Message) {
        let sender = message.sender();
        let Some(sender) = sender.filter(|to| {
            let node = &self.world.nodes[to.node];
            node.alive && node.start == to.start
        }) else {
            return;
        };
        let writes = matches!(&message, Message::LeaseReply { wrote: Some(_), .. });
        let node = self.node(sender.node);
        let mut if_ignored = None;
        let event = match message {
            // The driver has dropped a call that timed out, and its late answer with it.
            Message::LeaseReply { call, answer, wrote, .. } => {
                if node.lease_call.take_if(|(under_way, _)| *under_way == call).is_none() {
                    return;
                }
                let answer = answer.map(|answer| self.remember(sender, answer, wrote));
                if_ignored = answer.as_ref().ok().and_then(Broken::if_ignored);
                Event::Lease { call, answer }
            }
            Message::TicketReply { call, answer, .. } => {
                if node.ticket_call.take_if(|(under_way, _)| *under_way == call).is_none() {
                    return;
                }
                Event::Ticket { call, answer }
            }
            Message::LeaseHint { .. } => Event::LeaseHint,
            Message::TicketHint { .. } => Event::TicketHint,
            Message::Exit { of, .. } => self.exit_of(of),
            Message::Recovery { call, .. } => Event::Recovered { call, answer: Ok(()) },
            Message::Drained { .. } => Event::Drained,
            Message::Accepted { token, .. } => return self.send_signal(sender, token),
            Message::Lease { .. }
            | Message::Ticket { .. }
            | Message::Effect { .. }
            | Message::EffectWrite { .. }
            | Message::Record { .. } => return,
        };
        let node = self.node(sender.node);
        if node.paused {
            node.inbox.push(event);
            return;
        }
        self.step(sender.node, event);
        if let Some(broken) = if_ignored.filter(|_| self.world.valid_token(sender.node).is_some()) {
            self.breaks(broken);
        }
        if writes {
            self.leaders_check_for_signals();
        }
    }

    pub fn fail_recovery(&mut self, sender: Sender, call: CallId, code: RecoveryCode) {
        let node = &self.world.nodes[sender.node];
        if node.alive && node.start == sender.start {
            self.step(sender.node, Event::Recovered { call, answer: Err(code) });
        }
    }

    /// True if the set has this fault and the budget allows one more.
    pub fn spend(&mut self, fault: Fault) -> bool {
        let may = self.set.faults.contains(&fault) && self.world.budget > 0;
        if may {
            self.world.budget -= 1;
            self.world.harmed |= !fault.leaves_terms_alone();
            self.world.last_fault = self.world.now;
        }
        may
    }
}
