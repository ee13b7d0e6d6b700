//! Cases about sessions at the server: their number, their state, and hints after a reconnect.

use crate::cases;
use crate::databases::{Databases, lead, opening, stall_commits};
use contract::raw_portfolio::RawPortfolio;
use contract::signal_ledger::{self, client};
use contract::{Case, PATIENCE};
use domain::lease::Seq;
use domain::ledger::NewSignal;
use domain::ports::{LeaseStore, Migrate, Schema, SignalLedger, StateStore};
use sqlx::Row;
use std::future::Future;
use std::time::Duration;
use testkit::backend::postgres;

/// Enough to open a session with an unoptimised SCRAM. Eight of them are less than the 10 s after which the
/// server ends a statement that waits for a lock.
const CALLER_PATIENCE: Duration = Duration::from_secs(1);

pub fn cases() -> Vec<Case<Databases>> {
    cases!("sessions":
        dropped_reads_leave_no_open_transaction,
        dropped_migrations_lose_no_acknowledged_signal,
        stalled_commits_do_not_accumulate_at_the_server,
        a_listener_that_was_cut_off_hints_after_it_reconnects,
        the_listener_ends_with_the_store,
        a_database_that_does_not_wait_for_its_disk_is_made_to_wait,
    )
}

/// The signal number `n`.
pub fn signal(n: u64) -> NewSignal {
    signal_ledger::signal(&format!("s-{n}"))
}

/// Number of dropped calls. Each is dropped a little later than the one before: from at once to after its
/// end.
const DROPS: u64 = 60;

/// Drops the call after that many turns of the runtime. Timers have a resolution of a millisecond, in which a
/// local server answers several statements, so the case counts turns instead.
async fn dropped_after<F: Future>(turns: u64, call: F) {
    let turns = async {
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! { _ = call => {}, () = turns => {} }
}

async fn dropped_reads_leave_no_open_transaction(databases: &Databases) {
    let store = databases.store(&opening("dropped", "dropped-1"));
    assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
    for n in 0..DROPS {
        dropped_after(n * n, RawPortfolio::read(&store)).await;
        let answer = store.submit_one(&signal(n), &client()).await;
        assert!(answer.is_ok(), "a transaction that only reads, left open, refuses a write: {answer:?}");
    }
    databases
        .until(
            "SELECT 1 WHERE NOT EXISTS (SELECT FROM pg_stat_activity
             WHERE application_name = 'coordinator dropped-1' AND state <> 'idle')",
        )
        .await;
}

/// The migration is the one transaction that writes. If it were left open, a later INSERT on its session
/// would be acknowledged and not committed.
async fn dropped_migrations_lose_no_acknowledged_signal(databases: &Databases) {
    let database = databases.another().await;
    let (store, witness) = (database.store(&opening("half", "a")), database.store(&opening("half", "b")));
    assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
    for n in 0..DROPS {
        dropped_after(n * n, store.migrate(Migrate::Apply)).await;
        assert!(store.submit_one(&signal(n), &client()).await.is_ok());
        let counted = witness.counts().await.map(|counts| counts.received);
        assert_eq!(counted, Ok(n + 1), "acknowledged, so others see it");
    }
}

/// A commit that waits for an unreachable standby outlives its client. Callers that stop waiting and try
/// again must not fill the server with waiting sessions.
async fn stalled_commits_do_not_accumulate_at_the_server(_: &Databases) {
    let databases = Databases::on(postgres());
    let store = databases.store(&opening("stalled", "stalled-1"));
    assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
    stall_commits(&databases).await;
    for n in 0..8 {
        let _ = tokio::time::timeout(CALLER_PATIENCE, store.submit_one(&signal(n), &client())).await;
    }
    let row = databases
        .until("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'coordinator stalled-1'")
        .await;
    let sessions: i64 = row.get(0);
    assert!((1..=4).contains(&sessions), "{sessions} sessions of 8 callers that stopped waiting");
}

async fn woken(store: &impl StateStore) {
    tokio::time::timeout(PATIENCE, store.changed()).await.expect("a hint");
}

async fn a_listener_that_was_cut_off_hints_after_it_reconnects(databases: &Databases) {
    let store = databases.store(&opening("cut-off", "cut-off-1"));
    assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
    woken(&store).await;
    databases
        .until(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE application_name = 'coordinator cut-off-1' AND query LIKE 'LISTEN%'",
        )
        .await;
    woken(&store).await;
    let opening = opening("cut-off", "b");
    let other = databases.store(&opening);
    let token = lead(&other, &opening).await;
    woken(&store).await;
    other.renew(&token, Seq(1), token.timeline).await.expect("renewal");
    woken(&store).await;
}

async fn the_listener_ends_with_the_store(databases: &Databases) {
    let store = databases.store(&opening("ended", "ended-1"));
    assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
    woken(&store).await;
    drop(store);
    databases
        .until(
            "SELECT 1 WHERE NOT EXISTS (SELECT FROM pg_stat_activity
             WHERE application_name = 'coordinator ended-1')",
        )
        .await;
}

async fn a_database_that_does_not_wait_for_its_disk_is_made_to_wait(databases: &Databases) {
    let database = databases.another().await;
    database
        .execute(
            "DO $$ BEGIN
                 EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database());
             END $$;
             CREATE TABLE seen (setting text);
             CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN NULL;
             END $$",
        )
        .await;
    let store = database.store(&opening("durable", "durable-1"));
    assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
    database
        .execute("CREATE TRIGGER see AFTER INSERT ON coordinator_signal FOR EACH ROW EXECUTE FUNCTION see()")
        .await;
    signal_ledger::offer(&store, &signal(1)).await;
    let seen = database.until("SELECT setting FROM seen").await.get::<String, _>(0);
    assert_eq!(seen, "on");
}
