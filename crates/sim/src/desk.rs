//! The operator's desk: the decisions on signals in doubt that the broker does not have.
//!
//! "The broker does not have it" does not mean "it was never sent": the order may be in flight, and a process that
//! was paused just before the wire will send it when it resumes. So the operator, in this order,
//! 1. learns of the signal in doubt: from the present leader, which has taken it over, so that no former leader can
//!    begin another send of that attempt, because its check of the fence would fail; or from the ledger's list. In the
//!    second case the operator waits until a leader's request to the ledger has timed out, because the answer to the
//!    claim may be in flight;
//! 2. gets an answer from every process that is not known to be dead, which proves that the process is past the
//!    pause;
//! 3. waits for the longest flight of an order;
//! 4. queries the broker. Only now does "no" mean that this attempt was never executed and never will be.
//!
//! The verdict is about that attempt, and the operator sends it to the ledger until the ledger answers. If a failover
//! loses it, the signal is in doubt again, and all steps are repeated.

use crate::broker::Broker;
use crate::judge::Judge;
use crate::plan::{Caution, LEDGER_PATIENCE};
use domain::ledger::{Outcome, SignalId};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The desk; see the [module](self).
#[derive(Debug)]
pub struct Desk {
    judge: Arc<Judge>,
    flight_max: Duration,
    caution: Caution,
    cases: Mutex<BTreeMap<(SignalId, u32), Case>>,
    restores: AtomicU64,
}

#[derive(Debug, Clone, Copy)]
enum Case {
    /// No process begins a send of it after this time.
    Heard(Instant),
    /// Every process has answered since; no order is in flight after this time.
    NothingUnderWay(Instant),
    /// The verdict must be sent to the ledger.
    Decided,
}

/// The decision on one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The signal.
    pub id: SignalId,
    /// The attempt that the operator checked.
    pub attempt: u32,
    /// The decision.
    pub outcome: Outcome,
}

impl Desk {
    /// An empty desk.
    pub fn new(judge: Arc<Judge>, flight_max: Duration, caution: Caution) -> Arc<Self> {
        Arc::new(Self { judge, flight_max, caution, cases: Mutex::default(), restores: AtomicU64::new(0) })
    }

    /// A leader has taken over an attempt that the broker does not have, or that the leader could not look up.
    pub fn bring(&self, id: &SignalId, attempt: u32) {
        self.hear(id, attempt, Instant::now());
    }

    /// The ledger lists an attempt as in doubt.
    pub fn read(&self, id: &SignalId, attempt: u32) {
        self.hear(id, attempt, Instant::now() + LEDGER_PATIENCE);
    }

    fn hear(&self, id: &SignalId, attempt: u32, over_at: Instant) {
        let mut cases = self.cases();
        let case = cases.entry((id.clone(), attempt)).or_insert(Case::Heard(over_at));
        if let Case::Heard(since) = case {
            *since = over_at.min(*since);
        }
    }

    /// One round of the operator; returns its verdicts. `heard`: every process that is not dead has answered a query
    /// that was sent then or later.
    pub async fn round(&self, heard: Instant, broker: &Broker) -> Vec<Verdict> {
        let restores = self.restores();
        let cases: Vec<_> = self.cases().iter().map(|(key, case)| (key.clone(), *case)).collect();
        let mut verdicts = Vec::new();
        for ((id, attempt), case) in cases {
            let next = match case {
                Case::Decided => continue,
                Case::Heard(since) if self.caution != Caution::Hasty => {
                    if since > heard {
                        continue;
                    }
                    Case::NothingUnderWay(Instant::now() + self.flight_max)
                }
                Case::NothingUnderWay(from) if from >= Instant::now() => continue,
                Case::Heard(_) | Case::NothingUnderWay(_) => {
                    let Ok(there) = broker.has(&id).await else { continue };
                    let outcome = if there { Outcome::Done } else { Outcome::Received };
                    verdicts.push(Verdict { id: id.clone(), attempt, outcome });
                    Case::Decided
                }
            };
            if self.restores() != restores {
                return Vec::new();
            }
            self.cases().insert((id, attempt), next);
        }
        for Verdict { id, attempt, outcome } in &verdicts {
            self.judge.note(("verdict", id.as_str(), attempt, outcome), || {
                format!("verdict on {id}, attempt {attempt}: {outcome:?}")
            });
        }
        verdicts
    }

    /// The ledger has answered: with any answer, that attempt is no longer in doubt.
    pub fn is_answered(&self, verdict: &Verdict) {
        self.cases().remove(&(verdict.id.clone(), verdict.attempt));
    }

    /// A backup was restored: earlier findings are about attempts that the ledger may have forgotten.
    pub fn start_anew(&self) {
        self.cases().clear();
        self.restores.fetch_add(1, Ordering::Relaxed);
    }

    /// Number of restores: a verdict is sent only while the number is the same as when the verdict was reached.
    pub fn restores(&self) -> u64 {
        self.restores.load(Ordering::Relaxed)
    }

    fn cases(&self) -> MutexGuard<'_, BTreeMap<(SignalId, u32), Case>> {
        self.cases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
