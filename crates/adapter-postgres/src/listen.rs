//! Hints by LISTEN and NOTIFY: fast, and never needed.

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

/// How long a silent connection is trusted: a cut that sends no reset is noticed after it.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// Longest answer to the question whether the connection lives, and to LISTEN.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// First pause before the next attempt to connect; it doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// Longest pause: hints are back this soon after the database is.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Mean time between two reads of the lease for which a storm of hints is the cause.
const ROW_PAUSE: Duration = Duration::from_millis(250);
/// As [`ROW_PAUSE`], for signals, which may come quickly.
const SIGNAL_PAUSE: Duration = Duration::from_millis(20);
/// Digits of a nonce.
const NONCE_LEN: usize = 24;

/// The group's channel, in SQL, with the group in `$1`. Of the very table: [`Names`](crate::names::Names) qualifies its
/// name, and channels belong to a database. Hashed: a channel's name has 63 bytes at most.
macro_rules! channel {
    () => {
        "'coordinator_' || md5('coordinator_lease ' || $1)"
    };
}
pub(crate) use channel;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hint {
    /// The lease row was claimed, renewed or released.
    Row,
    /// Somebody asked the holder to hand over.
    Resign,
    /// A signal waits that did not before, or claims are granted again.
    Signal,
}

impl Hint {
    const ALL: [Self; 3] = [Self::Row, Self::Resign, Self::Signal];

    fn as_str(self) -> &'static str {
        match self {
            Self::Row => "row",
            Self::Resign => "resign",
            Self::Signal => "signal",
        }
    }

    /// The payload of a notification: what happened, and which process start did it.
    pub(crate) fn payload(self, by: Nonce) -> String {
        format!("{} {by}", self.as_str())
    }

    /// Reads a payload; `None` when nothing of ours would write it.
    fn parse(payload: &str) -> Option<(Self, &str)> {
        let (kind, by) = payload.split_once(' ')?;
        let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let is_nonce = by.len() == NONCE_LEN && by.as_bytes().iter().all(is_digit);
        let hint = Self::ALL.into_iter().find(|hint| hint.as_str() == kind)?;
        is_nonce.then_some((hint, by))
    }
}

/// The background task that listens, started by the first who waits.
pub(crate) struct Listener {
    hints: Arc<Hints>,
    hosts: Arc<Hosts>,
    limits: SessionLimits,
    task: Mutex<Life>,
}

/// The life of the task.
enum Life {
    Unused,
    /// On the runtime of that id, which drives the connection.
    Running(JoinHandle<()>, Id),
    Stopped,
}

impl Listener {
    pub(crate) fn new(me: Process, hosts: Arc<Hosts>, limits: SessionLimits) -> Self {
        let hints =
            Arc::new(Hints { me, row: HintGate::new(ROW_PAUSE), signal: HintGate::new(SIGNAL_PAUSE) });
        Self { hints, hosts, limits, task: Mutex::new(Life::Unused) }
    }

    /// Resolves when the row may have been written by another process.
    ///
    /// The task belongs on the runtime of the election, which waits here: what runs elsewhere may be blocked.
    pub(crate) async fn row(&self) {
        self.start(Some(Handle::current().id()));
        self.hints.row.pass().await;
    }

    /// Resolves when a signal may wait that did not before.
    pub(crate) async fn signal(&self) {
        self.start(None);
        self.hints.signal.pass().await;
    }

    /// Ends the task and its connection. Who waits, waits for ever.
    pub(crate) fn stop(&self) {
        let mut life = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if let Life::Running(task, _) = std::mem::replace(&mut *life, Life::Stopped) {
            task.abort();
        }
    }

    /// Starts the task on this runtime unless it runs; with `only`, unless it runs on the runtime of that id.
    fn start(&self, only: Option<Id>) {
        let mut life = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        match &*life {
            Life::Stopped => return,
            // It never ends; if it did, its runtime was shut down.
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
    row: HintGate,
    signal: HintGate,
}

impl Hints {
    async fn listen_for_ever(&self, hosts: &Hosts, limits: SessionLimits) {
        let mut pause = PAUSE_MIN;
        loop {
            match self.connect(hosts, limits).await {
                Ok(listener) => {
                    pause = PAUSE_MIN;
                    // Something may have happened while nobody listened.
                    self.row.open();
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

    /// A listening connection to the primary. `PgListener` only works on sqlx's pool, so it gets one of
    /// its own, with a single connection, on the host that was found.
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
            // A lost connection is our business: the next one may have to go to another host.
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
            Some((Hint::Row, by)) if by == self.me.identity.nonce.to_string() => {}
            // A request to hand over may come from this very process, for the elector in it.
            Some((Hint::Row | Hint::Resign, _)) => self.row.open(),
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
    async fn only_its_own_writes_of_the_row_leave_a_process_asleep() {
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
        let hints = Hints { me, row: HintGate::new(ROW_PAUSE), signal: HintGate::new(SIGNAL_PAUSE) };
        let woken = async |gate: &HintGate| timeout(Duration::ZERO, gate.pass()).await.is_ok();
        for (hint, by, row, signal) in [
            (Hint::Row, mine, false, false),
            (Hint::Row, other, true, false),
            (Hint::Resign, mine, true, false),
            (Hint::Resign, other, true, false),
            (Hint::Signal, mine, false, true),
            (Hint::Signal, other, false, true),
        ] {
            hints.deliver(&hint.payload(by));
            assert_eq!(
                (woken(&hints.row).await, woken(&hints.signal).await),
                (row, signal),
                "{hint:?} by {by}"
            );
        }
    }
}
