//! Whether the group acts, and the end of a term in the history.

use super::*;
use crate::member::Term;

#[test]
fn a_term_whose_lease_has_ended_is_closed_in_the_history_before_the_next_claim() {
    let term = |to_ms| Term {
        timeline: crate::lease::Timeline(1),
        epoch: Epoch(41),
        holder: id("desk-2"),
        host: "desk-2.lan".into(),
        from_ms: NOW_MS - 60_000,
        to_ms,
        reason: to_ms.map(|_| "kernel update".into()),
    };
    let closed = |renewed_s, to_ms| {
        let mut terms = [term(to_ms)];
        LeaderView::of_lease(&lease("desk-2", renewed_s), NOW_MS, NOW_MS).close_ended(&mut terms);
        let [term] = terms;
        (term.to_ms, term.reason)
    };
    assert_eq!(closed(9.0, None), (None, None), "the lease is valid");
    assert_eq!(closed(30.0, None), (Some(NOW_MS - 20_000), Some("expired".into())));
    assert_eq!(closed(90.0, None).0, Some(NOW_MS - 60_000), "no term ends before it begins");
    assert_eq!(closed(30.0, Some(NOW_MS)), (Some(NOW_MS), Some("kernel update".into())), "it is closed");
}

#[test]
fn what_keeps_the_group_from_acting_is_said_in_a_few_words() {
    let mut facts = healthy();
    assert_eq!(Overview::of(&facts).inactive(), None);
    facts.lease = Known::read(lease("desk-2", 7.0), NOW_MS);
    assert_eq!(Overview::of(&facts).inactive().as_deref(), Some("desk-2 has missed a renewal of its lease"));
    facts.lease = Known::read(lease("desk-2", 70.0), NOW_MS);
    assert_eq!(
        Overview::of(&facts).inactive().as_deref(),
        Some("0 instances lead; it should be exactly one")
    );
    facts.lease = Known::away(NOW_MS);
    assert_eq!(Overview::of(&facts).inactive().as_deref(), Some("the leader is unknown"));
    let mut facts = healthy();
    members(&mut facts, vec![member("desk-2", MemberState::Halted, 1.0)]);
    assert_eq!(
        Overview::of(&facts).inactive().as_deref(),
        Some("desk-2 leads and does not act: it is halted")
    );
    members(&mut facts, vec![]);
    assert_eq!(
        Overview::of(&facts).inactive().as_deref(),
        Some("desk-2 leads and is not in the instance table")
    );
}

#[test]
fn nothing_is_wrong_is_said_only_if_no_instance_reports_otherwise() {
    let ends_well = |facts: &Facts| said(&Overview::of(facts).sentence).ends_with("Nothing is wrong.");
    assert!(ends_well(&healthy()));
    let mut warned = member("desk-2", MemberState::Active, 1.0);
    warned.member.alerts = Health::Warning;
    let mut facts = healthy();
    members(&mut facts, vec![warned]);
    assert!(!ends_well(&facts), "a missed trade is an alert of the instance that refused it");
    members(
        &mut facts,
        vec![member("desk-1", MemberState::Active, 1.0), member("desk-2", MemberState::Active, 1.0)],
    );
    assert!(!ends_well(&facts), "a former leader is stale");
    let mut facts = healthy();
    facts.totals = Known::away(NOW_MS);
    assert!(!ends_well(&facts), "the signals cannot be read");
    assert_eq!(alerts(&Overview::of(&facts)), [("SignalLedgerUncounted", Health::Critical)]);
}

#[test]
fn nothing_is_wrong_is_not_said_before_everything_was_read() {
    let ends_well = |facts: &Facts| said(&Overview::of(facts).sentence).ends_with("Nothing is wrong.");
    let mut facts = healthy();
    facts.totals = Known::default();
    assert!(!ends_well(&facts), "the signals were never counted");
    let mut facts = healthy();
    facts.ticket = Some(Known::default());
    assert!(!ends_well(&facts), "no request to Redis has ended");
    facts.ticket = None;
    assert!(ends_well(&facts), "there is no Redis");
}

/// Its heartbeat, with which the others learn of the alert, may be due in 10 s.
#[test]
fn an_alert_of_the_reader_counts_before_its_next_heartbeat() {
    let ends_well = |facts: &Facts| said(&Overview::of(facts).sentence).ends_with("Nothing is wrong.");
    let mut facts = healthy();
    facts.reports(&id("desk-1"), Health::Ok);
    assert!(ends_well(&facts));
    facts.reports(&id("desk-1"), Health::Warning);
    assert!(!ends_well(&facts));
    facts.reports(&id("desk-1"), Health::Ok);
    assert!(!ends_well(&facts), "an alert that its last heartbeat reported is not withdrawn");
}
