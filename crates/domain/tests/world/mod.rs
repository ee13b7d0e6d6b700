//! A small world for scenarios: electors in virtual time, one lease, one ticket, and faults by name. The stores here
//! follow the rules of the ports; the contract suites test the real stores against the same rules.

mod stores;

use domain::election::{
    CallId, Command, Config, Elector, Event, LeaseRequest, Phase, Report, Resign, TicketRequest, TicketUse,
};
use domain::id::{ClaimId, InstanceId, Nonce};
use domain::lease::{Epoch, Observation, Seq, Timeline, Token, Version};
use domain::ports::StoreError;
use domain::recovery::RecoveryCode;
use domain::time::Time;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Latency of one way to a store; also the duration of a recovery or a drain.
const LATENCY: Duration = Duration::from_millis(1);
const SCHEMA: u32 = 1;

/// Behaviour of a store for one instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reach {
    /// Answers.
    #[default]
    Up,
    /// Refuses connections.
    Down,
    /// Ignores requests.
    Silent,
    /// Carries requests out and drops the replies.
    ReplyLost,
}

/// The two stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Store {
    Redis,
    Postgres,
}

#[derive(Debug, Clone)]
struct Instance {
    elector: Elector,
    nonce: u128,
    paused: bool,
    held_back: Vec<Event>,
    work_hangs: bool,
    recovery: Result<(), RecoveryCode>,
    last_token: Option<Token>,
    fallback: bool,
}

#[derive(Debug, Clone)]
enum Happening {
    Deliver(Event),
    LeaseArrives(CallId, LeaseRequest, Time),
    TicketArrives(CallId, TicketRequest, Time),
}

/// The whole world.
pub struct World {
    now: Time,
    ttl: Duration,
    tickets: TicketUse,
    instances: BTreeMap<String, Instance>,
    lease: Observation,
    /// The claim whose lease was reported to be behind.
    reported: Option<ClaimId>,
    standby: Option<Observation>,
    ticket: Option<(InstanceId, ClaimId, Time)>,
    reach: BTreeMap<(String, Store), Reach>,
    extra_delay: BTreeMap<(String, Store), Duration>,
    queue: BTreeMap<(Time, u64), (String, u128, Happening)>,
    order: u64,
    starts: u128,
    hints: bool,
    /// The trace: one line per event.
    pub trace: Vec<String>,
    /// Broken invariants; must stay empty.
    pub violations: Vec<String>,
    epochs: BTreeSet<(Timeline, Epoch, ClaimId)>,
}

impl World {
    pub fn new(ttl: Duration, tickets: TicketUse) -> Self {
        let token = Token { timeline: Timeline(1), epoch: Epoch(0), claim: ClaimId::NIL };
        let version = Version { current: Timeline(1), token, seq: Seq(0) };
        let lease = Observation {
            version,
            released: true,
            ttl,
            holder: None,
            resign: None,
            successor: None,
            floor: Epoch(0),
            schema: SCHEMA,
        };
        Self {
            now: Time::from_nanos(1_000_000_000_000),
            ttl,
            tickets,
            instances: BTreeMap::new(),
            lease,
            reported: None,
            standby: None,
            ticket: None,
            reach: BTreeMap::new(),
            extra_delay: BTreeMap::new(),
            queue: BTreeMap::new(),
            order: 0,
            starts: 0,
            hints: true,
            trace: Vec::new(),
            violations: Vec::new(),
            epochs: BTreeSet::new(),
        }
    }

    fn scenario_time(at: Time) -> f64 {
        at.since(Time::from_nanos(1_000_000_000_000)).as_secs_f64()
    }

    /// Writes a line of the trace at the present time.
    pub fn log(&mut self, line: &str) {
        let at = Self::scenario_time(self.now);
        self.trace.push(format!("{at:9.3}  {line}"));
    }

    // --- actions of a scenario ------------------------------------------------------------------

    pub fn start(&mut self, name: &str) {
        self.starts += 1;
        let id = InstanceId::parse(name).expect("a scenario's names are ids");
        let config = Config::new(id, Nonce::new(self.starts), self.ttl, self.tickets, SCHEMA)
            .expect("a scenario's ttl is in range");
        let instance = Instance {
            elector: Elector::new(config),
            nonce: self.starts,
            paused: false,
            held_back: Vec::new(),
            work_hangs: false,
            recovery: Ok(()),
            last_token: None,
            fallback: false,
        };
        self.instances.insert(name.to_owned(), instance);
        self.step(name, Event::Wakeup);
    }

    pub fn crash(&mut self, name: &str) {
        self.instances.remove(name);
    }

    /// The process is killed, and the kernel reports that to every other instance.
    pub fn kill(&mut self, name: &str) {
        let nonce = self.instance(name).nonce;
        self.crash(name);
        let others: Vec<String> = self.instances.keys().cloned().collect();
        for other in others {
            self.push(&other, self.now, Happening::Deliver(Event::ProcessEnded(Nonce::new(nonce))));
        }
    }

    pub fn pause(&mut self, name: &str) {
        self.instance(name).paused = true;
    }

    pub fn resume(&mut self, name: &str) {
        let instance = self.instance(name);
        instance.paused = false;
        let held_back = std::mem::take(&mut instance.held_back);
        self.step(name, Event::Wakeup);
        for event in held_back {
            self.step(name, event);
        }
    }

    pub fn resign(&mut self, name: &str, why: Resign) {
        self.step(name, Event::Resign(why));
    }

    /// The operator requests a handover to `to`, and the holder reads the request at once.
    pub fn hand_over(&mut self, name: &str, to: &str) {
        self.lease.successor = Some(InstanceId::parse(to).expect("a word is an id"));
        self.resign(name, Resign::StepDown { reason: format!("handed over to {to}") });
    }

    pub fn work_hangs(&mut self, name: &str) {
        self.instance(name).work_hangs = true;
    }

    pub fn recovery(&mut self, name: &str, outcome: Result<(), RecoveryCode>) {
        self.instance(name).recovery = outcome;
    }

    /// For one instance, or for all present and future ones (`*`).
    pub fn reach(&mut self, name: &str, store: Store, reach: Reach) {
        self.reach.insert((name.to_owned(), store), reach);
    }

    pub fn delay(&mut self, name: &str, store: Store, delay: Duration) {
        self.extra_delay.insert((name.to_owned(), store), delay);
    }

    pub fn hints(&mut self, on: bool) {
        self.hints = on;
    }

    /// Every instance gets a hint about the lease and one about the ticket each `every`, for `time`, without any
    /// write.
    pub fn storm(&mut self, every: Duration, time: Duration) {
        let names: Vec<String> = self.instances.keys().cloned().collect();
        let mut at = self.now;
        while at < self.now + time {
            at = at + every;
            for name in &names {
                self.push(name, at, Happening::Deliver(Event::LeaseHint));
                self.push(name, at, Happening::Deliver(Event::TicketHint));
            }
        }
    }

    /// Redis loses all data.
    pub fn flush(&mut self) {
        self.ticket = None;
    }

    /// The ticket of a process outside the world, held for `remaining`.
    pub fn foreign_ticket(&mut self, name: &str, remaining: Duration) {
        let id = InstanceId::parse(name).expect("a scenario's names are ids");
        self.ticket = Some((id, ClaimId::from_u128(u128::MAX), self.now + remaining));
    }

    /// The asynchronous standby stops receiving: it misses all later writes.
    pub fn standby_lags(&mut self) {
        self.standby = Some(self.lease.clone());
    }

    /// The standby becomes the primary, on a new timeline.
    pub fn promote(&mut self) {
        let timeline = Timeline(self.lease.version.current.0 + 1);
        self.lease = self.standby.take().unwrap_or_else(|| self.lease.clone());
        self.lease.version.current = timeline;
    }

    /// Writes an effect under the last token that `name` held, valid or not, as a stuck request would.
    pub fn effect(&self, name: &str) -> &'static str {
        let Some(token) = self.instances[name].last_token else { return "has no token" };
        let holds =
            self.lease.version.token == token && !self.lease.released && self.lease.on_current_timeline();
        if holds { "accepted" } else { "fenced" }
    }

    /// The instances that hold a valid lease now, with their phases.
    pub fn leaders(&self) -> Vec<(&str, &Phase)> {
        let leading = self.instances.iter().filter(|(_, i)| i.elector.valid_token(self.now).is_some());
        leading.filter_map(|(name, i)| i.elector.leadership().map(|l| (name.as_str(), &l.phase))).collect()
    }

    /// Advances the time until `until` after the start of the scenario.
    pub fn run_until(&mut self, until: Duration) {
        let until = Time::from_nanos(1_000_000_000_000) + until;
        assert!(until >= self.now, "a scenario goes forward");
        while let Some(next) = self.next_time().filter(|at| *at <= until) {
            self.now = self.now.max(next);
            self.happen();
        }
        self.now = until;
        self.check();
    }

    // --- implementation -------------------------------------------------------------------------

    fn instance(&mut self, name: &str) -> &mut Instance {
        self.instances.get_mut(name).unwrap_or_else(|| panic!("the scenario has no running instance {name}"))
    }

    fn wakeups(&self) -> impl Iterator<Item = (Time, &String)> {
        let awake = self.instances.iter().filter(|(_, instance)| !instance.paused);
        awake.filter_map(|(name, instance)| instance.elector.next_wakeup().map(|at| (at, name)))
    }

    fn next_time(&self) -> Option<Time> {
        let queued = self.queue.keys().next().map(|(at, _)| *at);
        queued.into_iter().chain(self.wakeups().map(|(at, _)| at)).min()
    }

    /// The next event at `now`: queued events before due wakeups.
    fn happen(&mut self) {
        if let Some(entry) = self.queue.first_entry()
            && entry.key().0 <= self.now
        {
            let (name, nonce, happening) = entry.remove();
            match happening {
                Happening::Deliver(event) => self.deliver(&name, nonce, event),
                Happening::LeaseArrives(call, request, timeout) => {
                    self.lease_arrives(&name, nonce, call, request, timeout);
                }
                Happening::TicketArrives(call, request, timeout) => {
                    self.ticket_arrives(&name, nonce, call, request, timeout);
                }
            }
            return;
        }
        let due = self.wakeups().filter(|(at, _)| *at <= self.now).map(|(_, name)| name.clone()).next();
        if let Some(name) = due {
            let before = self.instance(&name).elector.clone();
            self.step(&name, Event::Wakeup);
            let after = &self.instance(&name).elector;
            let progress = *after != before || after.next_wakeup().is_none_or(|at| at > self.now);
            assert!(progress, "{name} requests a wakeup and does nothing: {before:?}");
        }
    }

    fn deliver(&mut self, name: &str, nonce: u128, event: Event) {
        let Some(instance) = self.instances.get_mut(name).filter(|i| i.nonce == nonce) else { return };
        if instance.paused {
            instance.held_back.push(event);
        } else {
            self.step(name, event);
        }
    }

    fn step(&mut self, name: &str, event: Event) {
        let now = self.now;
        let instance = self.instance(name);
        let commands = instance.elector.step(now, event);
        let fallback = instance.elector.fallback();
        if std::mem::replace(&mut instance.fallback, fallback) != fallback {
            self.log(&format!("{name}  fallback {fallback}"));
        }
        for command in commands {
            self.carry_out(name, command);
        }
        self.check();
    }

    fn carry_out(&mut self, name: &str, command: Command) {
        match command {
            Command::Lease { call, timeout, request } => {
                let at = self.now + LATENCY + self.delay_of(name, Store::Postgres);
                let until = self.now + timeout;
                if at >= until {
                    let answer = Err(StoreError::Unknown("timed out".into()));
                    self.push(name, until, Happening::Deliver(Event::Lease { call, answer }));
                }
                self.push(name, at, Happening::LeaseArrives(call, request, until));
            }
            Command::Ticket { call, timeout, request } => {
                let at = self.now + LATENCY + self.delay_of(name, Store::Redis);
                let until = self.now + timeout;
                if at >= until {
                    let answer = Err(StoreError::Unknown("timed out".into()));
                    self.push(name, until, Happening::Deliver(Event::Ticket { call, answer }));
                }
                self.push(name, at, Happening::TicketArrives(call, request, until));
            }
            Command::Recover { call, .. } => {
                let answer = self.instance(name).recovery;
                self.push(name, self.now + LATENCY, Happening::Deliver(Event::Recovered { call, answer }));
            }
            Command::Drain { .. } => {
                if !self.instance(name).work_hangs {
                    self.push(name, self.now + LATENCY, Happening::Deliver(Event::Drained));
                }
            }
            Command::Report(report) => self.report(name, &report),
        }
    }

    fn report(&mut self, name: &str, report: &Report) {
        let line = match report {
            Report::Renewed { token, .. } => {
                let before = self.instance(name).last_token.replace(*token);
                // Every scenario has many renewals; only one that carries the lease over is of interest.
                if before.is_none_or(|before| before.timeline == token.timeline) {
                    return;
                }
                format!("carried to timeline {}", token.timeline.0)
            }
            Report::Elected { token, .. } => {
                self.instance(name).last_token = Some(*token);
                if !self.epochs.insert((token.timeline, token.epoch, token.claim)) {
                    self.violations.push(format!("{name} was elected twice with {token}"));
                }
                format!("elected, epoch {} on timeline {}", token.epoch, token.timeline.0)
            }
            Report::Ready => "ready".into(),
            Report::Activated { .. } => "active".into(),
            Report::Halted { code, .. } => format!("halted: {code:?}"),
            Report::Lost { at, why, .. } => {
                format!("lost: {why:?}, lease ended at {:.3}", Self::scenario_time(*at))
            }
            Report::Draining { reason, .. } => format!("draining: {reason}"),
            Report::Resigning { .. } => "resigning".into(),
            Report::Released { .. } => "released".into(),
            Report::Fault(fault) => format!("ticket fault: {fault}"),
            Report::Stopped => "stopped".into(),
        };
        self.log(&format!("{name}  {line}"));
    }

    fn push(&mut self, name: &str, at: Time, happening: Happening) {
        self.order += 1;
        let nonce = self.instances[name].nonce;
        self.queue.insert((at, self.order), (name.to_owned(), nonce, happening));
    }

    fn reply(&mut self, name: &str, nonce: u128, at: Time, event: Event) {
        self.order += 1;
        self.queue.insert((at, self.order), (name.to_owned(), nonce, Happening::Deliver(event)));
    }

    fn reach_of(&self, name: &str, store: Store) -> Reach {
        let of = |name: &str| self.reach.get(&(name.to_owned(), store)).copied().unwrap_or_default();
        if of("*") == Reach::Up { of(name) } else { of("*") }
    }

    fn delay_of(&self, name: &str, store: Store) -> Duration {
        self.extra_delay.get(&(name.to_owned(), store)).copied().unwrap_or_default()
    }

    /// Every instance except `writer` gets a hint about a write.
    fn hint(&mut self, writer: &str, event: &Event, store: Store) {
        if !self.hints {
            return;
        }
        let others: Vec<String> = self.instances.keys().filter(|name| *name != writer).cloned().collect();
        for name in others {
            if self.reach_of(&name, store) == Reach::Up {
                self.push(&name, self.now + LATENCY, Happening::Deliver(event.clone()));
            }
        }
    }

    /// Carries `request` out unless the store is unreachable, and sends or drops the reply. A request that arrives
    /// after its timeout gets no reply, because the timeout has answered it.
    fn arrives<A>(
        &mut self,
        (name, nonce, timeout): (&str, u128, Time),
        store: Store,
        serve: impl FnOnce(&mut Self) -> Result<A, StoreError>,
        event: impl FnOnce(Result<A, StoreError>) -> Event,
    ) {
        let silent = Err(StoreError::Unknown("timed out".into()));
        let reach = self.reach_of(name, store);
        if self.now >= timeout {
            if matches!(reach, Reach::Up | Reach::ReplyLost) {
                let _ = serve(self);
            }
            return;
        }
        match reach {
            Reach::Up => {
                let answer = serve(self);
                let at = self.now + LATENCY;
                if at < timeout {
                    self.reply(name, nonce, at, event(answer));
                } else {
                    self.reply(name, nonce, timeout, event(silent));
                }
            }
            Reach::Down => {
                let refused = Err(StoreError::Unavailable("connection refused".into()));
                self.reply(name, nonce, self.now, event(refused));
            }
            Reach::Silent => self.reply(name, nonce, timeout, event(silent)),
            Reach::ReplyLost => {
                let _ = serve(self);
                self.reply(name, nonce, timeout, event(silent));
            }
        }
    }

    /// S1: at most one instance holds a valid lease, at every event.
    fn check(&mut self) {
        let leaders: Vec<String> = self.leaders().iter().map(|(name, _)| (*name).to_owned()).collect();
        if leaders.len() > 1 {
            let at = Self::scenario_time(self.now);
            self.violations.push(format!("{at:.3}: {} hold valid leases at once", leaders.join(" and ")));
        }
    }
}
