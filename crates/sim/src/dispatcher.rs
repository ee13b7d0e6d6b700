//! The leader's work: signals from the ledger to the broker, each exactly once, whatever fails.
//!
//! What makes it safe, in the order in which it happens:
//!
//! - **Take over first.** Whatever an earlier leadership, or an earlier claim of this one, may have sent
//!   comes back in doubt. The broker has it: done. The broker does not: see `desk.rs`; it is not sent.
//! - **Claim, look at the fence again, send.** Between the answer to the claim and the send anything may
//!   happen. The token must be the very one of the claim: if the row was carried to another timeline since,
//!   a failover came in between, and the claim may be among what it lost.
//! - **No answer from the broker: claim nothing else before taking over.** The signal comes back in doubt.
//! - **No answer to a resolution to `Received`: never use this token again.** The resolution may be on its
//!   way still. If it arrived after the signal had been claimed and sent under the same token and had come
//!   back in doubt, it would put what was sent back to wait, and it would be sent a second time. The fence
//!   refuses it as soon as the row has another token, so this instance hands over.
//! - **No answer to a claim: take over now and again for as long as the claim can be on its way.** Arriving
//!   after the first taking over it leaves a claimed signal that nobody looks at for as long as this
//!   leadership lasts. Nothing is sent twice by that; it would be late.
//! - **The row was carried to another timeline: take over again.** A failover came in between. Where it can
//!   lose what was acknowledged, a settled signal may be claimed or in doubt again, and nobody would look.

use crate::broker::{Broker, Trap};
use crate::desk::Desk;
use crate::plan::Caution;
use coordinator::clock::Process;
use coordinator::{Coordinator, Ended, Leader, LeadershipOver};
use domain::lease::Token;
use domain::ledger::{Settlement, Signal, SignalId};
use domain::ports::{Recorded, SignalClaim, SignalLedger, StoreError};
use std::convert::Infallible;
use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// What one instance's work needs.
#[derive(Clone)]
pub struct Dispatcher {
    /// Whose work.
    pub process: Process,
    /// To hand over.
    pub coordinator: Coordinator,
    /// Over this instance's own line.
    pub ledger: Arc<dyn SignalLedger>,
    /// To send to.
    pub broker: Arc<Broker>,
    /// For what is in doubt.
    pub desk: Arc<Desk>,
    /// A fault that waits for the next send.
    pub trap: Arc<Mutex<Option<Trap>>>,
    /// What is done about what cannot be known.
    pub caution: Caution,
    /// An answer that takes longer is not waited for.
    pub patience: Duration,
    /// A request that had no answer may arrive until so long after it was sent.
    pub late_max: Duration,
}

/// Why a session ended.
enum Stop {
    /// The leadership is over, or this token must not be used any more.
    Over,
    /// Something had no answer, or was refused: take over, and go on from there.
    Again,
}

impl From<LeadershipOver> for Stop {
    fn from(_: LeadershipOver) -> Self {
        Self::Over
    }
}

impl Dispatcher {
    /// Works whenever this instance leads, until it ends; tells why it ended.
    pub async fn run(self) -> Ended {
        let work = |leader| self.clone().lead(leader);
        match self.coordinator.run_while_leader(work).await {
            Ok(never) => match never {},
            Err(ended) => ended,
        }
    }

    async fn lead(self, leader: Leader) -> Infallible {
        // A claim without an answer may arrive until then.
        let mut astray: Option<Instant> = None;
        loop {
            match self.session(&leader, &mut astray).await {
                Ok(never) => match never {},
                Err(Stop::Again) => sleep(self.patience / 2).await,
                Err(Stop::Over) => return pending().await,
            }
        }
    }

    async fn session(&self, leader: &Leader, astray: &mut Option<Instant>) -> Result<Infallible, Stop> {
        let under = leader.fence()?;
        let in_doubt = self.asked(self.ledger.take_over(&under)).await.map_err(|_| Stop::Again)?;
        for signal in in_doubt.ok_or(Stop::Again)? {
            self.look_up(leader, &signal).await?;
        }
        loop {
            while let Some((id, verdict)) = leader.fence().map(|_| self.desk.take_verdict())? {
                self.resolve(leader, &Resolution { id, verdict }).await?;
            }
            let token = leader.fence()?;
            if token != under && self.caution != Caution::TakesOverOnce {
                return Err(Stop::Again);
            }
            match self.asked(self.ledger.claim_next(&token)).await {
                Ok(SignalClaim::Claimed(signal)) => self.send(leader, token, &signal).await?,
                Ok(SignalClaim::Empty) => self.idle(astray).await?,
                // Over, or the row is not carried to a new timeline yet.
                Ok(SignalClaim::Fenced) => return Err(Stop::Again),
                Err(_) if self.caution == Caution::TakesOverOnce => return Err(Stop::Again),
                Err(_) => {
                    *astray = Some(Instant::now() + self.late_max);
                    return Err(Stop::Again);
                }
            }
        }
    }

    async fn send(&self, leader: &Leader, token: Token, signal: &Signal) -> Result<(), Stop> {
        if leader.fence()? != token {
            return Err(Stop::Again);
        }
        let trap = self.trap.lock().unwrap_or_else(PoisonError::into_inner).take();
        match timeout(self.patience, self.broker.send(&self.process, &signal.id, trap)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return Err(Stop::Again),
        }
        match self.asked(self.ledger.settle(&token, &signal.id, Settlement::Done)).await {
            Ok(Recorded::Recorded) => Ok(()),
            // Somebody may have marked it in doubt: the broker has it, so the next look settles it.
            Ok(Recorded::Fenced) | Err(_) => Err(Stop::Again),
        }
    }

    async fn look_up(&self, leader: &Leader, signal: &Signal) -> Result<(), Stop> {
        let found = timeout(self.patience, self.broker.has(&signal.id)).await;
        let verdict = match (found, self.caution) {
            (Ok(Ok(true)), _) => Settlement::Done,
            (_, Caution::Blind) => Settlement::Received,
            (_, Caution::Careful | Caution::KeepsToken | Caution::TakesOverOnce) => {
                self.desk.bring(&signal.id);
                return Ok(());
            }
        };
        self.resolve(leader, &Resolution { id: signal.id.clone(), verdict }).await
    }

    async fn resolve(&self, leader: &Leader, what: &Resolution) -> Result<(), Stop> {
        let token = leader.fence()?;
        match self.asked(self.ledger.resolve(&token, &what.id, what.verdict)).await {
            Ok(Recorded::Recorded) => Ok(()),
            Err(_) if what.verdict == Settlement::Received && self.caution != Caution::KeepsToken => {
                self.hand_over();
                Err(Stop::Over)
            }
            // Without an answer: Done is true whenever it arrives.
            Ok(Recorded::Fenced) | Err(_) => Err(Stop::Again),
        }
    }

    /// Not awaited here: a handover waits for this very work to stop.
    fn hand_over(&self) {
        let coordinator = self.coordinator.clone();
        tokio::spawn(self.process.gate(async move {
            // When it does not lead any more, the token is of no use already.
            let _ = coordinator.step_down("a resolution had no answer").await;
        }));
    }

    async fn idle(&self, astray: &mut Option<Instant>) -> Result<(), Stop> {
        tokio::select! {
            biased;
            () = self.ledger.submitted() => {}
            () = self.desk.decided() => {}
            () = sleep(self.patience * 2) => {}
        }
        let Some(until) = *astray else { return Ok(()) };
        if until < Instant::now() {
            *astray = None;
        }
        Err(Stop::Again)
    }

    async fn asked<T>(&self, request: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let silent = |_| Err(StoreError::Unknown(format!("nothing was said for {:?}", self.patience)));
        timeout(self.patience, request).await.unwrap_or_else(silent)
    }
}

/// A verdict to carry out.
struct Resolution {
    id: SignalId,
    verdict: Settlement,
}
