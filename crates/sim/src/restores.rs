//! The judge's record of restored backups: which of them the next leader must notice.
//!
//! A restore is pending until the next write of the lease. The writer must notice the restore if it had read a later
//! lease than the restored one (M23). Otherwise no protocol could notice it, and the consequences of this restore are
//! excused.

use crate::knowledge::Age;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;

/// The lease in a backup.
#[derive(Debug, Clone, Copy)]
pub struct Copied {
    /// Its age.
    pub age: Age,
    /// Its `forgot_ms`.
    pub forgot_ms: Option<i64>,
}

/// The result of a write or an effect after restores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// No restore is pending, or it was noticed.
    Nothing,
    /// The writer could not know of the restore.
    Unknowable,
    /// The writer had read a later lease, and did not notice the restore.
    Overlooked,
}

/// The record; see the [module](self).
#[derive(Debug, Default)]
pub struct Restores {
    count: usize,
    latest: Option<Instant>,
    /// Restores since the last write of the lease, and the lease that they brought back.
    pending: Option<(Vec<usize>, Copied)>,
    unnoticed: BTreeSet<usize>,
}

impl Restores {
    /// A backup was restored.
    pub fn restored(&mut self, copied: Copied) {
        let mut numbers = self.pending.take().map(|(numbers, _)| numbers).unwrap_or_default();
        numbers.push(self.count);
        self.pending = Some((numbers, copied));
        self.count += 1;
        self.latest = Some(Instant::now());
    }

    /// True if a lease that was granted before a restore may still be valid. The restore may have brought back an
    /// open lease, and then two may be valid (S1 assumes that acknowledged writes are kept).
    pub fn may_overlap(&self, ttl: Duration) -> bool {
        self.latest.is_some_and(|at| at.elapsed() <= ttl)
    }

    /// True if there was a restore.
    pub fn any(&self) -> bool {
        self.count > 0
    }

    /// Takes in a write of the lease with this `forgot_ms`, by an instance that had read `knew` when it sent the
    /// request.
    pub fn lease_written(&mut self, knew: Age, forgot_ms: Option<i64>) -> Found {
        let Some((numbers, copied)) = self.pending.take() else { return Found::Nothing };
        if forgot_ms != copied.forgot_ms {
            return Found::Nothing;
        }
        self.unnoticed.extend(numbers);
        if knew > copied.age { Found::Overlooked } else { Found::Unknowable }
    }

    /// Takes in a release of the lease as `age`, with this `forgot_ms`, by an instance whose last acknowledged write
    /// was `acknowledged`. If it could not notice the restore, the next writer may.
    pub fn lease_released(&mut self, acknowledged: Age, age: Age, forgot_ms: Option<i64>) -> Found {
        let Some((_, copied)) = &mut self.pending else { return Found::Nothing };
        let noticed = forgot_ms != copied.forgot_ms;
        let overlooked = !noticed && acknowledged > copied.age;
        copied.age = age;
        if noticed {
            self.pending = None;
        }
        if overlooked { Found::Overlooked } else { Found::Nothing }
    }

    /// Takes in an accepted effect of an instance whose last acknowledged write was `acknowledged`.
    pub fn effect(&mut self, acknowledged: Age) -> Found {
        let Some((numbers, copied)) = &self.pending else { return Found::Nothing };
        if acknowledged > copied.age {
            return Found::Overlooked;
        }
        self.unnoticed.extend(numbers);
        Found::Unknowable
    }

    /// Restores that the writers after them could not notice, in the order of the restores.
    pub fn unnoticed(&self) -> &BTreeSet<usize> {
        &self.unnoticed
    }
}
