//! CLOCK_BOOTTIME: the only clock of the election. It goes on while the machine is suspended, which
//! `std::time::Instant` and the runtime's timers do not: a resumed leader would believe an expired lease.
//!
//! Built with `--cfg simulated`, as `cargo xtask sim` does, every process of a simulation has a clock of its
//! own on the runtime's virtual time instead. No other build contains any of that.

#[cfg(not(simulated))]
mod kernel;
#[cfg(simulated)]
mod simulated;

#[cfg(not(simulated))]
pub(crate) use kernel::Alarm;
#[cfg(not(simulated))]
pub use kernel::{calendar_ms, monotonic_nanos, now};
#[cfg(simulated)]
pub(crate) use simulated::{Alarm, of_this_process};
#[cfg(simulated)]
pub use simulated::{Gated, Process, calendar_ms, now};

/// A future of this process, about to become a task. Outside a simulation a process is what the operating
/// system says it is, so there is nothing to add.
#[cfg(not(simulated))]
pub(crate) fn of_this_process<F: Future>(future: F) -> F {
    future
}
