//! [`Stops`]: the operating system's signals that end an instance after a handover, and those that it
//! ignores.

use rustix::process::Signal;
use std::io;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// Signals that would end a process that does not catch them. This process hands over first.
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
/// Signals that would also end it, but that have another purpose: a terminal that closes, a tool that rotates
/// logs, a debugging habit, a file that may not grow.
const IGNORED: [Signal; 4] = [Signal::HUP, Signal::USR1, Signal::USR2, Signal::XFSZ];
/// Signals that wait in the queue; one would be enough.
const KEPT: usize = 4;

/// The signals that request a stop.
pub struct Stops(mpsc::Receiver<()>);

impl Stops {
    /// Catches every signal that can be caught, so that none ends this process directly.
    ///
    /// # Errors
    /// If the operating system refuses.
    pub fn catch() -> io::Result<Self> {
        Self::catch_with(&[])
    }

    /// As [`catch`](Self::catch), but `more` of the ignored signals request a stop as well.
    ///
    /// # Errors
    /// If the operating system refuses.
    pub fn catch_with(more: &[Signal]) -> io::Result<Self> {
        let (asked, asks) = mpsc::channel(KEPT);
        for which in STOPPING.into_iter().chain(more.iter().copied()) {
            let mut arrives = signal(SignalKind::from_raw(which.as_raw()))?;
            let asked = asked.clone();
            tokio::spawn(async move {
                while arrives.recv().await.is_some() {
                    // Full: a stop was requested already.
                    let _ = asked.try_send(());
                }
            });
        }
        for which in IGNORED.into_iter().filter(|which| !more.contains(which)) {
            let mut arrives = signal(SignalKind::from_raw(which.as_raw()))?;
            tokio::spawn(async move {
                while arrives.recv().await.is_some() {
                    if which == Signal::HUP {
                        tracing::info!(
                            "SIGHUP: files of credentials and certificates are read again; other settings need a restart"
                        );
                    } else {
                        tracing::info!("{which:?} is ignored; SIGTERM ends this instance, with a handover");
                    }
                }
            });
        }
        Ok(Self(asks))
    }

    /// Waits for the next signal that requests a stop. Cancellation safe.
    pub async fn asked(&mut self) {
        if self.0.recv().await.is_none() {
            // The tasks that send end with the runtime.
            std::future::pending::<()>().await;
        }
    }
}
