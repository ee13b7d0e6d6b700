//! Parts of queries that several groups of rules are made of.

use super::lookup::metric;
use super::written;
use alloc::format;
use alloc::string::String;
use core::time::Duration;

const STARTED: &str = metric("process_start_time_seconds");

/// Rules are evaluated so often, and a query that looks at each of their results takes steps of it.
pub(super) const EVALUATED_EVERY: Duration = Duration::from_secs(30);

/// How long an instance that is gone is still reckoned with. A machine that stands still is told for that long, also
/// when it is no target any more; an instance that was removed for good is forgotten after it.
pub(super) const REMEMBERED: Duration = Duration::from_hours(1);

/// What the instances of a job tell, at its worst: each of them looks at the same group.
pub(super) fn worst(series: &str) -> String {
    format!("max by (job) ({series})")
}

/// The group is above that limit, as the worst of its instances tells.
pub(super) fn above(series: &str, limit: f64) -> String {
    format!("{} > {limit}", worst(series))
}

/// The series of instances that answered the last time they were asked.
pub(super) fn answering(series: &str) -> String {
    format!("{series} unless on (job, instance) up == 0")
}

/// The groups in which a counter grew within the window, on the instance where it grew most.
///
/// `increase` compares a window's samples, so a counter that restarted and stands where it stood shows no growth,
/// and one whose first sample is above 0 neither. But all that a process counts that is younger than the window
/// was counted within it.
pub(super) fn grew(counter: &str, window: Duration) -> String {
    let (range, seconds) = (written(window), window.as_secs());
    worst(&format!(
        "\n  increase({counter}[{range}]) > 0\n  or\n  \
         {counter} > 0 and on (job, instance) {STARTED} > time() - {seconds}\n"
    ))
}

/// By how much the counter of each process grew within the window, as the whole number that it is: `increase`
/// stretches what it saw to the whole window. What a process counted that ended within the window is left out.
pub(super) fn growth(counter: &str, window: Duration) -> String {
    let (range, seconds) = (written(window), window.as_secs());
    format!(
        "  {counter} and on (job, instance) {STARTED} > time() - {seconds}\n  \
         or {counter} - {counter} offset {range}"
    )
}
