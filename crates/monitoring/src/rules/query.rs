//! Parts of queries that several groups of rules share.

use super::lookup::metric;
use super::{JOB, written};
use alloc::format;
use alloc::string::String;
use core::time::Duration;

const STARTED: &str = metric("process_start_time_seconds");
const IS_LEADER: &str = metric("portfolio_manager_is_leader");
const INSTANCE: &str = metric("portfolio_manager_instance_info");
const REMOVED: &str = metric("coordinator_instance_removed_start_time_seconds");
const COUNTED: &str = metric("coordinator_signals_counted_timestamp_seconds");
const SIGNALS: &str = metric("coordinator_signals");

/// A count of the ledger that is older is only the last known one. Instances count every few seconds, and a scrape
/// adds its interval.
const COUNTED_RECENTLY: Duration = Duration::from_secs(90);

/// Interval of evaluation of the rules; also the step of a query over their results.
pub(super) const EVALUATED_EVERY: Duration = Duration::from_secs(30);

/// The time for which an instance that is gone still counts. An alert about a dead machine fires for this time, even
/// if the machine is no longer a target; an instance that was removed on purpose is forgotten after it.
pub(super) const REMEMBERED: Duration = Duration::from_hours(1);

/// The time for which a target that is down counts as an instance because it exported our metrics before.
pub(super) const TARGET_REMEMBERED: Duration = Duration::from_hours(24);

/// `up` of every instance that Prometheus is configured to scrape, whether it answers or not: the targets of [`JOB`],
/// those that exported our metrics within a day, and those with the labels `job` and `group` of such a target. The label
/// `group` alone is no evidence, because other programs have it too.
pub(super) fn targets() -> String {
    let exported = format!("last_over_time({IS_LEADER}[{}])", written(TARGET_REMEMBERED));
    format!(
        "up{{job=\"{JOB}\"}}\nor up{{group!=\"\"}} and on (job, group) {exported}\nor up and on (job, group, instance) {exported}"
    )
}

/// The worst value of a job's instances, all of which see the same group.
pub(super) fn worst(series: &str) -> String {
    format!("max by (job, group) ({series})")
}

/// The groups in which the worst value of the instances is above that limit.
pub(super) fn above(series: &str, limit: f64) -> String {
    format!("{} > {limit}", worst(series))
}

/// The instances whose count of the ledger is older than [`COUNTED_RECENTLY`].
pub(super) fn uncounted() -> String {
    format!("{COUNTED} < time() - {}", COUNTED_RECENTLY.as_secs())
}

/// The worst value of a job's instances among those that have counted the ledger recently. If none has, the last known
/// value: an alert must not resolve because the ledger cannot be counted, or because every instance is gone. An
/// instance that is cut off does not count while another one counts.
pub(super) fn last_known(series: &str) -> String {
    let (uncounted, remembered) = (uncounted(), written(REMEMBERED));
    worst(&format!(
        "\n  ({series} unless on (job, group, instance) {uncounted})\n  \
         or ({series} unless on (job, group) ({SIGNALS} unless on (job, group, instance) {uncounted}))\n  \
         or (last_over_time({series}[{remembered}]) unless on (job, group) {SIGNALS})\n"
    ))
}

/// The groups in which [`last_known`] is above that limit.
pub(super) fn last_known_above(series: &str, limit: f64) -> String {
    format!("{} > {limit}", last_known(series))
}

/// The instances whose latest process an operator removed on purpose. The instances that remain export the start of the
/// removed process, by its id; a process that was started there later is not removed.
pub(super) fn removed() -> String {
    let remembered = written(TARGET_REMEMBERED);
    format!(
        "last_over_time({STARTED}[{remembered}])\n  <= on (job, group, instance) max by (job, group, instance) (\n    \
         last_over_time({INSTANCE}[{remembered}])\n    \
         * on (job, group, instance_id) group_left () max by (job, group, instance_id) ({REMOVED})\n  )"
    )
}

/// The series of instances that answered the last scrape.
pub(super) fn answering(series: &str) -> String {
    format!("{series} unless on (job, group, instance) up == 0")
}

/// The groups in which a counter grew within the window; the value of the instance where it grew most.
///
/// `increase` compares the samples in a window, so it shows no growth for a counter that restarted and reached its
/// old value, nor for a counter whose first sample is above 0. A process that is younger than the window has counted
/// everything within it.
pub(super) fn grew(counter: &str, window: Duration) -> String {
    let (range, seconds) = (written(window), window.as_secs());
    worst(&format!(
        "\n  increase({counter}[{range}]) > 0\n  or\n  \
         {counter} > 0 and on (job, group, instance) {STARTED} > time() - {seconds}\n"
    ))
}

/// The growth of each process's counter within the window, as a whole number: `increase` extrapolates to the whole
/// window. Counts of a process that ended within the window are left out.
pub(super) fn growth(counter: &str, window: Duration) -> String {
    let (range, seconds) = (written(window), window.as_secs());
    format!(
        "  {counter} and on (job, group, instance) {STARTED} > time() - {seconds}\n  \
         or {counter} - {counter} offset {range}"
    )
}
