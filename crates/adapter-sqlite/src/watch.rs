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
use std::sync::{self, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, sleep_until};

/// How often a waiter asks, and how long after news it is told the next at the earliest: the process's own
/// commits are news too, and a busy ledger must not make it look back to back. A planned handover takes at
/// most so much longer; fifty looks a second cost about a hundredth of a core.
const POLL: Duration = Duration::from_millis(20);
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
pub(crate) struct Reader(sync::Mutex<Told>);

#[derive(Default, Clone, Copy)]
struct Told {
    news: u64,
    /// When; `None` before the first.
    at: Option<Instant>,
}

impl Reader {
    /// Waits until the last news is [`POLL`] ago: counted from when it was told, so that a waiter that is
    /// dropped and made anew all the while gets there too.
    async fn rest(&self) {
        let told = *self.told();
        if let Some(at) = told.at {
            sleep_until(at + POLL).await;
        }
    }

    /// Whether `news` is new to it. It is told with that.
    fn tell(&self, news: u64) -> bool {
        let mut told = self.told();
        let is_new = told.news < news;
        if is_new {
            *told = Told { news, at: Some(Instant::now()) };
        }
        is_new
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        // Nothing can panic while it is held: a poisoned value is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch {
    pub(crate) fn new(config: &SqliteConfig) -> Self {
        Self { session: Session::new(config), last: Mutex::new(Last { found: None, news: 0 }) }
    }

    /// Resolves when there is something `reader` has not been told: a commit, or a new connection, which
    /// cannot say what it missed. The first call of a reader therefore resolves at once; a later one not
    /// sooner than [`POLL`] after the one before.
    ///
    /// Cancellation safe: nothing is marked as told before it is returned.
    pub(crate) async fn next(&self, reader: &Reader) {
        reader.rest().await;
        loop {
            match self.look().await {
                Ok(news) if reader.tell(news) => return,
                Ok(_) => sleep(POLL).await,
                Err(error) => {
                    tracing::debug!(%error, "no hints from the database");
                    sleep(RETRY).await;
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
