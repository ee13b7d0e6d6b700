//! The four charts of the last hour. Their thresholds and levels are those of the alerts.

use super::chart::{Chart, SAMPLES, Scale, Series};
use super::seen::Seen;
use super::tree::Node;
use super::words::{Level, short_name};
use domain::alert::{RULES, Rule};
use domain::id::InstanceId;
use domain::member::Health;
use domain::overview::{InstanceState, Sample};
use std::collections::BTreeMap;
use std::time::Duration;

/// Most instances with their own line.
const LINES_MAX: usize = 3;
const CLASSES: [&str; 4] = ["s0", "s1", "s2", "s3"];

/// The share of failed syncs.
pub(crate) fn failures(seen: &Seen) -> Vec<Node> {
    let rate = RULES.iter().find(|rule| rule.name == "db_sync_failure_rate");
    let percent = |limit: Option<f64>| limit.unwrap_or(1.0) * 100.0;
    let (warning, critical) =
        (percent(rate.and_then(|r| r.limits.warning)), percent(rate.and_then(|r| r.limits.critical)));
    let chart = Chart {
        title: "Database sync failures",
        unit: " %",
        digits: 1,
        top: 16.0,
        scale: Scale::Linear,
        warning: (warning, format!("warning above {warning:.0} %")),
        critical: (critical, format!("critical above {critical:.0} %")),
        level: level(seen, &["db_sync_failure_rate"]),
        end_ms: end_ms(seen),
    };
    let values = values(seen, |sample| sample.failure_rate.map(|rate| rate * 100.0));
    vec![chart.draw(&[Series { name: String::new(), class: "s0", values }])]
}

/// The latency of a sync.
pub(crate) fn latency(seen: &Seen) -> Vec<Node> {
    let warning = limit("sync_latency_p95", |rule| rule.limits.warning);
    let critical = limit("sync_latency_p99", |rule| rule.limits.critical);
    let chart = Chart {
        title: "Database sync latency",
        unit: " ms",
        digits: 1,
        top: 4_000.0,
        scale: Scale::Logarithmic,
        warning: (warning, format!("p95 warning above {warning:.0} ms")),
        critical: (critical, format!("p99 critical above {critical:.0} ms")),
        level: level(seen, &["sync_latency_p95", "sync_latency_p99"]),
        end_ms: end_ms(seen),
    };
    let series = |name: &str, class, of: fn(&Sample) -> Option<Duration>| Series {
        name: name.to_owned(),
        class,
        values: values(seen, |sample| of(sample).map(domain::metrics::unit::millis)),
    };
    vec![chart.draw(&[
        series("p50", "s2", |sample| sample.p50),
        series("p95", "s1", |sample| sample.p95),
        series("p99", "s0", |sample| sample.p99),
    ])]
}

/// Changes of leader.
pub(crate) fn changes(seen: &Seen) -> Vec<Node> {
    let warning = limit("leadership_changes", |rule| rule.limits.warning);
    let critical = limit("leadership_changes", |rule| rule.limits.critical);
    let chart = Chart {
        title: "Leadership changes per hour",
        unit: " in 60 min",
        digits: 0,
        top: 14.0,
        scale: Scale::Bars,
        warning: (warning, format!("warning above {warning:.0}")),
        critical: (critical, format!("critical above {critical:.0}")),
        level: level(seen, &["leadership_changes"]),
        end_ms: end_ms(seen),
    };
    let values = values(seen, |sample| sample.changes_last_hour.map(f64::from));
    vec![chart.draw(&[Series { name: String::new(), class: "bar", values }])]
}

/// The age of the heartbeat of each instance.
pub(crate) fn heartbeats(seen: &Seen) -> Vec<Node> {
    let warning = limit("heartbeat_staleness", |rule| rule.limits.warning);
    let critical = limit("heartbeat_staleness", |rule| rule.limits.critical);
    let chart = Chart {
        title: "Heartbeat staleness",
        unit: " s",
        digits: 1,
        top: 90.0,
        scale: Scale::Linear,
        warning: (warning, format!("warning above {warning:.0} s")),
        critical: (critical, format!("critical above {critical:.0} s")),
        level: worst_heartbeat(seen),
        end_ms: end_ms(seen),
    };
    vec![chart.draw(&lines(seen))]
}

/// One line for each instance; for more than three, the leader and the worst two, and the rest as one line.
fn lines(seen: &Seen) -> Vec<Series> {
    let mut all: Vec<(&InstanceId, Vec<Option<f64>>)> = seen
        .overview
        .instances
        .iter()
        .map(|view| {
            let of = |sample: &Sample| sample.heartbeat_age.get(&view.id).map(Duration::as_secs_f64);
            (&view.id, values(seen, of))
        })
        .collect();
    let mut rest = Vec::new();
    if all.len() > LINES_MAX {
        let leader = seen.overview.leader.holder().map(|(id, _)| id);
        let present = |values: &[Option<f64>]| values.last().copied().flatten().unwrap_or(0.0);
        all.sort_by(|(a, a_values), (b, b_values)| {
            let leads = |id: &InstanceId| Some(id) == leader;
            leads(b).cmp(&leads(a)).then(present(b_values).total_cmp(&present(a_values))).then(a.cmp(b))
        });
        rest = all.split_off(LINES_MAX);
    }
    let mut series: Vec<Series> = all
        .into_iter()
        .zip(CLASSES)
        .map(|((id, values), class)| Series { name: short_name(id), class, values })
        .collect();
    if !rest.is_empty() {
        let largest = |minute: usize| rest.iter().filter_map(|(_, values)| values[minute]).reduce(f64::max);
        let values = (0..SAMPLES).map(largest).collect();
        series.push(Series { name: "others, at most".to_owned(), class: CLASSES[LINES_MAX], values });
    }
    series
}

fn worst_heartbeat(seen: &Seen) -> Level {
    let states = || seen.overview.instances.iter().map(|view| view.state);
    if seen.facts.members.current().is_none() {
        Level::Unknown
    } else if states().any(|state| state == InstanceState::Gone) {
        Level::Critical
    } else if states().any(|state| state == InstanceState::Stale) {
        Level::Warning
    } else {
        level(seen, &["heartbeat_staleness"])
    }
}

/// The worst of these alerts; unknown if none of them has a value.
fn level(seen: &Seen, names: &[&str]) -> Level {
    let all = seen.report.iter().flat_map(|report| &report.alerts.all);
    let about: Vec<_> = all.filter(|alert| names.contains(&alert.name)).collect();
    match about.iter().map(|alert| alert.status).max() {
        Some(Health::Ok) if about.iter().all(|alert| alert.value.is_none()) => Level::Unknown,
        Some(status) => status.into(),
        None => Level::Unknown,
    }
}

fn limit(name: &str, of: fn(&Rule) -> Option<f64>) -> f64 {
    RULES.iter().find(|rule| rule.name == name).and_then(of).unwrap_or(f64::MAX)
}

/// One value for each minute of the last hour; minutes before the first sample are unknown.
fn values(seen: &Seen, of: impl Fn(&Sample) -> Option<f64>) -> Vec<Option<f64>> {
    let by_minute: BTreeMap<i64, &Sample> =
        seen.samples.iter().map(|sample| (sample.from_ms.div_euclid(60_000), sample)).collect();
    let last = end_ms(seen).div_euclid(60_000);
    let first = last - i64::try_from(SAMPLES).unwrap_or(0) + 1;
    (first..=last).map(|minute| by_minute.get(&minute).and_then(|sample| of(sample))).collect()
}

/// The present minute. Until its first sample is taken, the charts end with the one before.
fn end_ms(seen: &Seen) -> i64 {
    let present_ms = seen.now_ms.div_euclid(60_000) * 60_000;
    let latest_ms = seen.samples.iter().last().map_or(present_ms, |sample| sample.from_ms);
    // A minute with no sample at all after its first seconds is unknown, not the one before.
    if present_ms.saturating_sub(latest_ms) <= 60_000 { latest_ms } else { present_ms }
}
