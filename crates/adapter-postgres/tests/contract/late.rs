//! A dropped request that the server carries out later than requests which were made after it.

use crate::cases;
use crate::databases::{Databases, lead, opening};
use crate::sessions::signal;
use domain::ports::{Migrate, Schema, SignalLedger, StateStore, Submit};
use sqlx::Executor;
use std::sync::Arc;
use testkit::contract::Case;

pub fn cases() -> Vec<Case<Databases>> {
    cases!("late": a_dropped_claim_may_arrive_after_the_take_over)
}

/// So one take-over after a claim without an answer is not enough: whoever has nothing to do takes over again.
async fn a_dropped_claim_may_arrive_after_the_take_over(databases: &Databases) {
    let database = databases.another().await;
    let opening = opening("late", "late-1");
    let store = Arc::new(database.store(&opening));
    assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
    let token = lead(&store, &opening).await;
    assert!(matches!(store.submit(&signal(0)).await, Ok(Submit::Accepted(_))));

    let mut admin = database.admin().await;
    admin.execute("BEGIN; SELECT FROM coordinator_signal FOR UPDATE").await.expect("the signal's lock");
    let claim = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.claim_next(&token).await }
    });
    database
        .until(
            "SELECT 1 FROM pg_stat_activity
             WHERE application_name = 'coordinator late-1' AND wait_event_type = 'Lock'",
        )
        .await;
    claim.abort();
    assert!(claim.await.is_err_and(|ended| ended.is_cancelled()), "the signal is locked");
    assert_eq!(store.take_over(&token).await, Ok(Some(Vec::new())), "nothing is claimed yet");

    admin.execute("COMMIT").await.expect("the lock is given back");
    database.until("SELECT 1 FROM coordinator_signal WHERE state = 'claimed'").await;
    let found = store.take_over(&token).await.expect("the server answers").expect("the token holds");
    assert_eq!(found.len(), 1, "{found:?}");
}
