//! The operator's desk: what became of signals in doubt that the broker does not have.
//!
//! "The broker does not have it" is not "it was never sent": the order may be on its way, and a process that
//! was stopped just before the wire will send it when it is continued. So the operator, in this order,
//!
//! 1. hears of the doubt: from the present leader, which has taken it over, so that no earlier leadership can begin
//!    another send of that attempt, since the look at the fence would fail; or from the ledger's list, and then
//!    waits as long as a leader waits for the ledger's answer, since the answer to the very claim may be on its way;
//! 2. hears from every process that is not known to be dead, and so knows that it is past whatever it was
//!    stopped in;
//! 3. waits as long as an order can be on its way;
//! 4. asks the broker. Only now does "no" mean that this attempt never was executed and never will be.
//!
//! The verdict is about that attempt, and is told to the ledger until it answers. If a failover loses it, the signal
//! is heard of again, and everything is done again.

use crate::broker::Broker;
use crate::judge::Judge;
use crate::plan::{Caution, LEDGER_PATIENCE};
use domain::ledger::{Outcome, SignalId};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// See the [module](self).
#[derive(Debug)]
pub struct Desk {
    judge: Arc<Judge>,
    flight_max: Duration,
    caution: Caution,
    doubts: Mutex<BTreeMap<(SignalId, u32), Doubt>>,
    restores: AtomicU64,
}

#[derive(Debug, Clone, Copy)]
enum Doubt {
    /// Nobody begins a send any more from then on.
    Heard(Instant),
    /// Everybody was heard since; nothing can be on its way from then on.
    NothingUnderWay(Instant),
    /// To be told to the ledger.
    Decided,
}

/// What is decided about one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Of which signal.
    pub id: SignalId,
    /// Which attempt was looked into.
    pub attempt: u32,
    /// What it is to be.
    pub settlement: Outcome,
}

impl Desk {
    /// An empty one.
    pub fn new(judge: Arc<Judge>, flight_max: Duration, caution: Caution) -> Arc<Self> {
        Arc::new(Self { judge, flight_max, caution, doubts: Mutex::default(), restores: AtomicU64::new(0) })
    }

    /// A leader has taken over an attempt that the broker does not have, or could not be asked about.
    pub fn bring(&self, id: &SignalId, attempt: u32) {
        self.hear(id, attempt, Instant::now());
    }

    /// The ledger lists an attempt as in doubt.
    pub fn read(&self, id: &SignalId, attempt: u32) {
        self.hear(id, attempt, Instant::now() + LEDGER_PATIENCE);
    }

    fn hear(&self, id: &SignalId, attempt: u32, over_at: Instant) {
        let mut doubts = self.doubts();
        let doubt = doubts.entry((id.clone(), attempt)).or_insert(Doubt::Heard(over_at));
        if let Doubt::Heard(since) = doubt {
            *since = over_at.min(*since);
        }
    }

    /// One round of the operator; the verdicts that it came to. `heard`: every process that is not dead has answered
    /// a question that was asked then or later.
    pub async fn round(&self, heard: Instant, broker: &Broker) -> Vec<Verdict> {
        let restores = self.restores();
        let doubts: Vec<_> = self.doubts().iter().map(|(key, doubt)| (key.clone(), *doubt)).collect();
        let mut verdicts = Vec::new();
        for ((id, attempt), doubt) in doubts {
            let next = match doubt {
                Doubt::Decided => continue,
                Doubt::Heard(since) if self.caution != Caution::Hasty => {
                    if since > heard {
                        continue;
                    }
                    Doubt::NothingUnderWay(Instant::now() + self.flight_max)
                }
                Doubt::NothingUnderWay(from) if from >= Instant::now() => continue,
                Doubt::Heard(_) | Doubt::NothingUnderWay(_) => {
                    let Ok(there) = broker.has(&id).await else { continue };
                    let settlement = if there { Outcome::Done } else { Outcome::Received };
                    verdicts.push(Verdict { id: id.clone(), attempt, settlement });
                    Doubt::Decided
                }
            };
            if self.restores() != restores {
                return Vec::new();
            }
            self.doubts().insert((id, attempt), next);
        }
        for Verdict { id, attempt, settlement } in &verdicts {
            self.judge.note(("verdict", id.as_str(), attempt, settlement), || {
                format!("verdict on {id}, attempt {attempt}: {settlement:?}")
            });
        }
        verdicts
    }

    /// The ledger has answered: whatever it said, that attempt is not in doubt any more.
    pub fn is_told(&self, verdict: &Verdict) {
        self.doubts().remove(&(verdict.id.clone(), verdict.attempt));
    }

    /// A backup was restored: everything that was found out before is about attempts that the ledger may have forgotten.
    pub fn start_anew(&self) {
        self.doubts().clear();
        self.restores.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts restores: a verdict is told only while it is the same as when the verdict was reached.
    pub fn restores(&self) -> u64 {
        self.restores.load(Ordering::Relaxed)
    }

    fn doubts(&self) -> MutexGuard<'_, BTreeMap<(SignalId, u32), Doubt>> {
        self.doubts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
