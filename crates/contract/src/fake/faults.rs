//! Injected faults, between a caller and its store.

use domain::ports::StoreError;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Semaphore, watch};

/// A fault of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Refused before execution: [`StoreError::Unavailable`].
    Refuse,
    /// The request is lost: [`StoreError::Unknown`], without execution.
    LoseRequest,
    /// Carried out, but the answer is lost: [`StoreError::Unknown`].
    LoseReply,
    /// The request is lost, and the caller waits forever.
    HangBefore,
    /// Carried out, and the caller waits forever.
    HangAfter,
    /// Carried out, and the answer arrives after [`Faults::deliver`].
    HoldReply,
}

/// A method of a port, for faults that hit only one kind of call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is a method of a port, under its name")]
pub enum Call {
    Migrate,
    Observe,
    Claim,
    Renew,
    Release,
    RequestStepDown,
    RemoveInstance,
    AcknowledgeRecovery,
    Decisions,
    NoteForgotten,
    Heartbeat,
    Leave,
    Members,
    History,
    Lease,
    Portfolio,
    Submit,
    ClaimSignals,
    Record,
    TakeOver,
    Decide,
    Acknowledge,
    Switch,
    Find,
    List,
    Audit,
    Counts,
    Totals,
    Sweep,
    TicketAcquire,
    TicketRenew,
    TicketRelease,
    TicketInspect,
}

/// The faults of one process's connection to one store. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Mutex<Planned>>, Arc<Held>);

/// Answers that are held back.
#[derive(Debug)]
struct Held {
    /// Number of answers held back.
    count: watch::Sender<usize>,
    may_arrive: Semaphore,
}

impl Default for Held {
    fn default() -> Self {
        Self { count: watch::Sender::new(0), may_arrive: Semaphore::new(0) }
    }
}

#[derive(Debug, Default)]
struct Planned {
    /// Each hits once; `None` hits any next call.
    once: VecDeque<(Option<Call>, Fault)>,
    /// Active until healed; the latest wins.
    lasting: Vec<(Option<Call>, Fault)>,
    calls: Vec<Call>,
}

impl Faults {
    /// The next call of any kind gets `fault`. Several queue up.
    pub fn next(&self, fault: Fault) {
        self.planned().once.push_back((None, fault));
    }

    /// The next `call` gets `fault`. Several queue up.
    pub fn next_of(&self, call: Call, fault: Fault) {
        self.planned().once.push_back((Some(call), fault));
    }

    /// Every call gets `fault` until [`Self::heal`].
    pub fn lasting(&self, fault: Fault) {
        self.planned().lasting.push((None, fault));
    }

    /// Every `call` gets `fault` until [`Self::heal`].
    pub fn lasting_of(&self, call: Call, fault: Fault) {
        self.planned().lasting.push((Some(call), fault));
    }

    /// Removes all faults, planned ones included. Calls that already hang stay so.
    pub fn heal(&self) {
        let mut planned = self.planned();
        planned.once.clear();
        planned.lasting.clear();
    }

    /// Returns when an answer is being held back ([`Fault::HoldReply`]): its call was carried out.
    ///
    /// # Panics
    /// Never: the sender lives as long as `self`.
    pub async fn holds(&self) {
        self.1.count.subscribe().wait_for(|held| *held > 0).await.expect("the sender is ours");
    }

    /// Delivers one answer that is held back.
    pub fn deliver(&self) {
        self.1.may_arrive.add_permits(1);
    }

    /// Every call that was made, in order, failed ones included.
    pub fn calls(&self) -> Vec<Call> {
        self.planned().calls.clone()
    }

    /// Carries out `call` with `work`, or lets it fail as planned.
    pub(super) async fn around<T>(
        &self,
        call: Call,
        work: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match self.take(call) {
            None => work(),
            Some(Fault::Refuse) => Err(StoreError::Unavailable("refused (injected)".to_owned())),
            Some(Fault::LoseRequest) => Err(lost()),
            Some(Fault::LoseReply) => work().and_then(|_| Err(lost())),
            Some(Fault::HangBefore) => {
                drop(work);
                std::future::pending().await
            }
            Some(Fault::HangAfter) => {
                drop(work());
                std::future::pending().await
            }
            Some(Fault::HoldReply) => {
                let answer = work();
                self.1.count.send_modify(|held| *held += 1);
                self.1.may_arrive.acquire().await.expect("never closed").forget();
                self.1.count.send_modify(|held| *held -= 1);
                answer
            }
        }
    }

    fn take(&self, call: Call) -> Option<Fault> {
        let hits = |(of, _): &(Option<Call>, Fault)| of.is_none_or(|of| of == call);
        let mut planned = self.planned();
        planned.calls.push(call);
        let once = planned.once.iter().position(hits).and_then(|at| planned.once.remove(at));
        let fault = once.or_else(|| planned.lasting.iter().rev().copied().find(hits));
        fault.map(|(_, fault)| fault)
    }

    fn planned(&self) -> MutexGuard<'_, Planned> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lost() -> StoreError {
    StoreError::Unknown("no reply (injected)".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn outcome(faults: &Faults, call: Call) -> (bool, Result<(), StoreError>) {
        let mut done = false;
        let answer = faults
            .around(call, || {
                done = true;
                Ok(())
            })
            .await;
        (done, answer)
    }

    #[tokio::test]
    async fn a_fault_hits_once_and_its_own_call_only() {
        let faults = Faults::default();
        faults.next_of(Call::Renew, Fault::LoseReply);
        faults.next(Fault::Refuse);
        assert!(matches!(outcome(&faults, Call::Observe).await, (false, Err(StoreError::Unavailable(_)))));
        assert_eq!(outcome(&faults, Call::Observe).await, (true, Ok(())));
        assert!(matches!(outcome(&faults, Call::Renew).await, (true, Err(StoreError::Unknown(_)))));
        assert_eq!(outcome(&faults, Call::Renew).await, (true, Ok(())));
        assert_eq!(faults.calls(), [Call::Observe, Call::Observe, Call::Renew, Call::Renew]);
    }

    #[tokio::test]
    async fn a_lasting_fault_ends_when_healed() {
        let faults = Faults::default();
        faults.lasting(Fault::LoseRequest);
        for _ in 0..3 {
            assert!(matches!(outcome(&faults, Call::Heartbeat).await, (false, Err(StoreError::Unknown(_)))));
        }
        faults.heal();
        assert_eq!(outcome(&faults, Call::Heartbeat).await, (true, Ok(())));
    }
}
