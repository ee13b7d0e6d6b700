//! Sessions at the server: how many, in which state, and that hints find their way back.

use crate::cases;
use crate::databases::{Databases, lead, opening};
use crate::server::Server;
use domain::lease::Seq;
use domain::ledger::{NewSignal, SignalId};
use domain::ports::{Migrate, Schema, SignalLedger, StateStore};
use sqlx::{Executor, Row};
use std::sync::Arc;
use std::time::Duration;
use testkit::contract::{Case, PATIENCE};

pub fn cases() -> Vec<Case<Databases>> {
    cases!("sessions":
        dropped_reads_leave_no_open_transaction,
        stalled_commits_do_not_pile_up_at_the_server,
        a_listener_that_was_cut_off_hints_after_it_is_back,
        the_listener_ends_with_the_store,
    )
}

async fn dropped_reads_leave_no_open_transaction(databases: &Databases) {
    let store = databases.store(&opening("dropped", "dropped-1"));
    assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
    for microseconds in (0..3_000).step_by(50) {
        let _ = tokio::time::timeout(Duration::from_micros(microseconds), store.portfolio()).await;
    }
    store.portfolio().await.expect("portfolio");
    databases
        .until(
            "SELECT 1 WHERE NOT EXISTS (SELECT FROM pg_stat_activity
             WHERE application_name = 'coordinator dropped-1' AND state <> 'idle')",
        )
        .await;
}

/// A commit that waits for a standby that is away outlives its client. Callers give up and try again, and
/// must not fill the server with sessions that wait.
async fn stalled_commits_do_not_pile_up_at_the_server(_: &Databases) {
    let databases = Databases::on(Server::start());
    let store = Arc::new(databases.store(&opening("stalled", "stalled-1")));
    assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
    let mut admin = databases.admin().await;
    for statement in [
        "SET synchronous_commit = local",
        "ALTER SYSTEM SET synchronous_standby_names = 'ghost'",
        "SELECT pg_reload_conf()",
    ] {
        admin.execute(statement).await.expect(statement);
    }
    databases.until("SELECT 1 WHERE current_setting('synchronous_standby_names') = 'ghost'").await;
    for n in 0..12 {
        let signal = NewSignal { id: SignalId::parse(&format!("s-{n}")).unwrap(), body: "{}".to_owned() };
        let _ = tokio::time::timeout(Duration::from_millis(100), store.submit(&signal)).await;
    }
    let row = admin
        .fetch_one("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'coordinator stalled-1'")
        .await
        .expect("count");
    let sessions: i64 = row.get(0);
    assert!((1..=4).contains(&sessions), "{sessions} sessions of 12 callers that gave up");
}

async fn woken(store: &impl StateStore) {
    tokio::time::timeout(PATIENCE, store.changed()).await.expect("a hint");
}

async fn a_listener_that_was_cut_off_hints_after_it_is_back(databases: &Databases) {
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
    other.renew(&token, Seq(1)).await.expect("renewal");
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
