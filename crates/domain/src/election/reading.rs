//! Expiry by observation: how long a row has looked the same, on this process's own clock.

use super::config::Config;
use crate::lease::{Observation, margin};
use crate::time::Time;
use core::time::Duration;

/// The row as last read, and since when it has been seen unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Reading {
    pub(super) row: Observation,
    /// Receipt of the first reply that showed this version (M9, M14).
    pub(super) since: Time,
}

impl Reading {
    /// Takes in a reply received at `now`: any difference in the version starts the wait anew.
    pub(super) fn update(seen: &mut Option<Self>, row: Observation, now: Time) {
        let since = match seen {
            Some(before) if before.row.version == row.version => before.since,
            Some(_) | None => now,
        };
        *seen = Some(Self { row, since });
    }

    /// From when on the row may be claimed.
    ///
    /// A released row is open at once, but only on its own timeline: after a promotion it may be an old
    /// copy of a row that has been claimed since (M10).
    pub(super) fn opens(&self, config: &Config) -> Time {
        if self.row.released && self.row.on_current_timeline() {
            self.since
        } else {
            self.since + self.wait(config)
        }
    }

    /// The row's own ttl and the margin. On a new timeline the larger of the row's ttl and ours: the
    /// promotion may have lost a later and longer grant (M19).
    fn wait(&self, config: &Config) -> Duration {
        let ttl = if self.row.on_current_timeline() { self.row.ttl } else { self.row.ttl.max(config.ttl) };
        ttl + margin(ttl)
    }
}
