//! Messages to the service manager (systemd's `sd_notify` protocol): ready, stopping, and the watchdog's pings.
//!
//! A ping means that the election's thread has made progress since the previous ping. An instance whose election hangs
//! cannot renew or take over a lease although its pages answer, so the service manager must restart it.
//!
//! The protocol is one datagram per message. A crate for it would bring its own reading of the environment and no check
//! of the election, which is the larger part of this file.

use coordinator::Coordinator;
use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// Checks of the election within the time after which the service manager kills the process.
const CHECKS: u32 = 4;

/// The socket of a service manager.
#[derive(Debug)]
pub struct ServiceManager {
    socket: UnixDatagram,
    address: SocketAddr,
}

impl ServiceManager {
    /// The service manager that started this process; `None` if none did, or it waits for no message.
    pub fn from_environment() -> Option<Self> {
        let name = env::var_os("NOTIFY_SOCKET")?;
        Self::at(&name)
            .inspect_err(|error| {
                tracing::warn!("no message reaches the service manager at {}: {error}", name.display());
            })
            .ok()
    }

    /// The service manager at a path, or with a leading `@` at an abstract name.
    fn at(name: &OsStr) -> io::Result<Self> {
        let address = match name.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(name)?,
        };
        let socket = UnixDatagram::unbound()?;
        // A service manager that reads nothing must not stop a task.
        socket.set_nonblocking(true)?;
        Ok(Self { socket, address })
    }

    /// The pages are served and the election runs. Whether the instance can take over is another question, which
    /// `/readyz` answers: a store that is away must not make the service manager kill the instance that waits for it.
    pub fn ready(&self) {
        self.send("READY=1");
    }

    /// The instance hands over and ends.
    pub fn stopping(&self) {
        self.send("STOPPING=1");
    }

    fn send(&self, message: &str) {
        if let Err(error) = self.socket.send_to_addr(message.as_bytes(), &self.address) {
            tracing::warn!("{message} did not reach the service manager: {error}");
        }
    }

    /// Pings while the election's thread makes progress. `timeout` is the time without a ping after which the service
    /// manager kills this process. Never returns.
    async fn watch(&self, coordinator: &Coordinator, timeout: Duration) {
        let mut checks = interval((timeout / CHECKS).max(Duration::from_millis(1)));
        checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seen = None;
        loop {
            checks.tick().await;
            let turns = Some(coordinator.election_turns());
            if turns == seen {
                tracing::warn!("the election's thread has made no progress: no ping to the service manager");
            } else {
                seen = turns;
                self.send("WATCHDOG=1");
            }
        }
    }
}

/// Reports that this instance is ready, and starts the pings if the service manager wants them.
pub fn report_ready(coordinator: &Coordinator) {
    let Some(manager) = ServiceManager::from_environment() else { return };
    manager.ready();
    if let Some(timeout) = watchdog(env::var("WATCHDOG_USEC").ok(), env::var("WATCHDOG_PID").ok()) {
        let coordinator = coordinator.clone();
        tokio::spawn(async move { manager.watch(&coordinator, timeout).await });
    }
}

/// Reports that this instance ends.
pub fn report_stopping() {
    if let Some(manager) = ServiceManager::from_environment() {
        manager.stopping();
    }
}

/// The watchdog's timeout; `None` if there is no watchdog, or it watches another process.
fn watchdog(microseconds: Option<String>, pid: Option<String>) -> Option<Duration> {
    let own = pid.is_none_or(|pid| pid.parse() == Ok(std::process::id()));
    let microseconds = microseconds?.parse().ok().filter(|microseconds| *microseconds > 0 && own)?;
    Some(Duration::from_micros(microseconds))
}

#[cfg(test)]
mod tests;
