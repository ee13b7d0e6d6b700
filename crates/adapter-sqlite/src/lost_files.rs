//! The report that a file of the database was deleted or replaced while instances have it open. The
//! connections of a store share it, because each of them finds the loss with every call: the log contains the
//! report once, and repeats it while the loss lasts.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Pause before the report is repeated: short enough for an operator who has just opened the log.
const REPEAT_AFTER: Duration = Duration::from_mins(1);

/// The file that was reported last, and the time of the report.
#[derive(Debug, Default)]
pub(crate) struct LostFiles(Mutex<Option<(PathBuf, Instant)>>);

impl LostFiles {
    /// Returns the message about a missing file. Logs it unless it was logged within the last minute.
    pub(crate) fn report(&self, gone: &Path) -> String {
        let message = format!(
            "{} was deleted or replaced while instances have it open: nothing is acknowledged any more. Stop every instance \
             of this data directory with SIGTERM, then start them again",
            gone.display()
        );
        if self.is_due(gone, Instant::now()) {
            tracing::error!("{message}");
        }
        message
    }

    fn is_due(&self, gone: &Path, now: Instant) -> bool {
        // The value is whole after every change.
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = last.as_ref().is_none_or(|(file, at)| file != gone || now >= *at + REPEAT_AFTER);
        if is_due {
            *last = Some((gone.to_owned(), now));
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_file_is_reported_when_it_is_found_when_another_is_lost_and_each_minute() {
        let (lost, (wal, shm)) = (LostFiles::default(), (Path::new("c.db-wal"), Path::new("c.db-shm")));
        let now = Instant::now();
        let second = Duration::from_secs(1);
        for (after, gone, is_due) in [
            (Duration::ZERO, wal, true),
            (second / 5, wal, false),
            (second * 59, wal, false),
            (second * 60, wal, true),
            (second * 61, shm, true),
            (second * 62, shm, false),
        ] {
            assert_eq!(lost.is_due(gone, now + after), is_due, "{} after {after:?}", gone.display());
        }
    }
}
