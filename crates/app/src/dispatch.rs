//! The leader's work in the demonstration: signals from the ledger to a broker that keeps what it is told.
//!
//! The order is what the ledger is for: claim under the token, send once, record under the same token. A
//! signal that a former leader claimed is never sent blindly: the broker is asked whether it has it.

use coordinator::{Coordinator, Leader};
use domain::ledger::{Settlement, Signal};
use domain::ports::{SignalClaim, SignalLedger, StoreError};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// After a failure of the ledger; a notification comes earlier when there is something to do.
const RETRY: Duration = Duration::from_millis(200);

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
    let work = |leader: Leader| {
        let (ledger, broker) = (Arc::clone(&ledger), broker.clone());
        async move {
            loop {
                if let Err(error) = lead(&leader, &*ledger, &broker).await {
                    tracing::warn!("signals: {error}");
                }
                tokio::time::sleep(RETRY).await;
            }
        }
    };
    // It ends with the coordinator, which tells why by itself.
    let _: Result<(), _> = coordinator.run_while_leader(work).await;
}

/// Until the token is refused or a store fails.
async fn lead(leader: &Leader, ledger: &dyn SignalLedger, broker: &Broker) -> Result<(), Trouble> {
    let token = leader.fence().map_err(|_| Trouble::Over)?;
    for signal in ledger.take_over(&token).await?.ok_or(Trouble::Over)? {
        let outcome = if broker.has(&signal)? { Settlement::Done } else { Settlement::Received };
        ledger.resolve(&token, &signal.id, outcome).await?;
    }
    loop {
        let token = leader.fence().map_err(|_| Trouble::Over)?;
        match ledger.claim_next(&token).await? {
            SignalClaim::Claimed(signal) => {
                broker.send(&signal, leader)?;
                ledger.settle(&token, &signal.id, Settlement::Done).await?;
            }
            SignalClaim::Empty => ledger.submitted().await,
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
    /// The ledger.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The broker.
    #[error("the broker: {0}")]
    Broker(#[from] io::Error),
}
