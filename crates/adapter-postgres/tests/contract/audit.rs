//! Cases about the audit: every change has its line, and no line changes.

use crate::cases;
use crate::databases::{Databases, claim_signal, claimed, lead, opening};
use contract::Case;
use contract::signal_ledger::{client, offer, signal};
use domain::ports::{Migrate, Schema, SignalLedger, StateStore, StoreError, Switch, Switched};
use sqlx::Row;
use testkit::backend;

pub fn cases() -> Vec<Case<Databases>> {
    cases!("audit":
        it_only_grows_even_for_its_owner,
        a_change_by_hand_has_its_line,
        without_the_kill_switch_s_row_nothing_is_claimed,
        a_kill_switch_that_was_deleted_comes_back_as_it_was,
    )
}

async fn it_only_grows_even_for_its_owner(databases: &Databases) {
    let database = databases.another().await;
    let store = database.store(&opening("owned", "a"));
    assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
    offer(&store, &signal("s-1")).await;
    for statement in [
        "UPDATE coordinator_audit SET who = 'forger'",
        "UPDATE coordinator_audit SET who = 'forger' WHERE false",
        "DELETE FROM coordinator_audit",
        "TRUNCATE coordinator_audit",
        "TRUNCATE coordinator_audit, coordinator_signal RESTART IDENTITY CASCADE",
        "TRUNCATE coordinator_signal",
        "UPDATE coordinator_decision SET who = 'forger'",
        "DELETE FROM coordinator_decision",
        "TRUNCATE coordinator_decision",
    ] {
        let refused = backend::execute(database.url(), statement).await;
        assert!(refused.is_err_and(|refused| refused.0.contains("a gap in the audit")), "{statement}");
    }
    assert_eq!(store.audit(None, 10).await.expect("audit").len(), 1);
}

async fn a_change_by_hand_has_its_line(databases: &Databases) {
    let database = databases.another().await;
    let store = database.store(&opening("by-hand", "a"));
    assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
    offer(&store, &signal("s-1")).await;
    database
        .execute(
            "UPDATE coordinator_signal SET state = 'rejected', settled_at = now();
             UPDATE coordinator_dispatch SET paused_at = now();
             DELETE FROM coordinator_signal",
        )
        .await;
    let lines = database
        .until(
            "SELECT array_agg(what || ' ' || who || ' ' || db_role ORDER BY number) FROM coordinator_audit",
        )
        .await
        .get::<Vec<String>, _>(0);
    assert_eq!(
        lines,
        [
            "received client postgres",
            "rejected client postgres",
            "paused postgres postgres",
            "deleted postgres postgres",
        ]
    );
    let paused = store.totals().await.expect("totals").paused.expect("paused");
    assert_eq!((paused.who.as_str(), paused.reason.as_str()), ("", ""));
}

fn names_the_row(answer: &StoreError) -> bool {
    let StoreError::Corrupt(message) = answer else { return false };
    message.contains("coordinator_dispatch") && message.contains("coordinator migrate")
}

async fn without_the_kill_switch_s_row_nothing_is_claimed(databases: &Databases) {
    let opening = opening("unguarded", "a");
    let store = databases.store(&opening);
    assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
    let token = lead(&store, &opening).await;
    offer(&store, &signal("s-1")).await;
    databases.execute("DELETE FROM coordinator_dispatch WHERE group_id = 'unguarded'").await;
    let answers = [
        claim_signal(&store, &token).await.map(|_| ()),
        store.switch(Switch::Pause, &client(), "why").await.map(|_| ()),
        store.switch(Switch::Resume, &client(), "why").await.map(|_| ()),
        store.totals().await.map(|_| ()),
    ];
    for answer in answers {
        assert!(answer.as_ref().is_err_and(names_the_row), "{answer:?}");
    }
    assert_eq!(store.counts().await.map(|counts| (counts.received, counts.claimed)), Ok((1, 0)));
    assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
    claimed(&store, &token).await;
}

async fn a_kill_switch_that_was_deleted_comes_back_as_it_was(databases: &Databases) {
    let store = databases.store(&opening("deleted-switch", "a"));
    assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
    assert_eq!(store.switch(Switch::Pause, &client(), "broker has trouble").await, Ok(Switched::Turned));
    let delete = "DELETE FROM coordinator_dispatch WHERE group_id = 'deleted-switch'";
    let before = store.totals().await.expect("totals").paused;
    databases.execute(delete).await;
    assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
    let after = store.totals().await.expect("totals").paused;
    // The line in the audit was written a moment after the row.
    assert_eq!(
        after.as_ref().map(|paused| (&paused.reason, &paused.who)),
        before.as_ref().map(|paused| (&paused.reason, &paused.who)),
    );
    assert!(after.is_some());
    assert_eq!(store.switch(Switch::Resume, &client(), "broker works again").await, Ok(Switched::Turned));
    databases.execute(delete).await;
    assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
    assert_eq!(store.totals().await.expect("totals").paused, None);
}
