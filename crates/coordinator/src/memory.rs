//! The memory of the fencing number for the case that the store has forgotten it, and whether it works: an instance that
//! cannot keep a number does not claim one, so it cannot lead.

use crate::within::within;
use async_trait::async_trait;
use domain::election::Epochs;
use domain::lease::Epoch;
use domain::time::Time;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::watch;

/// The most by which a remembered epoch can be above the lease's: more terms than a group begins in 13 years at ten
/// a second. What is further away was never a group's number.
const EPOCHS_FORGOTTEN_MAX: u64 = 1 << 32;

/// Keeps an instance's epochs over its restarts (M22). Without one they are remembered while the process runs.
///
/// Instances of a group may share a place. What one of them keeps, the others learn from [`keep`](Self::keep) and
/// [`check`](Self::check): no claim is sent before its instance knows everything that was kept there.
#[async_trait]
pub trait EpochMemory: Send + Sync {
    /// What was kept in earlier lives.
    fn kept(&self) -> Epochs;

    /// Keeps the higher of each, and returns what was kept there before when that is durable. Reading and keeping must be
    /// one step for instances that share the place. If what was kept before is higher, the claim that was to follow is not
    /// sent; the instance claims above it. The error says why nothing was kept: the claim is then not sent either. It
    /// should name the place, the cause and what an operator does about it.
    async fn keep(&self, epochs: Epochs) -> Result<Epochs, String>;

    /// Whether [`keep`](Self::keep) would succeed now, with its error if not. Called with every heartbeat, so it should be
    /// cheap. An instance whose memory fails shows the error in the instance table, and `step-down` does not count it as
    /// a candidate. Returns what is kept now: a leader whose lease is behind it gives the lease back. Returns
    /// [`Epochs::NONE`] unless implemented, which is enough for a place that no other instance uses.
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

/// Why this instance cannot lead, if it cannot. Logs when that begins, changes or ends.
pub(crate) struct Ability {
    missing: watch::Sender<Option<String>>,
    /// What this process remembers is absurd, and remains so until it ends: that the file can be written changes nothing.
    is_damaged: AtomicBool,
}

impl Ability {
    pub(crate) fn new() -> Self {
        Self { missing: watch::channel(None).0, is_damaged: AtomicBool::new(false) }
    }

    /// The outcome of keeping epochs, or of the check whether they could be kept.
    pub(crate) fn found<T>(&self, kept: &Result<T, String>) {
        if !self.is_damaged.load(Relaxed) {
            self.set(kept);
        }
    }

    /// Returns whether the epoch `known` may be claimed above, or reported, when the lease has `lease`: not when no group
    /// can have reached it. Such a claim would use up the numbers that there are.
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
