//! Hints: did anybody write to the file?
//!
//! SQLite cannot call another process, the kernel can: it tells who watches a directory (inotify) that a file in it
//! was written. That comes a moment too early, as a writer syncs what it wrote before others see its commit. So a
//! waiter looks at once, and again after pauses that double until the next write. A look costs a glance into shared
//! memory: has any other connection committed since this one last asked (`PRAGMA data_version`)? It is asked on a
//! connection which itself never writes: nobody waits, nobody asks, and no task runs in the background. What
//! changed while nobody waited is still changed at the next question, so no hint is lost.

use crate::config::SqliteConfig;
use crate::session::{Opening, Session};
use crate::statement::Statement;
use domain::ports::StoreError;
use rustix::fd::OwnedFd;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use sqlx::Row;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{self, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// How long after news a reader is told the next at the earliest: the process's own commits are news too, and a
/// busy ledger must not make it look back to back.
const REST: Duration = Duration::from_millis(2);
/// Between the first look after a write and the second: about the time a disk takes to sync.
const PAUSE_MIN: Duration = Duration::from_millis(1);
/// Between two looks while nobody writes: what the kernel did not tell is noticed so late.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// The same where the kernel tells nothing, as its limit of watches is reached: fifty looks a second cost about a
/// hundredth of a core.
const PAUSE_UNTOLD: Duration = Duration::from_millis(20);
/// How long it waits after a failure: the file may be away for hours, and hints only make things fast.
const RETRY: Duration = Duration::from_secs(1);
/// Of events at once. What they say does not matter, so one that is cut off does not either.
const EVENTS_BYTES: usize = 4096;

/// The watch on one file.
pub(crate) struct Watch {
    session: Session,
    directory: PathBuf,
    last: Mutex<Last>,
}

/// What the last look found, and how many looks found something new.
struct Last {
    found: Option<(Opening, i64)>,
    news: u64,
}

/// What one kind of waiter has been told. Two waiters of one kind share the news: one of them gets it.
#[derive(Default)]
pub(crate) struct Reader {
    told: sync::Mutex<Told>,
    /// Its own, as one reader's events are not another's. `None` until it can be had.
    writes: Mutex<Option<Writes>>,
}

#[derive(Default, Clone, Copy)]
struct Told {
    news: u64,
    /// When; `None` before the first.
    at: Option<Instant>,
}

impl Reader {
    /// Waits until the last news is [`REST`] ago: counted from when it was told, so that a waiter that is
    /// dropped and made anew all the while gets there too.
    async fn rest(&self) {
        let told = *self.told();
        if let Some(at) = told.at {
            sleep_until(at + REST).await;
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
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The kernel's word of what is written in one directory.
struct Writes(AsyncFd<OwnedFd>);

impl Writes {
    fn of(directory: &Path) -> io::Result<Self> {
        let watch = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        inotify::add_watch(&watch, directory, WatchFlags::MODIFY | WatchFlags::CREATE)?;
        // Its successor is an unsafe function whose demand (the descriptor stays what it is while it is registered)
        // an `OwnedFd` that never leaves this type keeps.
        #[allow(deprecated)]
        AsyncFd::with_interest(watch, Interest::READABLE).map(Self)
    }

    /// Resolves when something was written since the last time. Cancellation safe.
    async fn next(&self) -> io::Result<()> {
        let mut events = [0; EVENTS_BYTES];
        let read = |watch: &OwnedFd| Ok(rustix::io::read(watch, &mut events)?);
        self.0.async_io(Interest::READABLE, read).await.map(drop)
    }
}

impl Watch {
    pub(crate) fn new(config: &SqliteConfig) -> Self {
        Self {
            session: Session::new(config),
            directory: config.path.parent().unwrap_or(Path::new(".")).to_owned(),
            last: Mutex::new(Last { found: None, news: 0 }),
        }
    }

    /// Resolves when there is something `reader` has not been told: a commit, or a new connection, which
    /// cannot say what it missed. The first call of a reader therefore resolves at once; a later one not
    /// sooner than [`REST`] after the one before.
    ///
    /// Cancellation safe: nothing is marked as told before it is returned.
    pub(crate) async fn next(&self, reader: &Reader) {
        reader.rest().await;
        // Two waiters of one kind take turns at the kernel's events.
        let mut writes = reader.writes.lock().await;
        let mut pause = PAUSE_MIN;
        loop {
            // Before the look: what is written after it is told.
            if writes.is_none() {
                *writes = Writes::of(&self.directory)
                    .inspect_err(
                        |error| tracing::debug!(%error, "the kernel does not watch the database's directory"),
                    )
                    .ok();
            }
            match self.look().await {
                Ok(news) if reader.tell(news) => return,
                Ok(_) => pause = self.wait(&mut writes, pause).await,
                Err(error) => {
                    tracing::debug!(%error, "no hints from the database");
                    sleep(RETRY).await;
                }
            }
        }
    }

    /// Waits for a write, at most for `pause`. Returns the next pause.
    async fn wait(&self, writes: &mut Option<Writes>, pause: Duration) -> Duration {
        let Some(kernel) = writes else {
            sleep(PAUSE_UNTOLD).await;
            return PAUSE_UNTOLD;
        };
        match timeout(pause, kernel.next()).await {
            Ok(Ok(())) => PAUSE_MIN,
            Ok(Err(error)) => {
                tracing::debug!(%error, "the watch on the database's directory ended");
                *writes = None;
                PAUSE_UNTOLD
            }
            Err(_) => PAUSE_MAX.min(pause * 2),
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

#[cfg(test)]
mod tests {
    use super::*;
    use domain::ports::Migrate;
    use std::task::Poll;
    use testkit::contract::PATIENCE;
    use tokio::task::yield_now;

    /// Whether the kernel has something to tell by now.
    async fn told(writes: &Writes) -> bool {
        let mut told = std::pin::pin!(writes.next());
        for _ in 0..10 {
            if std::future::poll_fn(|context| Poll::Ready(told.as_mut().poll(context))).await.is_ready() {
                return true;
            }
            yield_now().await;
        }
        false
    }

    #[tokio::test]
    async fn the_kernel_tells_of_a_commit_and_not_of_looks() {
        let directory = tempfile::tempdir().expect("a directory");
        let config = SqliteConfig::sample(directory.path());
        crate::schema::migrate(&config, Migrate::Apply).await.expect("a file");
        let session = Session::new(&config);
        let commit =
            || session.execute(Statement::new("UPDATE coordinator_schema SET version = version + 1"));
        commit().await.expect("a commit");
        let watch = Watch::new(&config);
        watch.look().await.expect("a look opens the connection");
        let writes = Writes::of(directory.path()).expect("the kernel watches");
        for _ in 0..3 {
            watch.look().await.expect("a look");
        }
        assert!(!told(&writes).await, "a look is no write, or waiters would wake themselves");
        commit().await.expect("a commit");
        timeout(PATIENCE, writes.next()).await.expect("the commit is told").expect("the watch lives");
    }
}
