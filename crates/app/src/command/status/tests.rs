//! Tests of the status as text, on facts that are written down here.

use super::seen::{Fires, Seen};
use super::table::{Extent, render};
use crate::command::terminal::{Colour, WIDTH};
use domain::id::{InstanceId, Nonce};
use domain::lease::Epoch;
use domain::ledger::{Paused, Totals};
use domain::member::{Health, LeaseSeen, Member, MemberSeen, MemberState};
use domain::overview::{Facts, Known, Overview};
use domain::settings::SharedSettings;
use std::time::Duration;

const NOW_MS: i64 = 1_700_000_000_000;
const A: &str = "1f3a9b2c-1111-4111-8111-111111111111-4711";
const B: &str = "77aa88bb-2222-4222-8222-222222222222-4712";

fn id(text: &str) -> InstanceId {
    InstanceId::parse(text).expect("an id")
}

fn member(name: &str, state: MemberState, alerts: Health, age_s: u64) -> MemberSeen {
    MemberSeen {
        member: Member {
            id: id(name),
            nonce: Nonce::new(7),
            host: "a-host-with-quite-a-long-name.trading.example.com".to_owned(),
            address: "http://127.0.0.1:5000".to_owned(),
            state,
            epoch: Epoch(41),
            fallback: false,
            alerts,
            version: "0.1.0".to_owned(),
            started_ms: NOW_MS - 1_000_000,
            settings: SharedSettings::default(),
            cannot_lead: None,
            sync_p95: None,
        },
        heartbeat_age: Duration::from_secs(age_s),
    }
}

fn seen(members: Vec<MemberSeen>, totals: Totals, fires: Vec<Fires>) -> Seen {
    let lease = LeaseSeen {
        holder: Some(id(A)),
        epoch: Epoch(41),
        released: false,
        ttl: Duration::from_secs(10),
        renewed_age: Duration::from_secs(1),
        since_ms: Some(NOW_MS - 387_000),
        forgot_ms: None,
    };
    let facts = Facts {
        now_ms: NOW_MS,
        state_store: "PostgreSQL".to_owned(),
        state_store_fault: None,
        heartbeat: Duration::from_secs(10),
        lease: Known::read(lease, NOW_MS),
        members: Known::read(members, NOW_MS),
        ticket: None,
        totals: Known::read(totals, NOW_MS),
        signal_value: 100_000.into(),
    };
    let overview = Overview::of(&facts);
    Seen { facts, ticket: None, overview, fires, failure: None }
}

fn pair() -> Vec<MemberSeen> {
    vec![member(A, MemberState::Active, Health::Ok, 1), member(B, MemberState::Standby, Health::Ok, 4)]
}

#[test]
fn a_quiet_group() {
    let text = render(&seen(pair(), Totals::default(), Vec::new()), Extent::Narrow, Colour::Plain);
    let expected = "\
1f3a9b2c has led since 2023-11-14 22:06:53 UTC (epoch 41). Nothing is wrong.

INSTANCE  STATE    EPOCH  HEARTBEAT  REDIS AWAY  ALERTS  PAGE
1f3a9b2c  active   41     1.0s       no          OK      http://127.0.0.1:5000
77aa88bb  standby  41     4.0s       no          OK      http://127.0.0.1:5000

leader in the state store  1f3a9b2c (epoch 41)
leader in Redis            not used
kill switch                off

alerts                     none";
    assert_eq!(text, expected);
}

fn troubled() -> Seen {
    let totals = Totals {
        received: 2,
        in_doubt: 1,
        oldest_in_doubt: Some(Duration::from_secs(387)),
        paused: Some(Paused {
            reason: "the broker reports that it has executed orders twice since the morning".to_owned(),
            who: "asha".to_owned(),
            since_ms: NOW_MS - 60_000,
        }),
        ..Totals::default()
    };
    let fires = vec![Fires {
        level: Health::Critical,
        alert: Some("CriticalDBSyncLatencyP99".to_owned()),
        instance: id(A),
        message: "99% of the syncs took at most 712 ms; more than 500 ms is critical".to_owned(),
    }];
    let members = vec![
        member(A, MemberState::Active, Health::Critical, 1),
        member(B, MemberState::Standby, Health::Ok, 387),
    ];
    seen(members, totals, fires)
}

#[test]
fn alerts_and_the_kill_switch_have_names_and_times_within_80_columns() {
    let text = render(&troubled(), Extent::Narrow, Colour::Plain);
    for part in [
        "77aa88bb  gone    41     6m27s ",
        "kill switch                ON since 2023-11-14 22:12:20 UTC by asha: the broker",
        "CRITICAL  SignalsInDoubt: 1 signal is in doubt for 6m27s",
        "CRITICAL  StaleHeartbeat: 77aa88bb sends no heartbeat for 6m27s",
        "WARNING   SignalsPaused: The kill switch is on for 1m0s",
        "CRITICAL  CriticalDBSyncLatencyP99 on 1f3a9b2c: 99% of the syncs took at most",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    assert!(!text.contains(A) && !text.contains(B), "ids are short:\n{text}");
    for line in text.lines() {
        assert!(line.chars().count() <= WIDTH, "{} characters: {line}", line.chars().count());
    }
}

#[test]
fn wide_shows_whole_ids_and_hosts() {
    let text = render(&troubled(), Extent::Wide, Colour::Plain);
    assert!(text.contains(&format!("\n{A}  active  41 ")), "{text}");
    assert!(text.contains("a-host-with-quite-a-long-name.trading.example.com"), "{text}");
    assert!(text.contains(&format!("CriticalDBSyncLatencyP99 on {A}")), "{text}");
}

#[test]
fn instances_of_one_data_directory_differ_by_their_process() {
    let other = A.replace("4711", "4799");
    let members = vec![
        member(A, MemberState::Active, Health::Ok, 1),
        member(&other, MemberState::Standby, Health::Ok, 1),
    ];
    let text = render(&seen(members, Totals::default(), Vec::new()), Extent::Narrow, Colour::Plain);
    assert!(
        text.contains("\n1f3a9b2c-4711  active ") && text.contains("\n1f3a9b2c-4799  standby "),
        "{text}"
    );
    assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
}

#[test]
fn colours_change_nothing_but_the_colour() {
    let plain = render(&troubled(), Extent::Narrow, Colour::Plain);
    let shown = render(&troubled(), Extent::Narrow, Colour::Shown);
    assert!(shown.contains("\x1b[31mCRITICAL  \x1b[0mSignalsInDoubt"), "{shown}");
    let mut stripped = shown;
    for code in ["\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[0m"] {
        stripped = stripped.replace(code, "");
    }
    assert_eq!(stripped, plain);
}

/// The store answered once and does not any more.
#[test]
fn an_unanswered_store_shows_the_last_known_state_as_such() {
    let mut seen = seen(pair(), Totals::default(), Vec::new());
    seen.facts.now_ms = NOW_MS + 12_000;
    for failed in [NOW_MS, NOW_MS + 12_000] {
        seen.facts.lease.failed(failed);
        seen.facts.members.failed(failed);
        seen.facts.totals.failed(failed);
    }
    seen.overview = Overview::of(&seen.facts);
    seen.failure = Some(crate::failure::Failure::other("the state store: no answer within 5s"));
    let text = render(&seen, Extent::Narrow, Colour::Plain);
    assert!(text.contains("PostgreSQL has not answered for 12 s: the leader is unknown"), "{text}");
    assert!(text.contains("1f3a9b2c  unknown  41 "), "{text}");
    assert!(text.contains("leader in the state store  unknown: the state store: no answer"), "{text}");
}
