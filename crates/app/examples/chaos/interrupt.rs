//! Ctrl-C ends a run in an orderly way: whatever was started is ended.

use crate::servers::runtime;
use crate::storm::Stop;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// Where SIGINT and SIGTERM arrive.
pub struct Interrupts(Receiver<()>);

impl Interrupts {
    /// From now on they do not end this process by themselves.
    ///
    /// # Panics
    /// When the kernel refuses.
    pub fn catch() -> Self {
        let (told, interrupts) = channel();
        let _entered = runtime().enter();
        for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
            let mut arrivals = signal(kind).expect("a handler for a signal");
            let told = told.clone();
            runtime().spawn(async move {
                while arrivals.recv().await.is_some() {
                    // Nobody listens any more at the very end.
                    let _ = told.send(());
                }
            });
        }
        Self(interrupts)
    }

    /// Lets time pass.
    ///
    /// # Errors
    /// When somebody interrupts.
    pub fn wait(&self, time: Duration) -> Result<(), Stop> {
        match self.0.recv_timeout(time) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => Err(Stop::Interrupted),
        }
    }
}
