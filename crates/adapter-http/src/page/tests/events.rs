//! When a stream reads the signals of its reader's choice again.

use super::fixture::{NOW_MS, group, signal};
use crate::page::events::Memory;
use domain::ledger::{SignalState, Totals};
use domain::overview::LastAnswers;
use std::time::Duration;

/// The memory after a count that found one signal waiting for `age_s` seconds and `in_doubt` signals in doubt, and after
/// a list with one signal in this state.
fn memory(age_s: u64, in_doubt: u64, state: SignalState, away: bool) -> Memory {
    let age = Some(Duration::from_secs(age_s));
    let totals =
        Totals { received: 1, oldest_received: age, in_doubt, oldest_in_doubt: age, ..Totals::default() };
    let read_ms = NOW_MS + i64::try_from(age_s).expect("small") * 1_000;
    Memory::of(&group(|last: &mut LastAnswers| {
        last.facts.totals.answered(totals, read_ms);
        last.signals.answered([signal("8a34320f1aeb1b50", 14, state, 60)].into(), read_ms);
        if away {
            last.ledger_failed(read_ms);
        }
    }))
}

#[test]
fn a_signal_that_only_waits_is_no_reason_to_read_the_store_again() {
    let before = memory(3, 1, SignalState::Received, false);
    assert_eq!(before, memory(8, 1, SignalState::Received, false), "only older");
    assert_ne!(before, memory(3, 2, SignalState::Received, false), "another count");
    assert_ne!(before, memory(3, 1, SignalState::Done, false), "another list");
    assert_ne!(before, memory(3, 1, SignalState::Received, true), "the store is away");
}
