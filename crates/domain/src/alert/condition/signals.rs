//! What the rules about signals look at. All of it was counted in the ledger: before that, nothing is judged.

use super::Reading;
use crate::alert::rules::REFUSED_SHOWN;
use crate::ledger::{Limits, Totals};
use crate::metrics::{Snapshot, unit};
use alloc::format;
use alloc::string::String;

pub(in crate::alert) fn signals_in_doubt(snapshot: &Snapshot) -> Reading {
    once_counted(snapshot, |totals| {
        let doubts = format!("{} may or may not have been executed", signals(totals.in_doubt));
        Reading::measured(
            unit::count(totals.in_doubt),
            match totals.oldest_in_doubt {
                Some(oldest) => format!("{doubts}; the oldest was claimed {} s ago", oldest.as_secs()),
                None => doubts,
            },
        )
    })
}

/// How long the oldest has waited. While the kill switch is on, waiting is what was asked for.
pub(in crate::alert) fn signals_waiting(snapshot: &Snapshot) -> Reading {
    once_counted(snapshot, |totals| {
        let Some(oldest) = totals.oldest_received else {
            return Reading::measured(0.0, "no signal waits".into());
        };
        let value = oldest.as_secs_f64();
        let waiting = signals(totals.received);
        let told = format!("{waiting} not sent; the oldest has waited for {} s", oldest.as_secs());
        match &totals.paused {
            Some(_) => {
                Reading::undecided(Some(value), format!("{told}; not judged while the kill switch is on"))
            }
            None => Reading::measured(value, told),
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

/// A limit that is used up is what limits are for, until something waits behind it.
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

/// A refused submission is a trade that was missed, and its client may read no answer.
pub(in crate::alert) fn submission_refused(snapshot: &Snapshot) -> Reading {
    let Some((why, at_ms)) = snapshot.last_refused else {
        return Reading::whether(false, "", "no submission was refused");
    };
    let ago_ms = u128::try_from(snapshot.now_ms.saturating_sub(at_ms)).unwrap_or(0);
    let n = snapshot.counters.signals_refused.iter().sum();
    let told =
        format!("{} refused since the start; the last one {} s ago: {why}", signals(n), ago_ms / 1_000);
    Reading::whether(ago_ms <= REFUSED_SHOWN.as_millis(), told.clone(), told)
}

pub(in crate::alert) fn handler_not_executing(snapshot: &Snapshot) -> Reading {
    match snapshot.not_executing_ms() {
        None => Reading::measured(0.0, "the handler refuses no signal again and again".into()),
        Some(ms) => Reading::measured(
            unit::seconds(ms),
            format!("the handler has not executed a signal for {} s; it is sent again and again", ms / 1_000),
        ),
    }
}

fn once_counted(snapshot: &Snapshot, read: impl FnOnce(&Totals) -> Reading) -> Reading {
    snapshot.totals.as_ref().map_or_else(|| Reading::undecided(None, "the signals were not counted"), read)
}

/// The limit that lets nothing through, in words: the day's if it is both, since it lasts longer.
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
