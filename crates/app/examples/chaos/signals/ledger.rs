//! Reads the database without any instance.

use crate::servers::ask;
use std::collections::BTreeMap;

/// Signals that are open, without those in doubt and those that wait behind one.
const OPEN: &str = "SELECT count(*)::text FROM coordinator_signal AS s
    WHERE s.state IN ('claimed', 'sent') OR s.state = 'received' AND s.instrument NOT IN (
        SELECT instrument FROM coordinator_signal WHERE state = 'in_doubt')";

const ALL: &str = "SELECT id, state || ' ' || arrival FROM coordinator_signal";

/// Compares each line of the audit with the line before it about the same signal. Returns lines that do not
/// follow, and signals whose state differs from their last line.
const GAPS: &str = "WITH line AS (
        SELECT signal_id, number, what, attempt,
               lag(what) OVER of_signal AS before, lag(attempt) OVER of_signal AS attempt_before,
               lead(what) OVER of_signal IS NULL AS last
        FROM coordinator_audit WHERE signal_id IS NOT NULL
        WINDOW of_signal AS (PARTITION BY group_id, signal_id ORDER BY number))
    SELECT signal_id, concat_ws(' ', before, attempt_before, 'then', what, attempt) FROM line
    WHERE NOT coalesce(
        before IS NULL AND what = 'received' AND attempt = 0
        OR before = 'received' AND what = 'claimed' AND attempt = attempt_before + 1
        OR before = 'claimed' AND what IN ('done', 'in_doubt', 'received') AND attempt = attempt_before
        OR before = 'in_doubt' AND what IN ('done', 'received') AND attempt = attempt_before, false)
    UNION ALL
    SELECT s.id, concat_ws(' ', 'the ledger says', s.state, s.attempt, 'and the audit', line.what, line.attempt)
    FROM coordinator_signal AS s LEFT JOIN line ON line.signal_id = s.id AND line.last
    WHERE line.what IS DISTINCT FROM s.state OR line.attempt IS DISTINCT FROM s.attempt";

/// Number of signals that a process works on, or will without the operator.
///
/// # Errors
/// The database's error.
pub fn open(url: &str) -> Result<u64, String> {
    let rows = ask(url, OPEN)?;
    let count = rows.first().and_then(|(count, _)| count.parse().ok());
    count.ok_or_else(|| format!("{OPEN}: no number"))
}

/// A signal in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Name of its state.
    pub state: String,
    /// Its number in the order of arrival.
    pub arrival: u64,
}

/// The ledger at one moment.
pub struct Ledger {
    /// Signals by id.
    pub signals: BTreeMap<String, Entry>,
    /// Signals whose audit does not explain their state, and why.
    pub gaps: Vec<(String, String)>,
}

impl Ledger {
    /// Reads the ledger.
    ///
    /// # Errors
    /// The database's error.
    pub fn read(url: &str) -> Result<Self, String> {
        let entry = |(id, columns): (String, String)| {
            let (state, arrival) = columns.split_once(' ').ok_or_else(|| format!("{id} is {columns:?}"))?;
            let arrival = arrival.parse().map_err(|_| format!("{id} is {columns:?}"))?;
            Ok((id, Entry { state: state.to_owned(), arrival }))
        };
        let signals = ask(url, ALL)?.into_iter().map(entry).collect::<Result<_, String>>()?;
        Ok(Self { signals, gaps: ask(url, GAPS)? })
    }
}
