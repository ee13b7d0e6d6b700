//! Shows the fault of sqlx's pool: a `begin()` that is dropped leaves its connection inside an open
//! transaction. Later writes on it are acknowledged and never committed. The adapter's lanes must not have
//! the fault.

use crate::cases;
use crate::databases::{Databases, claim_signal, lead, opening};
use crate::sessions::signal;
use contract::Case;
use contract::raw_portfolio::RawPortfolio;
use contract::signal_ledger::{client, offer};
use domain::lease::Seq;
use domain::ledger::Outcome;
use domain::ports::{InFlight, LeaseStore, Migrate, Report, Schema, SignalLedger, StateStore, Submit};
use sqlx::Row;
use sqlx::postgres::PgPoolOptions;
use std::pin::pin;
use std::task::Poll;

pub fn cases() -> Vec<Case<Databases>> {
    cases!("trap":
        the_usual_pool_loses_acknowledged_writes,
        the_same_storm_loses_no_acknowledged_signal,
    )
}

/// Rounds of dropped requests. Each round drops them one suspension later, up to the last one, and then
/// starts with the first again. The pool gets twice as many rounds, because it opens fewer sessions and must
/// be seen to fail.
const ROUNDS: u32 = 48;
/// Most storms over the pool. The first is usually enough.
const STORMS_MAX: u32 = 100;
/// At least the number of suspensions that a request has on an open session.
const SUSPENSIONS_MAX: u32 = 6;
const _: () =
    assert!(ROUNDS > 4 * SUSPENSIONS_MAX, "every drop meets every state that the drop before it left");

/// Drops a request at its `suspension`th suspension; a request with fewer suspensions ends.
async fn dropped_at<F: Future>(suspension: u32, request: F) {
    let mut request = pin!(request);
    let mut left = suspension;
    std::future::poll_fn(|context| match request.as_mut().poll(context) {
        Poll::Pending if left > 1 => {
            left -= 1;
            Poll::Pending
        }
        Poll::Pending | Poll::Ready(_) => Poll::Ready(()),
    })
    .await;
}

/// What the other case would report about a store with the fault.
async fn the_usual_pool_loses_acknowledged_writes(databases: &Databases) {
    let database = databases.another().await;
    database.execute("CREATE TABLE effect (id bigint)").await;
    let pool = PgPoolOptions::new().max_connections(1).connect(database.url()).await.expect("a pool");
    let (mut acknowledged, mut there) = (0, 0);
    // On a busy machine the server answers before the drop, so the case repeats the storm until a write is
    // lost.
    for _ in 0..STORMS_MAX {
        for round in 0..2 * ROUNDS {
            dropped_at(1 + round % SUSPENSIONS_MAX, pool.begin()).await;
            let written = sqlx::query("INSERT INTO effect VALUES (1)").execute(&pool).await;
            acknowledged += written.map_or(0, |done| done.rows_affected());
        }
        let found = database.until("SELECT count(*) FROM effect").await.get::<i64, _>(0);
        there = u64::try_from(found).expect("a count");
        if there < acknowledged {
            break;
        }
    }
    println!("sqlx's pool: {} of {acknowledged} acknowledged writes are lost", acknowledged - there);
    assert!(
        there < acknowledged,
        "{there} of {acknowledged}: sqlx has repaired the fault, and its pool could be used"
    );
    pool.close().await;
}

async fn the_same_storm_loses_no_acknowledged_signal(databases: &Databases) {
    let database = databases.another().await;
    let opening = opening("storm", "storm-1");
    let store = database.store(&opening);
    assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
    let token = lead(&store, &opening).await;
    let mut acknowledged = Vec::new();
    for round in 0..ROUNDS {
        let at = 1 + round % SUSPENSIONS_MAX;
        let (seq, kept, doomed) =
            (Seq(u64::from(round) + 1), signal(round.into()), signal((ROUNDS + round).into()));
        // The request that opens a transaction, and those that a leader sends all the time.
        dropped_at(at, store.migrate(Migrate::Apply)).await;
        dropped_at(at, RawPortfolio::read(&store)).await;
        dropped_at(at, store.submit_one(&doomed, &client())).await;
        dropped_at(at, store.renew(&token, seq, token.timeline)).await;
        dropped_at(at, store.take_over(&token, InFlight::Only(&[]))).await;
        dropped_at(at, claim_signal(&store, &token)).await;
        let done = Report { id: kept.id(), attempt: 1, outcome: Outcome::Done, note: None };
        dropped_at(at, store.record(&token, &[done])).await;
        // The next request finds a session at once, whatever happened to the others.
        let answer = offer(&store, &kept).await;
        assert!(matches!(answer, Submit::Accepted(_)), "{answer:?}");
        acknowledged.push(kept.id().as_str().to_owned());
    }
    let there = database.until("SELECT array_agg(id) FROM coordinator_signal").await.get::<Vec<String>, _>(0);
    let all = acknowledged.len();
    acknowledged.retain(|id| !there.contains(id));
    println!("our lanes: {} of {all} acknowledged signals are lost", acknowledged.len());
    assert_eq!(acknowledged, [""; 0], "acknowledged but lost");
    // The server would end such a session only long after this test has stopped waiting.
    database
        .until(
            "SELECT 1 WHERE NOT EXISTS (SELECT FROM pg_stat_activity
             WHERE application_name = 'coordinator storm-1' AND state <> 'idle')",
        )
        .await;
}
