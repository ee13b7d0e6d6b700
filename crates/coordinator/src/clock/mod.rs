//! CLOCK_BOOTTIME: the only clock of the election. It continues while the machine is suspended, which
//! `std::time::Instant` and the runtime's timers do not: a resumed leader would take an expired lease for a valid one.
//!
//! Built with `--cfg simulated`, as `cargo xtask sim` does, every process of a simulation has its own
//! clock on the runtime's virtual time instead. No other build contains any of that.

#[cfg(not(simulated))]
mod kernel;
#[cfg(simulated)]
mod simulated;

#[cfg(not(simulated))]
pub use kernel::{Alarm, calendar_ms, monotonic_nanos, now};
#[cfg(simulated)]
pub(crate) use simulated::{Alarm, of_this_process};
#[cfg(simulated)]
pub use simulated::{Gated, Process, calendar_ms, now};

/// A future of this process, about to become a task. Outside a simulation the operating system defines the process, so
/// there is nothing to add.
#[cfg(not(simulated))]
pub(crate) fn of_this_process<F: Future>(future: F) -> F {
    future
}
