//! [`Clients`]: clients that submit signals in parallel, as fast as they are acknowledged.

use crate::fault::Dice;
use crate::submission::{Doors, Said, Submission};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Number of clients.
pub const CLIENTS: u64 = 8;
/// Number of instruments: more than a leader works on at a time, so that it always has work.
pub const INSTRUMENTS: u64 = 50;
/// Pause after a failure before the next attempt, at another instance.
const RETRY: Duration = Duration::from_millis(20);

/// A signal that was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    /// Id of the signal.
    pub id: String,
    /// Instrument of the signal.
    pub instrument: String,
}

/// The clients. When it is dropped, they submit no more.
pub struct Clients {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

struct Shared {
    count: u64,
    begun: AtomicU64,
    done: AtomicU64,
    /// Number of requests for all signals.
    attempts: AtomicU64,
    ending: AtomicBool,
    /// Acknowledged signals of each client, in its order.
    acknowledged: Vec<Mutex<Vec<Acknowledged>>>,
    refused: Mutex<Vec<String>>,
}

impl Clients {
    /// Starts submitting `count` signals.
    pub fn start(doors: &[SocketAddr], count: u64, dice: &Dice) -> Self {
        let shared = Arc::new(Shared {
            count,
            begun: AtomicU64::new(0),
            done: AtomicU64::new(0),
            attempts: AtomicU64::new(0),
            ending: AtomicBool::new(false),
            acknowledged: (0..CLIENTS).map(|_| Mutex::default()).collect(),
            refused: Mutex::default(),
        });
        let mut dice = dice.clone();
        let mut client = |number| {
            let (shared, doors, dice) = (Arc::clone(&shared), Doors::new(doors), dice.fork());
            thread::spawn(move || submit(number, &doors, dice, &shared))
        };
        let clients = (0..shared.acknowledged.len()).map(&mut client).collect();
        Self { shared, clients }
    }

    /// Number of acknowledged signals.
    pub fn done(&self) -> u64 {
        self.shared.done.load(Relaxed)
    }

    /// Whether no more signals will be submitted.
    pub fn is_done(&self) -> bool {
        self.clients.iter().all(JoinHandle::is_finished)
    }

    /// The signals that were acknowledged to each client, in its order.
    pub fn acknowledged(&self) -> Vec<Vec<Acknowledged>> {
        self.shared.acknowledged.iter().map(|of| lock(of).clone()).collect()
    }

    /// Ends the clients. Returns the signals that were acknowledged to each client in its order, valid
    /// submissions that were refused, and the number of requests.
    pub fn end(self) -> (Vec<Vec<Acknowledged>>, Vec<String>, u64) {
        let refused = lock(&self.shared.refused).clone();
        (self.acknowledged(), refused, self.shared.attempts.load(Relaxed))
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.shared.ending.store(true, Relaxed);
        for client in self.clients.drain(..) {
            // A client that panicked has printed its message.
            let _ = client.join();
        }
    }
}

fn submit(number: usize, doors: &Doors, mut dice: Dice, shared: &Shared) {
    for own in 1_u64.. {
        if shared.begun.fetch_add(1, Relaxed) >= shared.count {
            return;
        }
        let instrument = format!("INSTRUMENT-{:02}", dice.below(INSTRUMENTS));
        let submission = Submission::new(format!("{number}-{own:07}"), instrument);
        let mut at = dice.index(doors.count());
        loop {
            if shared.ending.load(Relaxed) {
                return;
            }
            shared.attempts.fetch_add(1, Relaxed);
            match doors.submit(at, &submission) {
                Said::Acknowledged => {
                    let Submission { id, instrument, .. } = submission;
                    lock(&shared.acknowledged[number]).push(Acknowledged { id, instrument });
                    shared.done.fetch_add(1, Relaxed);
                    break;
                }
                Said::Refused(message) => {
                    lock(&shared.refused).push(message);
                    break;
                }
                Said::NotNow => {
                    // The next attempt is at another instance, as by a client that keeps trying; the faults
                    // decide when it succeeds.
                    at = (at + 1 + dice.index(doors.count() - 1)) % doors.count();
                    thread::sleep(RETRY);
                }
            }
        }
    }
}

fn lock<T>(list: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code under these locks can panic.
    list.lock().unwrap_or_else(PoisonError::into_inner)
}
