//! Ends a run in an orderly way after Ctrl-C: every process that was started is ended.

use crate::servers::runtime;
use crate::storm::Stop;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// Receives SIGINT and SIGTERM.
pub struct Interrupts(Receiver<()>);

impl Interrupts {
    /// From now on these signals do not end this process directly.
    ///
    /// # Panics
    /// If the kernel refuses.
    pub fn catch() -> Self {
        let (sender, interrupts) = channel();
        let _entered = runtime().enter();
        for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
            let mut arrivals = signal(kind).expect("a handler for a signal");
            let sender = sender.clone();
            runtime().spawn(async move {
                while arrivals.recv().await.is_some() {
                    // At the very end there is no receiver.
                    let _ = sender.send(());
                }
            });
        }
        Self(interrupts)
    }

    /// Waits.
    ///
    /// # Errors
    /// If the operator interrupts.
    pub fn wait(&self, time: Duration) -> Result<(), Stop> {
        match self.0.recv_timeout(time) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => Err(Stop::Interrupted),
        }
    }
}
