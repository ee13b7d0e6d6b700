//! Rows that nobody of ours wrote.

use crate::cases;
use crate::databases::{Databases, lead, opening};
use domain::id::ID_LEN_MAX;
use domain::ports::{Migrate, Schema, StateStore};
use testkit::contract::{Case, LeaseColumn, StateStores, Tamper, Value};

pub fn cases() -> Vec<Case<Databases>> {
    cases!("hostile":
        the_schema_refuses_what_the_lease_cannot_be,
        a_row_of_16_mib_is_shown_cut,
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
