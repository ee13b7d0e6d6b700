//! Lanes of connections.
//!
//! Why not sqlx's pool: it hands a connection on after its request's future was dropped, which can be in
//! the middle of a transaction (a later INSERT then returns a row and is never committed). Here a session
//! goes back only after its request was answered without an error; in every other case, a dropped future
//! included, its connection is closed and the server rolls back what was open. That is the whole trick,
//! and it needs no hook and no task that must not be cancelled.

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

/// Requests of a session after which it plans anew for the first time; again after twice as many and so on, and after
/// every [`REPLAN_EVERY`].
///
/// A plan is kept (see `hosts::ADMIT`), and one that was made while a table was nearly empty reads all of it. The
/// server has it made anew when statistics come, for which the autovacuum of a new database takes a minute. Until then
/// each signal would read all before it.
const REPLAN_FIRST: u64 = 16;
/// An old session, too, may meet the first signals.
const REPLAN_EVERY: u64 = 1_024;

/// A statement with its arguments.
pub(crate) type Statement<'q> = Query<'q, Postgres, PgArguments>;

/// What a lane is for and how much of the server it may use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LaneLimits {
    /// For messages.
    pub purpose: &'static str,
    /// Sessions at most.
    pub sessions: usize,
    /// Limits of each session at the server.
    pub session: SessionLimits,
    /// Longest wait for a free session, and for an idle one to prove that it lives.
    pub wait: Duration,
    /// How long an idle session is used again without the question whether it lives.
    pub trust: Duration,
    /// Whether it plans anew now and then (see [`REPLAN_FIRST`]), for which it is asked as if it were not trusted.
    pub replans: bool,
    /// How long a request whose caller gave up may keep its place, so that sessions that hang at the
    /// server (a commit that waits for a synchronous standby) do not pile up there.
    pub linger: Duration,
}

/// At most `sessions` connections, opened when needed, used by one request each.
pub(crate) struct Lane {
    hosts: Arc<Hosts>,
    limits: LaneLimits,
    places: Arc<Semaphore>,
    idle: Mutex<Vec<Idle>>,
}

/// A session that waits for its next request.
struct Idle {
    connection: PgConnection,
    /// When its last request was answered; `None` when there is reason to doubt that it lives.
    answered: Option<Instant>,
    /// Requests that it has answered.
    requests: u64,
}

fn is_to_replan(requests: u64) -> bool {
    requests >= REPLAN_FIRST && (requests.is_power_of_two() || requests.is_multiple_of(REPLAN_EVERY))
}

impl Lane {
    pub(crate) fn new(hosts: Arc<Hosts>, limits: LaneLimits) -> Self {
        let places = Arc::new(Semaphore::new(limits.sessions));
        Self { hosts, limits, places, idle: Mutex::new(Vec::with_capacity(limits.sessions)) }
    }

    /// A session for one request. [`StoreError::Unavailable`] when there is none to be had.
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

    /// Runs one statement; its first row, if any. Returns after the server has committed.
    pub(crate) async fn optional(&self, statement: Statement<'_>) -> Result<Option<PgRow>, StoreError> {
        let mut session = self.take().await?;
        let answer = warning::watch(statement.fetch_optional(session.connection())).await;
        session.answered(answer)
    }

    /// As [`Self::optional`], for a statement that always answers with a row.
    pub(crate) async fn one(&self, statement: Statement<'_>) -> Result<PgRow, StoreError> {
        let mut session = self.take().await?;
        let answer = warning::watch(statement.fetch_one(session.connection())).await;
        session.answered(answer)
    }

    /// As [`Self::optional`], all rows.
    pub(crate) async fn all(&self, statement: Statement<'_>) -> Result<Vec<PgRow>, StoreError> {
        let mut session = self.take().await?;
        let answer = warning::watch(statement.fetch_all(session.connection())).await;
        session.answered(answer)
    }

    /// As [`Self::all`]; `None` when a unique index forbids it. That is an answer: nothing was written, and the
    /// session is as good as before.
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

    /// Refuses further requests and says goodbye to the server. Requests under way go on.
    pub(crate) async fn close(&self) {
        self.places.close();
        let idle = std::mem::take(&mut *self.idle());
        for session in idle {
            // The session ends either way; a server that does not answer must not hold up a shutdown.
            let _ = timeout(self.limits.wait, session.connection.close()).await;
        }
    }

    /// The idle connection used last, and its requests so far. One that was idle for longer than `trust`
    /// (LEADER_TTL) is asked first, as is one that is to plan anew: the question makes it do so. If it does not
    /// answer (the server was restarted), it is closed here, where nothing is in doubt yet.
    ///
    /// A leader and a follower use theirs with every heartbeat, so they pay one round trip per statement
    /// and not two. The price is paid when a session died since its last use: one statement ends as
    /// [`StoreError::Unknown`], which makes the other idle ones doubtful, and the next opens a new session.
    /// LEADER_TTL has room for one renewal that gets no answer.
    async fn live_idle(&self) -> Option<(PgConnection, u64)> {
        let Idle { mut connection, answered, requests } = self.idle().pop()?;
        let trusted = answered.is_some_and(|at| at.elapsed() <= self.limits.trust);
        if trusted && !(self.limits.replans && is_to_replan(requests)) {
            return Some((connection, requests));
        }
        let answer = timeout(self.limits.wait / 4, connection.execute("DISCARD PLANS")).await;
        matches!(answer, Ok(Ok(_))).then_some((connection, requests))
    }

    /// What ended one session early (a restart, a cut) may have ended the idle ones too: they are asked
    /// before they are used again.
    fn doubt_idle(&self) {
        for session in &mut *self.idle() {
            session.answered = None;
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        // Nothing can panic while it is held: a poisoned list is whole.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection for the time of one request. Dropping it closes the connection.
pub(crate) struct Session<'l> {
    lane: &'l Lane,
    connection: Option<PgConnection>,
    /// That it has answered before this one.
    requests: u64,
    place: Option<OwnedSemaphorePermit>,
}

impl Session<'_> {
    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        self.connection.as_mut().expect("a session has its connection until it ends")
    }

    /// Ends the request: the connection goes back if it was answered, and is closed if not.
    pub(crate) fn answered<T>(mut self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        let connection = self.connection.take();
        if answer.is_err() {
            self.lane.doubt_idle();
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

/// The caller gave up: the request may still run at the server. Its place is kept until the server has
/// answered, `linger` at most; the connection is closed then, never used again.
impl Drop for Session<'_> {
    fn drop(&mut self) {
        let linger = self.lane.limits.linger;
        let (Some(mut connection), Some(place)) = (self.connection.take(), self.place.take()) else {
            return;
        };
        self.lane.doubt_idle();
        if linger.is_zero() {
            return;
        }
        // Outside of a runtime there is nobody left to wait, and nobody to pile up sessions.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let _ = timeout(linger, connection.ping()).await;
                drop(connection);
                drop(place);
            });
        }
    }
}
