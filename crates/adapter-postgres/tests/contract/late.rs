//! Cases with requests that the server executes after requests that were sent later.

use crate::cases;
use crate::databases::{Databases, claim_signal, lead, opening};
use adapter_postgres::PostgresStore;
use contract::Case;
use contract::signal_ledger::{offer, signal};
use domain::lease::Token;
use domain::ledger::{LimitReached, Limits};
use domain::ports::{InFlight, Migrate, Schema, SignalClaim, SignalLedger, StateStore, Submit};
use sqlx::Executor;
use std::sync::Arc;

pub fn cases() -> Vec<Case<Databases>> {
    cases!("late":
        a_dropped_claim_may_arrive_after_the_take_over,
        a_claim_that_another_one_overtook_claims_nothing,
        a_claim_that_a_pause_overtook_claims_nothing,
    )
}

/// One take-over after a claim without an answer is therefore not enough: an idle leader takes over again.
async fn a_dropped_claim_may_arrive_after_the_take_over(databases: &Databases) {
    let database = databases.another().await;
    let opening = opening("late", "late-1");
    let store = Arc::new(database.store(&opening));
    assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
    let token = lead(&store, &opening).await;
    assert!(matches!(offer(&*store, &signal("s-1")).await, Submit::Accepted(_)));

    let mut admin = database.admin().await;
    admin.execute("BEGIN; SELECT FROM coordinator_signal FOR UPDATE").await.expect("the signal's lock");
    let claim = tokio::spawn({
        let store = Arc::clone(&store);
        async move { claim_signal(&store, &token).await }
    });
    database
        .until(
            "SELECT 1 FROM pg_stat_activity
             WHERE application_name = 'coordinator late-1' AND wait_event_type = 'Lock'",
        )
        .await;
    claim.abort();
    assert!(claim.await.is_err_and(|ended| ended.is_cancelled()), "the signal is locked");
    let found = store.take_over(&token, InFlight::Only(&[])).await;
    assert_eq!(found, Ok(Some(Vec::new())), "nothing is claimed yet");

    admin.execute("COMMIT").await.expect("the lock is given back");
    database.until("SELECT 1 FROM coordinator_signal WHERE state = 'claimed'").await;
    let found = store.take_over(&token, InFlight::Only(&[])).await;
    let found = found.expect("the server answers").expect("the token holds");
    assert_eq!(found.len(), 1, "{found:?}");
}

/// Starts a claim for which one signal waits, limited to one a minute. The claim waits for the switch's row
/// while another session does `meddling` to the group.
async fn overtaken(databases: &Databases, meddling: &'static str) -> (Databases, PostgresStore, Token) {
    let database = databases.another().await;
    let opening = opening("overtaken", "overtaken-1");
    let store = Arc::new(database.store(&opening));
    assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
    let token = lead(&store, &opening).await;
    offer(&*store, &signal("first")).await;
    offer(&*store, &signal("second")).await;

    let mut admin = database.admin().await;
    admin.execute("BEGIN").await.expect("begin");
    admin.execute(sqlx::raw_sql(meddling)).await.expect(meddling);
    let claim = tokio::spawn({
        let store = Arc::clone(&store);
        let limits = Limits { per_minute: Some(1), per_day: None };
        async move { store.claim_signals(&token, limits, 1).await }
    });
    database
        .until(
            "SELECT 1 FROM pg_stat_activity
             WHERE application_name = 'coordinator overtaken-1' AND wait_event_type = 'Lock'",
        )
        .await;
    admin.execute("COMMIT").await.expect("commit");
    assert_eq!(claim.await.expect("no panic"), Ok(SignalClaim::Empty), "its snapshot is outdated");
    (database, Arc::into_inner(store).expect("the claim has ended"), token)
}

/// The other claim took the second signal, because the first one's instrument was busy when it read.
async fn a_claim_that_another_one_overtook_claims_nothing(databases: &Databases) {
    let (_database, store, token) = overtaken(
        databases,
        "UPDATE coordinator_dispatch SET claims = claims + 1;
         UPDATE coordinator_signal SET state = 'claimed', attempt = 1, claimed_at = now(), tl = 1, epoch = 1,
             claim = gen_random_uuid() WHERE id = 'second'",
    )
    .await;
    let limits = Limits { per_minute: Some(1), per_day: None };
    let again = store.claim_signals(&token, limits, 1).await;
    assert_eq!(again, Ok(SignalClaim::Limited(LimitReached::PerMinute)), "two would be one too many");
    assert_eq!(store.counts().await.map(|counts| (counts.received, counts.claimed)), Ok((1, 1)));
}

async fn a_claim_that_a_pause_overtook_claims_nothing(databases: &Databases) {
    let (_database, store, token) =
        overtaken(databases, "UPDATE coordinator_dispatch SET paused_at = now(), reason = 'stop'").await;
    assert_eq!(claim_signal(&store, &token).await, Ok(SignalClaim::Paused));
    assert_eq!(store.counts().await.map(|counts| (counts.received, counts.claimed)), Ok((2, 0)));
}
