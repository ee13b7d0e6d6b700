//! The durable memory of the epochs, for the case that the store forgets them, and whether it works. An instance that
//! cannot store the epoch of a claim does not send the claim, so it cannot lead.

use crate::within::within;
use async_trait::async_trait;
use domain::election::Epochs;
use domain::lease::Epoch;
use domain::time::Time;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::watch;

/// The most by which a remembered epoch can be above the lease's: more terms than a group begins in 13 years at ten
/// a second. A larger distance means that the memory is damaged.
const EPOCHS_FORGOTTEN_MAX: u64 = 1 << 32;

/// Keeps an instance's epochs over its restarts (M22). Without one they are remembered only while the process runs.
///
/// Instances of a group may share a place. Each learns from [`keep`](Self::keep) and [`check`](Self::check) what the
/// others have kept: no claim is sent before its instance knows everything that was kept there.
///
/// An implementation must not block the calling thread, which may be the election's. The coordinator drops a call
/// at its timeout; the write may take effect all the same.
#[async_trait]
pub trait EpochMemory: Send + Sync {
    /// The epochs that earlier runs of this process have kept. Called once, before the election starts.
    fn kept(&self) -> Epochs;

    /// Keeps the higher of each number. Returns the earlier content once the new one is durable. Reading and keeping
    /// must be one step for instances that share the place. If the earlier content is higher, the instance does not
    /// send its claim, and claims above that content instead.
    ///
    /// # Errors
    /// The reason why nothing was kept: the instance does not send its claim. The text should name the place, the cause
    /// and the remedy for the operator.
    async fn keep(&self, epochs: Epochs) -> Result<Epochs, String>;

    /// Returns the present content: a leader whose lease is behind it releases the lease. Called with every heartbeat,
    /// so it should be cheap. The default returns [`Epochs::NONE`], which is enough for a place that no other instance
    /// uses.
    ///
    /// # Errors
    /// The error that [`keep`](Self::keep) would return now. The instance shows it in the instance table, and
    /// `step-down` does not count the instance as a candidate.
    async fn check(&self) -> Result<Epochs, String> {
        Ok(Epochs::NONE)
    }
}

/// Keeps `epochs` unless that takes longer than `limit` from `now`.
pub(crate) async fn kept_within(
    now: Time,
    limit: Duration,
    memory: &dyn EpochMemory,
    epochs: Epochs,
) -> Result<Epochs, String> {
    let stalled = || {
        Err(format!("the epochs were not written within {limit:?}: the disk of the data directory is slow"))
    };
    within(now, limit, memory.keep(epochs)).await.unwrap_or_else(stalled)
}

/// The reason why this instance cannot lead, if there is one. Logs when that begins, changes or ends.
pub(crate) struct Ability {
    missing: watch::Sender<Option<String>>,
    /// This process remembers an impossible epoch. It stays set until the process ends, even if the file can be
    /// written.
    is_damaged: AtomicBool,
}

impl Ability {
    pub(crate) fn new() -> Self {
        Self { missing: watch::channel(None).0, is_damaged: AtomicBool::new(false) }
    }

    /// Takes in the result of keeping epochs, or of the check whether they could be kept.
    pub(crate) fn found<T>(&self, kept: &Result<T, String>) {
        if !self.is_damaged.load(Relaxed) {
            self.set(kept);
        }
    }

    /// True if this instance may claim above the epoch `known`, or report it, while the lease has the epoch `lease`.
    /// False if no group can have reached `known`: a claim above it would use up the available numbers.
    pub(crate) fn allows(&self, known: Epoch, lease: Epoch) -> bool {
        let refused = refuse_absurd(known, lease);
        if refused.is_err() {
            self.is_damaged.store(true, Relaxed);
            self.set(&refused);
        }
        refused.is_ok()
    }

    fn set<T>(&self, kept: &Result<T, String>) {
        self.missing.send_if_modified(|known| {
            let now = kept.as_ref().err();
            if known.as_ref() == now {
                return false;
            }
            match now {
                Some(error) => tracing::error!("this instance cannot lead: {error}"),
                None => tracing::info!("this instance can lead again: its epochs can be kept"),
            }
            *known = now.cloned();
            true
        });
    }

    pub(crate) fn missing(&self) -> Option<String> {
        self.missing.borrow().clone()
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Option<String>> {
        self.missing.subscribe()
    }
}

fn refuse_absurd(known: Epoch, row: Epoch) -> Result<(), String> {
    if known.0 <= row.0.saturating_add(EPOCHS_FORGOTTEN_MAX) {
        return Ok(());
    }
    Err(format!(
        "it remembers epoch {known}, which is far beyond the lease row's {row}: its file of epochs is damaged. Stop it, copy \
         the file from another instance or delete it, and start it again (docs/integration.md)"
    ))
}
