//! Every condition that an operator meets, and what is said of it.

mod acting;
mod answers;
mod away;

use super::*;
use crate::id::Nonce;
use crate::lease::Epoch;
use crate::ledger::Paused;
use crate::member::{LeaseSeen, Member, MemberState};
use crate::settings::SharedSettings;
use alloc::format;
use alloc::string::ToString;
use alloc::vec;

const NOW_MS: i64 = 1_000_000_000;
const SECOND_MS: i64 = 1_000;

fn id(name: &str) -> InstanceId {
    InstanceId::parse(name).unwrap()
}

fn member(name: &str, state: MemberState, silent_s: f64) -> MemberSeen {
    MemberSeen {
        member: Member {
            id: id(name),
            nonce: Nonce::new(1),
            host: format!("{name}.lan"),
            address: format!("http://{name}.lan:5000"),
            state,
            epoch: Epoch(41),
            fallback: false,
            alerts: Health::Ok,
            version: "1.0.0".into(),
            started_ms: 0,
            settings: SharedSettings::default(),
            cannot_lead: None,
            sync_p95: None,
        },
        heartbeat_age: Duration::from_secs_f64(silent_s),
    }
}

fn lease(holder: &str, renewed_s: f64) -> LeaseSeen {
    LeaseSeen {
        holder: Some(id(holder)),
        epoch: Epoch(41),
        released: false,
        ttl: Duration::from_secs(10),
        renewed_age: Duration::from_secs_f64(renewed_s),
        since_ms: Some(NOW_MS - 9_196 * SECOND_MS),
        forgot_ms: None,
    }
}

/// Three instances, PostgreSQL and Redis, nothing wrong.
fn healthy() -> Facts {
    Facts {
        now_ms: NOW_MS,
        state_store: "PostgreSQL".into(),
        state_store_fault: None,
        heartbeat: Duration::from_secs(10),
        lease: Known::read(lease("desk-2", 1.0), NOW_MS),
        members: Known::read(
            vec![
                member("desk-3", MemberState::Standby, 7.0),
                member("desk-1", MemberState::Standby, 2.1),
                member("desk-2", MemberState::Active, 4.4),
            ],
            NOW_MS,
        ),
        ticket: Some(Known::read(Some(id("desk-2")), NOW_MS)),
        totals: Known::read(Totals::default(), NOW_MS),
        signal_value: Decimal::from(100_000),
    }
}

/// Times as seconds before or after now.
fn said(phrase: &Phrase) -> String {
    phrase.render(NOW_MS, |at_ms| {
        let s = (at_ms - NOW_MS) / SECOND_MS;
        if s > 0 { format!("[in {s} s]") } else { format!("[{} s ago]", -s) }
    })
}

fn states(overview: &Overview) -> Vec<(&str, InstanceState)> {
    overview.instances.iter().map(|view| (view.id.as_str(), view.state)).collect()
}

fn alerts(overview: &Overview) -> Vec<(&str, Health)> {
    overview.problems.iter().map(|problem| (problem.alert, problem.level)).collect()
}

fn members(facts: &mut Facts, members: Vec<MemberSeen>) {
    facts.members = Known::read(members, NOW_MS);
}

#[test]
fn a_healthy_group_is_boring() {
    let overview = Overview::of(&healthy());
    assert_eq!(said(&overview.sentence), "desk-2 has led since [9196 s ago] (epoch 41). Nothing is wrong.");
    assert_eq!(overview.level, Health::Ok);
    assert_eq!(alerts(&overview), []);
    assert!(overview.acts());
    let expected = [
        ("desk-1", InstanceState::Standby),
        ("desk-2", InstanceState::Active),
        ("desk-3", InstanceState::Standby),
    ];
    assert_eq!(states(&overview), expected, "in the order of the ids");
}

#[test]
fn a_leader_that_was_killed_is_not_shown_as_active_once_it_misses_a_renewal() {
    for (renewed_s, acts, state) in [
        (1.0, true, InstanceState::Active),
        (6.6, true, InstanceState::Active),
        (6.8, false, InstanceState::Stale),
        (9.9, false, InstanceState::Stale),
        (10.0, false, InstanceState::Stale),
        (40.0, false, InstanceState::Stale),
    ] {
        let mut facts = healthy();
        facts.lease = Known::read(lease("desk-2", renewed_s), NOW_MS);
        let overview = Overview::of(&facts);
        assert_eq!(
            (overview.acts(), overview.instances[1].state),
            (acts, state),
            "renewed {renewed_s} s ago"
        );
    }
}

#[test]
fn an_overdue_leader_is_named_with_the_time_of_the_takeover() {
    let mut facts = healthy();
    facts.lease = Known::read(lease("desk-2", 7.0), NOW_MS);
    let overview = Overview::of(&facts);
    assert_eq!(
        said(&overview.sentence),
        "desk-2 (epoch 41) has not renewed its lease for 7 s. Another instance takes over after [in 3 s] unless it does."
    );
    assert_eq!(alerts(&overview), [("NoLeader", Health::Warning)]);
}

#[test]
fn an_ended_lease_has_no_leader_since_its_end() {
    let mut facts = healthy();
    facts.lease = Known::read(lease("desk-2", 30.0), NOW_MS);
    let overview = Overview::of(&facts);
    assert_eq!(
        said(&overview.sentence),
        "No instance has led since [20 s ago] (the last leader was desk-2, epoch 41). No signal is sent."
    );
    assert_eq!(overview.level, Health::Warning, "a failover takes a moment");
    facts.lease = Known::read(lease("desk-2", 131.0), NOW_MS);
    assert_eq!(Overview::of(&facts).level, Health::Critical, "after two minutes it is none");
}

#[test]
fn no_leader_and_no_standby_is_critical_at_once() {
    let mut facts = healthy();
    facts.lease = Known::read(lease("desk-2", 11.0), NOW_MS);
    members(&mut facts, vec![member("desk-2", MemberState::Active, 61.0)]);
    let overview = Overview::of(&facts);
    assert_eq!(states(&overview), [("desk-2", InstanceState::Gone)]);
    assert_eq!(alerts(&overview), [("StaleHeartbeat", Health::Critical), ("NoLeader", Health::Critical)]);
    let no_leader = overview.problems.iter().find(|problem| problem.alert == "NoLeader").unwrap();
    assert_eq!(no_leader.next, "Start an instance: none can take over now.");
}

#[test]
fn a_group_that_has_never_led_says_so() {
    let mut facts = healthy();
    facts.lease = Known::read(LeaseSeen { holder: None, epoch: Epoch(0), ..lease("desk-2", 0.0) }, NOW_MS);
    members(&mut facts, vec![]);
    let overview = Overview::of(&facts);
    assert_eq!(said(&overview.sentence), "No instance has led yet. No signal is sent.");
    assert!(!overview.acts());
}

#[test]
fn a_new_leader_checks_the_portfolio_before_it_acts() {
    let mut facts = healthy();
    facts.lease = Known::read(
        LeaseSeen { epoch: Epoch(42), since_ms: Some(NOW_MS - 2_000), ..lease("desk-3", 0.5) },
        NOW_MS,
    );
    let mut taking_over = member("desk-3", MemberState::Recovering, 0.4);
    taking_over.member.epoch = Epoch(42);
    members(&mut facts, vec![member("desk-2", MemberState::Active, 4.0), taking_over]);
    let overview = Overview::of(&facts);
    assert_eq!(
        said(&overview.sentence),
        "desk-3 has held the lease since [2 s ago] (epoch 42) and checks the portfolio. No signal is sent until it is active."
    );
    let expected = [("desk-2", InstanceState::Stale), ("desk-3", InstanceState::Recovering)];
    assert_eq!(states(&overview), expected, "the former leader holds no lease");
    assert_eq!(alerts(&overview), [("NoLeader", Health::Warning)]);
    assert!(!overview.acts());
}

#[test]
fn a_leader_whose_heartbeat_is_older_than_its_claim_is_recovering() {
    let mut facts = healthy();
    facts.lease = Known::read(LeaseSeen { epoch: Epoch(42), ..lease("desk-3", 0.1) }, NOW_MS);
    members(&mut facts, vec![member("desk-3", MemberState::Standby, 4.0)]);
    assert_eq!(states(&Overview::of(&facts)), [("desk-3", InstanceState::Recovering)]);
}

#[test]
fn a_leader_that_leads_again_is_recovering_until_its_next_heartbeat() {
    let mut facts = healthy();
    facts.lease = Known::read(LeaseSeen { epoch: Epoch(42), ..lease("desk-2", 0.1) }, NOW_MS);
    assert_eq!(Overview::of(&facts).instances[1].state, InstanceState::Recovering);
}

/// Its service is busy, and its election thread renews the lease.
#[test]
fn a_leader_without_a_heartbeat_is_not_said_to_check_the_portfolio() {
    let mut facts = healthy();
    members(&mut facts, vec![member("desk-2", MemberState::Active, 40.0)]);
    let overview = Overview::of(&facts);
    assert_eq!(
        said(&overview.sentence),
        "desk-2 has held the lease since [9196 s ago] (epoch 41) and renews it. Whether it acts is unknown. desk-2 has sent no \
         heartbeat for 40 s."
    );
    assert_eq!(alerts(&overview), [("DelayedHeartbeat", Health::Warning)]);
}

#[test]
fn without_the_instance_table_no_advice_to_start_an_instance_is_given() {
    let mut facts = healthy();
    facts.lease = Known::read(lease("desk-2", 11.0), NOW_MS);
    facts.members.failed(NOW_MS);
    let overview = Overview::of(&facts);
    assert_eq!(overview.level, Health::Warning);
    assert_eq!(
        overview.problems[0].next,
        "Wait one LEADER_TTL (10 s by default). If no instance leads then, follow the runbook."
    );
}

#[test]
fn a_single_instance_that_starts_is_not_asked_to_be_started() {
    let mut facts = healthy();
    facts.lease = Known::read(LeaseSeen { since_ms: Some(NOW_MS - 1_000), ..lease("desk-2", 0.5) }, NOW_MS);
    members(&mut facts, vec![member("desk-2", MemberState::Recovering, 0.1)]);
    let overview = Overview::of(&facts);
    assert_eq!(alerts(&overview), [("NoLeader", Health::Warning)]);
    assert!(overview.problems[0].next.starts_with("Wait until its crash recovery has ended."));
}

#[test]
fn while_the_database_is_away_everything_it_knows_is_unknown() {
    let mut facts = healthy();
    facts.totals = Known::read(Totals { claimed: 1, ..Totals::default() }, NOW_MS - 48_000);
    facts.lease = Known::read(lease("desk-2", 1.0), NOW_MS - 49_000);
    for known in [NOW_MS - 48_000, NOW_MS - 20_000] {
        facts.lease.failed(known);
        facts.members.failed(known);
        facts.totals.failed(known);
    }
    let overview = Overview::of(&facts);
    assert_eq!(
        said(&overview.sentence),
        "PostgreSQL has not answered for 48 s: the leader is unknown (last known: desk-2, epoch 41)."
    );
    assert_eq!(overview.level, Health::Critical);
    assert!(overview.instances.iter().all(|view| view.state == InstanceState::Unknown));
    assert_eq!(
        alerts(&overview),
        [("NoLeader", Health::Critical), ("SignalLedgerUncounted", Health::Warning)]
    );
    assert_eq!(overview.problems[0].money, Money::Unknown(Some(Decimal::from(100_000))));
    assert!(!overview.acts());
}

#[test]
fn a_signal_in_doubt_stays_in_doubt_while_the_database_is_away() {
    let mut facts = healthy();
    facts.totals = Known::read(Totals { in_doubt: 2, ..Totals::default() }, NOW_MS - 9_000);
    facts.totals.failed(NOW_MS - 8_000);
    let overview = Overview::of(&facts);
    assert!(alerts(&overview).contains(&("SignalsInDoubt", Health::Critical)), "{:?}", alerts(&overview));
    assert!(
        said(&overview.sentence).starts_with("2 signals are in doubt: ₹2,00,000 (2 lakh) is at risk until")
    );
}

#[test]
fn before_the_first_answer_nothing_is_claimed() {
    let mut facts = healthy();
    facts.lease = Known::default();
    facts.members = Known::default();
    facts.totals = Known::default();
    let overview = Overview::of(&facts);
    assert_eq!(said(&overview.sentence), "The leader is not known yet.");
    assert_eq!(overview.instances, []);
    facts.lease = Known::away(NOW_MS - 3_000);
    assert_eq!(
        said(&Overview::of(&facts).sentence),
        "PostgreSQL has not answered for 3 s: the leader is unknown."
    );
}

#[test]
fn redis_away_changes_nothing_and_is_said() {
    let mut facts = healthy();
    facts.ticket = Some(Known::away(NOW_MS - 12_000));
    let overview = Overview::of(&facts);
    assert_eq!(
        said(&overview.sentence),
        "desk-2 has led since [9196 s ago] (epoch 41). Redis has not answered for 12 s; the leader does not change."
    );
    assert_eq!(alerts(&overview), [("FallbackModeActive", Health::Warning)]);
    assert!(overview.acts());
}

/// As a command has it, which reads once.
#[test]
fn without_an_earlier_reading_no_duration_is_claimed() {
    let mut facts = healthy();
    facts.ticket = Some(Known::away(NOW_MS));
    assert_eq!(
        said(&Overview::of(&facts).sentence),
        "desk-2 has led since [9196 s ago] (epoch 41). Redis does not answer; the leader does not change."
    );
    facts.lease = Known::away(NOW_MS);
    assert_eq!(said(&Overview::of(&facts).sentence), "PostgreSQL does not answer: the leader is unknown.");
}

#[test]
fn signals_in_doubt_come_first_with_their_money() {
    let mut facts = healthy();
    facts.totals = Known::read(
        Totals {
            in_doubt: 2,
            oldest_in_doubt: Some(Duration::from_secs(259)),
            received: 1,
            oldest_received: Some(Duration::from_secs(222)),
            ..Totals::default()
        },
        NOW_MS,
    );
    let overview = Overview::of(&facts);
    assert_eq!(
        said(&overview.sentence),
        "2 signals are in doubt: ₹2,00,000 (2 lakh) is at risk until an operator resolves them. desk-2 has led since \
         [9196 s ago] (epoch 41)."
    );
    assert_eq!(
        alerts(&overview),
        [("SignalsInDoubt", Health::Critical), ("SignalsWaiting", Health::Warning)]
    );
    assert_eq!(overview.problems[0].lasted(NOW_MS).as_deref(), Some("4 min 19 s"));
    assert_eq!(overview.problems[1].money, Money::Waits(Decimal::from(100_000)));
    facts.totals = Known::read(Totals { in_doubt: 1, ..Totals::default() }, NOW_MS);
    let one = said(&Overview::of(&facts).sentence);
    assert!(
        one.starts_with("1 signal is in doubt: ₹1,00,000 (1 lakh) is at risk until an operator resolves it."),
        "{one}"
    );
}

#[test]
fn a_halted_leader_is_named() {
    let mut facts = healthy();
    members(&mut facts, vec![member("desk-2", MemberState::Halted, 4.4)]);
    let overview = Overview::of(&facts);
    assert_eq!(
        said(&overview.sentence),
        "Trading is halted: desk-2 has led since [9196 s ago] (epoch 41), but its crash recovery failed."
    );
    assert_eq!(alerts(&overview), [("RecoveryFailed", Health::Critical)]);
    assert!(!overview.acts());
}

#[test]
fn a_silent_standby_is_stale_and_then_gone() {
    for (silent_s, state, alert) in [
        (30.0, InstanceState::Standby, None),
        (44.0, InstanceState::Stale, Some(("DelayedHeartbeat", Health::Warning))),
        (61.0, InstanceState::Gone, Some(("StaleHeartbeat", Health::Critical))),
    ] {
        let mut facts = healthy();
        members(
            &mut facts,
            vec![
                member("desk-2", MemberState::Active, 1.0),
                member("desk-3", MemberState::Standby, silent_s),
            ],
        );
        let overview = Overview::of(&facts);
        assert_eq!(overview.instances[1].state, state, "{silent_s}");
        assert_eq!(alerts(&overview).first().copied(), alert, "{silent_s}");
        assert!(overview.acts(), "the leader is well");
    }
    let mut facts = healthy();
    members(
        &mut facts,
        vec![member("desk-2", MemberState::Active, 1.0), member("desk-3", MemberState::Standby, 44.0)],
    );
    assert_eq!(
        said(&Overview::of(&facts).sentence),
        "desk-2 has led since [9196 s ago] (epoch 41). desk-3 has sent no heartbeat for 44 s."
    );
}

#[test]
fn an_old_reading_of_the_instance_table_makes_heartbeats_older() {
    let mut facts = healthy();
    facts.members = Known::read(vec![member("desk-3", MemberState::Standby, 7.0)], NOW_MS - 30_000);
    assert_eq!(Overview::of(&facts).instances[0].heartbeat_age, Duration::from_secs(37));
}

#[test]
fn the_kill_switch_is_a_warning_with_what_waits() {
    let mut facts = healthy();
    let paused =
        Paused { who: "arun".into(), reason: "broker margin call".into(), since_ms: NOW_MS - 1_041_000 };
    facts.totals = Known::read(
        Totals {
            received: 2,
            oldest_received: Some(Duration::from_mins(14)),
            paused: Some(paused),
            ..Totals::default()
        },
        NOW_MS,
    );
    let overview = Overview::of(&facts);
    assert_eq!(
        said(&overview.sentence),
        "The kill switch has been on since [1041 s ago]: no signal is sent. desk-2 has led since [9196 s ago] (epoch 41)."
    );
    assert_eq!(alerts(&overview), [("SignalsPaused", Health::Warning)], "waiting is what was asked for");
    assert_eq!(overview.problems[0].money, Money::Waits(Decimal::from(200_000)));
}

#[test]
fn an_instance_that_cannot_lead_is_a_problem_before_it_is_needed() {
    let mut facts = healthy();
    let mut unable = member("desk-3", MemberState::Standby, 1.0);
    unable.member.cannot_lead = Some("its epochs cannot be kept: No space left on device".into());
    members(&mut facts, vec![member("desk-2", MemberState::Active, 1.0), unable]);
    let overview = Overview::of(&facts);
    assert_eq!(overview.level, Health::Warning);
    assert_eq!(said(&overview.problems[0].title), "desk-3 cannot lead");
}

#[test]
fn settings_and_versions_that_differ_are_named_with_their_instances() {
    let mut facts = healthy();
    let mut one = member("desk-1", MemberState::Standby, 1.0);
    one.member.settings = SharedSettings::default().with("leader_ttl", "12 s");
    one.member.version = "0.9.0".to_string();
    let mut two = member("desk-2", MemberState::Active, 1.0);
    two.member.settings = SharedSettings::default().with("leader_ttl", "10 s");
    members(&mut facts, vec![one, two]);
    let overview = Overview::of(&facts);
    let titles: Vec<String> = overview.problems.iter().map(|problem| said(&problem.title)).collect();
    assert_eq!(titles, ["Instances have different values of leader_ttl", "Instances run different versions"]);
    assert_eq!(said(&overview.problems[0].meaning), "leader_ttl: 10 s on desk-2; 12 s on desk-1.");
}

#[test]
fn a_store_that_has_forgotten_is_critical_for_a_day() {
    let mut facts = healthy();
    let forgot = |at_ms| Known::read(LeaseSeen { forgot_ms: Some(at_ms), ..lease("desk-2", 1.0) }, NOW_MS);
    facts.lease = forgot(NOW_MS - 1_000);
    assert_eq!(alerts(&Overview::of(&facts)), [("StoreForgot", Health::Critical)]);
    facts.lease = forgot(NOW_MS - i64::try_from(crate::alert::FORGOT_SHOWN.as_millis()).unwrap());
    assert_eq!(alerts(&Overview::of(&facts)), []);
}

#[test]
fn an_expired_signal_is_critical() {
    let mut facts = healthy();
    facts.totals = Known::read(Totals { expired_last_day: 1, ..Totals::default() }, NOW_MS);
    assert_eq!(alerts(&Overview::of(&facts)), [("SignalExpired", Health::Critical)]);
}
