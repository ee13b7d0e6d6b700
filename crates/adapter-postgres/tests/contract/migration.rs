//! Cases of the migration from version 1: every signal is kept and continues from its state.

use crate::cases;
use crate::databases::{Databases, claim_signal, claimed, lead, opening, report};
use contract::Case;
use contract::signal_ledger::{client, offer, signal};
use domain::ledger::{Fingerprint, NewSignal, Outcome, Signal, StateName};
use domain::ports::{
    InFlight, ListQuery, Migrate, Recorded, Resolution, Schema, SignalClaim, SignalLedger, StateStore, Submit,
};
use sqlx::Row;
use std::fmt::Write;

pub fn cases() -> Vec<Case<Databases>> {
    cases!("migration":
        every_signal_of_version_1_is_kept,
        a_body_of_version_1_may_be_anything,
        a_signal_of_version_1_continues_from_its_state,
    )
}

const VERSION_1: &str = include_str!("../../migrations/0001_coordinator.sql");
const ALL: ListQuery = ListQuery { state: None, instrument: None, before: None, limit: 100 };

/// Creates a database of version 1 with these signals: id, body, state, whether it was ever claimed.
async fn version_1(databases: &Databases, signals: &[(&str, &str, &str, bool)]) -> Databases {
    let mut statements = format!(
        "{VERSION_1};
         INSERT INTO coordinator_schema (version) VALUES (1);
         INSERT INTO coordinator_lease (group_id, tl, epoch, claim, seq, released, ttl_ms)
         VALUES ('old', 1, 7, gen_random_uuid(), 3, true, 300000);"
    );
    for (id, body, state, was_claimed) in signals {
        let (token, at) = if *was_claimed {
            ("1, 7, gen_random_uuid()", "'2024-05-06 07:08:10.25Z'")
        } else {
            ("NULL, NULL, NULL", "NULL")
        };
        let settled = if matches!(*state, "done" | "rejected") { "'2024-05-06 07:08:11Z'" } else { "NULL" };
        write!(
            statements,
            "INSERT INTO coordinator_signal
                (group_id, id, body, state, tl, epoch, claim, received_at, claimed_at, settled_at)
             VALUES ('old', '{id}', '{body}', '{state}', {token}, '2024-05-06 07:08:09.75Z', {at}, {settled});"
        )
        .expect("a String takes everything");
    }
    let database = databases.another().await;
    database.execute(&statements).await;
    database
}

/// Every state of version 1, by name.
const STATES: [(&str, &str, &str, bool); 6] = [
    ("waiting", r#"{"instrument": "NIFTY", "a": 1.10}"#, "received", false),
    ("back", "{}", "received", true),
    ("claimed", "{}", "claimed", true),
    ("done", "{}", "done", true),
    ("rejected", "{}", "rejected", true),
    ("doubted", "{}", "in_doubt", true),
];

async fn every_signal_of_version_1_is_kept(databases: &Databases) {
    let database = version_1(databases, &STATES).await;
    let store = database.store(&opening("old", "a"));
    assert_eq!(store.migrate(Migrate::Check).await, Ok(Schema::Older { found: 1 }));
    assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
    let mut kept = store.list(&ALL).await.expect("list");
    kept.reverse();
    assert_eq!(kept.len(), STATES.len());
    for (signal, (id, body, state, was_claimed)) in kept.iter().zip(STATES) {
        assert_eq!((signal.id.as_str(), signal.state.name().as_str()), (id, state));
        assert_eq!(signal.instruction.payload, body);
        let instrument = if id == "waiting" { "NIFTY" } else { "legacy" };
        assert_eq!(signal.instruction.instrument.as_str(), instrument);
        assert_eq!(signal.instruction.position.as_str(), id);
        assert_eq!((signal.instruction.timestamp_s, signal.received_ms), (1_714_979_289, 1_714_979_289_750));
        assert_eq!(signal.attempt, u32::from(was_claimed), "{id}");
        let out = signal.state.name() != StateName::Received;
        assert_eq!(signal.claimed_ms, out.then_some(1_714_979_290_250), "{id}: what waits is not out");
        assert_eq!(signal.settled_ms.is_some(), signal.state.name().is_final(), "{id}");
        let line = store.audit(Some(&signal.id), 10).await.expect("audit").remove(0);
        assert_eq!((line.what.as_str(), line.actor.who.as_str()), (state, "coordinator migrate"));
    }
    assert_fingerprints(&database, &kept).await;
    assert_eq!(store.totals().await.expect("its kill switch is there").paused, None);
}

/// Asserts that the stored fingerprints equal those that this program computes.
async fn assert_fingerprints(database: &Databases, signals: &[Signal]) {
    let stored = database
        .until("SELECT array_agg(fingerprint::text ORDER BY arrival) AS stored FROM coordinator_signal")
        .await
        .get::<Vec<String>, _>("stored");
    let computed: Vec<String> =
        signals.iter().map(|signal| Fingerprint::of(&signal.instruction).to_string()).collect();
    assert_eq!(stored, computed);
}

async fn a_body_of_version_1_may_be_anything(databases: &Databases) {
    let (long, deep) = ("x".repeat(128), "[".repeat(60_000));
    let longer = format!(r#"{{"instrument": "{}"}}"#, "x".repeat(65));
    let bodies = [
        ("text", "no JSON at all"),
        ("list", "[1]"),
        ("number", "7"),
        ("deep", deep.as_str()),
        ("null", r#"{"instrument": null}"#),
        ("long-instrument", longer.as_str()),
        ("spaces", r#"{"instrument": " NIFTY"}"#),
        ("control", r#"{"instrument": "NI\nFTY"}"#),
        ("nul", r#"{"instrument": "\u0000"}"#),
        ("other-script", r#"{"instrument": "₹"}"#),
        (long.as_str(), "{}"),
    ];
    let database = version_1(databases, &bodies.map(|(id, body)| (id, body, "received", false))).await;
    let store = database.store(&opening("old", "a"));
    assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
    let mut kept = store.list(&ALL).await.expect("all can be read");
    kept.reverse();
    for (signal, (id, body)) in kept.iter().zip(bodies) {
        assert_eq!((signal.id.as_str(), signal.instruction.payload.as_str()), (id, body));
        assert_eq!(signal.instruction.instrument.as_str(), "legacy", "{id}");
    }
    assert_eq!(kept.last().map(|last| last.instruction.position.as_str()), Some("arrival 11"));
    assert_fingerprints(&database, &kept).await;
}

async fn a_signal_of_version_1_continues_from_its_state(databases: &Databases) {
    let database = version_1(databases, &STATES).await;
    let opening = opening("old", "a");
    let store = database.store(&opening);
    assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
    let token = lead(&store, &opening).await;
    assert_eq!(token.epoch.0, 8, "the row is kept too");
    let first = claimed(&store, &token).await;
    assert_eq!((first.id.as_str(), first.attempt), ("waiting", 1));
    assert_eq!(
        claim_signal(&store, &token).await,
        Ok(SignalClaim::Empty),
        "of no known instrument one is out"
    );
    let in_flight = [first.id.clone()];
    let doubted =
        store.take_over(&token, InFlight::Only(&in_flight)).await.expect("take over").expect("held");
    assert_eq!(doubted.iter().map(|doubt| doubt.id.as_str()).collect::<Vec<_>>(), ["claimed", "doubted"]);
    let settled = store.record(&token, &[report(&doubted[0], Outcome::Done)]).await;
    assert_eq!(settled, Ok(Some(vec![Recorded::Recorded])));
    let decision = Resolution {
        id: doubted[1].id.clone(),
        attempt: 1,
        outcome: Outcome::Rejected,
        actor: client(),
        reason: "looked up".to_owned(),
    };
    assert_eq!(store.resolve(&decision).await, Ok(Recorded::Recorded));
    let back = claimed(&store, &token).await;
    assert_eq!((back.id.as_str(), back.attempt), ("back", 2));
    let again = NewSignal { id: Some(back.id), ..signal("s-1") };
    assert!(
        matches!(offer(&store, &again).await, Submit::Conflict(_)),
        "its name is taken: it is not sent anew"
    );
}
