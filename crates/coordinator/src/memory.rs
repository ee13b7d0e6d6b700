//! What an instance remembers of the fencing number when its store has forgotten it, and whether it can: an instance that
//! cannot keep a number does not claim one, so it cannot lead.

use crate::shared::Shared;
use crate::within::within;
use async_trait::async_trait;
use domain::election::{Epochs, LeaseAnswer};
use domain::lease::{Epoch, Seq, Token, Version};
use domain::ports::ClaimRequest;
use domain::time::Time;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::watch;

/// The most by which a remembered epoch can be above the lease row's: more terms than a group begins in 13 years at ten
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

/// Keeps the number of a claim before any store or service can see it: a process that is killed at any moment claims
/// above it in its next life (M22). An error is the answer to a claim that may not be sent.
pub(crate) async fn keep_asked(
    shared: &Shared,
    now: Time,
    limit: Duration,
    request: &ClaimRequest,
) -> Result<(), LeaseAnswer> {
    let Some(memory) = &shared.epochs else { return Ok(()) };
    let (token, seq) = (request.observed.token, request.observed.seq);
    let epochs = Epochs { seen: token.epoch, claim: token.claim, seq, asked: request.epoch() };
    if !shared.ability.allows(request.floor, request.observed.token.epoch) {
        return Err(LeaseAnswer::NotSent);
    }
    let before = kept_within(now, limit, &**memory, epochs).await;
    shared.ability.found(&before);
    match before {
        Ok(before) if is_outdated(request, before) => Err(LeaseAnswer::Outdated(before)),
        Ok(_) => Ok(()),
        Err(_) => Err(LeaseAnswer::NotSent),
    }
}

/// Whether another instance has kept something that this claim does not say.
fn is_outdated(request: &ClaimRequest, before: Epochs) -> bool {
    let Version { token, seq, .. } = request.observed;
    before.floor() >= request.epoch() || before.are_beyond(token, seq) && !request.forgotten
}

/// Keeps the number as granted before anything is done under it, so that an older copy of the row is noticed after a
/// restart. Leadership does not depend on that: as a claim, the number was kept.
pub(crate) async fn keep_granted(shared: &Shared, now: Time, limit: Duration, token: Token) {
    let Some(memory) = &shared.epochs else { return };
    let epochs = Epochs { seen: token.epoch, claim: token.claim, seq: Seq(0), asked: token.epoch };
    let before = kept_within(now, limit, &**memory, epochs).await;
    shared.remembered(&before);
}

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
    /// What this process remembers is absurd, until it ends: that the file can be written changes nothing.
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

    /// Answers whether the epoch `known` may be claimed above, or reported, when the lease row has `row`: not when no group
    /// can have reached it. Such a claim would spend the numbers that there are.
    pub(crate) fn allows(&self, known: Epoch, row: Epoch) -> bool {
        let refused = refuse_absurd(known, row);
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
