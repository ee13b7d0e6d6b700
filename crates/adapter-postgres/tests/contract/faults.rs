//! What is away, locked, forbidden or in doubt, and what the caller may conclude.

use crate::cases;
use crate::databases::{Databases, config, lead, opening, request};
use crate::server::{Server, free_port};
use adapter_postgres::PostgresStore;
use domain::lease::{Seq, TTL_MIN};
use domain::ledger::{NewSignal, SignalId};
use domain::ports::{Claim, Migrate, Schema, SignalClaim, SignalLedger, StateStore, StoreError, Submit};
use sqlx::Executor;
use std::sync::Arc;
use testkit::contract::{Case, Opening};

pub fn cases() -> Vec<Case<Databases>> {
    cases!("faults":
        nobody_listening_is_unavailable,
        a_wrong_password_is_unavailable_and_not_shown,
        a_missing_database_is_unavailable,
        a_read_only_role_is_unavailable,
        a_role_without_rights_is_unavailable,
        a_role_that_may_not_create_can_run_the_service,
        an_effect_waits_for_a_claim_and_is_fenced_by_it,
        an_effect_waits_for_a_claim_and_goes_on_without_it,
        a_locked_row_is_unknown_and_unchanged,
        a_cancelled_synchronous_commit_is_unknown,
        a_closed_store_is_unavailable,
    )
}

const SECRET: &str = "not-to-be-seen";

async fn assert_unavailable(url: &str, words: &str) {
    let store = PostgresStore::new(config(url, &opening("unavailable", "a"))).unwrap();
    for answer in [store.observe().await.map(|_| ()), store.counts().await.map(|_| ())] {
        match answer {
            Err(StoreError::Unavailable(message)) => {
                assert!(message.contains(words), "{message:?} says {words:?}");
                assert!(!message.contains(SECRET), "{message}");
            }
            other => panic!("{other:?}"),
        }
    }
}

async fn nobody_listening_is_unavailable(_: &Databases) {
    let url = format!("postgres://postgres:{SECRET}@127.0.0.1:{}/postgres", free_port());
    assert_unavailable(&url, "refused").await;
}

async fn a_wrong_password_is_unavailable_and_not_shown(databases: &Databases) {
    databases.execute("CREATE ROLE guarded LOGIN PASSWORD 'another'").await;
    let url = format!("postgres://guarded:{SECRET}@127.0.0.1:{}/postgres", databases.server().port());
    assert_unavailable(&url, "check user, password").await;
}

async fn a_missing_database_is_unavailable(databases: &Databases) {
    assert_unavailable(&databases.server().url("postgres", "nowhere"), "create the database").await;
}

async fn a_read_only_role_is_unavailable(databases: &Databases) {
    databases
        .execute("CREATE ROLE reader LOGIN; ALTER ROLE reader SET default_transaction_read_only = on")
        .await;
    assert_unavailable(&databases.url("reader"), "read-only").await;
}

async fn a_role_without_rights_is_unavailable(databases: &Databases) {
    databases.execute("CREATE ROLE nobody_special LOGIN").await;
    assert_unavailable(&databases.url("nobody_special"), "lacks a right").await;
}

async fn a_role_that_may_not_create_can_run_the_service(databases: &Databases) {
    let database = databases.another().await;
    assert_eq!(database.store(&opening("migrated", "a")).migrate(Migrate::Apply).await, Ok(Schema::Current));
    database
        .execute(
            "CREATE ROLE service LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC;
             GRANT SELECT, INSERT, UPDATE, DELETE ON coordinator_lease, coordinator_member, coordinator_term,
                 coordinator_signal TO service;
             GRANT SELECT ON coordinator_schema, portfolio_positions, portfolio_state TO service",
        )
        .await;
    let opening = opening("served", "a");
    let store = PostgresStore::new(config(&database.url("service"), &opening)).unwrap();
    assert_eq!(
        store.migrate(Migrate::Apply).await,
        Ok(Schema::Current),
        "a new group in a schema that is there"
    );
    let token = lead(&store, &opening).await;
    assert!(matches!(store.submit(&signal("s-1")).await, Ok(Submit::Accepted(_))));
    assert!(matches!(store.claim_next(&token).await, Ok(SignalClaim::Claimed(_))));
    store.portfolio().await.expect("portfolio");
}

fn signal(id: &str) -> NewSignal {
    NewSignal { id: SignalId::parse(id).unwrap(), body: "{}".to_owned() }
}

/// A leader's `claim_next` that meets a row lock: somebody is superseding the leader and ends with `end`.
/// The database's default isolation is one under which the fence would fail with an error.
async fn effect_meets_a_claim(databases: &Databases, end: &'static str) -> Result<SignalClaim, StoreError> {
    let database = databases.another().await;
    let name = database.name();
    database
        .execute(&format!("ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'"))
        .await;
    let opening = opening("raced", "a");
    let store = Arc::new(database.store(&opening));
    assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
    let token = lead(&store, &opening).await;
    assert!(matches!(store.submit(&signal("s-1")).await, Ok(Submit::Accepted(_))));

    let mut usurper = database.admin().await;
    usurper.execute("BEGIN; UPDATE coordinator_lease SET epoch = epoch + 1, seq = 0").await.expect("a claim");
    let effect = tokio::spawn({
        let store = store.clone();
        async move { store.claim_next(&token).await }
    });
    database
        .until(&format!(
            "SELECT 1 FROM pg_stat_activity WHERE datname = '{name}' AND wait_event_type = 'Lock'
             AND application_name LIKE 'coordinator %'"
        ))
        .await;
    usurper.execute(end).await.expect("the claim ends");
    effect.await.expect("no panic")
}

async fn an_effect_waits_for_a_claim_and_is_fenced_by_it(databases: &Databases) {
    assert_eq!(effect_meets_a_claim(databases, "COMMIT").await, Ok(SignalClaim::Fenced));
}

async fn an_effect_waits_for_a_claim_and_goes_on_without_it(databases: &Databases) {
    let answer = effect_meets_a_claim(databases, "ROLLBACK").await;
    assert!(matches!(answer, Ok(SignalClaim::Claimed(_))), "{answer:?}");
}

async fn a_locked_row_is_unknown_and_unchanged(databases: &Databases) {
    let opening = Opening { ttl: TTL_MIN, ..opening("locked", "a") };
    let store = databases.store(&opening);
    assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
    let token = lead(&store, &opening).await;
    let before = store.observe().await.expect("observe");
    let mut stopped = databases.admin().await;
    stopped
        .execute("BEGIN; SELECT 1 FROM coordinator_lease WHERE group_id = 'locked' FOR UPDATE")
        .await
        .expect("a lock");
    let renewal = store.renew(&token, Seq(1)).await;
    assert!(matches!(renewal, Err(StoreError::Unknown(_))), "{renewal:?}");
    let claim = store.claim(&request(&before, &opening, 2)).await;
    assert!(matches!(claim, Err(StoreError::Unknown(_))), "{claim:?}");
    let effect = store.claim_next(&token).await;
    assert!(matches!(effect, Err(StoreError::Unknown(_))), "{effect:?}");
    assert_eq!(store.observe().await, Ok(before.clone()), "a look needs no lock");
    stopped.execute("ROLLBACK").await.expect("the lock is gone");
    assert!(matches!(store.claim(&request(&before, &opening, 3)).await, Ok(Claim::Granted(_))));
}

async fn a_cancelled_synchronous_commit_is_unknown(_: &Databases) {
    // A server of its own: every commit on it is to wait for a standby that does not exist.
    let server = Server::start();
    let databases = Databases::on(server);
    let opening = opening("synchronous", "a");
    let store = Arc::new(databases.store(&opening));
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

    let submission = tokio::spawn({
        let store = store.clone();
        async move { store.submit(&signal("s-1")).await }
    });
    databases.until("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'").await;
    let answer = submission.await.expect("no panic");
    assert!(
        matches!(&answer, Err(StoreError::Unknown(message)) if message.contains("standby")),
        "{answer:?}"
    );
    assert_eq!(store.counts().await.map(|counts| counts.received), Ok(1), "it is there, on this server");
}

async fn a_closed_store_is_unavailable(databases: &Databases) {
    let opening = opening("closed", "closed-1");
    let store = databases.store(&opening);
    assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
    store.observe().await.expect("observe");
    store.close().await;
    for answer in [store.observe().await.map(|_| ()), store.counts().await.map(|_| ())] {
        assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    }
    databases
        .until(
            "SELECT 1 WHERE NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'coordinator closed-1')",
        )
        .await;
}
