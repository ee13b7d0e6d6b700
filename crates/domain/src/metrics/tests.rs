//! Tests of the fold of facts.

use super::*;
use crate::lease::TTL_DEFAULT;
use crate::ledger::Outcome;
use crate::member::MemberState;
use rust_decimal::Decimal;

pub(crate) const STARTED_MS: i64 = 1_700_000_000_000;

pub(crate) fn id(text: &str) -> InstanceId {
    InstanceId::parse(text).unwrap()
}

pub(crate) fn metrics(window: usize) -> Metrics {
    Metrics::new(MetricsConfig {
        heartbeat: Duration::ZERO,
        window,
        started_ms: STARTED_MS,
        instance: id("me"),
        version: "1.2.3".into(),
        signals: SignalsConfig::default(),
    })
}

pub(crate) fn standby() -> View {
    View {
        state: MemberState::Standby,
        is_leader: false,
        leader_db: None,
        state_store_answers: true,
        leader_redis: None,
        uses_redis: true,
        disagreement: None,
        fallback: false,
        heartbeat_running: true,
        lease_left: None,
        ttl: TTL_DEFAULT,
        epoch: None,
    }
}

pub(crate) fn leader() -> View {
    View {
        state: MemberState::Active,
        is_leader: true,
        leader_db: Some(id("me")),
        state_store_answers: true,
        leader_redis: Some(id("me")),
        uses_redis: true,
        disagreement: None,
        lease_left: Some(Duration::from_millis(6_500)),
        epoch: Some(Epoch(42)),
        ..standby()
    }
}

fn changes(tokens: &[(u32, u64)]) -> u64 {
    let mut metrics = metrics(WINDOW_DEFAULT);
    for (timeline, epoch) in tokens {
        metrics.record(Fact::Epoch { timeline: Timeline(*timeline), epoch: Epoch(*epoch) });
    }
    metrics.counters.leadership_changes
}

#[test]
fn the_first_token_counts_no_change() {
    assert_eq!(changes(&[]), 0);
    assert_eq!(changes(&[(1, 41)]), 0);
}

#[test]
fn the_growth_of_the_epoch_counts_changes_that_this_process_did_not_observe() {
    assert_eq!(changes(&[(1, 41), (1, 41), (1, 42)]), 1);
    assert_eq!(changes(&[(1, 41), (1, 46)]), 5);
}

#[test]
fn the_exported_epoch_never_decreases() {
    let mut metrics = metrics(WINDOW_DEFAULT);
    let mut epoch_after = |timeline, epoch| {
        metrics.record(Fact::Epoch { timeline: Timeline(timeline), epoch: Epoch(epoch) });
        metrics.snapshot(View { epoch: Some(Epoch(epoch)), ..standby() }, STARTED_MS).view.epoch
    };
    assert_eq!(epoch_after(1, 41), Some(Epoch(41)));
    assert_eq!(epoch_after(1, 40), Some(Epoch(41)), "a restored backup");
    assert_eq!(epoch_after(2, 40), Some(Epoch(41)), "a promotion that lost a term");
    assert_eq!(epoch_after(2, 42), Some(Epoch(42)));
}

#[test]
fn late_answers_count_no_change() {
    assert_eq!(changes(&[(1, 41), (1, 43), (1, 42), (1, 43)]), 2);
    assert_eq!(changes(&[(1, 9), (2, 10), (1, 9), (2, 10)]), 1);
}

#[test]
fn a_promotion_counts_when_the_leader_changed() {
    assert_eq!(changes(&[(1, 5), (2, 5)]), 0, "carried over by the same leader");
    assert_eq!(changes(&[(1, 5), (2, 6)]), 1);
    assert_eq!(changes(&[(1, 5), (2, 3)]), 1, "the promotion lost claims");
    assert_eq!(changes(&[(1, 5), (2, 8)]), 3);
}

#[test]
fn counters_and_histogram_count_every_sync() {
    let mut metrics = metrics(2);
    for result in [SyncResult::Succeeded, SyncResult::Failed, SyncResult::Succeeded] {
        metrics.record(Fact::Sync { result, took: Duration::from_millis(4), at: Time::ZERO });
    }
    let snapshot = metrics.snapshot(standby(), STARTED_MS);
    let counters = snapshot.counters;
    assert_eq!((counters.syncs(), counters.syncs_succeeded, counters.syncs_failed), (3, 2, 1));
    assert_eq!(snapshot.sync_duration.count(), 3);
    assert_eq!((snapshot.window.samples, snapshot.window.failures), (2, 1));
}

#[test]
fn a_recovery_that_passes_clears_the_error_and_a_failed_one_keeps_the_positions() {
    let mut metrics = metrics(WINDOW_DEFAULT);
    assert_eq!(metrics.snapshot(standby(), STARTED_MS).recovery_error(), None);
    let took = Duration::from_millis(80);
    metrics.record(Fact::Recovery { outcome: Ok(7), took, at_ms: 1 });
    metrics.record(Fact::Recovery { outcome: Err(RecoveryCode::DataCorrupt), took, at_ms: 2 });
    let failed = metrics.snapshot(standby(), STARTED_MS);
    assert_eq!(failed.recovery_error(), Some(RecoveryCode::DataCorrupt));
    assert_eq!(failed.positions_recovered, Some(7));
    metrics.record(Fact::Recovery { outcome: Ok(0), took, at_ms: 3 });
    let passed = metrics.snapshot(standby(), STARTED_MS);
    assert_eq!((passed.recovery_error(), passed.positions_recovered), (None, Some(0)));
    assert_eq!((passed.counters.recoveries_succeeded, passed.counters.recoveries_failed), (2, 1));
}

#[test]
fn single_counts() {
    let mut metrics = metrics(WINDOW_DEFAULT);
    metrics.record(Fact::SplitBrain);
    metrics.record(Fact::TicketFault);
    metrics.record(Fact::TicketFault);
    let counters = metrics.snapshot(standby(), STARTED_MS).counters;
    assert_eq!((counters.split_brains, counters.ticket_faults), (1, 2));
}

#[test]
fn a_heartbeat_in_the_future_is_fresh() {
    let mut metrics = metrics(WINDOW_DEFAULT);
    metrics.record(Fact::Heartbeat { at_ms: STARTED_MS + 5_000 });
    assert_eq!(metrics.snapshot(standby(), STARTED_MS).heartbeat_age_ms(), Some(0));
    assert_eq!(metrics.snapshot(standby(), STARTED_MS + 6_500).heartbeat_age_ms(), Some(1_500));
}

#[test]
fn actions_on_signals_are_counted_by_kind() {
    let mut metrics = metrics(WINDOW_DEFAULT);
    let waited = Duration::from_millis(7);
    let recorded = [
        (Outcome::Done, 4),
        (Outcome::Rejected, 5),
        (Outcome::InDoubt, 6),
        (Outcome::Received, 7),
        (Outcome::Sent, 8),
    ];
    let facts = [
        (SignalFact::Received, 1),
        (SignalFact::DuplicatePrevented, 2),
        (SignalFact::Folded, 11),
        (SignalFact::Claimed, 3),
        (SignalFact::Sent { waited }, 9),
        (SignalFact::FencedWrite, 10),
    ];
    let recorded = recorded.map(|(outcome, times)| (SignalFact::Recorded(outcome), times));
    for (fact, times) in facts.into_iter().chain(recorded) {
        for _ in 0..times {
            metrics.record(Fact::Signal(fact));
        }
    }
    let snapshot = metrics.snapshot(standby(), STARTED_MS);
    let expected = Counters {
        signals_received: 1,
        duplicates_prevented: 2,
        signals_folded: 11,
        signals_claimed: 3,
        signals_done: 4,
        signals_rejected: 5,
        signals_doubted: 6,
        signals_not_executed: 7,
        signals_sent: 9,
        fenced_writes: 10,
        ..Counters::default()
    };
    assert_eq!(snapshot.counters, expected);
    assert_eq!((snapshot.sent_after.count(), snapshot.sent_after.sum()), (9, waited * 9));
    assert_eq!(snapshot.sync_duration.count(), 0, "a signal is not a sync");
}

#[test]
fn the_snapshot_has_the_last_counts_of_the_ledger_also_after_a_count_failed() {
    let mut metrics = metrics(WINDOW_DEFAULT);
    let mut totals_after = |fact| {
        metrics.record(fact);
        metrics.snapshot(standby(), STARTED_MS).totals
    };
    let waiting = |received| Totals { received, ..Totals::default() };
    let counted = |received, at_ms| Fact::Ledger { totals: waiting(received), at_ms };
    assert_eq!(totals_after(counted(2, 1)), Known::read(waiting(2), 1));
    assert_eq!(totals_after(counted(0, 2)), Known::read(waiting(0), 2));
    let unknown = totals_after(Fact::LedgerUnknown { at_ms: 3 });
    assert_eq!((unknown.current(), unknown.last()), (None, Some((&waiting(0), 2))));
    assert_eq!(totals_after(counted(1, 4)), Known::read(waiting(1), 4));
}

#[test]
fn the_exposure_of_signals_without_result_is_exact_to_the_paisa() {
    let mut metrics = metrics(WINDOW_DEFAULT);
    metrics.config.signals.value = "100000.05".parse().unwrap();
    assert_eq!(metrics.snapshot(standby(), STARTED_MS).signals_exposure(), None);
    let totals = Totals { received: 50, claimed: 1, sent: 2, in_doubt: 4, ..Totals::default() };
    metrics.record(Fact::Ledger { totals, at_ms: 0 });
    let exposure = metrics.snapshot(standby(), STARTED_MS).signals_exposure();
    assert_eq!(exposure, Some("700000.35".parse().unwrap()));
    let too_many = Totals { sent: u64::MAX, in_doubt: 1, ..Totals::default() };
    metrics.record(Fact::Ledger { totals: too_many, at_ms: 0 });
    metrics.config.signals.value = Decimal::MAX;
    assert_eq!(metrics.snapshot(standby(), STARTED_MS).signals_exposure(), Some(Decimal::MAX));
}

#[test]
fn a_signal_is_worth_a_lakh_unless_configured() {
    assert_eq!(SignalsConfig::default().value, Decimal::from(100_000));
}

#[test]
fn urgent_events_are_returned_at_once_and_a_repeated_failure_only_once() {
    let mut metrics = metrics(20);
    let recovery = |outcome| Fact::Recovery { outcome, took: Duration::from_millis(3), at_ms: STARTED_MS };
    let corrupt = Urgent::RecoveryFailed(RecoveryCode::DataCorrupt);
    let away = Urgent::RecoveryFailed(RecoveryCode::DbUnavailable);
    for (fact, urgent) in [
        (Fact::TicketFault, None),
        (Fact::SplitBrain, Some(Urgent::SplitBrain)),
        (Fact::SplitBrain, Some(Urgent::SplitBrain)),
        (Fact::Signal(SignalFact::Claimed), None),
        (Fact::Signal(SignalFact::FencedWrite), Some(Urgent::FencedWrite)),
        (recovery(Err(RecoveryCode::DbUnavailable)), Some(away)),
        (recovery(Err(RecoveryCode::DbUnavailable)), None),
        (recovery(Err(RecoveryCode::DataCorrupt)), Some(corrupt)),
        (recovery(Ok(3)), None),
        (recovery(Err(RecoveryCode::DataCorrupt)), Some(corrupt)),
    ] {
        assert_eq!(metrics.record(fact.clone()), urgent, "{fact:?}");
    }
}

#[test]
fn the_findings_of_a_failed_recovery_are_kept_until_one_passes() {
    let mut metrics = metrics(WINDOW_DEFAULT);
    let took = Duration::from_millis(1);
    metrics.record(Fact::RecoveryFindings(alloc::vec!["position \"P-1\": quantity is NULL".into()]));
    metrics.record(Fact::Recovery { outcome: Err(RecoveryCode::DataCorrupt), took, at_ms: 7 });
    let failed = metrics.snapshot(leader(), STARTED_MS);
    assert_eq!(failed.recovery_findings.len(), 1);
    assert_eq!(failed.last_recovery_failure_ms, Some(7));
    metrics.record(Fact::Recovery { outcome: Ok(1), took, at_ms: 8 });
    let passed = metrics.snapshot(leader(), STARTED_MS);
    assert_eq!((passed.recovery_findings.len(), passed.last_recovery_failure_ms), (0, Some(7)));
}
