//! The operator's desk: what became of signals in doubt that the broker does not have.
//!
//! "The broker does not have it" is not "it was never sent": the order may be on its way, and a process that
//! was stopped just before the wire will send it when it is continued. So the operator, in this order,
//!
//! 1. hears of the doubt from the present leader, which has taken it over: no earlier leadership can begin
//!    another send of it, since the look at the fence would fail;
//! 2. hears from every process that is not known to be dead, and so knows that it is past whatever it was
//!    stopped in;
//! 3. waits as long as an order can be on its way;
//! 4. asks the broker. Only now does "no" mean that it never was and never will be.
//!
//! The verdict is handed out once. If what becomes of it is not known, the next leader that finds the signal
//! still in doubt brings it here again, and everything is done again.

use crate::broker::Broker;
use crate::judge::Judge;
use domain::ledger::{Settlement, SignalId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// See the [module](self).
#[derive(Debug)]
pub struct Desk {
    judge: Arc<Judge>,
    flight_max: Duration,
    doubts: Mutex<BTreeMap<SignalId, Doubt>>,
    decided: Notify,
}

#[derive(Debug, Clone, Copy)]
enum Doubt {
    /// Since then.
    Heard(Instant),
    /// Everybody was heard since; nothing can be on its way from then on.
    NothingUnderWay(Instant),
    /// To be handed to a leader.
    Decided(Settlement),
}

impl Desk {
    /// An empty one.
    pub fn new(judge: Arc<Judge>, flight_max: Duration) -> Arc<Self> {
        Arc::new(Self { judge, flight_max, doubts: Mutex::default(), decided: Notify::new() })
    }

    /// A leader has taken over a signal in doubt that the broker does not have, or could not be asked about.
    pub fn bring(&self, id: &SignalId) {
        self.doubts().entry(id.clone()).or_insert_with(|| Doubt::Heard(Instant::now()));
    }

    /// A verdict for the present leader to carry out; nobody else gets it.
    pub fn take_verdict(&self) -> Option<(SignalId, Settlement)> {
        let mut doubts = self.doubts();
        let decided = doubts.iter().find_map(|(id, doubt)| match doubt {
            Doubt::Decided(verdict) => Some((id.clone(), *verdict)),
            Doubt::Heard(_) | Doubt::NothingUnderWay(_) => None,
        });
        if let Some((id, _)) = &decided {
            doubts.remove(id);
        }
        decided
    }

    /// Resolves when there may be a verdict.
    pub async fn decided(&self) {
        self.decided.notified().await;
    }

    /// One round of the operator. `heard`: every process that is not dead has answered a question that was
    /// asked then or later.
    pub async fn round(&self, heard: Instant, broker: &Broker) {
        let doubts: Vec<(SignalId, Doubt)> =
            self.doubts().iter().map(|(id, doubt)| (id.clone(), *doubt)).collect();
        for (id, doubt) in doubts {
            let next = match doubt {
                Doubt::Heard(since) if since <= heard => {
                    Doubt::NothingUnderWay(Instant::now() + self.flight_max)
                }
                Doubt::NothingUnderWay(from) if from < Instant::now() => match broker.has(&id).await {
                    Ok(true) => Doubt::Decided(Settlement::Done),
                    Ok(false) => Doubt::Decided(Settlement::Received),
                    Err(_) => continue,
                },
                Doubt::Heard(_) | Doubt::NothingUnderWay(_) | Doubt::Decided(_) => continue,
            };
            if let Doubt::Decided(verdict) = next {
                self.judge
                    .note(("verdict", id.as_str(), verdict), || format!("verdict on {id}: {verdict:?}"));
                self.decided.notify_one();
            }
            self.doubts().insert(id, next);
        }
    }

    fn doubts(&self) -> MutexGuard<'_, BTreeMap<SignalId, Doubt>> {
        self.doubts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
