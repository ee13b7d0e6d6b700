//! The line between one instance and one store: delays and losses of requests and replies.
//!
//! The store carries out a request that was sent, even if its sender has timed out, is paused or is dead.

use crate::fault::Trouble;
use crate::judge::{Effect, Judge};
use crate::rng::Rng;
use crate::server::Server;
use domain::ports::StoreError;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

/// One way of a request without a fault takes less than this, in milliseconds.
const USUAL_MS: u64 = 3;

/// One instance's line to one store.
#[derive(Debug)]
pub struct Line {
    state: Mutex<State>,
    judge: Arc<Judge>,
    /// Longest delay that `Slow` adds to each way.
    slow_ms: u64,
    /// Longest delay that `Late` adds to a request.
    late_ms: u64,
}

#[derive(Debug)]
struct State {
    rng: Rng,
    troubles: Vec<(Trouble, Instant, Arc<Effect>)>,
}

/// The kind of request that a reply answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// A write: a synchronous standby must receive it first.
    Written,
    /// No write.
    Read,
}

/// The fate of one request.
enum Fate {
    Refused,
    Lost,
    Through { there: Duration, back: Option<Duration> },
}

impl Line {
    /// A line with its own random numbers.
    pub fn new(judge: Arc<Judge>, rng: Rng, slow_ms: u64, late: Duration) -> Self {
        let late_ms = u64::try_from(late.as_millis()).unwrap_or(u64::MAX);
        Self { state: Mutex::new(State { rng, troubles: Vec::new() }), judge, slow_ms, late_ms }
    }

    /// From now on, for `lasting`, the line has the fault `trouble`.
    pub fn trouble(&self, trouble: Trouble, lasting: Duration, effect: Arc<Effect>) {
        self.state().troubles.push((trouble, Instant::now() + lasting, effect));
    }

    /// Ends all faults. Late requests stay late.
    pub fn heal(&self) {
        self.state().troubles.clear();
    }

    /// The delay of a hint, or `None` if it is lost.
    pub fn hint(&self) -> Option<Duration> {
        let mut state = self.state();
        if let Some(effect) = state.loses_hints() {
            drop(state);
            self.judge.took_effect(&effect);
            return None;
        }
        Some(Duration::from_millis(state.rng.below(USUAL_MS)))
    }

    /// Carries a request to `server`, executes `work` there, and carries its answer back.
    pub async fn carry<T, F>(
        &self,
        server: &Arc<Server>,
        work: F,
        reply: impl Fn(&T) -> Reply + Send + 'static,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let refused = || StoreError::Unavailable("no connection (simulated)".to_owned());
        let (there, back) = match self.fate() {
            Fate::Refused => return Err(refused()),
            Fate::Lost => return pending().await,
            Fate::Through { there, back } => (there, back),
        };
        let connection = server.connect().ok_or_else(refused)?;
        let (answer, answered) = oneshot::channel();
        tokio::spawn(async move {
            pass(there).await;
            let done = if connection.is_alive() { Some(work.await) } else { None };
            if matches!(&done, Some(Ok(value)) if reply(value) == Reply::Written) {
                connection.replicated().await;
            }
            let Some(back) = back else { return };
            pass(back).await;
            let broken = || Err(StoreError::Unknown("the connection broke (simulated)".to_owned()));
            let said = done.filter(|_| connection.is_alive()).unwrap_or_else(broken);
            // The sender may be gone.
            let _ = answer.send(said);
        });
        match answered.await {
            Ok(said) => said,
            // The reply was lost; the sender is not notified.
            Err(_) => pending().await,
        }
    }

    fn fate(&self) -> Fate {
        let mut state = self.state();
        let usual = |rng: &mut Rng| Duration::from_millis(rng.below(USUAL_MS));
        let (mut there, mut back) = (usual(&mut state.rng), Some(usual(&mut state.rng)));
        let worst = state.present_trouble();
        let fate = match worst.as_ref().map(|(trouble, _)| *trouble) {
            None | Some(Trouble::LoseHints) => return Fate::Through { there, back },
            Some(Trouble::Refuse) => Fate::Refused,
            Some(Trouble::Silent) => Fate::Lost,
            Some(Trouble::LoseReplies) => Fate::Through { there, back: None },
            Some(Trouble::Slow) => {
                there += Duration::from_millis(state.rng.below(self.slow_ms));
                back = back.map(|back| back + Duration::from_millis(state.rng.below(self.slow_ms)));
                Fate::Through { there, back }
            }
            Some(Trouble::Late) => {
                there += Duration::from_millis(state.rng.between(self.slow_ms, self.late_ms));
                Fate::Through { there, back }
            }
        };
        drop(state);
        if let Some((_, effect)) = worst {
            self.judge.took_effect(&effect);
        }
        fate
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The latest active fault of requests.
    fn present_trouble(&mut self) -> Option<(Trouble, Arc<Effect>)> {
        let now = Instant::now();
        self.troubles.retain(|(_, until, _)| now < *until);
        let with_requests = self.troubles.iter().rev().find(|(trouble, ..)| *trouble != Trouble::LoseHints);
        with_requests.map(|(trouble, _, effect)| (*trouble, Arc::clone(effect)))
    }

    fn loses_hints(&self) -> Option<Arc<Effect>> {
        let now = Instant::now();
        let lost = |trouble| trouble == Trouble::LoseHints;
        let found = self.troubles.iter().find(|(trouble, until, _)| now < *until && lost(*trouble));
        found.map(|(_, _, effect)| Arc::clone(effect))
    }
}

async fn pass(time: Duration) {
    // Even a delay of zero would cost a turn of the timer's wheel.
    if !time.is_zero() {
        sleep(time).await;
    }
}
