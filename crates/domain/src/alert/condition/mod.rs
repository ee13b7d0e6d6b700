//! What each rule looks at: a number, or why there is none, and a sentence about it.

mod signals;

pub(super) use signals::{
    handler_not_executing, signals_expired, signals_in_doubt, signals_limited, signals_paused,
    signals_waiting, submission_refused,
};

use super::rules::{FORGOT_SHOWN, SAMPLES_MIN, SLOW_RECOVERY_SHOWN};
use crate::metrics::{Latency, Snapshot, unit};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

/// What a rule found in a snapshot. Every message is a sentence for a person.
#[derive(Debug, Clone, PartialEq)]
pub enum Reading {
    /// A number for the rule's limits.
    Measured {
        /// The number.
        value: f64,
        /// What it says.
        message: String,
    },
    /// Nothing that could be judged, and nothing wrong with that: it is OK.
    Undecided {
        /// A number that is known and not judged.
        value: Option<f64>,
        /// Why it is not judged.
        message: String,
    },
    /// What should be known by now is not: it is critical.
    Missing {
        /// What is missing.
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

    /// A condition that is the case (`yes`, as 1) or is not (`no`, as 0).
    fn whether(it_is: bool, yes: impl Into<String>, no: impl Into<String>) -> Self {
        Self::Measured {
            value: if it_is { 1.0 } else { 0.0 },
            message: if it_is { yes.into() } else { no.into() },
        }
    }
}

/// The moment is by the store's clock and may be in the future of this one's: it is recent then.
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
    let told: Vec<String> = snapshot
        .settings_differ
        .iter()
        .map(|differing| format!("{} ({})", differing.setting, differing.instances()))
        .collect();
    match told.len() {
        0 => Reading::measured(0.0, "all instances have the same settings".to_string()),
        n => Reading::measured(
            unit::count(n as u64),
            format!("instances of this group are configured differently: {}", told.join(", ")),
        ),
    }
}

pub(super) fn db_sync_failure_rate(snapshot: &Snapshot) -> Reading {
    let window = &snapshot.window;
    let rate = window.failure_rate();
    let told = format!("{} of the last {} syncs failed", window.failures, window.samples);
    match few_samples(snapshot) {
        Some(few) => Reading::undecided(Some(rate), format!("{told}; {few}")),
        None => Reading::measured(rate, told),
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

/// Before the first heartbeat a start-up may take as long as one lease; after that, silence is the alarm.
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
        "this instance leads and its heartbeat does not run: the lease will run out",
        if view.heartbeat_running {
            "the heartbeat runs"
        } else {
            "the heartbeat does not run; not the leader"
        },
    )
}

pub(super) fn split_brain(snapshot: &Snapshot) -> Reading {
    match (&snapshot.view.leader_redis, &snapshot.view.leader_db) {
        (Some(redis), Some(db)) => Reading::whether(
            redis != db,
            format!("Redis names {redis} as leader and the database {db}"),
            format!("{db} leads, in both stores"),
        ),
        (Some(redis), None) => Reading::whether(false, "", format!("only Redis names a leader: {redis}")),
        (None, Some(db)) => Reading::whether(false, "", format!("only the database names a leader: {db}")),
        (None, None) => Reading::whether(false, "", "no store names a leader"),
    }
}

pub(super) fn fallback_mode(snapshot: &Snapshot) -> Reading {
    Reading::whether(
        snapshot.view.fallback,
        "Redis is unreachable: the database alone elects, more slowly",
        "not in fallback mode",
    )
}

pub(super) fn sync_latency_p95(snapshot: &Snapshot) -> Reading {
    sync_latency(snapshot, "95 %", |latency| latency.p95)
}

pub(super) fn sync_latency_p99(snapshot: &Snapshot) -> Reading {
    sync_latency(snapshot, "99 %", |latency| latency.p99)
}

/// A high percentile of a few samples is their maximum, so that one slow first connection would alarm.
fn sync_latency(snapshot: &Snapshot, share: &str, percentile: fn(&Latency) -> Duration) -> Reading {
    let Some(latency) = &snapshot.window.latency else {
        return Reading::undecided(None, "no sync yet");
    };
    let value = unit::millis(percentile(latency));
    let told = format!("{share} of the last {} syncs took at most {value:.1} ms", snapshot.window.samples);
    match few_samples(snapshot) {
        Some(few) => Reading::undecided(Some(value), format!("{told}; {few}")),
        None => Reading::measured(value, told),
    }
}

pub(super) fn recovery_failed(snapshot: &Snapshot) -> Reading {
    match (snapshot.recovery_error(), snapshot.last_recovery) {
        (Some(code), _) => Reading::measured(
            code.as_number().into(),
            format!("the last recovery failed with {code}: trading is halted on this instance"),
        ),
        (None, Some(_)) => Reading::measured(0.0, "the last recovery passed".to_string()),
        (None, None) => Reading::measured(0.0, "no recovery has run".to_string()),
    }
}

pub(super) fn recovery_time(snapshot: &Snapshot) -> Reading {
    let Some(last) = snapshot.last_recovery else {
        return Reading::undecided(None, "no recovery has run");
    };
    let value = unit::millis(last.took);
    let told = format!("the last recovery took {value:.1} ms");
    let ago_ms = u128::try_from(snapshot.now_ms.saturating_sub(last.at_ms)).unwrap_or(0);
    if ago_ms > SLOW_RECOVERY_SHOWN.as_millis() {
        Reading::undecided(Some(value), format!("{told}, {} minutes ago", ago_ms / 60_000))
    } else {
        Reading::measured(value, told)
    }
}

pub(super) fn positions(snapshot: &Snapshot) -> Reading {
    match snapshot.positions_recovered {
        None => Reading::undecided(None, "no positions were recovered yet"),
        Some(positions) => {
            Reading::measured(positions.into(), format!("{positions} positions were recovered"))
        }
    }
}

/// Why the window is not judged yet, if it is not.
fn few_samples(snapshot: &Snapshot) -> Option<String> {
    let needed = SAMPLES_MIN.min(snapshot.window.capacity);
    (snapshot.window.samples < needed).then(|| format!("judged from {needed} samples on"))
}
