//! Expiry by observation: how long the lease has been unchanged, measured on this process's own clock.

use super::config::Config;
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
    /// lease that has been claimed since (M10). The same holds for the lease of a process that has ended (M24).
    pub(super) fn opens(&self, ended: Option<Nonce>, config: &Config) -> Time {
        let is_over = self.lease.released && self.lease.on_current_timeline();
        match self.former_term(ended) {
            FormerTerm::ProcessEnded => self.since,
            FormerTerm::Expired if is_over => self.since,
            FormerTerm::Expired => self.since + self.wait(config),
        }
    }

    /// How the term of this lease ends if another instance claims it. A lease of an earlier timeline ends by expiry, also
    /// if its process has ended: the promotion may have lost a claim of another process (M24).
    pub(super) fn former_term(&self, ended: Option<Nonce>) -> FormerTerm {
        let claim = self.lease.version.token.claim;
        let has_ended = ended.is_some_and(|nonce| claim.is_from(nonce));
        if has_ended && self.lease.on_current_timeline() {
            FormerTerm::ProcessEnded
        } else {
            FormerTerm::Expired
        }
    }

    /// The wait until expiry: the ttl of the lease plus the margin. On a new timeline the larger of the lease's ttl
    /// and ours, because the promotion may have lost a later and longer grant (M19).
    fn wait(&self, config: &Config) -> Duration {
        let ttl =
            if self.lease.on_current_timeline() { self.lease.ttl } else { self.lease.ttl.max(config.ttl) };
        ttl + margin(ttl)
    }
}
