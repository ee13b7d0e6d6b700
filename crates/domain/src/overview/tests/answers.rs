//! The answers and samples that a running instance keeps.

use super::*;
use crate::ledger::{Instruction, Label, Signal, SignalId, SignalState, StateName};
use crate::metrics::{Fact, Snapshot, SyncResult};
use crate::ports::ListQuery;
use crate::time::Time;

const MINUTE_MS: i64 = 60 * SECOND_MS;

fn signal(arrival: u64, state: SignalState) -> Signal {
    let label = |text| Label::parse(text).unwrap();
    let instruction = Instruction {
        instrument: label("BANKNIFTY"),
        signal_type: label("ENTRY"),
        position: label("Long_1"),
        timestamp_s: 0,
        payload: "{}".into(),
        expires_ms: None,
    };
    Signal {
        id: SignalId::parse(&format!("s-{arrival}")).unwrap(),
        instruction,
        arrival,
        state,
        attempt: 0,
        received_ms: 0,
        claimed_ms: None,
        settled_ms: None,
        note: None,
    }
}

fn answers() -> LastAnswers {
    let mut facts = healthy();
    (facts.lease, facts.members, facts.totals) = (Known::default(), Known::default(), Known::default());
    LastAnswers::none(facts)
}

fn query(limit: u32) -> ListQuery {
    ListQuery { state: None, instrument: None, before: None, limit }
}

#[test]
fn a_failure_keeps_the_last_answers_and_makes_the_present_unknown() {
    let mut last = answers();
    last.state_store_answered(
        (lease("desk-2", 1.0), vec![member("desk-2", MemberState::Active, 2.0)], vec![]),
        NOW_MS,
    );
    last.facts.totals.answered(Totals { in_doubt: 1, ..Totals::default() }, NOW_MS);
    last.signals.answered([signal(1, SignalState::InDoubt)].into(), NOW_MS);
    last.state_store_failed(NOW_MS + 4 * SECOND_MS);
    last.state_store_failed(NOW_MS + 8 * SECOND_MS);
    let overview = Overview::of(&last.facts_at(NOW_MS + 10 * SECOND_MS));
    assert_eq!(overview.instances[0].state, InstanceState::Unknown);
    assert_eq!(overview.instances[0].heartbeat_age, Duration::from_secs(12));
    assert_eq!(
        overview.leader,
        LeaderView::Unknown { since_ms: Some(NOW_MS + 4 * SECOND_MS), last: Some((id("desk-2"), Epoch(41))) }
    );
    let sentence = overview.sentence.render(NOW_MS + 10 * SECOND_MS, |_| String::new());
    assert!(
        sentence.contains("1 signal is in doubt") && sentence.contains("PostgreSQL does not answer for 6 s"),
        "{sentence}"
    );
    assert_eq!(last.select(&query(10)).map(|(kept, complete)| (kept.len(), complete)), Some((1, true)));
}

#[test]
fn an_instance_without_a_ledger_does_not_miss_its_signals() {
    let mut last = answers();
    last.state_store_failed(NOW_MS);
    assert_eq!((last.facts.totals.away_since_ms(), last.select(&query(10))), (None, None));
}

#[test]
fn a_selection_of_the_kept_signals_says_whether_there_may_be_more() {
    let mut last = answers();
    last.signals.answered([signal(3, SignalState::Received), signal(2, SignalState::InDoubt)].into(), NOW_MS);
    let arrivals = |query: &ListQuery| {
        let (kept, complete) = last.select(query).unwrap();
        (kept.iter().map(|signal| signal.arrival).collect::<Vec<_>>(), complete)
    };
    assert_eq!(arrivals(&query(2)), (vec![3, 2], true));
    assert_eq!(arrivals(&query(1)), (vec![3], false));
    let in_doubt = ListQuery { state: Some(StateName::InDoubt), ..query(9) };
    assert_eq!(arrivals(&in_doubt), (vec![2], true));
    assert_eq!(arrivals(&ListQuery { before: Some(3), ..query(9) }), (vec![2], true));
    let other = ListQuery { instrument: Some(Label::parse("NIFTY").unwrap()), ..query(9) };
    assert_eq!(arrivals(&other), (vec![], true));
}

/// Two reads in one heartbeat of 3.3 s: between them the holder renews the lease.
#[test]
fn a_lease_that_was_read_a_heartbeat_ago_has_not_missed_a_renewal() {
    let mut facts = healthy();
    facts.lease = Known::read(lease("desk-2", 3.4), NOW_MS - 3_400);
    assert!(matches!(LeaderView::of(&facts), LeaderView::Leads { .. }), "{:?}", LeaderView::of(&facts));
    facts.lease = Known::read(lease("desk-2", 6.7), NOW_MS - 3_400);
    assert!(matches!(LeaderView::of(&facts), LeaderView::Overdue { .. }), "the end was not read");
}

fn snapshot(now_ms: i64, syncs: &[(SyncResult, u64)]) -> Snapshot {
    let mut metrics = crate::metrics::tests::metrics(100);
    for (result, ms) in syncs {
        metrics.record(Fact::Sync { result: *result, took: Duration::from_millis(*ms), at: Time::ZERO });
    }
    metrics.record(Fact::ChangesLastHour(2));
    metrics.snapshot(crate::metrics::tests::standby(), now_ms)
}

#[test]
fn a_minute_has_the_latest_rate_and_the_largest_age() {
    let mut samples = Samples::default();
    let good = snapshot(MINUTE_MS + 1, &[(SyncResult::Succeeded, 10)]);
    samples.record(&good, &Known::read(vec![member("desk-2", MemberState::Active, 9.0)], 0));
    let bad = snapshot(MINUTE_MS + 2, &[(SyncResult::Succeeded, 10), (SyncResult::Failed, 10)]);
    samples.record(&bad, &Known::read(vec![member("desk-2", MemberState::Active, 1.0)], 0));
    let sample = samples.iter().next().unwrap();
    assert_eq!((samples.iter().len(), sample.from_ms), (1, MINUTE_MS));
    assert_eq!((sample.failure_rate, sample.changes_last_hour), (Some(0.5), Some(2)));
    assert_eq!(sample.heartbeat_age.get(&id("desk-2")), Some(&Duration::from_secs(9)));
}

#[test]
fn a_minute_without_a_measurement_is_unknown_and_not_zero() {
    let mut samples = Samples::default();
    let members = Known::read(vec![member("desk-2", MemberState::Active, 1.0)], 0);
    samples.record(&snapshot(0, &[]), &members);
    samples.record(&snapshot(2 * MINUTE_MS, &[]), &Known::away(0));
    let all: Vec<&Sample> = samples.iter().collect();
    assert_eq!(all.iter().map(|sample| sample.from_ms).collect::<Vec<_>>(), [0, MINUTE_MS, 2 * MINUTE_MS]);
    assert_eq!((all[0].failure_rate, all[0].p99, all[0].changes_last_hour), (None, None, Some(2)));
    assert_eq!((all[1].changes_last_hour, all[1].heartbeat_age.len()), (None, 0));
    assert_eq!((all[2].changes_last_hour, all[2].heartbeat_age.len()), (None, 0), "the store is away");
}

#[test]
fn an_hour_of_minutes_is_kept_whatever_the_clock_does() {
    let mut samples = Samples::default();
    let unread = Known::default();
    for minute in 0..100 {
        samples.record(&snapshot(minute * MINUTE_MS, &[]), &unread);
    }
    assert_eq!(samples.iter().len(), SAMPLES_KEPT as usize);
    assert_eq!(samples.iter().next().map(|sample| sample.from_ms), Some(39 * MINUTE_MS));
    samples.record(&snapshot(0, &[]), &unread);
    assert_eq!(samples.iter().last().map(|sample| sample.from_ms), Some(99 * MINUTE_MS), "set back");
    samples.record(&snapshot(i64::MAX, &[]), &unread);
    assert_eq!(samples.iter().len(), 1, "a year later");
}
