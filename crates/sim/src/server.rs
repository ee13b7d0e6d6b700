//! A store's server as its clients meet it: there or not, and the same as before or not.

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// A server that restarts, fails over and stalls.
#[derive(Debug)]
pub struct Server(watch::Sender<State>);

#[derive(Debug, Clone, Copy)]
struct State {
    /// Counts restarts and failovers: a connection of an earlier one is broken.
    incarnation: u64,
    /// Refuses connections until then.
    down_until: Instant,
    /// For so many reasons nothing that is written is acknowledged.
    stalls: u32,
}

/// A connection to one incarnation of a server.
#[derive(Debug)]
pub struct Connection {
    incarnation: u64,
    server: watch::Receiver<State>,
}

impl Server {
    /// One that is up.
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

    /// Connections break, and for `down` there are no new ones.
    pub fn restart(&self, down: Duration) {
        self.0.send_modify(|state| {
            state.incarnation += 1;
            state.down_until = Instant::now() + down;
        });
    }

    /// The standby receives nothing: what is written is not acknowledged until [`Self::flow`]. Stalls add up.
    pub fn stall(&self) {
        self.0.send_modify(|state| state.stalls += 1);
    }

    /// One stall is over.
    pub fn flow(&self) {
        self.0.send_modify(|state| state.stalls = state.stalls.saturating_sub(1));
    }

    /// Up and well at once.
    pub fn heal(&self) {
        self.0.send_modify(|state| {
            state.down_until = Instant::now();
            state.stalls = 0;
        });
    }
}

impl Connection {
    /// Whether it did not break: if it did, whoever had asked something does not know what became of it.
    pub fn is_alive(&self) -> bool {
        self.server.borrow().incarnation == self.incarnation
    }

    /// Returns when the standby has what was written, or when nobody is left to say so.
    pub async fn replicated(&self) {
        let mine = self.incarnation;
        let over = |state: &State| state.stalls == 0 || state.incarnation != mine;
        // An error means that the simulation is over.
        let _ = self.server.clone().wait_for(over).await;
    }
}
