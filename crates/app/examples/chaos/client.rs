//! The client: submits signals continuously, each repeatedly under the same id until it is acknowledged, as a
//! client that must not lose a signal does.

use crate::servers::{Servers, block_on, connect};
use crate::submission::{Doors, Said, Submission};
use crate::system::Which;
use sqlx::postgres::PgConnection;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use testkit::proxy::Proxy;
use tokio::sync::watch;
use tokio::time::timeout;

/// The table of the usual pattern.
const NAIVE_SCHEMA: &str = "CREATE TABLE IF NOT EXISTS naive_signal (
    id text PRIMARY KEY, arrival bigserial, done boolean NOT NULL DEFAULT false)";
/// Submitters in parallel. With this number the leader works on a signal at any time, which is when a fault
/// has the largest effect.
const SUBMITTERS: [char; 3] = ['x', 'y', 'z'];
/// Instruments of the signals. Signals of one instrument wait for each other, whichever submitter sent them.
const INSTRUMENTS: [&str; 5] = ["NIFTY", "BANKNIFTY", "FINNIFTY", "SENSEX", "GOLDM"];
/// Pause after an acknowledgement before the same submitter's next signal.
const PAUSE: Duration = Duration::from_millis(30);
/// Timeout of the table's client for an acknowledgement; then it tries again.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(1);
/// Pause after a failure before the next attempt.
const RETRY: Duration = Duration::from_millis(100);

/// Whether signals are submitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    Submit,
    Rest,
    End,
}

/// The running client. When it is dropped, it submits no more.
pub struct Client {
    tally: Arc<Mutex<Tally>>,
    pace: watch::Sender<Pace>,
    submitters: Vec<Submitter>,
    /// Proxy to PostgreSQL of a client that submits there.
    way: Option<Proxy>,
}

/// Results of the submissions.
#[derive(Debug, Default)]
struct Tally {
    acknowledged: Vec<String>,
    refused: Vec<String>,
}

/// Submits one signal after the other.
struct Submitter {
    resting: watch::Receiver<Pace>,
    thread: Option<JoinHandle<()>>,
}

impl Client {
    /// Starts submitting: at the instances' `doors`, or in the naive pattern's table.
    ///
    /// # Errors
    /// The database's error.
    pub fn start(which: Which, servers: &Servers, doors: &[SocketAddr]) -> Result<Self, String> {
        let mut client = Self::idle();
        let table = match which {
            Which::Coordinator => None,
            Which::Naive => {
                let way = client.way.insert(block_on(Proxy::start(servers.primary.address())));
                let url = servers.primary_through(way);
                block_on(make_table(&url))?;
                Some(url)
            }
        };
        for name in SUBMITTERS {
            let sink = match &table {
                None => Sink::Doors { doors: Doors::new(doors), next: 0 },
                Some(url) => Sink::Table { url: url.clone(), connection: None },
            };
            let (rests, resting) = watch::channel(Pace::Submit);
            let (tally, pace) = (Arc::clone(&client.tally), client.pace.subscribe());
            let thread = thread::spawn(move || submit_for_ever(name, sink, &tally, pace, &rests));
            client.submitters.push(Submitter { resting, thread: Some(thread) });
        }
        Ok(client)
    }

    /// A client that submits nothing, because another part of the program does.
    pub fn idle() -> Self {
        let pace = watch::Sender::new(Pace::Submit);
        Self { tally: Arc::default(), pace, submitters: Vec::new(), way: None }
    }

    /// Lets it finish its current signals. It rests until [`Self::go_on`]; [`Self::rests`] says whether it
    /// does.
    pub fn rest(&self) {
        self.pace.send_replace(Pace::Rest);
    }

    /// Whether the last signal is acknowledged and none follows.
    pub fn rests(&self) -> bool {
        self.submitters.iter().all(|submitter| *submitter.resting.borrow() == Pace::Rest)
    }

    /// Resumes submitting.
    pub fn go_on(&self) {
        self.pace.send_replace(Pace::Submit);
    }

    /// The ids of all acknowledged signals.
    pub fn acknowledged(&self) -> Vec<String> {
        lock(&self.tally).acknowledged.clone()
    }

    /// Valid submissions that were refused.
    pub fn refused(&self) -> Vec<String> {
        lock(&self.tally).refused.clone()
    }

    /// If it has a proxy to PostgreSQL, the proxy forwards to another server.
    pub fn retarget(&self, primary: &str) {
        if let Some(way) = &self.way {
            block_on(way.retarget(primary));
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.pace.send_replace(Pace::End);
        for thread in self.submitters.iter_mut().filter_map(|submitter| submitter.thread.take()) {
            // A submitter that panicked has printed its message.
            let _ = thread.join();
        }
    }
}

fn submit_for_ever(
    name: char,
    mut sink: Sink,
    tally: &Mutex<Tally>,
    mut pace: watch::Receiver<Pace>,
    resting: &watch::Sender<Pace>,
) {
    for (number, instrument) in (1_u64..).zip(INSTRUMENTS.into_iter().cycle()) {
        loop {
            let now = *pace.borrow_and_update();
            match now {
                Pace::Submit => break,
                Pace::Rest => {
                    resting.send_replace(Pace::Rest);
                    if block_on(pace.changed()).is_err() {
                        return;
                    }
                }
                Pace::End => return,
            }
        }
        resting.send_replace(Pace::Submit);
        let submission = Submission::new(format!("{name}-{number:07}"), instrument.to_owned());
        loop {
            match sink.submit(&submission) {
                Said::Acknowledged => {
                    lock(tally).acknowledged.push(submission.id);
                    break;
                }
                Said::Refused(message) => {
                    lock(tally).refused.push(message);
                    break;
                }
                Said::NotNow if *pace.borrow() == Pace::End => return,
                // As a client that keeps trying; the faults decide when it succeeds.
                Said::NotNow => thread::sleep(RETRY),
            }
        }
        // The rate of signals.
        thread::sleep(PAUSE);
    }
}

fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    // No code under this lock can panic.
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Destination of submissions.
enum Sink {
    /// The instances, one after the other.
    Doors { doors: Doors, next: usize },
    /// The naive pattern's table.
    Table { url: String, connection: Option<PgConnection> },
}

impl Sink {
    /// Submits a signal once.
    fn submit(&mut self, submission: &Submission) -> Said {
        match self {
            Self::Doors { doors, next } => {
                *next = (*next + 1) % doors.count();
                doors.submit(*next, submission)
            }
            Self::Table { url, connection } => {
                let asked =
                    async { timeout(ANSWER_TIME_MAX, insert(url, connection.take(), &submission.id)).await };
                match block_on(asked) {
                    Ok(Ok(live)) => {
                        *connection = Some(live);
                        Said::Acknowledged
                    }
                    Ok(Err(_)) | Err(_) => Said::NotNow,
                }
            }
        }
    }
}

async fn make_table(url: &str) -> Result<(), String> {
    let mut connection = connect(url).await.map_err(|error| error.to_string())?;
    let made = sqlx::raw_sql(NAIVE_SCHEMA).execute(&mut connection).await;
    made.map(drop).map_err(|error| error.to_string())
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
