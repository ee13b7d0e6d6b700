//! The conditions of the alert rules about signals. They read the last counts of the ledger: while it does not answer,
//! an alert keeps its last known status and says so. Before the first count, no rule is judged.

use super::Reading;
use crate::alert::rules::REFUSED_SHOWN;
use crate::ledger::{Limits, Totals};
use crate::metrics::{Snapshot, unit};
use alloc::format;
use alloc::string::String;

pub(in crate::alert) fn signals_in_doubt(snapshot: &Snapshot) -> Reading {
    once_counted(snapshot, |totals| {
        let in_doubt = format!("{} may or may not have been executed", signals(totals.in_doubt));
        Reading::measured(
            unit::count(totals.in_doubt),
            match totals.oldest_in_doubt {
                Some(oldest) => format!("{in_doubt}; the oldest was claimed {} s ago", oldest.as_secs()),
                None => in_doubt,
            },
        )
    })
}

/// The age of the oldest signal that waits. While the kill switch is on, the operator wants signals to wait.
pub(in crate::alert) fn signals_waiting(snapshot: &Snapshot) -> Reading {
    once_counted(snapshot, |totals| {
        let Some(oldest) = totals.oldest_received else {
            return Reading::measured(0.0, "no signal waits".into());
        };
        let value = oldest.as_secs_f64();
        let waiting = signals(totals.received);
        let message = format!("{waiting} not sent; the oldest has waited for {} s", oldest.as_secs());
        match &totals.paused {
            Some(_) => {
                Reading::undecided(Some(value), format!("{message}; not judged while the kill switch is on"))
            }
            None => Reading::measured(value, message),
        }
    })
}

pub(in crate::alert) fn signals_paused(snapshot: &Snapshot) -> Reading {
    once_counted(snapshot, |totals| match &totals.paused {
        Some(paused) => Reading::whether(
            true,
            format!("no signal is sent: {} turned the kill switch on: {}", paused.who, paused.reason),
            "",
        ),
        None => Reading::whether(false, "", "the kill switch is off"),
    })
}

/// A limit that is used up works as intended; the alert fires only when signals wait because of it.
pub(in crate::alert) fn signals_limited(snapshot: &Snapshot) -> Reading {
    once_counted(snapshot, |totals| {
        let waiting = signals(totals.received);
        match used_up(totals, snapshot.signal_limits) {
            None => Reading::whether(false, "", "no limit is used up"),
            Some(limit) => Reading::whether(
                totals.received > 0,
                format!("{waiting} held up: {limit}"),
                format!("{limit}; nothing waits"),
            ),
        }
    })
}

pub(in crate::alert) fn signals_expired(snapshot: &Snapshot) -> Reading {
    once_counted(snapshot, |totals| {
        let expired = signals(totals.expired_last_day.into());
        Reading::measured(
            totals.expired_last_day.into(),
            format!("{expired} expired unsent in the last 24 hours: trades that were missed"),
        )
    })
}

/// A refused submission is a missed trade, and its client may not read the answer.
pub(in crate::alert) fn submission_refused(snapshot: &Snapshot) -> Reading {
    let Some((why, at_ms)) = snapshot.last_refused else {
        return Reading::whether(false, "", "no submission was refused");
    };
    let ago_ms = u128::try_from(snapshot.now_ms.saturating_sub(at_ms)).unwrap_or(0);
    let n = snapshot.counters.signals_refused.iter().sum();
    let message =
        format!("{} refused since the start; the last one {} s ago: {why}", signals(n), ago_ms / 1_000);
    Reading::whether(ago_ms <= REFUSED_SHOWN.as_millis(), message.clone(), message)
}

pub(in crate::alert) fn handler_not_executing(snapshot: &Snapshot) -> Reading {
    match snapshot.not_executing_ms() {
        None => Reading::measured(0.0, "the handler is not refusing the same signal repeatedly".into()),
        Some(ms) => Reading::measured(
            unit::seconds(ms),
            format!(
                "the handler has answered for {} s that it did not execute the same signal; the leader keeps sending it",
                ms / 1_000
            ),
        ),
    }
}

fn once_counted(snapshot: &Snapshot, read: impl FnOnce(&Totals) -> Reading) -> Reading {
    let Some((totals, read_ms)) = snapshot.totals.last() else {
        return Reading::undecided(None, "the signals were not counted");
    };
    let reading = read(totals);
    match snapshot.totals.away_since_ms() {
        None => reading,
        Some(since_ms) => reading.last_known(read_ms, since_ms),
    }
}

/// The limit that is used up, in words. If both are, the daily limit, because it lasts longer.
fn used_up(totals: &Totals, limits: Limits) -> Option<String> {
    let by = |limit: Option<u32>, sent: u32, of: &str| {
        let limit = limit.filter(|limit| sent >= *limit)?;
        Some(format!("the limit of {limit} {of} is used up"))
    };
    by(limits.per_day, totals.sent_last_day, "in 24 hours")
        .or_else(|| by(limits.per_minute, totals.sent_last_minute, "in 60 seconds"))
}

/// `1 signal`, `2 signals`.
fn signals(n: u64) -> String {
    format!("{n} signal{}", if n == 1 { "" } else { "s" })
}
