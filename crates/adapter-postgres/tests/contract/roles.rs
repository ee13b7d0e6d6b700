//! Cases with the shipped role: it can run the service, and it cannot change the audit.

use crate::cases;
use crate::databases::{Databases, claimed, config, lead, opening, report};
use adapter_postgres::{PostgresStore, ROLES};
use contract::raw_portfolio::RawPortfolio;
use contract::signal_ledger::{client, offer, signal};
use contract::{Case, Opening};
use domain::lease::{Epoch, Seq};
use domain::ledger::{Dated, FromHook, HookName, NewSignal, Outcome};
use domain::member::{Health, Member, MemberState};
use domain::ports::{
    InFlight, LeaseStore, MemberStore, Migrate, Noted, OperatorRequests, Recorded, Release, Removal, Renewal,
    Resolution, Schema, SignalClaim, SignalLedger, StateStore, Submit, Switch, Switched,
};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor, Row};
use std::time::Duration;

pub fn cases() -> Vec<Case<Databases>> {
    cases!("roles":
        the_shipped_role_runs_the_service,
        the_shipped_role_cannot_rewrite_the_ledger,
    )
}

/// Creates a migrated database with the role and a `user` in it. Returns the database and the user's URL.
async fn with_role(databases: &Databases, user: &str) -> (Databases, String) {
    let database = databases.another().await;
    assert_eq!(database.store(&opening("migrated", "a")).migrate(Migrate::Apply).await, Ok(Schema::Current));
    database.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC").await;
    {
        // Roles belong to the whole server, and cases run in parallel.
        let mut admin = databases.admin().await;
        admin.execute("SELECT pg_advisory_lock(1)").await.expect("a lock");
        for _ in 0..2 {
            database.execute(ROLES).await;
        }
        database.execute(&format!("CREATE ROLE {user} LOGIN PASSWORD 'p' IN ROLE coordinator_app")).await;
    }
    let url = database.url_as(user, "p");
    (database, url)
}

fn member(opening: &Opening) -> Member {
    Member {
        id: opening.id.clone(),
        nonce: opening.nonce,
        host: opening.host.clone(),
        address: String::new(),
        state: MemberState::Active,
        epoch: Epoch(1),
        fallback: false,
        alerts: Health::Ok,
        version: "0.1.0".to_owned(),
        started_ms: 1_700_000_000_123,
        settings: domain::settings::SharedSettings::default(),
        cannot_lead: None,
        sync_p95: None,
    }
}

async fn the_shipped_role_runs_the_service(databases: &Databases) {
    let (database, url) = with_role(databases, "desk_1").await;
    let opening = opening("served", "a");
    let store = PostgresStore::new(config(&url, &opening)).expect("a good URL");
    assert_eq!(store.migrate(Migrate::Check).await, Ok(Schema::Current));
    assert_eq!(
        store.migrate(Migrate::Apply).await,
        Ok(Schema::Current),
        "a new group in a schema that is there"
    );
    assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current), "and again");
    store.heartbeat(&member(&opening)).await.expect("heartbeat");
    let token = lead(&store, &opening).await;
    assert!(matches!(store.renew(&token, Seq(1), token.timeline).await, Ok(Renewal::Renewed { .. })));
    RawPortfolio::read(&store).await.expect("portfolio");

    let mut late = signal("late");
    late.instruction.expires_ms = Some(1);
    let name = HookName::parse("tv").expect("a name");
    let mut alert =
        NewSignal { hook: Some(FromHook { name, window_s: 60, dated: Dated::BySender }), ..signal("done") };
    let new = [alert.clone(), signal("doubted"), late];
    let accepted = store.submit(&new, &client()).await.expect("submit");
    assert!(accepted.iter().all(|answer| matches!(answer, Submit::Accepted(_))), "{accepted:?}");
    assert!(matches!(offer(&store, &new[0]).await, Submit::Repeated(_)));
    alert.instruction.timestamp_s += 1;
    assert!(matches!(offer(&store, &alert).await, Submit::Folded(_)));
    let done = claimed(&store, &token).await;
    let recorded = store.record(&token, &[report(&done, Outcome::Done)]).await;
    assert_eq!(recorded, Ok(Some(vec![Recorded::Recorded])));
    let doubted = claimed(&store, &token).await;
    store.take_over(&token, InFlight::Only(&[])).await.expect("take over").expect("held");
    let decision = Resolution {
        id: doubted.id,
        attempt: 1,
        outcome: Outcome::Rejected,
        actor: client(),
        reason: String::new(),
    };
    assert_eq!(store.resolve(&decision).await, Ok(Recorded::Recorded));
    for to in [Switch::Pause, Switch::Resume] {
        assert_eq!(store.switch(to, &client(), "why").await, Ok(Switched::Turned));
    }
    let counts = store.counts().await.expect("counts");
    assert_eq!((counts.done, counts.rejected, counts.expired), (1, 1, 1));
    store.totals().await.expect("totals");
    let swept = store.sweep(&token, Duration::ZERO).await.expect("sweep").expect("held");
    assert_eq!(swept.signals, 3);
    let what: Vec<String> =
        store.audit(None, 20).await.expect("audit").into_iter().rev().map(|line| line.what).collect();
    assert_eq!(what.len(), 15, "{what:?}");
    let roles = database.until("SELECT array_agg(DISTINCT db_role) FROM coordinator_audit").await;
    assert_eq!(roles.get::<Vec<String>, _>(0), ["desk_1"]);

    assert_eq!(store.note_forgotten(&token, Epoch(0)).await, Ok(Noted::Noted));
    store.request_step_down(&token, "planned").await.expect("step down");
    assert_eq!(store.release(&token, Seq(2), "planned").await, Ok(Release::Released));
    assert_eq!(store.claim_signals(&token, domain::ledger::Limits::NONE, 1).await, Ok(SignalClaim::Fenced));
    store.history(10).await.expect("history");
    store.members().await.expect("members");
    store.acknowledge_recovery(None, &client(), "why").await.expect("acknowledge");
    let removed = store.remove_instance(&opening.id, Duration::ZERO, &client(), "why").await;
    assert_eq!(removed, Ok(Removal::Removed));
    assert_eq!(store.decisions(10).await.map(|decisions| decisions.len()), Ok(2));
    store.leave(&opening.id, opening.nonce).await.expect("leave");
}

/// Statements that would hide or forge something. The role lacks the right for each (SQLSTATE 42501).
const FORBIDDEN: [&str; 33] = [
    "INSERT INTO coordinator_decision (group_id, who, origin, what, reason, at)
        VALUES ('g', 'x', 'x', 'recovery_acknowledged', 'x', '2020-01-01')",
    "INSERT INTO coordinator_decision (group_id, who, origin, what, reason, db_role)
        VALUES ('g', 'x', 'x', 'recovery_acknowledged', 'x', 'auditor')",
    "INSERT INTO coordinator_decision (group_id, who, origin, what, reason, number) OVERRIDING SYSTEM VALUE
        VALUES ('g', 'x', 'x', 'recovery_acknowledged', 'x', 1)",
    "UPDATE coordinator_decision SET who = 'x'",
    "DELETE FROM coordinator_decision",
    "TRUNCATE coordinator_decision",
    "INSERT INTO coordinator_audit (group_id, who, origin, what) VALUES ('g', 'x', 'x', 'done')",
    "UPDATE coordinator_audit SET who = 'x'",
    "DELETE FROM coordinator_audit",
    "TRUNCATE coordinator_audit",
    "DROP TABLE coordinator_audit",
    "ALTER TABLE coordinator_audit DISABLE TRIGGER ALL",
    "ALTER TABLE coordinator_audit DISABLE TRIGGER coordinator_audit_kept",
    "DROP TRIGGER coordinator_audit_kept ON coordinator_audit",
    "ALTER TABLE coordinator_signal DISABLE TRIGGER coordinator_audit_updated",
    "DROP TRIGGER coordinator_audit_inserted ON coordinator_signal",
    "ALTER TABLE coordinator_dispatch DISABLE TRIGGER USER",
    "SET session_replication_role = replica",
    "CREATE OR REPLACE FUNCTION coordinator_audit_signal() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'",
    "ALTER FUNCTION coordinator_audit_signal() SECURITY INVOKER",
    "DROP FUNCTION coordinator_refuse() CASCADE",
    "CREATE TRIGGER forged AFTER INSERT ON forgery FOR EACH ROW EXECUTE FUNCTION coordinator_audit_signal()",
    "UPDATE coordinator_signal SET payload = '{}'",
    "UPDATE coordinator_signal SET fingerprint = repeat('0', 64)",
    "TRUNCATE coordinator_signal",
    "DELETE FROM coordinator_dispatch",
    "UPDATE coordinator_schema SET version = 1",
    "DELETE FROM coordinator_signal WHERE state = 'received'",
    "WITH gone AS (DELETE FROM coordinator_signal RETURNING 1) SELECT count(*) FROM gone",
    "UPDATE coordinator_lease SET epoch = epoch - 1",
    "UPDATE coordinator_lease SET group_id = 'elsewhere'",
    "DELETE FROM coordinator_lease",
    "ALTER TABLE coordinator_lease DISABLE TRIGGER coordinator_lease_kept",
];

async fn the_shipped_role_cannot_rewrite_the_ledger(databases: &Databases) {
    let (database, url) = with_role(databases, "desk_2").await;
    let store = PostgresStore::new(config(&url, &opening("guarded", "a"))).expect("a good URL");
    assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
    lead(&store, &opening("guarded", "a")).await;
    offer(&store, &signal("s-1")).await;
    let mut session = PgConnection::connect(&url).await.expect("a session");
    // A forger would redirect the lines and forge their source in this way.
    session
        .execute(
            "CREATE TEMPORARY TABLE coordinator_audit (LIKE public.coordinator_audit INCLUDING ALL);
             CREATE TEMPORARY TABLE coordinator_lease AS SELECT 'guarded' AS group_id, 9999 AS epoch;
             CREATE TEMPORARY TABLE forgery (LIKE public.coordinator_signal)",
        )
        .await
        .expect("every role may create temporary tables");
    session
        .execute("UPDATE coordinator_signal SET state = 'rejected', settled_at = now()")
        .await
        .expect("its right");
    let line = database.until("SELECT epoch FROM coordinator_audit WHERE what = 'rejected'").await;
    assert_eq!(line.get::<i64, _>("epoch"), 1, "the real table's");
    offer(&store, &signal("s-2")).await;
    session
        .execute("DISCARD TEMP; CREATE TEMPORARY TABLE forgery (LIKE coordinator_signal)")
        .await
        .expect("tables");
    for statement in FORBIDDEN {
        let refused = session.execute(sqlx::raw_sql(AssertSqlSafe(statement))).await;
        let code = match &refused {
            Err(sqlx::Error::Database(reported)) => reported.code(),
            other => panic!("{statement}: {other:?}"),
        };
        assert_eq!(code.as_deref(), Some("42501"), "{statement}: {refused:?}");
    }
    assert_eq!(store.audit(None, 10).await.expect("audit").len(), 3);
}
