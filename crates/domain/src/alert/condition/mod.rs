//! The conditions of the alert rules. Each one reads a snapshot and returns a number, or the reason why there is
//! none, with a message for the operator.

mod signals;

pub(super) use signals::{
    handler_not_executing, signals_expired, signals_in_doubt, signals_limited, signals_paused,
    signals_waiting, submission_refused,
};

use super::rules::{FORGOT_SHOWN, SAMPLES_MIN, SLOW_RECOVERY_SHOWN};
use crate::metrics::{Disagreement, Latency, P95_SAMPLES_MIN, P99_SAMPLES_MIN, Snapshot, unit};
use crate::overview::age;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write as _;
use core::time::Duration;

/// The result of reading one condition from a snapshot. Every message is a full sentence for the operator.
#[derive(Debug, Clone, PartialEq)]
pub enum Reading {
    /// A number to compare with the rule's limits.
    Measured {
        /// The number.
        value: f64,
        /// The number in a sentence.
        message: String,
    },
    /// The condition cannot be judged, and that is normal: the alert is OK.
    Undecided {
        /// A known number that is not compared with the limits.
        value: Option<f64>,
        /// The reason why it is not judged.
        message: String,
    },
    /// A number that must be known by now is missing: the alert is critical.
    Missing {
        /// A sentence that names what is missing.
        message: String,
    },
}

impl Reading {
    fn measured(value: f64, message: String) -> Self {
        Self::Measured { value, message }
    }

    fn undecided(value: Option<f64>, message: impl Into<String>) -> Self {
        Self::Undecided { value, message: message.into() }
    }

    /// The reading is from `read_ms`, and the present one is unknown since `since_ms` (unix milliseconds).
    fn last_known(mut self, read_ms: i64, since_ms: i64) -> Self {
        let (Self::Measured { message, .. } | Self::Undecided { message, .. } | Self::Missing { message }) =
            &mut self;
        let (read, since) = (unit::utc(read_ms), unit::utc(since_ms));
        // Writing to a String does not fail.
        let _ = write!(message, "; last known at {read}, unknown since {since}");
        self
    }

    /// A condition that holds (`yes`, value 1) or does not hold (`no`, value 0).
    fn whether(it_is: bool, yes: impl Into<String>, no: impl Into<String>) -> Self {
        Self::Measured {
            value: if it_is { 1.0 } else { 0.0 },
            message: if it_is { yes.into() } else { no.into() },
        }
    }
}

/// The moment comes from the store's clock. If it is in the future of this process's clock, it counts as recent.
pub(super) fn store_forgot(snapshot: &Snapshot) -> Reading {
    let Some(at_ms) = snapshot.store_forgot_ms else {
        return Reading::whether(false, "", "the state store is not known to have forgotten anything");
    };
    let ago_ms = u128::try_from(snapshot.now_ms.saturating_sub(at_ms)).unwrap_or(0);
    let forgot = format!("the state store has forgotten (found at {})", unit::utc(at_ms));
    Reading::whether(
        ago_ms < FORGOT_SHOWN.as_millis(),
        format!(
            "{forgot}: a standby was promoted or a backup restored; compare the orders at the broker with `coordinator \
             signals list` and resolve the signals in doubt"
        ),
        forgot,
    )
}

pub(super) fn settings_differ(snapshot: &Snapshot) -> Reading {
    let message: Vec<String> = snapshot
        .settings_differ
        .iter()
        .map(|differing| format!("{} ({})", differing.setting, differing.instances()))
        .collect();
    match message.len() {
        0 => Reading::measured(0.0, "all instances have the same settings".to_string()),
        n => Reading::measured(
            unit::count(n as u64),
            format!("instances of this group are configured differently: {}", message.join(", ")),
        ),
    }
}

pub(super) fn db_sync_failure_rate(snapshot: &Snapshot) -> Reading {
    let window = &snapshot.window;
    let rate = window.failure_rate();
    let message = format!("a sync failed in {} of {}", window.failures, last_heartbeats(snapshot));
    match few_samples(snapshot) {
        Some(few) => Reading::undecided(Some(rate), format!("{message}; {few}")),
        None => Reading::measured(rate, message),
    }
}

pub(super) fn leadership_changes(snapshot: &Snapshot) -> Reading {
    match snapshot.changes_last_hour {
        None => Reading::undecided(None, "the leadership history has not been read yet"),
        Some(changes) => Reading::measured(
            changes.into(),
            format!("the leader changed {changes} times in the last 60 minutes"),
        ),
    }
}

/// Before the first heartbeat, a start-up may take as long as one lease. After that, a missing heartbeat is critical.
pub(super) fn heartbeat_staleness(snapshot: &Snapshot) -> Reading {
    if let Some(age_ms) = snapshot.heartbeat_age_ms() {
        let age = unit::seconds(age_ms);
        return Reading::measured(age, format!("the last heartbeat was {age:.1} s ago"));
    }
    let grace = snapshot.view.ttl;
    let up_ms = u128::try_from(snapshot.now_ms.saturating_sub(snapshot.started_ms)).unwrap_or(0);
    if up_ms > grace.as_millis() {
        Reading::Missing { message: format!("no heartbeat since the start {} s ago", up_ms / 1_000) }
    } else {
        let grace = grace.as_secs();
        Reading::undecided(None, format!("no heartbeat yet; the start may take one lease, {grace} s"))
    }
}

pub(super) fn heartbeat_stopped(snapshot: &Snapshot) -> Reading {
    let view = &snapshot.view;
    Reading::whether(
        view.is_leader && !view.heartbeat_running,
        "this instance leads and its heartbeat has stopped: the lease will expire",
        if view.heartbeat_running {
            "the heartbeat is running"
        } else {
            "the heartbeat has stopped; this instance is not the leader"
        },
    )
}

pub(super) fn split_brain(snapshot: &Snapshot) -> Reading {
    let view = &snapshot.view;
    if let Some(Disagreement { redis, db, at_ms }) = &view.disagreement {
        let both = format!("Redis names {redis} as leader and the database {db}");
        let measured = Reading::whether(true, both, "");
        let unknown = view.leader_redis.is_none() || view.leader_db.is_none();
        return if unknown { measured.last_known(*at_ms, *at_ms) } else { measured };
    }
    match (&view.leader_redis, &view.leader_db) {
        (Some(_), Some(db)) => Reading::whether(false, "", format!("{db} leads, in both stores")),
        (Some(redis), None) => Reading::whether(false, "", format!("only Redis names a leader: {redis}")),
        (None, Some(db)) => Reading::whether(false, "", format!("only the database names a leader: {db}")),
        (None, None) => Reading::whether(false, "", "no store names a leader"),
    }
}

pub(super) fn fallback_mode(snapshot: &Snapshot) -> Reading {
    Reading::whether(
        snapshot.view.fallback,
        "Redis is unreachable: the election uses the database alone and is slower",
        "not in fallback mode",
    )
}

pub(super) fn sync_latency_p95(snapshot: &Snapshot) -> Reading {
    sync_latency(snapshot, "95 %", P95_SAMPLES_MIN, |latency| latency.p95)
}

pub(super) fn sync_latency_p99(snapshot: &Snapshot) -> Reading {
    sync_latency(snapshot, "99 %", P99_SAMPLES_MIN, |latency| latency.p99)
}

/// A high percentile of a few samples is their maximum, so one slow first connection would fire the alert. A window
/// that holds fewer samples is judged when it is full.
fn sync_latency(
    snapshot: &Snapshot,
    share: &str,
    needed: usize,
    percentile: fn(&Latency) -> Option<Duration>,
) -> Reading {
    let Some(latency) = &snapshot.window.latency else {
        return Reading::undecided(None, "no sync yet");
    };
    match percentile(latency).map(unit::millis) {
        Some(value) => Reading::measured(
            value,
            format!("the syncs took at most {value:.1} ms in {share} of {}", last_heartbeats(snapshot)),
        ),
        None => {
            let needed = needed.min(snapshot.window.capacity);
            Reading::undecided(None, format!("judged from {needed} heartbeats with a sync on"))
        }
    }
}

/// `the last 100 heartbeats (5 min 33 s)`.
fn last_heartbeats(snapshot: &Snapshot) -> String {
    let window = &snapshot.window;
    format!("the last {} heartbeats ({})", window.samples, age(window.covers()))
}

pub(super) fn recovery_failed(snapshot: &Snapshot) -> Reading {
    match (snapshot.recovery_error(), snapshot.last_recovery) {
        (Some(code), _) => Reading::measured(
            code.as_number().into(),
            format!(
                "the last recovery failed with {code}{}: trading is halted on this instance",
                found(snapshot)
            ),
        ),
        (None, Some(_)) => Reading::measured(0.0, "the last recovery passed".to_string()),
        (None, None) => Reading::measured(0.0, "no recovery has run".to_string()),
    }
}

/// ` (position "P-1": quantity is NULL; and 2 more)`; empty without a finding.
fn found(snapshot: &Snapshot) -> String {
    match snapshot.recovery_findings.as_slice() {
        [] => String::new(),
        [only] => format!(" ({only})"),
        [first, more @ ..] => format!(" ({first}; and {} more)", more.len()),
    }
}

pub(super) fn recovery_time(snapshot: &Snapshot) -> Reading {
    let Some(last) = snapshot.last_recovery else {
        return Reading::undecided(None, "no recovery has run");
    };
    let value = unit::millis(last.took);
    let message = format!("the last recovery took {value:.1} ms");
    let ago_ms = u128::try_from(snapshot.now_ms.saturating_sub(last.at_ms)).unwrap_or(0);
    if ago_ms > SLOW_RECOVERY_SHOWN.as_millis() {
        Reading::undecided(Some(value), format!("{message}, {} minutes ago", ago_ms / 60_000))
    } else {
        Reading::measured(value, message)
    }
}

pub(super) fn positions(snapshot: &Snapshot) -> Reading {
    match snapshot.positions_recovered {
        None => Reading::undecided(None, "no positions have been recovered yet"),
        Some(positions) => {
            Reading::measured(positions.into(), format!("{positions} positions were recovered"))
        }
    }
}

/// The message for a window with too few samples to be judged; `None` if it has enough.
fn few_samples(snapshot: &Snapshot) -> Option<String> {
    let needed = SAMPLES_MIN.min(snapshot.window.capacity);
    (snapshot.window.samples < needed).then(|| format!("judged from {needed} heartbeats on"))
}
