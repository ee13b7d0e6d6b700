//! Expiry by observation: how long the lease has been unchanged, measured on this process's own clock.

use super::config::{Config, Epochs};
use crate::id::Nonce;
use crate::lease::{Observation, margin};
use crate::ports::FormerTerm;
use crate::time::Time;
use core::time::Duration;

/// The lease as last read, and the time since when it has been observed unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Reading {
    pub(super) lease: Observation,
    /// Receipt of the first answer that showed this version (M9, M14).
    pub(super) since: Time,
}

impl Reading {
    /// Takes in an answer received at `now`. Any difference in the version restarts the wait.
    pub(super) fn update(seen: &mut Option<Self>, lease: Observation, now: Time) {
        let since = match seen {
            Some(before) if before.lease.version == lease.version => before.since,
            Some(_) | None => now,
        };
        *seen = Some(Self { lease, since });
    }

    /// The time from which the lease may be claimed.
    ///
    /// A released lease is open at once, but only on its own timeline. After a promotion it may be an old copy of a
    /// lease that has been claimed since (M10). The same holds for the lease of a process that has ended (M24). A lease that
    /// the last holder has released for another instance is open later, whether its process has ended or not (M25).
    pub(super) fn opens(&self, ended: Option<Nonce>, known: Epochs, config: &Config) -> Time {
        if self.is_for_another(config) {
            let own = self.lease.version.token.claim.is_from(config.nonce);
            // The former holder comes after all others, as at any handover.
            let reserved = self.wait(config) + if own { config.keep_out() } else { Duration::ZERO };
            return self.since + reserved;
        }
        let is_over = self.lease.released && self.lease.on_current_timeline();
        match self.former_term(ended, known) {
            FormerTerm::ProcessEnded => self.since,
            FormerTerm::Expired if is_over => self.since,
            FormerTerm::Expired => self.since + self.wait(config),
        }
    }

    /// How the term of this lease ends if another instance claims it. A lease of an earlier timeline ends by expiry, also
    /// if its process has ended: the promotion may have lost a claim of another process. So does a lease that is behind the
    /// epochs that this instance knows: a backup was restored, and another instance may still lead (M24).
    pub(super) fn former_term(&self, ended: Option<Nonce>, known: Epochs) -> FormerTerm {
        let version = self.lease.version;
        let claim = version.token.claim;
        let has_ended = ended.is_some_and(|nonce| claim.is_from(nonce));
        if has_ended && self.lease.on_current_timeline() && !known.are_beyond(version.token, version.seq) {
            FormerTerm::ProcessEnded
        } else {
            FormerTerm::Expired
        }
    }

    /// True if the last holder has handed over to another instance: leave the lease to that instance for as long as if it
    /// were still held. If that instance is gone, the handover costs no more than a crash (M25).
    fn is_for_another(&self, config: &Config) -> bool {
        self.lease.released && self.lease.successor.as_ref().is_some_and(|successor| *successor != config.id)
    }

    /// The wait until expiry: the ttl of the lease plus the margin. On a new timeline the larger of the lease's ttl
    /// and ours, because the promotion may have lost a later and longer grant (M19).
    fn wait(&self, config: &Config) -> Duration {
        let ttl =
            if self.lease.on_current_timeline() { self.lease.ttl } else { self.lease.ttl.max(config.ttl) };
        ttl + margin(ttl)
    }
}
