//! The election's own thread: the driver, its timers, and every connection that it opens run on a runtime that
//! nothing else uses. A service that blocks its runtime, or keeps it busy, delays no renewal.
//!
//! Everything that the driver calls must be short, because all of it runs on this one thread: what computes or reads for long
//! (crash recovery) runs on the runtime that started the coordinator. In a simulation all processes share one
//! runtime with virtual time, so the driver is a task of it there.

use crate::driver::Driver;
use crate::shared::Shared;
use domain::election::Resign;
use std::sync::Arc;
#[cfg(not(simulated))]
use std::{sync::atomic::Ordering::Relaxed, time::Duration};
use tokio::sync::{mpsc, oneshot};

/// The pause between two counted turns of the thread.
#[cfg(not(simulated))]
const TURN: Duration = Duration::from_millis(250);

/// Why the driver ended: `Ok` after a stop, else why nothing can be promised any more.
type Outcome = Result<(), String>;

/// The running driver. Dropping it before it has ended stops the driver, which hands over first: the runtime that
/// started the coordinator is gone, and a leader without its service must not keep the lease.
pub(crate) struct Election {
    outcome: oneshot::Receiver<Outcome>,
    requests: mpsc::Sender<Resign>,
    #[cfg(not(simulated))]
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Election {
    /// Starts `driver`, which takes `requests`.
    ///
    /// # Errors
    /// When the operating system has no thread left.
    #[cfg_attr(simulated, allow(clippy::unnecessary_wraps, reason = "a task of a simulation always starts"))]
    pub(crate) fn start(
        driver: Driver,
        shared: Arc<Shared>,
        requests: mpsc::Sender<Resign>,
    ) -> Result<Self, String> {
        let (ended, outcome) = oneshot::channel();
        #[cfg(not(simulated))]
        {
            let thread = std::thread::Builder::new()
                .name("election".to_owned())
                .spawn({
                    // A subscriber that the caller has set for its own thread gets the election's lines as well.
                    let subscriber = tracing::dispatcher::get_default(Clone::clone);
                    move || {
                        tracing::dispatcher::with_default(&subscriber, || own_thread(driver, &shared, ended));
                    }
                })
                .map_err(|error| format!("no thread: {error}"))?;
            Ok(Self { outcome, requests, thread: Some(thread) })
        }
        #[cfg(simulated)]
        {
            use crate::clock::of_this_process;
            tokio::spawn(of_this_process(async move {
                let outcome = outcome_of(tokio::spawn(of_this_process(driver.run())).await);
                shared.over();
                // The process may have been killed.
                let _ = ended.send(outcome);
            }));
            Ok(Self { outcome, requests })
        }
    }

    /// Waits until the driver has ended and its thread is gone. Cancellation safe; call it until it has returned.
    pub(crate) async fn ended(&mut self) -> Outcome {
        let outcome = (&mut self.outcome).await;
        #[cfg(not(simulated))]
        if let Some(thread) = self.thread.take() {
            // The outcome is the last action of the thread; a panic before it is in the outcome.
            let _ = thread.join();
        }
        outcome.unwrap_or_else(|_| Err("the election's thread panicked".to_owned()))
    }
}

impl Drop for Election {
    fn drop(&mut self) {
        // Fails when the driver has ended. The driver is never busy for long, so there is room for a request.
        let _ = self.requests.try_send(Resign::Stop);
    }
}

/// The whole life of the thread.
#[cfg(not(simulated))]
fn own_thread(driver: Driver, shared: &Shared, ended: oneshot::Sender<Outcome>) {
    let outcome = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => {
            // As a task, so that a panic is an outcome.
            let outcome = outcome_of(runtime.block_on(async {
                let driver = tokio::spawn(driver.run());
                tokio::select! {
                    outcome = driver => outcome,
                    never = turn(shared) => match never {},
                }
            }));
            // First, since closing connections may take a moment.
            shared.over();
            // A request to the file system may be under way; it is not waited for.
            runtime.shutdown_background();
            outcome
        }
        Err(error) => Err(format!("its runtime does not start: {error}")),
    };
    shared.over();
    // Not received when the runtime that started the coordinator is gone.
    let _ = ended.send(outcome);
}

/// Counts the turns of this thread, so that other threads see whether it is blocked.
#[cfg(not(simulated))]
async fn turn(shared: &Shared) -> std::convert::Infallible {
    loop {
        shared.election_turns.fetch_add(1, Relaxed);
        tokio::time::sleep(TURN).await;
    }
}

fn outcome_of(ran: Result<std::io::Result<()>, tokio::task::JoinError>) -> Outcome {
    let outcome = match ran {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) => error.to_string(),
        Err(panicked) => panicked.to_string(),
    };
    tracing::error!("the election ended, and leadership with it: {outcome}");
    Err(outcome)
}
