//! Cases with servers that are unreachable, locked, forbidden or in doubt: what the caller may conclude.

use crate::cases;
use crate::databases::{
    Databases, claim_signal, claimed, config, lead, opening, report, request, stall_commits,
};
use adapter_postgres::PostgresStore;
use contract::signal_ledger::{client, offer, signal};
use contract::{Case, Opening};
use domain::lease::Seq;
use domain::ledger::{NewSignal, Outcome};
use domain::ports::{
    Claim, LeaseStore, Migrate, Report, Resolution, Schema, SignalClaim, SignalLedger, StateStore,
    StoreError, Submit, Switch,
};
use sqlx::Executor;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use testkit::backend::{free_port, postgres};

pub fn cases() -> Vec<Case<Databases>> {
    cases!("faults":
        a_missing_server_is_unavailable,
        a_wrong_password_is_unavailable_and_not_shown,
        a_missing_database_is_unavailable,
        a_read_only_role_is_unavailable,
        a_role_without_rights_is_unavailable,
        an_effect_waits_for_a_claim_and_is_fenced_by_it,
        an_effect_waits_for_a_claim_and_goes_on_without_it,
        a_locked_row_is_unknown_and_unchanged,
        a_cancelled_synchronous_commit_is_unknown,
        a_repeated_record_also_waits_for_the_standby,
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

async fn a_missing_server_is_unavailable(_: &Databases) {
    let url = format!("postgres://postgres:{SECRET}@127.0.0.1:{}/postgres", free_port());
    assert_unavailable(&url, "refused").await;
}

async fn a_wrong_password_is_unavailable_and_not_shown(databases: &Databases) {
    assert_unavailable(&databases.url_as("postgres", SECRET), "check user, password").await;
}

async fn a_missing_database_is_unavailable(databases: &Databases) {
    let server = databases.url().strip_suffix(databases.name()).expect("a URL ends in the database");
    assert_unavailable(&format!("{server}nowhere"), "create the database").await;
}

async fn a_read_only_role_is_unavailable(databases: &Databases) {
    databases
        .execute(
            "CREATE ROLE reader LOGIN PASSWORD 'p'; ALTER ROLE reader SET default_transaction_read_only = on",
        )
        .await;
    assert_unavailable(&databases.url_as("reader", "p"), "read-only").await;
}

async fn a_role_without_rights_is_unavailable(databases: &Databases) {
    databases.execute("CREATE ROLE role_without_rights LOGIN PASSWORD 'p'").await;
    assert_unavailable(&databases.url_as("role_without_rights", "p"), "lacks a right").await;
}

/// Runs a leader's claim of a signal that meets a row lock: another instance supersedes the leader and ends
/// its transaction with `end`. The database's default isolation is one under which the fence would fail with
/// an error.
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
    assert!(matches!(offer(&*store, &signal("s-1")).await, Submit::Accepted(_)));

    let mut usurper = database.admin().await;
    usurper.execute("BEGIN; UPDATE coordinator_lease SET epoch = epoch + 1, seq = 0").await.expect("a claim");
    let effect = tokio::spawn({
        let store = store.clone();
        async move { claim_signal(&store, &token).await }
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

/// A lock may take a sixth of it and a connection a third, which is enough on a busy machine.
const LOCKED_TTL: Duration = Duration::from_secs(6);

async fn a_locked_row_is_unknown_and_unchanged(databases: &Databases) {
    let opening = Opening { ttl: LOCKED_TTL, ..opening("locked", "a") };
    let store = databases.store(&opening);
    assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
    let token = lead(&store, &opening).await;
    let before = store.observe().await.expect("observe");
    let mut stopped = databases.admin().await;
    stopped
        .execute("BEGIN; SELECT 1 FROM coordinator_lease WHERE group_id = 'locked' FOR UPDATE")
        .await
        .expect("a lock");
    let answers = [
        store.renew(&token, Seq(1), token.timeline).await.map(|_| ()),
        store.claim(&request(&before, &opening, 2)).await.map(|_| ()),
        claim_signal(&store, &token).await.map(|_| ()),
    ];
    for answer in answers {
        // SQLSTATE 55P03: lock_timeout, the shortest of the session's timeouts.
        assert!(
            matches!(&answer, Err(StoreError::Unknown(message)) if message.contains("55P03")),
            "{answer:?}"
        );
    }
    assert_eq!(store.observe().await, Ok(before.clone()), "a read needs no lock");
    stopped.execute("ROLLBACK").await.expect("the lock is gone");
    assert!(matches!(store.claim(&request(&before, &opening, 3)).await, Ok(Claim::Granted(_))));
}

/// Cancels the wait of `call`'s commit for the standby. The server's acknowledgement must not count as a
/// success.
async fn cancelled(
    databases: &Databases,
    what: &str,
    call: impl Future<Output = Result<(), StoreError>> + Send + 'static,
) {
    let call = tokio::spawn(call);
    databases.until("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'").await;
    let answer = call.await.expect("no panic");
    assert!(
        matches!(&answer, Err(StoreError::Unknown(message)) if message.contains("standby")),
        "{what}: {answer:?}"
    );
}

async fn a_cancelled_synchronous_commit_is_unknown(_: &Databases) {
    let databases = Databases::on(postgres());
    let store = Arc::new(databases.store(&opening("synchronous", "a")));
    assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
    stall_commits(&databases).await;
    let another = NewSignal { id: signal("s-1").id, ..signal("another") };
    let mut longer = signal("s-1");
    longer.instruction.payload.push(' ');
    // All but the first find the signal on this server, and none may be acknowledged before the standby has
    // it.
    for (what, new) in [
        ("first", signal("s-1")),
        ("retry", signal("s-1")),
        ("another name", NewSignal { id: None, ..signal("s-1") }),
        ("another payload", longer),
        ("another signal of its name", another),
    ] {
        let store = store.clone();
        let submission = async move { store.submit_one(&new, &client()).await.map(|_| ()) };
        cancelled(&databases, what, submission).await;
        let received =
            databases.store(&opening("synchronous", "b")).counts().await.map(|counts| counts.received);
        assert_eq!(received, Ok(1), "it is there, on this server");
    }
}

/// The answer about an outcome that is recorded already must be as durable as the first one: the caller may
/// not have received the first.
async fn a_repeated_record_also_waits_for_the_standby(_: &Databases) {
    let databases = Databases::on(postgres());
    let opening = opening("synchronous", "a");
    let store = Arc::new(databases.store(&opening));
    assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
    let token = lead(&store, &opening).await;
    offer(&*store, &signal("s-1")).await;
    let done = [report(&claimed(&store, &token).await, Outcome::Done)];
    store.record(&token, &done).await.expect("settle");
    store.switch(Switch::Pause, &client(), "why").await.expect("pause");
    stall_commits(&databases).await;
    let settled = (store.clone(), done.clone());
    let settled = async move { settled.0.record(&token, &settled.1).await.map(|_| ()) };
    cancelled(&databases, "a report", settled).await;
    let [Report { id, attempt, outcome, .. }] = done;
    let decision = Resolution { id, attempt, outcome, actor: client(), reason: String::new() };
    let decided = store.clone();
    cancelled(&databases, "a decision", async move { decided.resolve(&decision).await.map(|_| ()) }).await;
    let paused = async move { store.switch(Switch::Pause, &client(), "why").await.map(|_| ()) };
    cancelled(&databases, "a pause", paused).await;
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
