//! Hints by LISTEN and NOTIFY. They make reactions faster; correctness never depends on them.

use crate::hint_gate::HintGate;
use crate::hosts::{Hosts, SessionLimits};
use crate::state_store::Process;
use domain::id::Nonce;
use sqlx::AssertSqlSafe;
use sqlx::Connection;
use sqlx::Executor;
use sqlx::postgres::{PgListener, PgPoolOptions};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::{Handle, Id};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// Longest trust in a silent connection. A cut that sends no reset is detected after this time.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// Longest wait for the answer to a probe, and to LISTEN.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// First pause before the next attempt to connect. It doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// Longest pause. Hints arrive again at the latest this long after the database has returned.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Mean time between two reads of the lease during a storm of hints.
const LEASE_PAUSE: Duration = Duration::from_millis(250);
/// As [`LEASE_PAUSE`], for signals, which may come in quick succession.
const SIGNAL_PAUSE: Duration = Duration::from_millis(20);
/// Digits of a nonce.
const NONCE_LEN: usize = 24;

/// The group's channel in SQL, with the group in `$1`. It includes the qualified name of the table
/// ([`Names`](crate::names::Names) qualifies it), because channels belong to a database and not to a schema.
/// It is hashed, because a channel's name has at most 63 bytes.
macro_rules! channel {
    () => {
        "'coordinator_' || md5('coordinator_lease ' || $1)"
    };
}
pub(crate) use channel;

/// Event that a hint announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hint {
    /// An instance has claimed, renewed or released the lease.
    Lease,
    /// An operator requested that the holder hand over.
    Resign,
    /// A new signal waits, or claims are granted again.
    Signal,
}

impl Hint {
    const ALL: [Self; 3] = [Self::Lease, Self::Resign, Self::Signal];

    fn as_str(self) -> &'static str {
        match self {
            Self::Lease => "row",
            Self::Resign => "resign",
            Self::Signal => "signal",
        }
    }

    /// The payload of a notification: the event, and the nonce of the process that caused it.
    pub(crate) fn payload(self, by: Nonce) -> String {
        format!("{} {by}", self.as_str())
    }

    /// Parses a payload; `None` if this adapter cannot have written it.
    fn parse(payload: &str) -> Option<(Self, &str)> {
        let (kind, by) = payload.split_once(' ')?;
        let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let is_nonce = by.len() == NONCE_LEN && by.as_bytes().iter().all(is_digit);
        let hint = Self::ALL.into_iter().find(|hint| hint.as_str() == kind)?;
        is_nonce.then_some((hint, by))
    }
}

/// The background task that listens. The first caller that waits starts it.
pub(crate) struct Listener {
    hints: Arc<Hints>,
    hosts: Arc<Hosts>,
    limits: SessionLimits,
    task: Mutex<Life>,
}

/// State of the task.
enum Life {
    Unused,
    /// Running on the runtime of that id, which drives the connection.
    Running(JoinHandle<()>, Id),
    Stopped,
}

impl Listener {
    pub(crate) fn new(me: Process, hosts: Arc<Hosts>, limits: SessionLimits) -> Self {
        let hints =
            Arc::new(Hints { me, lease: HintGate::new(LEASE_PAUSE), signal: HintGate::new(SIGNAL_PAUSE) });
        Self { hints, hosts, limits, task: Mutex::new(Life::Unused) }
    }

    /// Resolves when another process may have written the lease.
    ///
    /// The task must run on the runtime of the election, which waits here: another runtime may be blocked.
    pub(crate) async fn lease(&self) {
        self.start(Some(Handle::current().id()));
        self.hints.lease.pass().await;
    }

    /// Resolves when a new signal may be waiting.
    pub(crate) async fn signal(&self) {
        self.start(None);
        self.hints.signal.pass().await;
    }

    /// Ends the task and its connection. Callers that wait then wait for ever.
    pub(crate) fn stop(&self) {
        let mut life = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if let Life::Running(task, _) = std::mem::replace(&mut *life, Life::Stopped) {
            task.abort();
        }
    }

    /// Starts the task on this runtime unless it is running. With `only`: unless it is running on the runtime
    /// of that id.
    fn start(&self, only: Option<Id>) {
        let mut life = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        match &*life {
            Life::Stopped => return,
            // The task never returns. If it has ended, its runtime was shut down.
            Life::Running(task, on) if !task.is_finished() => {
                if only.is_none_or(|only| only == *on) {
                    return;
                }
                task.abort();
            }
            Life::Unused | Life::Running(..) => {}
        }
        let (hints, hosts, limits) = (self.hints.clone(), self.hosts.clone(), self.limits);
        let task = tokio::spawn(async move { hints.listen_for_ever(&hosts, limits).await });
        *life = Life::Running(task, Handle::current().id());
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Where hints arrive.
struct Hints {
    me: Process,
    lease: HintGate,
    signal: HintGate,
}

impl Hints {
    async fn listen_for_ever(&self, hosts: &Hosts, limits: SessionLimits) {
        let mut pause = PAUSE_MIN;
        loop {
            match self.connect(hosts, limits).await {
                Ok(listener) => {
                    pause = PAUSE_MIN;
                    // An event may have been missed while the connection was down.
                    self.lease.open();
                    self.signal.open();
                    let lost = self.listen(listener).await;
                    tracing::debug!(group = %self.me.identity.group, "lost the connection for hints: {lost}");
                }
                Err(error) => {
                    tracing::debug!(group = %self.me.identity.group, "no connection for hints: {error}");
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Opens a listening connection to the primary. `PgListener` only works on sqlx's pool, so it gets a
    /// separate pool with a single connection, on the host that was found.
    async fn connect(&self, hosts: &Hosts, limits: SessionLimits) -> Result<PgListener, String> {
        let (found, host) = hosts.connect(limits).await.map_err(|error| error.to_string())?;
        let options = host.options.clone();
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .acquire_timeout(ANSWER_MAX)
            .connect_lazy_with(options);
        let listening = async {
            found.close().await?;
            let mut listener = PgListener::connect_with(&pool).await?;
            // This task reconnects: the next connection may have to go to another host.
            listener.eager_reconnect(false);
            let channel: String =
                sqlx::query_scalar(AssertSqlSafe(self.me.names.sql(concat!("SELECT ", channel!()))))
                    .bind(self.me.identity.group.as_str())
                    .fetch_one(&mut listener)
                    .await?;
            listener.listen(&channel).await?;
            Ok::<_, sqlx::Error>(listener)
        };
        match timeout(ANSWER_MAX, listening).await {
            Ok(Ok(listener)) => Ok(listener),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer to LISTEN within {} s", ANSWER_MAX.as_secs())),
        }
    }

    /// Delivers hints until the connection is lost; returns why.
    async fn listen(&self, mut listener: PgListener) -> String {
        loop {
            match timeout(SILENCE_MAX, listener.try_recv()).await {
                Ok(Ok(Some(notification))) => self.deliver(notification.payload()),
                Ok(Ok(None)) => return "closed by the server".to_owned(),
                Ok(Err(error)) => return error.to_string(),
                Err(_) => match timeout(ANSWER_MAX, listener.execute("SELECT 1")).await {
                    Ok(Ok(_)) => {}
                    Ok(Err(error)) => return error.to_string(),
                    Err(_) => return "no sign of life".to_owned(),
                },
            }
        }
    }

    fn deliver(&self, payload: &str) {
        match Hint::parse(payload) {
            // This process knows what it wrote.
            Some((Hint::Lease, by)) if by == self.me.identity.nonce.to_string() => {}
            // A request to hand over may come from this very process, for the elector in it.
            Some((Hint::Lease | Hint::Resign, _)) => self.lease.open(),
            Some((Hint::Signal, _)) => self.signal.open(),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{Names, SchemaName};

    #[test]
    fn a_payload_is_read_as_it_was_written() {
        for hint in Hint::ALL {
            let payload = hint.payload(Nonce::new(7));
            assert_eq!(Hint::parse(&payload), Some((hint, "000000000000000000000007")));
        }
        for junk in [
            "",
            "row",
            "row ",
            "row 7",
            "tea 000000000000000000000007",
            "row 00000000000000000000000G",
            "row 0000000000000000000000071",
            "row  00000000000000000000007",
        ] {
            assert_eq!(Hint::parse(junk), None, "{junk:?}");
        }
    }

    #[tokio::test]
    async fn only_its_own_writes_of_the_lease_leave_a_process_asleep() {
        let (mine, other) = (Nonce::new(1), Nonce::new(2));
        let identity = domain::identity::Identity {
            group: domain::id::GroupId::parse("g").unwrap(),
            id: domain::id::InstanceId::parse("i").unwrap(),
            nonce: mine,
            host: String::new(),
            ttl: Duration::from_secs(10),
        };
        let me =
            Process { identity, names: Arc::new(Names::new(SchemaName::default())), reached: Arc::default() };
        let hints = Hints { me, lease: HintGate::new(LEASE_PAUSE), signal: HintGate::new(SIGNAL_PAUSE) };
        let woken = async |gate: &HintGate| timeout(Duration::ZERO, gate.pass()).await.is_ok();
        for (hint, by, row, signal) in [
            (Hint::Lease, mine, false, false),
            (Hint::Lease, other, true, false),
            (Hint::Resign, mine, true, false),
            (Hint::Resign, other, true, false),
            (Hint::Signal, mine, false, true),
            (Hint::Signal, other, false, true),
        ] {
            hints.deliver(&hint.payload(by));
            assert_eq!(
                (woken(&hints.lease).await, woken(&hints.signal).await),
                (row, signal),
                "{hint:?} by {by}"
            );
        }
    }
}
