//! Hints: did anybody write to the file?
//!
//! SQLite cannot call another process. It can tell at the price of a look into shared memory whether any
//! other connection has committed since this one last asked (`PRAGMA data_version`). Waiters ask that on
//! a connection which itself never writes: nobody waits, nobody asks, and no task runs in the background.
//! What changed while nobody waited is still changed at the next question, so no hint is lost.

use crate::config::SqliteConfig;
use crate::session::{Opening, Session};
use crate::statement::Statement;
use domain::ports::StoreError;
use sqlx::Row;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;

/// How often a waiter asks. A planned handover takes at most so much longer; twenty looks a second cost
/// well under a hundredth of a core.
const POLL: Duration = Duration::from_millis(50);
/// How long it waits after a failure: the file may be away for hours, and hints only make things fast.
const RETRY: Duration = Duration::from_secs(1);

/// The watch on one file.
pub(crate) struct Watch {
    session: Session,
    last: Mutex<Last>,
}

/// What the last look found, and how many looks found something new.
struct Last {
    found: Option<(Opening, i64)>,
    news: u64,
}

/// What one kind of waiter has been told. Two waiters of one kind share the news: one of them gets it.
#[derive(Default)]
pub(crate) struct Reader(AtomicU64);

impl Watch {
    pub(crate) fn new(config: &SqliteConfig) -> Self {
        Self { session: Session::new(config), last: Mutex::new(Last { found: None, news: 0 }) }
    }

    /// Resolves when there is something `reader` has not been told: a commit, or a new connection, which
    /// cannot say what it missed. The first call of a reader therefore resolves at once.
    ///
    /// Cancellation safe: nothing is marked as told before it is returned.
    pub(crate) async fn next(&self, reader: &Reader) {
        loop {
            match self.look().await {
                Ok(news) if reader.0.swap(news, Ordering::Relaxed) != news => return,
                Ok(_) => tokio::time::sleep(POLL).await,
                Err(error) => {
                    tracing::debug!(%error, "no hints from the database");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    pub(crate) async fn close(&self) {
        self.session.close().await;
    }

    async fn look(&self) -> Result<u64, StoreError> {
        let mut last = self.last.lock().await;
        let (rows, opening) = self.session.fetch_from(Statement::new("PRAGMA data_version")).await?;
        let version = rows.first().and_then(|row| row.try_get::<i64, _>(0).ok()).unwrap_or_default();
        // The number means something on its own connection only.
        let found = Some((opening, version));
        if last.found != found {
            last.found = found;
            last.news += 1;
        }
        Ok(last.news)
    }
}
