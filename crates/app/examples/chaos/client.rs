//! The client: submits signals all the time, each again and again under the same id until it is acknowledged,
//! as whoever must not lose one does.

use crate::servers::{block_on, connect, runtime};
use crate::system::Which;
use adapter_postgres::{PostgresConfig, PostgresStore, RelationName};
use domain::id::{GroupId, InstanceId, Nonce};
use domain::ledger::{NewSignal, SignalId};
use domain::ports::{Migrate, SignalLedger, StateStore, StoreError, Submit};
use sqlx::postgres::PgConnection;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// The group of the coordinators.
pub const GROUP: &str = "chaos";
/// The table of the pattern that everybody uses.
const NAIVE_SCHEMA: &str = "CREATE TABLE IF NOT EXISTS naive_signal (
    id text PRIMARY KEY, arrival bigserial, done boolean NOT NULL DEFAULT false)";
/// They submit beside each other: so many signals that the leader is at one of them at any time, which is when
/// a fault does most.
const SUBMITTERS: [char; 3] = ['x', 'y', 'z'];
/// From an acknowledgement to the same submitter's next signal.
const PAUSE: Duration = Duration::from_millis(30);
/// What the client waits for an acknowledgement before it asks again.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(1);
/// From a failure to the next attempt.
const RETRY: Duration = Duration::from_millis(100);
/// Of the store's statements, which the client gives up on before.
const PATIENT_TTL: Duration = Duration::from_secs(6);

/// Whether signals are submitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    Submit,
    Rest,
}

/// The running client. Dropped: it submits no more.
pub struct Client {
    acknowledged: Arc<Mutex<Vec<String>>>,
    pace: watch::Sender<Pace>,
    submitters: Vec<Submitter>,
}

/// One signal after the other.
struct Submitter {
    resting: watch::Receiver<Pace>,
    task: JoinHandle<()>,
}

impl Client {
    /// Makes the database ready and begins.
    ///
    /// # Errors
    /// What the database said.
    pub fn start(which: Which, url: &str) -> Result<Self, String> {
        let acknowledged = Arc::default();
        let pace = watch::Sender::new(Pace::Submit);
        let mut submitters = Vec::new();
        for name in SUBMITTERS {
            let sink = block_on(Sink::open(which, url))?;
            let (rests, resting) = watch::channel(Pace::Submit);
            let submitting = submit_for_ever(name, sink, Arc::clone(&acknowledged), pace.subscribe(), rests);
            submitters.push(Submitter { resting, task: runtime().spawn(submitting) });
        }
        Ok(Self { acknowledged, pace, submitters })
    }

    /// Lets it finish the signals it is at. It rests until [`Self::go_on`]; ask [`Self::rests`].
    pub fn rest(&self) {
        self.pace.send_replace(Pace::Rest);
    }

    /// Whether the last signal is acknowledged and none follows.
    pub fn rests(&self) -> bool {
        self.submitters.iter().all(|submitter| *submitter.resting.borrow() == Pace::Rest)
    }

    /// It submits again.
    pub fn go_on(&self) {
        self.pace.send_replace(Pace::Submit);
    }

    /// The ids of all acknowledged signals.
    pub fn acknowledged(&self) -> Vec<String> {
        list(&self.acknowledged).clone()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        for submitter in &self.submitters {
            submitter.task.abort();
        }
    }
}

async fn submit_for_ever(
    name: char,
    mut sink: Sink,
    acknowledged: Arc<Mutex<Vec<String>>>,
    mut pace: watch::Receiver<Pace>,
    resting: watch::Sender<Pace>,
) {
    for number in 1_u64.. {
        while *pace.borrow_and_update() == Pace::Rest {
            resting.send_replace(Pace::Rest);
            if pace.changed().await.is_err() {
                return;
            }
        }
        resting.send_replace(Pace::Submit);
        let id = format!("{name}-{number:07}");
        while !sink.submit(&id).await {
            // As a client does that keeps trying; the faults decide when it succeeds.
            sleep(RETRY).await;
        }
        list(&acknowledged).push(id);
        // The rate of signals.
        sleep(PAUSE).await;
    }
}

fn list(acknowledged: &Mutex<Vec<String>>) -> MutexGuard<'_, Vec<String>> {
    // Nothing that can panic runs under this lock.
    acknowledged.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where signals are submitted.
enum Sink {
    Ledger(Box<PostgresStore>),
    Table { url: String, connection: Option<PgConnection> },
}

impl Sink {
    async fn open(which: Which, url: &str) -> Result<Self, String> {
        match which {
            Which::Coordinator => {
                let store = ledger(url)?;
                store.migrate(Migrate::Apply).await.map_err(|error| error.to_string())?;
                Ok(Self::Ledger(Box::new(store)))
            }
            Which::Naive => {
                let mut connection = connect(url).await.map_err(|error| error.to_string())?;
                let made = sqlx::raw_sql(NAIVE_SCHEMA).execute(&mut connection).await;
                made.map_err(|error| error.to_string())?;
                Ok(Self::Table { url: url.to_owned(), connection: Some(connection) })
            }
        }
    }

    /// Whether the signal is acknowledged.
    async fn submit(&mut self, id: &str) -> bool {
        match self {
            Self::Ledger(store) => {
                let id = SignalId::parse(id).expect("a letter and a number");
                let signal = NewSignal { id, body: "{}".to_owned() };
                match timeout(ANSWER_TIME_MAX, store.submit(&signal)).await {
                    Ok(Ok(Submit::Accepted(_) | Submit::Repeated(_))) => true,
                    Ok(Ok(Submit::Conflict(other))) => panic!("{signal:?} is said to be {other:?}"),
                    Ok(Err(StoreError::Unavailable(_) | StoreError::Unknown(_) | StoreError::Corrupt(_)))
                    | Err(_) => false,
                }
            }
            Self::Table { url, connection } => {
                let asked = timeout(ANSWER_TIME_MAX, insert(url, connection.take(), id)).await;
                match asked {
                    Ok(Ok(live)) => {
                        *connection = Some(live);
                        true
                    }
                    Ok(Err(_)) | Err(_) => false,
                }
            }
        }
    }
}

async fn insert(url: &str, connection: Option<PgConnection>, id: &str) -> Result<PgConnection, sqlx::Error> {
    let mut connection = match connection {
        Some(connection) => connection,
        None => connect(url).await?,
    };
    sqlx::query("INSERT INTO naive_signal (id) VALUES ($1) ON CONFLICT (id) DO NOTHING")
        .bind(id)
        .execute(&mut connection)
        .await?;
    Ok(connection)
}

fn ledger(url: &str) -> Result<PostgresStore, String> {
    let relation = |name| RelationName::parse(name).expect("a name");
    PostgresStore::new(PostgresConfig {
        url: url.to_owned(),
        group: GroupId::parse(GROUP).expect("a word"),
        id: InstanceId::parse("client").expect("a word"),
        nonce: Nonce::new(u128::MAX),
        host: "chaos".to_owned(),
        ttl: PATIENT_TTL,
        positions: relation("portfolio_positions"),
        portfolio: relation("portfolio_state"),
    })
    .map_err(|error| error.to_string())
}
