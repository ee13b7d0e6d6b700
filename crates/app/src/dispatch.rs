//! The leader's work in the demonstration: signals from the ledger to a broker that keeps what it is told.
//!
//! The order is what the ledger is for: claim under the token, send once, record under the same token. A
//! signal that a former leader claimed is never sent blindly: the broker is asked whether it has it. Every wait
//! has a [crash point](crate::crash_point), at which a test cuts it.

use crate::crash_point::{CrashPoint, at};
use coordinator::{Coordinator, Leader};
use domain::ledger::{Settlement, Signal};
use domain::ports::{SignalClaim, SignalLedger, StoreError};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// After a failure, so that a store in trouble is not pressed by a leader that has work.
const RETRY: Duration = Duration::from_millis(200);
/// Why a leader hands over, for the history.
const HANDED_OVER: &str = "a resolution has no answer";
/// An idle leader looks again after so long. A claim whose answer was lost may reach the ledger after the
/// take-over that followed it: its signal is then claimed under our own token, and no hint tells of it.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A file with a line for every order, never de-duplicated: what stands there twice was sent twice.
#[derive(Debug, Clone)]
pub struct Broker {
    path: PathBuf,
}

impl Broker {
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Accepts an order. One write of one short line at the end of the file: whole or not at all.
    fn send(&self, signal: &Signal, leader: &Leader) -> io::Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).open(&self.path)?;
        file.write_all(format!("{} {}\n", signal.id, leader.epoch()).as_bytes())?;
        file.sync_data()
    }

    /// Whether an order of that name was accepted.
    fn has(&self, signal: &Signal) -> io::Result<bool> {
        Ok(self.orders()?.iter().any(|order| order == signal.id.as_str()))
    }

    /// The names of all orders, in order of arrival.
    pub fn orders(&self) -> io::Result<Vec<String>> {
        match fs::read_to_string(&self.path) {
            Ok(text) => {
                Ok(text.lines().filter_map(|line| line.split(' ').next().map(str::to_owned)).collect())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

/// Works through the ledger whenever this instance leads.
pub async fn run(coordinator: Coordinator, ledger: Arc<dyn SignalLedger>, broker: Broker) {
    let work = |leader: Leader| lead(leader, Arc::clone(&ledger), broker.clone());
    loop {
        match at(CrashPoint::Lead, coordinator.run_while_leader(work)).await {
            Ok(Ok(())) => {}
            // It may still arrive, and by then the signal may have been sent and be in doubt again: only a
            // successor's token refuses it for sure.
            Ok(Err(Trouble::Unresolved(error))) => {
                tracing::warn!("signals: handing over, because a resolution has no answer: {error}");
                // Refused when this instance does not lead any more, which is as good.
                let _: Result<(), _> = at(CrashPoint::HandOver, coordinator.step_down(HANDED_OVER)).await;
            }
            Ok(Err(trouble)) => {
                tracing::warn!("signals: {trouble}");
                at(CrashPoint::Retry, sleep(RETRY)).await;
            }
            // The coordinator has ended, which tells why by itself.
            Err(_) => return,
        }
    }
}

/// One round: what was left behind, everything that waits, and the wait for more. Begun again at once, or after
/// a pause when the token was refused or a store failed.
async fn lead(leader: Leader, ledger: Arc<dyn SignalLedger>, broker: Broker) -> Result<(), Trouble> {
    let token = leader.fence().map_err(|_| Trouble::Over)?;
    for signal in at(CrashPoint::TakeOver, ledger.take_over(&token)).await?.ok_or(Trouble::Over)? {
        let outcome = if broker.has(&signal)? { Settlement::Done } else { Settlement::Received };
        at(CrashPoint::Resolve, ledger.resolve(&token, &signal.id, outcome))
            .await
            .map_err(Trouble::of_resolution)?;
    }
    loop {
        let token = leader.fence().map_err(|_| Trouble::Over)?;
        match at(CrashPoint::Claim, ledger.claim_next(&token)).await? {
            SignalClaim::Claimed(signal) => {
                // The answer may have been on its way for longer than the lease: then a successor has looked
                // the signal up, did not find it, and may have sent it. And a failover that the leader survived
                // may have lost this very claim.
                if leader.fence() != Ok(token) {
                    return Err(Trouble::Over);
                }
                broker.send(&signal, &leader)?;
                at(CrashPoint::Settle, ledger.settle(&token, &signal.id, Settlement::Done)).await?;
            }
            SignalClaim::Empty => {
                // It ends by a hint or by the time: either way the next round looks.
                let _: Result<(), _> = at(CrashPoint::Wait, timeout(LOOK_AGAIN, ledger.submitted())).await;
                return Ok(());
            }
            SignalClaim::Fenced => return Err(Trouble::Over),
        }
    }
}

/// Why the work stopped.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    /// Another instance leads, or this one's deadline has passed.
    #[error("this instance does not lead any more")]
    Over,
    /// A resolution may have been carried out, or may still be.
    #[error("{0}")]
    Unresolved(StoreError),
    /// The ledger.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The broker.
    #[error("the broker: {0}")]
    Broker(#[from] io::Error),
}

impl Trouble {
    fn of_resolution(error: StoreError) -> Self {
        match error {
            StoreError::Unknown(_) => Self::Unresolved(error),
            StoreError::Unavailable(_) | StoreError::Corrupt(_) => Self::Store(error),
        }
    }
}

#[cfg(feature = "crash-points")]
impl crate::crash_point::Cancelled for Result<(), Trouble> {
    fn cancelled() -> Self {
        Err(Trouble::Store(StoreError::Unknown("dropped at a crash point".to_owned())))
    }
}
