//! Lanes of connections.
//!
//! sqlx's pool is not used, because it reuses a connection after the future of its request was dropped, which
//! can happen in the middle of a transaction (a later INSERT then returns a row and is never committed). Here
//! a session is reused only if its request was answered without an error. In every other case, a dropped
//! future included, its connection is closed and the server rolls back what was open. This needs no hook and
//! no task that must not be cancelled.

use crate::hosts::{Hosts, SessionLimits};
use crate::warning;
use domain::ports::StoreError;
use sqlx::postgres::{PgArguments, PgConnection, PgRow, Postgres};
use sqlx::query::Query;
use sqlx::{Connection, Executor};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

/// Requests after which a session plans its statements again for the first time; then after twice as many and
/// so on, and after every [`REPLAN_EVERY`].
///
/// The server keeps a plan (see `hosts::admission`), and a plan that was made while a table was nearly empty
/// reads the whole table. The server makes it again when it has new statistics, for which the autovacuum of a
/// new database takes a minute. Until then each signal would read all signals before it.
const REPLAN_FIRST: u64 = 16;
/// The first signals may also come when a session is already old.
const REPLAN_EVERY: u64 = 1_024;

/// A statement with its arguments.
pub(crate) type Statement<'q> = Query<'q, Postgres, PgArguments>;

/// Purpose of a lane, and how much of the server it may use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LaneLimits {
    /// Name for messages.
    pub purpose: &'static str,
    /// Most sessions.
    pub sessions: usize,
    /// Timeouts of each session at the server.
    pub session: SessionLimits,
    /// Longest wait for a free session, and for an idle one to answer a probe.
    pub wait: Duration,
    /// How long an idle session is reused without a probe.
    pub trust: Duration,
    /// Whether sessions plan their statements again now and then (see [`REPLAN_FIRST`]). A session that does
    /// is probed first.
    pub replans: bool,
    /// How long a request whose caller stopped waiting may keep its place, so that sessions that hang at the
    /// server (a commit that waits for a synchronous standby) do not accumulate there.
    pub linger: Duration,
}

/// At most `sessions` connections. Each is opened when needed and serves one request at a time.
pub(crate) struct Lane {
    hosts: Arc<Hosts>,
    limits: LaneLimits,
    places: Arc<Semaphore>,
    idle: Mutex<Vec<Idle>>,
}

/// A session that waits for its next request.
struct Idle {
    connection: PgConnection,
    /// Time of the answer to its last request; `None` if the connection may be broken.
    answered: Option<Instant>,
    /// Requests that it has answered.
    requests: u64,
}

fn must_replan(requests: u64) -> bool {
    requests >= REPLAN_FIRST && (requests.is_power_of_two() || requests.is_multiple_of(REPLAN_EVERY))
}

impl Lane {
    pub(crate) fn new(hosts: Arc<Hosts>, limits: LaneLimits) -> Self {
        let places = Arc::new(Semaphore::new(limits.sessions));
        Self { hosts, limits, places, idle: Mutex::new(Vec::with_capacity(limits.sessions)) }
    }

    /// Takes a session for one request. [`StoreError::Unavailable`] if none is available.
    pub(crate) async fn take(&self) -> Result<Session<'_>, StoreError> {
        let LaneLimits { purpose, sessions, wait, .. } = self.limits;
        let place = match timeout(wait, self.places.clone().acquire_owned()).await {
            Ok(Ok(place)) => place,
            Ok(Err(_closed)) => return Err(StoreError::Unavailable("the store was closed".to_owned())),
            Err(_) => {
                let message = format!("all {sessions} PostgreSQL connections for {purpose} are busy");
                return Err(StoreError::Unavailable(message));
            }
        };
        let (connection, requests) = match self.live_idle().await {
            Some(live) => live,
            None => (self.hosts.connect(self.limits.session).await?.0, 0),
        };
        Ok(Session { lane: self, connection: Some(connection), requests, place: Some(place) })
    }

    /// Runs one statement and returns its first row, if any. Returns after the server has committed.
    pub(crate) async fn optional(&self, statement: Statement<'_>) -> Result<Option<PgRow>, StoreError> {
        let mut session = self.take().await?;
        let answer = warning::watch(statement.fetch_optional(session.connection())).await;
        session.answered(answer)
    }

    /// As [`Self::optional`], for a statement that always returns a row.
    pub(crate) async fn one(&self, statement: Statement<'_>) -> Result<PgRow, StoreError> {
        let mut session = self.take().await?;
        let answer = warning::watch(statement.fetch_one(session.connection())).await;
        session.answered(answer)
    }

    /// As [`Self::optional`]; returns all rows.
    pub(crate) async fn all(&self, statement: Statement<'_>) -> Result<Vec<PgRow>, StoreError> {
        let mut session = self.take().await?;
        let answer = warning::watch(statement.fetch_all(session.connection())).await;
        session.answered(answer)
    }

    /// As [`Self::all`]; `None` if a unique index forbids the write. Nothing was written then, and the
    /// session remains usable.
    pub(crate) async fn all_unless_taken(
        &self,
        statement: Statement<'_>,
    ) -> Result<Option<Vec<PgRow>>, StoreError> {
        let mut session = self.take().await?;
        let request = async {
            match statement.fetch_all(session.connection()).await {
                Err(sqlx::Error::Database(reported)) if reported.is_unique_violation() => Ok(None),
                answer => answer.map(Some),
            }
        };
        let answer = warning::watch(request).await;
        session.answered(answer)
    }

    /// Refuses further requests and closes the idle sessions. Requests under way continue.
    pub(crate) async fn close(&self) {
        self.places.close();
        let idle = std::mem::take(&mut *self.idle());
        for session in idle {
            // The session ends in any case. A server that does not answer must not delay a shutdown.
            let _ = timeout(self.limits.wait, session.connection.close()).await;
        }
    }

    /// Takes the idle connection that was used last, with the number of its requests. A connection that was
    /// idle for longer than `trust` (LEADER_TTL) is probed first. So is one that must plan again: the probe
    /// triggers that. A connection that does not answer (the server was restarted) is closed here, where no
    /// outcome is in doubt yet.
    ///
    /// A leader and a standby instance use their connections with every heartbeat, so they pay one round trip
    /// per statement and not two. The price: if a session has died since its last use, one statement ends as
    /// [`StoreError::Unknown`], which marks the other idle sessions for a probe, and the next statement opens
    /// a new session. LEADER_TTL has room for one renewal without an answer.
    async fn live_idle(&self) -> Option<(PgConnection, u64)> {
        let Idle { mut connection, answered, requests } = self.idle().pop()?;
        let trusted = answered.is_some_and(|at| at.elapsed() <= self.limits.trust);
        if trusted && !(self.limits.replans && must_replan(requests)) {
            return Some((connection, requests));
        }
        let answer = timeout(self.limits.wait / 4, connection.execute("DISCARD PLANS")).await;
        matches!(answer, Ok(Ok(_))).then_some((connection, requests))
    }

    /// Marks all idle sessions for a probe before their next use: the event that ended one session (a
    /// restart, a cut) may have ended them too.
    fn probe_idle(&self) {
        for session in &mut *self.idle() {
            session.answered = None;
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        // Nothing can panic while the lock is held: a poisoned list is whole.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection for the time of one request. Dropping it closes the connection.
pub(crate) struct Session<'l> {
    lane: &'l Lane,
    connection: Option<PgConnection>,
    /// Requests that the connection has answered before this one.
    requests: u64,
    place: Option<OwnedSemaphorePermit>,
}

impl Session<'_> {
    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        self.connection.as_mut().expect("a session has its connection until it ends")
    }

    /// Ends the request. The connection is reused if it answered, and closed if not.
    pub(crate) fn answered<T>(mut self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        let connection = self.connection.take();
        if answer.is_err() {
            self.lane.probe_idle();
        } else if let Some(connection) = connection
            && !self.lane.places.is_closed()
        {
            let requests = self.requests + 1;
            self.lane.idle().push(Idle { connection, answered: Some(Instant::now()), requests });
        }
        // After an error nothing hangs at the server: it has answered, or the connection is broken.
        answer
    }
}

/// The caller stopped waiting: the request may still run at the server. It keeps its place until the server
/// has answered, for at most `linger`; then the connection is closed and never reused.
impl Drop for Session<'_> {
    fn drop(&mut self) {
        let linger = self.lane.limits.linger;
        let (Some(mut connection), Some(place)) = (self.connection.take(), self.place.take()) else {
            return;
        };
        self.lane.probe_idle();
        if linger.is_zero() {
            return;
        }
        // Outside of a runtime there is no task that could wait, and no request that could accumulate
        // sessions.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let _ = timeout(linger, connection.ping()).await;
                drop(connection);
                drop(place);
            });
        }
    }
}
