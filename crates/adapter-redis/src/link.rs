//! [`Link`]: a connection that a background task reopens after every loss, and the state that a request
//! finds.

use crate::connection::{Connection, Dial, Line, Loss};
use crate::watch::Hints;
use domain::ports::StoreError;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout_at};

/// Pause between two attempts to connect. A returning Redis is noticed well within a second, and a missing
/// one costs four refused connections a second.
pub(crate) const RECONNECT_DELAY: Duration = Duration::from_millis(250);

/// A connection that is reopened after every loss, from first use until it is closed or dropped.
pub(crate) struct Link {
    dial: Arc<Dial>,
    hints: Arc<Hints>,
    state: Arc<watch::Sender<State>>,
    life: Mutex<Life>,
}

/// The task that reopens the connection.
enum Life {
    Unused,
    Running(Task<()>),
    Closed,
}

/// State of the connection, as a request finds it.
enum State {
    /// The first attempt, or the first one after a loss, is under way: requests wait for it.
    Connecting,
    Up(Arc<Connection>),
    /// The last attempt failed; the text says why.
    Down(String),
}

impl Link {
    /// Creates the link without connecting.
    pub(crate) fn new(dial: Dial, hints: Arc<Hints>) -> Self {
        let state = Arc::new(watch::Sender::new(State::Connecting));
        Self { dial: Arc::new(dial), hints, state, life: Mutex::new(Life::Unused) }
    }

    /// Starts the background task at the first call; the task never gives up. Must be called within a
    /// runtime, which drives the connection. After that runtime was shut down, the next call starts a new
    /// task on the caller's runtime.
    pub(crate) fn start(&self) {
        let mut life = self.life();
        let starts = match &*life {
            Life::Unused => true,
            // The task never ends, so its runtime was shut down.
            Life::Running(task) => task.0.is_finished(),
            Life::Closed => false,
        };
        if starts {
            self.state.send_replace(State::Connecting);
            let keeping = keep_up(self.dial.clone(), self.hints.clone(), self.state.clone());
            *life = Life::Running(Task(tokio::spawn(keeping)));
        }
    }

    /// Returns the connection. It waits until `deadline` only while an attempt is under way, and returns an
    /// error at once if the connection is down.
    pub(crate) async fn connection(&self, deadline: Instant) -> Result<Arc<Connection>, StoreError> {
        self.start();
        let mut state = self.state.subscribe();
        loop {
            match &*state.borrow_and_update() {
                State::Up(connection) => return Ok(connection.clone()),
                State::Down(why) => return Err(StoreError::Unavailable(why.clone())),
                State::Connecting => {}
            }
            if timeout_at(deadline, state.changed()).await.is_err() {
                let why = format!("Redis at {}: still connecting", self.dial.endpoint);
                return Err(StoreError::Unavailable(why));
            }
        }
    }

    /// Ends the connection for good. Every later request is unavailable.
    pub(crate) async fn close(&self) {
        let before = std::mem::replace(&mut *self.life(), Life::Closed);
        if let Life::Running(mut task) = before {
            task.0.abort();
            // Whether the task was aborted or had ended: it is over.
            let _ = (&mut task.0).await;
        }
        self.state.send_replace(State::Down(format!("Redis at {}: closed", self.dial.endpoint)));
    }

    fn life(&self) -> MutexGuard<'_, Life> {
        // No code under this lock can panic.
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn keep_up(dial: Arc<Dial>, hints: Arc<Hints>, state: Arc<watch::Sender<State>>) {
    loop {
        match Line::connect(&dial).await {
            Ok(mut line) => {
                tracing::info!(endpoint = %dial.endpoint, listens = dial.channel.is_some(), "Redis: connected");
                state.send_replace(State::Up(line.connection.clone()));
                // Messages were missed while the connection was down.
                hints.poll_again();
                let loss = line.until_lost(&dial, &hints).await;
                tracing::warn!(endpoint = %dial.endpoint, listens = dial.channel.is_some(), "{loss}");
                state.send_replace(match loss {
                    Loss::Ended(_) => State::Connecting,
                    Loss::Replace(why) => State::Down(why),
                });
            }
            Err(why) => {
                // Logged once, not four times a second.
                if matches!(*state.borrow(), State::Down(_)) {
                    tracing::debug!(listens = dial.channel.is_some(), "{why}");
                } else {
                    tracing::warn!(listens = dial.channel.is_some(), "{why}");
                }
                state.send_replace(State::Down(why));
            }
        }
        sleep(RECONNECT_DELAY).await;
    }
}

/// A task that is aborted when its handle is dropped.
pub(crate) struct Task<T>(pub(crate) JoinHandle<T>);

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
