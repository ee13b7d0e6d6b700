//! The server of a store: it may be down, and a restart breaks its connections.

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// A server that restarts, fails over and stalls.
#[derive(Debug)]
pub struct Server(watch::Sender<State>);

#[derive(Debug, Clone, Copy)]
struct State {
    /// Number of restarts and failovers: a connection of an earlier one is broken.
    incarnation: u64,
    /// The server refuses connections until this time.
    down_until: Instant,
    /// Number of active stalls; during a stall no write is acknowledged.
    stalls: u32,
}

/// A connection to one incarnation of a server.
#[derive(Debug)]
pub struct Connection {
    incarnation: u64,
    server: watch::Receiver<State>,
}

impl Server {
    /// A server that is up.
    pub fn new() -> Arc<Self> {
        let state = State { incarnation: 0, down_until: Instant::now(), stalls: 0 };
        Arc::new(Self(watch::channel(state).0))
    }

    /// `None` while it is down.
    pub fn connect(&self) -> Option<Connection> {
        let state = *self.0.borrow();
        let up = Instant::now() >= state.down_until;
        up.then(|| Connection { incarnation: state.incarnation, server: self.0.subscribe() })
    }

    /// Breaks all connections and refuses new ones for `down`.
    pub fn restart(&self, down: Duration) {
        self.0.send_modify(|state| {
            state.incarnation += 1;
            state.down_until = Instant::now() + down;
        });
    }

    /// The standby stops receiving: writes are not acknowledged until [`Self::flow`]. Stalls add up.
    pub fn stall(&self) {
        self.0.send_modify(|state| state.stalls += 1);
    }

    /// Ends one stall.
    pub fn flow(&self) {
        self.0.send_modify(|state| state.stalls = state.stalls.saturating_sub(1));
    }

    /// Ends all faults at once.
    pub fn heal(&self) {
        self.0.send_modify(|state| {
            state.down_until = Instant::now();
            state.stalls = 0;
        });
    }
}

impl Connection {
    /// True if the connection did not break. If it broke, the sender of a request does not know its outcome.
    pub fn is_alive(&self) -> bool {
        self.server.borrow().incarnation == self.incarnation
    }

    /// Returns when the standby has the write, or when the simulation is over.
    pub async fn replicated(&self) {
        let mine = self.incarnation;
        let over = |state: &State| state.stalls == 0 || state.incarnation != mine;
        // An error means that the simulation is over.
        let _ = self.server.clone().wait_for(over).await;
    }
}
