//! Random histories on this store and on the fake in memory: both give the same answers and end in the same
//! state.

use crate::files::Files;
use contract::fake::FakeDatabase;
use contract::signal_ledger::client;
use contract::{Case, Process, Scene, StateStores};
use domain::lease::Token;
use domain::ledger::{
    Actor, AuditEntry, Fingerprint, Instruction, Label, Limits, NewSignal, Outcome, Signal, SignalId,
};
use domain::ports::{
    AUDIT_READ_MAX, InFlight, ListQuery, Report, Resolution, SIGNALS_READ_MAX, SignalClaim, Submit, Switch,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

pub fn suite() -> Vec<Case<Files>> {
    vec![Case::new("agreement::a_random_history_is_answered_as_in_memory", histories)]
}

const HISTORIES: u64 = 25;
const STEPS: usize = 40;
/// Few signals and names, so that they often coincide.
const INSTRUCTIONS: u64 = 7;
const NAMES: u64 = 5;
const OUTCOMES: [Outcome; 5] =
    [Outcome::Done, Outcome::Sent, Outcome::Rejected, Outcome::Received, Outcome::InDoubt];
/// Both clocks count milliseconds: what was recorded before is older than now.
const A_TICK: Duration = Duration::from_millis(2);

async fn histories(_: Arc<Files>) {
    let (here, memory) = (Arc::new(Files::new()), Arc::new(FakeDatabase::new()));
    for seed in 0..HISTORIES {
        let message = History::new(here.clone(), seed).await.message().await;
        let expected = History::new(memory.clone(), seed).await.message().await;
        for step in 0..expected.len() {
            let before = &expected[step.saturating_sub(5)..step];
            assert_eq!(message[step], expected[step], "history {seed}, step {step}, after {before:#?}");
        }
    }
}

/// The same numbers for both stores (SplitMix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }

    fn of<T: Copy>(&mut self, these: &[T]) -> T {
        these[usize::try_from(self.roll(these.len() as u64)).expect("a short list")]
    }
}

/// One process of a new group, and the events of its history.
struct History {
    process: Process,
    token: Token,
    former: Token,
    dice: Dice,
}

impl History {
    async fn new(stores: Arc<impl StateStores>, seed: u64) -> Self {
        let process = Scene::new("agreement", stores).process("a").await;
        let token = process.lead().await;
        Self { process, token, former: token, dice: Dice(seed) }
    }

    /// Runs the history. Returns every answer and the final state.
    async fn message(mut self) -> Vec<String> {
        let mut message = Vec::with_capacity(STEPS + 1);
        for _ in 0..STEPS {
            message.push(self.step().await);
        }
        message.push(self.end().await);
        message
    }

    async fn step(&mut self) -> String {
        match self.dice.roll(20) {
            0..5 => self.submit().await,
            5..10 => self.claim().await,
            10..14 => self.record().await,
            14 | 15 => self.take_over().await,
            16 => self.resolve().await,
            17 => self.switch().await,
            18 => {
                self.former = self.token;
                self.token = self.process.lead().await;
                "another leadership".to_owned()
            }
            _ => {
                // Both clocks advance, so that what was recorded just now is old. The pause waits for nothing
                // else.
                tokio::time::sleep(A_TICK).await;
                let token = self.some_token();
                let swept = self.process.ledger.sweep(&token, Duration::ZERO).await;
                format!("sweep: {swept:?}")
            }
        }
    }

    /// The token of the lease, or rarely the one before.
    fn some_token(&mut self) -> Token {
        if self.dice.one_in(12) { self.former } else { self.token }
    }

    async fn submit(&mut self) -> String {
        let new: Vec<NewSignal> = (0..=self.dice.roll(4)).map(|_| self.some_signal()).collect();
        let answers = self.process.ledger.submit(&new, &client()).await.expect("submit");
        let answers: Vec<_> = answers
            .iter()
            .map(|answer| match answer {
                Submit::Accepted(signal) => ("accepted", shown(signal)),
                Submit::Repeated(signal) => ("repeated", shown(signal)),
                Submit::Folded(signal) => ("folded", shown(signal)),
                Submit::Conflict(signal) => ("conflict", shown(signal)),
            })
            .collect();
        format!("submit {new:#?}: {answers:#?}")
    }

    fn some_signal(&mut self) -> NewSignal {
        let label = |text: String| Label::parse(&text).expect("a label");
        let instruction = |which: u64, variant: u64| Instruction {
            instrument: label(format!("i-{}", which % 3)),
            signal_type: label("ENTRY".to_owned()),
            position: label(format!("p-{which}")),
            timestamp_s: 1,
            payload: format!("{{\"variant\":{variant}}}"),
            // A third of the signals has expired from the start.
            expires_ms: (which % 3 == 2).then_some(1),
        };
        let variant = u64::from(self.dice.one_in(8));
        let instruction_of_it = instruction(self.dice.roll(INSTRUCTIONS), variant);
        let id = match self.dice.roll(10) {
            0..5 => None,
            5..9 => Some(format!("n-{}", self.dice.roll(NAMES))),
            _ => Some(Fingerprint::of(&instruction(self.dice.roll(INSTRUCTIONS), 0)).to_string()),
        };
        let id = id.map(|id| SignalId::parse(&id).expect("an id"));
        NewSignal { id, instruction: instruction_of_it, hook: None }
    }

    async fn claim(&mut self) -> String {
        let limit = |dice: &mut Dice| dice.one_in(4).then(|| u32::try_from(dice.roll(5)).expect("small"));
        let limits = Limits { per_minute: limit(&mut self.dice), per_day: limit(&mut self.dice) };
        let (token, most) = (self.some_token(), self.dice.of(&[0, 1, 2, 100]));
        let answer = self.process.ledger.claim_signals(&token, limits, most).await.expect("claim");
        match answer {
            SignalClaim::Claimed(signals) => {
                let shown: Vec<_> = signals.iter().map(shown).collect();
                format!("claim {limits:?} {most}: {shown:#?}")
            }
            other => format!("claim {limits:?} {most}: {other:?}"),
        }
    }

    /// Usually a stored signal with its latest attempt.
    async fn some_attempt(&mut self) -> (SignalId, u32) {
        let there = self.all().await;
        if there.is_empty() || self.dice.one_in(20) {
            return (SignalId::parse("unknown").expect("an id"), 1);
        }
        let signal = &there[usize::try_from(self.dice.roll(there.len() as u64)).expect("a short list")];
        let attempt = if self.dice.one_in(8) { signal.attempt + 1 } else { signal.attempt };
        (signal.id.clone(), attempt)
    }

    async fn record(&mut self) -> String {
        let (mut reports, mut named) = (Vec::new(), BTreeSet::new());
        for _ in 0..self.dice.roll(4) {
            let (id, attempt) = self.some_attempt().await;
            let outcome = self.dice.of(&OUTCOMES);
            let note = self.dice.of(&[None, Some(""), Some("order 7"), Some("₹")]).map(str::to_owned);
            if named.insert(id.clone()) {
                reports.push(Report { id, attempt, outcome, note });
            }
        }
        let token = self.some_token();
        let answers = self.process.ledger.record(&token, &reports).await;
        format!("settle {reports:#?}: {answers:?}")
    }

    async fn take_over(&mut self) -> String {
        let token = self.some_token();
        let named: Vec<SignalId> =
            self.all().await.into_iter().map(|signal| signal.id).filter(|_| self.dice.one_in(2)).collect();
        let in_flight = if self.dice.one_in(3) { InFlight::All } else { InFlight::Only(&named) };
        let doubted = self.process.ledger.take_over(&token, in_flight).await.expect("take over");
        let doubted: Option<Vec<_>> = doubted.map(|signals| signals.iter().map(shown).collect());
        format!("take over, {in_flight:?}: {doubted:#?}")
    }

    async fn resolve(&mut self) -> String {
        let (id, attempt) = self.some_attempt().await;
        let outcome = self.dice.of(&OUTCOMES);
        let actor = Actor { who: "asha".to_owned(), origin: "desk".to_owned() };
        let decision = Resolution { id, attempt, outcome, actor, reason: "seen".to_owned() };
        format!("{decision:?}: {:?}", self.process.ledger.resolve(&decision).await)
    }

    async fn switch(&mut self) -> String {
        let to = self.dice.of(&[Switch::Pause, Switch::Resume, Switch::Resume]);
        let reason = format!("reason {}", self.dice.roll(100));
        format!("{to:?} {reason}: {:?}", self.process.ledger.switch(to, &client(), &reason).await)
    }

    async fn all(&self) -> Vec<Signal> {
        let query = ListQuery { state: None, instrument: None, before: None, limit: SIGNALS_READ_MAX };
        self.process.ledger.list(&query).await.expect("list")
    }

    /// The final state: signals in their order, counts, and the audit of each signal and of the kill switch.
    async fn end(&self) -> String {
        let ledger = &self.process.ledger;
        let signals: Vec<_> = self.all().await.iter().map(shown).collect();
        let (counts, totals) = (ledger.counts().await, ledger.totals().await.expect("totals"));
        let lines = ledger.audit(None, AUDIT_READ_MAX).await.expect("audit");
        let of: BTreeSet<_> = lines.iter().map(|line| line.signal.clone()).collect();
        let audit: Vec<_> = of
            .into_iter()
            .map(|of| lines.iter().filter(|line| line.signal == of).map(line).collect::<Vec<_>>())
            .collect();
        let totals =
            (totals.sent_last_day, totals.expired_last_day, totals.paused.map(|paused| paused.reason));
        format!("{signals:#?} {counts:?} {totals:?} {audit:#?}")
    }
}

/// A signal without its times and its token, which differ between the stores.
fn shown(signal: &Signal) -> impl std::fmt::Debug + use<> {
    let Signal { id, instruction, arrival: _, state, attempt, received_ms: _, claimed_ms, settled_ms, note } =
        signal.clone();
    (id, instruction, state.name(), attempt, claimed_ms.is_some(), settled_ms.is_some(), note)
}

fn line(entry: &AuditEntry) -> impl std::fmt::Debug + use<> {
    let AuditEntry { number: _, at_ms: _, actor, epoch, what, signal, attempt, note } = entry.clone();
    (actor, epoch, what, signal, attempt, note)
}
