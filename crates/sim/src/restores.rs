//! What the judge knows of restored backups: which of them the next leader must notice.
//!
//! A restore is pending until the lease is written. Whoever writes it notices the restore if it was shown a later row than
//! the restored one (M23). If it was not, no protocol could notice, and what follows from this restore is excused.

use crate::knowledge::Row;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;

/// The lease in a backup.
#[derive(Debug, Clone, Copy)]
pub struct Copied {
    /// How far it had come.
    pub row: Row,
    /// Its `forgot_ms`.
    pub forgot_ms: Option<i64>,
}

/// What a write or an effect says about the restores before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Nothing: no restore is pending, or it was noticed.
    Nothing,
    /// The writer could not know of the restore.
    Unknowable,
    /// The writer was shown a later row, and went on as if nothing had happened.
    Overlooked,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub struct Restores {
    count: usize,
    latest: Option<Instant>,
    /// Restores since the lease was written last, and the lease that they brought back.
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

    /// Whether a lease that was granted before a restore may still be valid: the restore may have brought back a row
    /// that is open, and then two believe (S1 assumes that what was acknowledged stays).
    pub fn may_overlap(&self, ttl: Duration) -> bool {
        self.latest.is_some_and(|at| at.elapsed() <= ttl)
    }

    /// Whether there was any.
    pub fn any(&self) -> bool {
        self.count > 0
    }

    /// The lease was written, with this `forgot_ms`, by an instance that had been shown `knew` when it sent the request.
    pub fn lease_written(&mut self, knew: Row, forgot_ms: Option<i64>) -> Found {
        let Some((numbers, copied)) = self.pending.take() else { return Found::Nothing };
        if forgot_ms != copied.forgot_ms {
            return Found::Nothing;
        }
        self.unnoticed.extend(numbers);
        if knew > copied.row { Found::Overlooked } else { Found::Unknowable }
    }

    /// The lease was released as `row`, with this `forgot_ms`, by an instance to which the write of `acknowledged` was
    /// acknowledged. If it could not notice, the next writer may.
    pub fn lease_released(&mut self, acknowledged: Row, row: Row, forgot_ms: Option<i64>) -> Found {
        let Some((_, copied)) = &mut self.pending else { return Found::Nothing };
        let noticed = forgot_ms != copied.forgot_ms;
        let overlooked = !noticed && acknowledged > copied.row;
        copied.row = row;
        if noticed {
            self.pending = None;
        }
        if overlooked { Found::Overlooked } else { Found::Nothing }
    }

    /// An effect was accepted of an instance to which the write of `acknowledged` was acknowledged.
    pub fn effect(&mut self, acknowledged: Row) -> Found {
        let Some((numbers, copied)) = &self.pending else { return Found::Nothing };
        if acknowledged > copied.row {
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
