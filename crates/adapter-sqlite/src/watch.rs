//! Hints: whether another process wrote to the lease or to the signals.
//!
//! SQLite cannot notify another process, but the kernel can: it reports to a process that watches a directory
//! (inotify) that a file in it was written. The report comes a moment too early, because a writer syncs
//! before others see its commit. So a waiter polls at once, and again after pauses that double until the next
//! write. A poll reads only shared memory: has any other connection committed since this one last polled
//! (`PRAGMA data_version`)? It uses a connection that itself never writes. While no caller waits, no poll
//! happens, and no task runs in the background. A change that happens in that time is found by the next poll,
//! so no hint is lost.
//!
//! Most commits are heartbeats, which concern neither the election nor the dispatcher. After a commit the
//! process therefore reads two marks, once for all its waiters and at most once per [`REST`]: the lease, and
//! the number of the group's last audit line. Triggers write an audit line for every change of a signal and
//! of the kill switch. A waiter wakes only when its own mark changed.

use crate::config::SqliteConfig;
use crate::lost_files::LostFiles;
use crate::session::{Opening, Session};
use crate::statement::Statement;
use crate::stored::TEXT_LEN_MAX;
use domain::ports::StoreError;
use rustix::fd::OwnedFd;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use sqlx::Row;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{self, Arc, PoisonError};
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// Shortest time between two reads of the marks: at most 200 reads a second, however many commits there are.
/// The read after a quiet time is immediate, so only a busy ledger waits, and no longer than a sync takes.
const REST: Duration = Duration::from_millis(5);
/// Reads both marks. Either is NULL if its row is missing. A text of any size in the row has an answer of
/// bounded size.
const MARKS: &str = "SELECT \
     (SELECT format('%s %s %s %s %s %s', tl, epoch, substr(claim, 1, 37), seq, released, \
                    quote(substr(CAST(resign AS TEXT), 1, ?2))) \
        FROM coordinator_lease WHERE group_id = ?1) AS lease, \
     (SELECT max(number) FROM coordinator_audit WHERE group_id = ?1) AS signals";
/// Pause between the first poll after a write and the second: about the time that a disk takes to sync.
const PAUSE_MIN: Duration = Duration::from_millis(1);
/// Longest pause between two polls while no process writes. A change that the kernel did not report is
/// noticed after this time.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Pause between two polls if the kernel reports nothing, because its limit of watches is reached. Fifty
/// polls a second use about a hundredth of a core.
const PAUSE_UNREPORTED: Duration = Duration::from_millis(20);
/// Pause after a failure. The file may be missing for hours, and hints only make reactions faster.
const RETRY: Duration = Duration::from_secs(1);
/// Bytes of events that are read at once. Their content does not matter, so one that is cut off does not
/// matter either.
const EVENTS_BYTES: usize = 4096;

/// Watches one file for several waiters.
pub(crate) struct Watch {
    session: Session,
    directory: PathBuf,
    group: String,
    last: Mutex<Last>,
}

/// The result of the last read of the marks.
#[derive(Default)]
struct Last {
    /// The commit whose marks these are; `None` before the first read.
    found: Option<(Opening, i64)>,
    opening: Option<Opening>,
    /// Time at which the marks were read; `None` before the first read.
    read_at: Option<Instant>,
    lease: Mark<String>,
    signals: Mark<i64>,
}

/// One mark, and the number of its changes.
struct Mark<T> {
    value: Option<T>,
    news: u64,
}

impl<T> Default for Mark<T> {
    fn default() -> Self {
        Self { value: None, news: 0 }
    }
}

impl<T: PartialEq> Mark<T> {
    /// Counts `value` if it differs, or if the connection is new and may have missed a change.
    fn set(&mut self, value: Option<T>, opening: Option<Opening>, now: Opening) {
        if opening != Some(now) || self.value != value {
            self.value = value;
            self.news += 1;
        }
    }
}

/// The subject of a reader's hints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The lease, for the election.
    Lease,
    /// The signals and the kill switch, for the dispatcher.
    Signals,
}

/// One kind of waiter. If two waiters of one kind wait, one of them receives the hint.
pub(crate) struct Reader {
    subject: Subject,
    /// Number of changes of the subject that it has returned.
    seen: sync::Mutex<u64>,
    /// Not shared, because one reader's events are not another's. `None` until the kernel grants a watch.
    writes: Mutex<Option<Writes>>,
}

impl Reader {
    pub(crate) fn of(subject: Subject) -> Self {
        Self { subject, seen: sync::Mutex::default(), writes: Mutex::default() }
    }

    /// Whether `news` is new to this reader; marks it as seen.
    fn see(&self, news: u64) -> bool {
        // Nothing can panic while the lock is held: a poisoned value is whole.
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = *seen < news;
        *seen = news.max(*seen);
        is_new
    }
}

/// The kernel's reports of writes in one directory.
struct Writes(AsyncFd<OwnedFd>);

impl Writes {
    fn of(directory: &Path) -> io::Result<Self> {
        let watch = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        inotify::add_watch(&watch, directory, WatchFlags::MODIFY | WatchFlags::CREATE)?;
        // The replacement is an unsafe function. It requires that the descriptor stays the same while it is
        // registered, which holds for an `OwnedFd` that never leaves this type.
        #[allow(deprecated)]
        AsyncFd::with_interest(watch, Interest::READABLE).map(Self)
    }

    /// Resolves when a process has written since the last call. Cancellation safe.
    async fn next(&self) -> io::Result<()> {
        let mut events = [0; EVENTS_BYTES];
        let read = |watch: &OwnedFd| Ok(rustix::io::read(watch, &mut events)?);
        self.0.async_io(Interest::READABLE, read).await.map(drop)
    }
}

impl Watch {
    pub(crate) fn new(config: &SqliteConfig, lost: &Arc<LostFiles>) -> Self {
        Self {
            session: Session::new(config, lost),
            directory: config.path.parent().unwrap_or(Path::new(".")).to_owned(),
            group: config.identity.group.as_str().to_owned(),
            last: Mutex::default(),
        }
    }

    /// Resolves when `reader` has not yet seen a change of its subject, or after a reconnect, which may have
    /// missed a change. The first call of a reader therefore resolves at once.
    ///
    /// Cancellation safe: a change is marked as seen only when it is returned.
    pub(crate) async fn next(&self, reader: &Reader) {
        // Two waiters of one kind take turns at the kernel's events.
        let mut writes = reader.writes.lock().await;
        let mut pause = PAUSE_MIN;
        loop {
            // The watch must exist before the poll, so that it reports every later write.
            if writes.is_none() {
                *writes = Writes::of(&self.directory)
                    .inspect_err(
                        |error| tracing::debug!(%error, "the kernel does not watch the database's directory"),
                    )
                    .ok();
            }
            match self.poll(reader.subject).await {
                Ok(news) if reader.see(news) => return,
                Ok(_) => pause = self.wait(&mut writes, pause).await,
                Err(error) => {
                    tracing::debug!(%error, "no hints from the database");
                    sleep(RETRY).await;
                }
            }
        }
    }

    /// Waits for a write, for at most `pause`. Returns the next pause.
    async fn wait(&self, writes: &mut Option<Writes>, pause: Duration) -> Duration {
        let Some(kernel) = writes else {
            sleep(PAUSE_UNREPORTED).await;
            return PAUSE_UNREPORTED;
        };
        match timeout(pause, kernel.next()).await {
            Ok(Ok(())) => PAUSE_MIN,
            Ok(Err(error)) => {
                tracing::debug!(%error, "the watch on the database's directory ended");
                *writes = None;
                PAUSE_UNREPORTED
            }
            Err(_) => PAUSE_MAX.min(pause * 2),
        }
    }

    pub(crate) async fn close(&self) {
        self.session.close().await;
    }

    /// The number of changes of the subject. Reads the marks only after a commit, and never twice within
    /// [`REST`].
    async fn poll(&self, subject: Subject) -> Result<u64, StoreError> {
        let mut last = self.last.lock().await;
        if let Some(at) = last.read_at {
            sleep_until(at + REST).await;
        }
        let (rows, opening) = self.session.fetch_from(Statement::new("PRAGMA data_version")).await?;
        let version = rows.first().and_then(|row| row.try_get::<i64, _>(0).ok()).unwrap_or_default();
        // The number is only comparable on its own connection.
        if last.found != Some((opening, version)) {
            self.read_marks(&mut last, (opening, version)).await?;
        }
        Ok(match subject {
            Subject::Lease => last.lease.news,
            Subject::Signals => last.signals.news,
        })
    }

    /// Reads the marks of the commit `found` or of a later one; in that case they are read once more.
    async fn read_marks(&self, last: &mut Last, found: (Opening, i64)) -> Result<(), StoreError> {
        let statement = Statement::new(MARKS).bind(self.group.clone()).bind(TEXT_LEN_MAX);
        last.read_at = Some(Instant::now());
        let (rows, opening) = self.session.fetch_from(statement).await?;
        let row = rows.first();
        last.lease.set(row.and_then(|row| row.try_get("lease").ok()), last.opening, opening);
        last.signals.set(row.and_then(|row| row.try_get("signals").ok()), last.opening, opening);
        last.opening = Some(opening);
        last.found = Some(found);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use contract::PATIENCE;
    use domain::ports::Migrate;
    use std::task::Poll;
    use tokio::task::yield_now;

    /// Whether the kernel has a report by now.
    async fn reported(writes: &Writes) -> bool {
        let mut reported = std::pin::pin!(writes.next());
        for _ in 0..10 {
            if std::future::poll_fn(|context| Poll::Ready(reported.as_mut().poll(context))).await.is_ready() {
                return true;
            }
            yield_now().await;
        }
        false
    }

    #[tokio::test]
    async fn the_kernel_reports_a_commit_and_not_a_poll() {
        let directory = tempfile::tempdir().expect("a directory");
        let config = SqliteConfig::sample(directory.path());
        crate::schema::migrate(&config, Migrate::Apply).await.expect("a file");
        let session = Session::new(&config, &Arc::default());
        let commit =
            || session.execute(Statement::new("UPDATE coordinator_schema SET version = version + 1"));
        commit().await.expect("a commit");
        let watch = Watch::new(&config, &Arc::default());
        watch.poll(Subject::Lease).await.expect("a poll opens the connection");
        let writes = Writes::of(directory.path()).expect("the kernel watches");
        for _ in 0..3 {
            watch.poll(Subject::Lease).await.expect("a poll");
        }
        assert!(!reported(&writes).await, "a poll writes nothing, or waiters would wake themselves");
        commit().await.expect("a commit");
        timeout(PATIENCE, writes.next()).await.expect("the commit is reported").expect("the watch lives");
    }
}
