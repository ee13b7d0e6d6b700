//! Cases with rows that no instance wrote.

use crate::cases;
use crate::databases::{Databases, claimed, lead, opening};
use contract::signal_ledger::{offer, signal};
use contract::{Case, LeaseColumn, StateStores, Tamper, Value};
use domain::id::ID_LEN_MAX;
use domain::ports::{LeaseStore, ListQuery, Migrate, Schema, SignalLedger, StateStore, StoreError};
use sqlx::{AssertSqlSafe, Executor};

pub fn cases() -> Vec<Case<Databases>> {
    cases!("hostile":
        the_schema_refuses_what_the_lease_cannot_be,
        a_row_of_16_mib_is_shown_cut,
        a_signal_that_cannot_be_is_corrupt_and_named,
        the_schema_refuses_what_a_signal_cannot_be,
    )
}

async fn the_schema_refuses_what_the_lease_cannot_be(databases: &Databases) {
    let database = databases.another().await;
    let opening = opening("guarded", "a");
    let store = database.store(&opening);
    assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
    lead(&store, &opening).await;
    let before = store.observe().await.expect("observe");
    let hostile = [
        (LeaseColumn::Timeline, Value::Null),
        (LeaseColumn::Timeline, Value::Number(1 << 32)),
        (LeaseColumn::Epoch, Value::Number(-1)),
        (LeaseColumn::Claim, Value::Null),
        (LeaseColumn::Seq, Value::Number(-1)),
        (LeaseColumn::Holder, Value::Text("x".repeat(129))),
        (LeaseColumn::Released, Value::Null),
        (LeaseColumn::TtlMs, Value::Number(999)),
        (LeaseColumn::TtlMs, Value::Number(300_001)),
        (LeaseColumn::Resign, Value::Text("x".repeat(257))),
    ];
    for (column, value) in hostile {
        let what = Tamper::Lease { group: opening.group.clone(), column, value };
        assert!(database.tamper(&what).await.is_err(), "{what}");
    }
    assert_eq!(store.observe().await, Ok(before));
}

async fn a_row_of_16_mib_is_shown_cut(databases: &Databases) {
    let opening = opening("bloated", "a");
    let store = databases.store(&opening);
    assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
    databases
        .execute(
            "UPDATE coordinator_lease SET holder = repeat(E'\\x1b\\u20b9', 4000000), resign = repeat('r', 8388608)
             WHERE group_id = 'bloated'",
        )
        .await;
    let seen = store.observe().await.expect("observe");
    assert_eq!(seen.holder.map(|holder| holder.as_str().to_owned()), Some("?".repeat(ID_LEN_MAX)));
    assert_eq!(seen.resign, Some("r".repeat(256)));
}

/// Columns of `coordinator_signal`, each with a value that it must not have.
const IMPOSSIBLE: [(&str, &str); 17] = [
    ("state", "'paid'"),
    ("state", "NULL"),
    ("payload", "repeat('x', 65537)"),
    ("payload", "NULL"),
    ("instrument", "NULL"),
    ("instrument", "repeat('x', 1000000)"),
    ("signal_type", "''"),
    ("position", "NULL"),
    ("timestamp_s", "NULL"),
    ("attempt", "-1"),
    ("attempt", "NULL"),
    ("received_at", "NULL"),
    ("tl", "NULL"),
    ("epoch", "NULL"),
    ("claim", "NULL"),
    ("changed_by", "repeat('x', 129)"),
    ("fingerprint", "'abc'"),
];

async fn a_signal_that_cannot_be_is_corrupt_and_named(databases: &Databases) {
    let database = databases.another().await;
    let opening = opening("impossible", "a");
    let store = database.store(&opening);
    assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
    database.drop_constraints("coordinator_signal").await;
    let token = lead(&store, &opening).await;
    let all = ListQuery { state: None, instrument: None, before: None, limit: 10 };
    // Columns that no answer shows.
    let unseen = |column| matches!(column, "changed_by" | "fingerprint");
    let mut admin = database.admin().await;
    // This case is not about the audit, which has no line for an attempt or a state that is NULL.
    admin.execute("ALTER TABLE coordinator_signal DISABLE TRIGGER USER").await.expect("no triggers");
    for (n, (column, value)) in IMPOSSIBLE.into_iter().enumerate().filter(|(_, (column, _))| !unseen(*column))
    {
        let id = signal(&format!("s-{n}")).id();
        offer(&store, &signal(id.as_str())).await;
        claimed(&store, &token).await;
        let update = format!("UPDATE coordinator_signal SET {column} = {value} WHERE id = '{id}'");
        admin.execute(AssertSqlSafe(update)).await.expect("no constraint is in the way");
        let named = format!("coordinator_signal.{column} ");
        for answer in [store.find(&id).await.map(|_| ()), store.list(&all).await.map(|_| ())] {
            let told =
                |answer: &StoreError| matches!(answer, StoreError::Corrupt(told) if told.starts_with(&named));
            assert!(answer.as_ref().is_err_and(told), "{column} = {value}: {answer:?}");
        }
        admin.execute("DELETE FROM coordinator_signal").await.expect("the next one");
    }
}

async fn the_schema_refuses_what_a_signal_cannot_be(databases: &Databases) {
    let database = databases.another().await;
    let opening = opening("possible", "a");
    let store = database.store(&opening);
    assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
    let token = lead(&store, &opening).await;
    offer(&store, &signal("s-1")).await;
    let before = claimed(&store, &token).await;
    let more = [
        ("state", "'received'"),
        ("state", "'done'"),
        ("settled_at", "now()"),
        ("note", "repeat('x', 257)"),
        ("changed_from", "NULL"),
    ];
    let mut admin = database.admin().await;
    for (column, value) in IMPOSSIBLE.into_iter().chain(more) {
        let update = format!("UPDATE coordinator_signal SET {column} = {value}");
        let refused = admin.execute(AssertSqlSafe(update)).await;
        let refused = refused
            .map_err(|error| error.into_database_error().and_then(|told| told.code().map(String::from)));
        assert!(
            matches!(&refused, Err(Some(code)) if code.starts_with("23")),
            "{column} = {value}: {refused:?}"
        );
    }
    assert_eq!(store.find(&before.id).await, Ok(Some(before)));
}
