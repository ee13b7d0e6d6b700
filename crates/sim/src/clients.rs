//! Clients of the instances: those that submit signals, and the service to which a broker reports results.

use crate::plan::{Results, Submission};
use crate::world::{Acceptances, World};
use domain::ledger::{Actor, Instruction, Label, NewSignal, Outcome, SignalId};
use domain::ports::{Recorded, Report, Submit};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// A later result comes within this number of LEADER_TTL.
const RESULT_TTLS: u64 = 2;
/// The timestamp of signals, in unix seconds.
const AROSE_S: i64 = 1_700_000_000;

impl World {
    /// Submits one signal to one instance after the other, always under the same id, until an instance answers that
    /// it is durable.
    ///
    /// # Panics
    /// If the plan has no signal of that number.
    pub async fn client(self: Arc<Self>, number: usize, begin: Instant) {
        let Submission { at_ms, instrument } = self.plan.signals[number];
        sleep_until(begin + Duration::from_millis(at_ms)).await;
        let id = SignalId::parse(&format!("s{number}")).expect("an id");
        let signal = signal(&id, instrument);
        let client = Actor { who: "client".to_owned(), origin: format!("client-{number}") };
        let mut rng = self.rng(&[30, number as u64]);
        loop {
            let place = usize::try_from(rng.below(self.plan.instances as u64)).unwrap_or(0);
            if let Some(instance) = self.instance(place) {
                match timeout(self.patience(), instance.submit(signal.clone(), client.clone())).await {
                    Ok(Some(Submit::Accepted(_) | Submit::Repeated(_))) => break,
                    Ok(Some(Submit::Folded(_) | Submit::Conflict(_))) => {
                        self.judge.violation("a repetition is no conflict", id.to_string());
                    }
                    Ok(None) | Err(_) => {}
                }
            }
            sleep(self.patience() / 2).await;
        }
        self.judge.note(("acknowledged", number), || format!("{id} is acknowledged"));
        self.acknowledged().insert(id);
    }

    /// The service on the leader's host to which the broker reports results, unless it reports them at once.
    pub async fn report_results(self: Arc<Self>, mut accepted: Acceptances) {
        let mut rng = self.rng(&[32]);
        while let Some((id, attempt)) = accepted.recv().await {
            if self.broker.results() == Results::Later {
                let result_in = Duration::from_millis(rng.below(self.plan.ttl_ms * RESULT_TTLS));
                tokio::spawn(Arc::clone(&self).report_result(id, attempt, result_in));
            }
        }
    }

    /// Reports to the present leader until it answers.
    async fn report_result(self: Arc<Self>, id: SignalId, attempt: u32, result_in: Duration) {
        sleep(result_in).await;
        let report = Report { id, attempt, outcome: Outcome::Done, note: None };
        loop {
            if let Some(leader) = self.leader().and_then(|place| self.instance(place)) {
                let reported = timeout(self.patience(), leader.report(report.clone())).await;
                if matches!(reported, Ok(Some(Recorded::Recorded | Recorded::Refused))) {
                    return;
                }
            }
            sleep(self.patience() / 2).await;
        }
    }
}

fn signal(id: &SignalId, instrument: u64) -> NewSignal {
    let label = |text: &str| Label::parse(text).expect("a label");
    let instruction = Instruction {
        instrument: label(&format!("I{instrument}")),
        signal_type: label("ENTRY"),
        position: label(id.as_str()),
        timestamp_s: AROSE_S,
        payload: format!("{{\"of\":\"{id}\"}}"),
        expires_ms: None,
    };
    NewSignal { id: Some(id.clone()), instruction, hook: None }
}
