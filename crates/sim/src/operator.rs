//! The operator, with a separate command line. Its requests may be lost like all others, so the operator repeats them
//! until they are answered.

use crate::desk::Verdict;
use crate::judge::Effect;
use crate::plan::Caution;
use crate::world::World;
use domain::id::InstanceId;
use domain::ledger::{Actor, Outcome, Signal, SignalId, StateName};
use domain::ports::{
    LeaseStore, ListQuery, OperatorRequests, Recorded, Resolution, SIGNALS_READ_MAX, SignalLedger, StepDown,
    StoreError, Switch,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// Longest time between the broker's answer and the command that reports it, in LEADER_TTL.
const THINKING_TTLS: u64 = 2;

impl World {
    /// Queries every process, checks signals in doubt and decides on them, forever.
    pub async fn operate(self: Arc<Self>) {
        let mut rng = self.rng(&[31]);
        loop {
            let asked = Instant::now();
            self.instances().iter().for_each(|instance| instance.ask());
            sleep(self.patience()).await;
            // A dead process has nothing to send; a process started since then has sent nothing.
            let heard = self.instances().iter().map(|instance| instance.heard()).min().unwrap_or(asked);
            for verdict in self.desk.round(heard, &self.broker).await {
                let thinking = Duration::from_millis(rng.below(self.plan.ttl_ms * THINKING_TTLS));
                tokio::spawn(Arc::clone(&self).resolve(verdict, thinking));
            }
            for signal in self.listed(StateName::InDoubt).await {
                self.desk.read(&signal.id, signal.attempt);
            }
            // A failover may have lost its result.
            if let Some(signal) = self.listed(StateName::Sent).await.pop()
                && self.broker.has(&signal.id).await == Ok(true)
            {
                let (id, attempt) = (signal.id, signal.attempt);
                self.decide(&Verdict { id, attempt, outcome: Outcome::Done }, attempt).await;
            }
            self.step_down_whom_the_broker_refuses();
            if self.is_healed() {
                // An earlier request to pause may have arrived only now.
                self.answer(self.operator.switch(Switch::Resume, &operator(), "the market is normal")).await;
            }
        }
    }

    /// After a restore a leader may have an epoch that a fencing broker has already seen under another claim, or a
    /// smaller one if it never read the forgotten terms. The next leader has a larger epoch (docs/signals.md).
    fn step_down_whom_the_broker_refuses(&self) {
        let Some(leader) = self.leader().and_then(|place| self.instance(place)) else { return };
        let token = self.judge.granted_last().filter(|token| token.claim.is_from(leader.nonce));
        if token.is_some_and(|token| self.broker.refuses_leader(&token)) {
            let coordinator = leader.coordinator.clone();
            let step_down = async move { coordinator.step_down("the service refuses its epoch").await };
            tokio::spawn(leader.process.gate(step_down));
        }
    }

    /// Requests a handover to that instance through the lease, once. The request takes effect when the holder reads it.
    pub async fn hand_over(self: Arc<Self>, to: InstanceId, effect: Arc<Effect>) {
        let Some(lease) = self.answer(self.operator.observe()).await else { return };
        let (token, reason) = (lease.version.token, "requested by the operator");
        let asked = self.answer(self.operator.request_handover(&token, Some(&to), reason)).await;
        self.judge.note(("handover requested", to.as_str(), &asked), || {
            format!("the handover to {to} is answered: {asked:?}")
        });
        if asked == Some(StepDown::Requested) {
            self.judge.took_effect(&effect);
        }
    }

    /// The signals in that state, if the ledger answers.
    async fn listed(&self, state: StateName) -> Vec<Signal> {
        let query = ListQuery { state: Some(state), instrument: None, before: None, limit: SIGNALS_READ_MAX };
        self.answer(self.operator.list(&query)).await.unwrap_or_default()
    }

    /// Sends the decision to the ledger until the ledger answers.
    async fn resolve(self: Arc<Self>, verdict: Verdict, thinking: Duration) {
        let restores = self.desk.restores();
        sleep(thinking).await;
        while self.desk.restores() == restores {
            let attempt = match self.plan.caution {
                Caution::LatestAttempt => self.latest_attempt(&verdict.id).await,
                Caution::Careful
                | Caution::Blind
                | Caution::SilenceIsNo
                | Caution::Hasty
                | Caution::NoMemory => Some(verdict.attempt),
            };
            let recorded = match attempt {
                Some(attempt) => self.decide(&verdict, attempt).await,
                None => None,
            };
            match recorded {
                // The ledger now has another attempt than the one checked, and this mistake names that one next time.
                Some(Recorded::Refused) if self.plan.caution == Caution::LatestAttempt => {}
                Some(Recorded::Recorded | Recorded::Refused) => return self.desk.is_answered(&verdict),
                None => {}
            }
            sleep(self.patience() / 2).await;
        }
    }

    async fn decide(&self, verdict: &Verdict, attempt: u32) -> Option<Recorded> {
        let Verdict { id, outcome, .. } = verdict.clone();
        let reason = "looked into".to_owned();
        let decision = Resolution { id, attempt, outcome, actor: operator(), reason };
        let recorded = self.answer(self.operator.resolve(&decision)).await?;
        let id = &verdict.id;
        self.judge.note(("decision answered", id.as_str(), attempt, recorded), || {
            format!("the decision on {id}, attempt {attempt}, is answered: {recorded:?}")
        });
        Some(recorded)
    }

    async fn latest_attempt(&self, id: &SignalId) -> Option<u32> {
        let found = self.answer(self.operator.find(id)).await?;
        found.map(|signal| signal.attempt)
    }

    /// Pauses sending for `length`.
    pub async fn pause_for(self: Arc<Self>, length: Duration, effect: Arc<Effect>) {
        self.turn(Switch::Pause).await;
        self.judge.took_effect(&effect);
        sleep(length).await;
        self.turn(Switch::Resume).await;
    }

    /// Switches the kill switch, and repeats the request until it is answered.
    async fn turn(&self, to: Switch) {
        while self.answer(self.operator.switch(to, &operator(), "unclear market")).await.is_none() {
            sleep(self.patience() / 2).await;
        }
    }

    /// The answer; `None` if there was none in time.
    async fn answer<T>(&self, request: impl Future<Output = Result<T, StoreError>>) -> Option<T> {
        timeout(self.patience(), request).await.ok().and_then(Result::ok)
    }
}

fn operator() -> Actor {
    Actor { who: "operator".to_owned(), origin: "desk".to_owned() }
}
