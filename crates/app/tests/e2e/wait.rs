//! Waits for a state, never for a time.

use rustix::time::{ClockId, clock_gettime};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

/// Timeout of every wait: many times what anything here takes on an idle machine.
pub const PATIENCE: Duration = Duration::from_mins(2);
/// Pause between two polls.
const POLL: Duration = Duration::from_millis(20);

/// Polls until there is a value.
///
/// # Panics
/// If there is none within [`PATIENCE`].
pub fn until<T>(what: &str, mut poll: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(seen) = poll() {
            return seen;
        }
        assert!(began.elapsed() < PATIENCE, "never: {what}");
        // A pause between two polls. The state ends the loop, not the time.
        sleep(POLL);
    }
}

/// CLOCK_MONOTONIC nanoseconds, the unit of the events' times.
pub fn now() -> u64 {
    let now = Duration::try_from(clock_gettime(ClockId::Monotonic)).expect("a clock since boot");
    nanos(now)
}

/// Nanoseconds of a duration of this suite.
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).expect("shorter than 584 years")
}

/// Runs a future on one runtime for all tests, because a proxy's task outlives the call that started it.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
    });
    runtime.block_on(future)
}
