//! The problems of a group while a store does not answer.

use super::*;

/// The state store has not answered for 8 s; its last answer is 9 s old.
fn away(facts: &mut Facts) {
    let (read_ms, failed_ms) = (NOW_MS - 9 * SECOND_MS, NOW_MS - 8 * SECOND_MS);
    let (seen, _) = facts.lease.clone().into_last().unwrap();
    let (instances, _) = facts.members.clone().into_last().unwrap();
    let (totals, _) = facts.totals.clone().into_last().unwrap();
    facts.lease = Known::read(seen, read_ms);
    facts.members = Known::read(instances, read_ms);
    facts.totals = Known::read(totals, read_ms);
    facts.lease.failed(failed_ms);
    facts.members.failed(failed_ms);
    facts.totals.failed(failed_ms);
}

/// The problem with the alert `alert` while the state store does not answer.
fn kept(facts: &Facts, alert: &str) -> Problem {
    let overview = Overview::of(facts);
    let found = overview.problems.iter().find(|problem| problem.alert == alert);
    found.unwrap_or_else(|| panic!("{alert} is missing in {:?}", alerts(&overview))).clone()
}

#[test]
fn a_halted_leader_stays_a_problem() {
    let mut facts = healthy();
    members(&mut facts, vec![member("desk-2", MemberState::Halted, 4.4)]);
    facts.totals = Known::read(Totals { received: 2, ..Totals::default() }, NOW_MS);
    away(&mut facts);
    // The last lease has ended long ago: an outage of any length changes nothing.
    for now_ms in [NOW_MS, NOW_MS + 3_600 * SECOND_MS] {
        facts.now_ms = now_ms;
        let halted = kept(&facts, "RecoveryFailed");
        assert_eq!(halted.level, Health::Critical);
        assert!(
            said(&halted.meaning).ends_with("Last known at [9 s ago], unknown since [8 s ago]."),
            "{}",
            said(&halted.meaning)
        );
        assert_eq!(halted.money, Money::Unknown(Some(Decimal::from(200_000))));
    }
    assert_eq!(Overview::of(&facts).instances[0].state, InstanceState::Unknown, "its state is not known");
}

#[test]
fn a_silent_instance_stays_as_silent_as_it_was() {
    for (silent, silent_s, alert, level) in
        [(44.0, 44, "DelayedHeartbeat", Health::Warning), (61.0, 61, "StaleHeartbeat", Health::Critical)]
    {
        let mut facts = healthy();
        members(
            &mut facts,
            vec![member("desk-2", MemberState::Active, 1.0), member("desk-3", MemberState::Standby, silent)],
        );
        away(&mut facts);
        for now_ms in [NOW_MS, NOW_MS + 3_600 * SECOND_MS] {
            facts.now_ms = now_ms;
            let found = kept(&facts, alert);
            assert_eq!((found.level, said(&found.title)), (level, "desk-3 sends no heartbeat".into()));
            let since_s = found.since_ms.map(|since_ms| (NOW_MS - since_ms) / SECOND_MS);
            assert_eq!(since_s, Some(silent_s + 9));
        }
    }
}

#[test]
fn an_outage_makes_no_instance_silent() {
    let mut facts = healthy();
    away(&mut facts);
    facts.now_ms += 3_600 * SECOND_MS;
    let expected = [("NoLeader", Health::Critical), ("SignalLedgerUncounted", Health::Warning)];
    assert_eq!(alerts(&Overview::of(&facts)), expected);
}

#[test]
fn settings_that_differ_and_an_instance_that_cannot_lead_stay_problems() {
    let mut facts = healthy();
    let mut one = member("desk-1", MemberState::Standby, 1.0);
    one.member.settings = SharedSettings::default().with("leader_ttl", "12 s");
    one.member.cannot_lead = Some("its epochs cannot be kept".into());
    let mut two = member("desk-2", MemberState::Active, 1.0);
    two.member.settings = SharedSettings::default().with("leader_ttl", "10 s");
    members(&mut facts, vec![one, two]);
    away(&mut facts);
    let last_known = " Last known at [9 s ago], unknown since [8 s ago].";
    let differ = kept(&facts, "SettingsDiffer");
    assert_eq!(said(&differ.meaning), format!("leader_ttl: 10 s on desk-2; 12 s on desk-1.{last_known}"));
    let problems = Overview::of(&facts).problems;
    let unable = problems.iter().find(|problem| said(&problem.title) == "desk-1 cannot lead").unwrap();
    assert_eq!(said(&unable.meaning), format!("its epochs cannot be kept.{last_known}"));
}

#[test]
fn signals_that_waited_too_long_stay_a_problem_of_the_same_severity() {
    for (waited_s, alert, level) in
        [(61, "SignalsWaiting", Health::Warning), (301, "SignalsWaitingLong", Health::Critical)]
    {
        let mut facts = healthy();
        let oldest_received = Some(Duration::from_secs(waited_s));
        facts.totals = Known::read(Totals { received: 1, oldest_received, ..Totals::default() }, NOW_MS);
        away(&mut facts);
        facts.now_ms += 3_600 * SECOND_MS;
        let late = kept(&facts, alert);
        assert_eq!(late.level, level);
        assert_eq!(
            said(&late.title),
            format!("1 signal waited at the last count; the oldest since [{} s ago]", waited_s + 9)
        );
        assert!(said(&late.meaning).ends_with("Last known at [9 s ago], unknown since [8 s ago]."));
    }
}

#[test]
fn tables_that_cannot_be_read_are_not_a_store_that_does_not_answer() {
    let mut facts = healthy();
    away(&mut facts);
    let silent = kept(&facts, "NoLeader");
    assert_eq!(said(&silent.title), "PostgreSQL does not answer");
    facts.state_store_fault = Some("coordinator_lease does not exist".into());
    let broken = kept(&facts, "NoLeader");
    assert_eq!(said(&broken.title), "PostgreSQL answers, but its tables cannot be read");
    assert!(
        said(&broken.meaning).starts_with("coordinator_lease does not exist. "),
        "{}",
        said(&broken.meaning)
    );
    assert!(
        said(&broken.meaning).contains("If no instance can read the tables, no signal is sent."),
        "another instance may lead: {}",
        said(&broken.meaning)
    );
    assert_eq!(broken.command.as_deref(), Some("coordinator migrate --check"));
    let sentence = said(&Overview::of(&facts).sentence);
    assert!(
        sentence.starts_with("The tables of PostgreSQL cannot be read: the leader is unknown"),
        "{sentence}"
    );
}
