//! The signals that an instance receives: which of them end it, with a handover, and which do not.

use rustix::process::Signal;
use std::io;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// They would end a process that does not catch them; this one hands over first.
const STOPPING: [Signal; 9] = [
    Signal::TERM,
    Signal::INT,
    Signal::QUIT,
    Signal::POWER,
    Signal::ALARM,
    Signal::VTALARM,
    Signal::PROF,
    Signal::IO,
    Signal::XCPU,
];
/// They would end it too, and mean something else: a terminal that closes, a tool that rotates logs, a debugging habit,
/// a file that may not grow.
const IGNORED: [Signal; 4] = [Signal::HUP, Signal::USR1, Signal::USR2, Signal::XFSZ];
/// Signals that wait to be seen; one would do.
const KEPT: usize = 4;

/// The signals that ask this process to stop.
pub struct Stops(mpsc::Receiver<()>);

impl Stops {
    /// From now on no signal that can be caught ends this process.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn catch() -> io::Result<Self> {
        let (asked, asks) = mpsc::channel(KEPT);
        for which in STOPPING {
            let mut arrives = signal(SignalKind::from_raw(which.as_raw()))?;
            let asked = asked.clone();
            tokio::spawn(async move {
                while arrives.recv().await.is_some() {
                    // Full: it was asked already.
                    let _ = asked.try_send(());
                }
            });
        }
        for which in IGNORED {
            let mut arrives = signal(SignalKind::from_raw(which.as_raw()))?;
            tokio::spawn(async move {
                while arrives.recv().await.is_some() {
                    tracing::info!("{which:?} is ignored; SIGTERM ends this instance, with a handover");
                }
            });
        }
        Ok(Self(asks))
    }

    /// Waits for the next signal that asks to stop. Cancellation safe.
    pub async fn asked(&mut self) {
        if self.0.recv().await.is_none() {
            // The tasks that send end with the runtime.
            std::future::pending::<()>().await;
        }
    }
}
