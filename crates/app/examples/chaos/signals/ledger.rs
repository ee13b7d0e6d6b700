//! What the database has, past every instance.

use crate::servers::ask;
use std::collections::BTreeMap;

/// What is open, but for doubts and what waits behind one.
const OPEN: &str = "SELECT count(*)::text FROM coordinator_signal AS s
    WHERE s.state IN ('claimed', 'sent') OR s.state = 'received' AND s.instrument NOT IN (
        SELECT instrument FROM coordinator_signal WHERE state = 'in_doubt')";

const ALL: &str = "SELECT id, state || ' ' || arrival FROM coordinator_signal";

/// Each line of the audit with the one before it about the same signal; here are those that do not follow from it,
/// and signals of which the last line is not what the ledger says.
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

/// How many signals somebody still works on, or will without anybody's help.
///
/// # Errors
/// What the database said.
pub fn open(url: &str) -> Result<u64, String> {
    let rows = ask(url, OPEN)?;
    let count = rows.first().and_then(|(count, _)| count.parse().ok());
    count.ok_or_else(|| format!("{OPEN}: no number"))
}

/// A signal as the ledger has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its state, by name.
    pub state: String,
    /// Its number in order of arrival.
    pub arrival: u64,
}

/// Everything at one moment.
pub struct Ledger {
    /// By name.
    pub signals: BTreeMap<String, Entry>,
    /// Signals whose audit does not tell how they came to be what they are, and why.
    pub gaps: Vec<(String, String)>,
}

impl Ledger {
    /// Reads it.
    ///
    /// # Errors
    /// What the database said.
    pub fn read(url: &str) -> Result<Self, String> {
        let entry = |(id, told): (String, String)| {
            let (state, arrival) = told.split_once(' ').ok_or_else(|| format!("{id} is {told:?}"))?;
            let arrival = arrival.parse().map_err(|_| format!("{id} is {told:?}"))?;
            Ok((id, Entry { state: state.to_owned(), arrival }))
        };
        let signals = ask(url, ALL)?.into_iter().map(entry).collect::<Result<_, String>>()?;
        Ok(Self { signals, gaps: ask(url, GAPS)? })
    }
}
