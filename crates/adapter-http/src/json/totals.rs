//! The JSON of the ledger's totals in `/status`.

use super::rfc3339;
use domain::ledger::Paused;
use domain::metrics::Snapshot;
use serde::Serialize;
use std::time::Duration;

/// The totals at the last count. Rupees are texts, because most readers parse a JSON number as a float.
#[derive(Debug, Serialize)]
pub struct TotalsJson<'a> {
    received: u64,
    claimed: u64,
    sent: u64,
    in_doubt: u64,
    oldest_received_ms: Option<u64>,
    oldest_in_doubt_ms: Option<u64>,
    expired_last_day: u32,
    sent_last_minute: u32,
    limit_per_minute: Option<u32>,
    sent_last_day: u32,
    limit_per_day: Option<u32>,
    paused: Option<PausedJson<'a>>,
    signal_value_rupees: String,
    exposure_rupees: Option<String>,
}

impl<'a> TotalsJson<'a> {
    /// `None` before the ledger was first counted.
    pub(crate) fn of(snapshot: &'a Snapshot) -> Option<Self> {
        let totals = snapshot.totals()?;
        let ms = |age: Duration| u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        Some(Self {
            received: totals.received,
            claimed: totals.claimed,
            sent: totals.sent,
            in_doubt: totals.in_doubt,
            oldest_received_ms: totals.oldest_received.map(ms),
            oldest_in_doubt_ms: totals.oldest_in_doubt.map(ms),
            expired_last_day: totals.expired_last_day,
            sent_last_minute: totals.sent_last_minute,
            limit_per_minute: snapshot.signal_limits.per_minute,
            sent_last_day: totals.sent_last_day,
            limit_per_day: snapshot.signal_limits.per_day,
            paused: totals.paused.as_ref().map(PausedJson::from),
            signal_value_rupees: snapshot.signal_value.to_string(),
            exposure_rupees: snapshot.signals_exposure().map(|rupees| rupees.to_string()),
        })
    }
}

/// The kill switch, if it is on.
#[derive(Debug, Serialize)]
struct PausedJson<'a> {
    reason: &'a str,
    who: &'a str,
    since: Option<String>,
}

impl<'a> From<&'a Paused> for PausedJson<'a> {
    fn from(paused: &'a Paused) -> Self {
        Self { reason: &paused.reason, who: &paused.who, since: rfc3339(paused.since_ms) }
    }
}
