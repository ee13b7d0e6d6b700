//! Tests of SQLite's query plans: no statement may read every signal.

use super::{audit, claim, doubt, reading, record, sweep};
use crate::config::SqliteConfig;
use crate::schema::migrate;
use crate::session::Session;
use crate::statement::Statement;
use domain::ports::Migrate;
use sqlx::{AssertSqlSafe, Row};

async fn plan(session: &Session, sql: &str) -> String {
    let statement = Statement::new(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")));
    let rows = session.fetch(statement).await.unwrap();
    rows.iter().map(|row| row.get::<String, _>("detail")).collect::<Vec<_>>().join("\n")
}

async fn with_session(then: impl AsyncFnOnce(&Session)) {
    let directory = tempfile::tempdir().unwrap();
    let config = SqliteConfig::sample(directory.path());
    migrate(&config, Migrate::Apply).await.unwrap();
    let session = Session::new(&config, &std::sync::Arc::default());
    then(&session).await;
    session.close().await;
}

#[tokio::test]
async fn a_claim_reads_only_what_it_needs() {
    with_session(async |session| {
        for sql in [claim::CLAIM, claim::WHY] {
            let plan = plan(session, sql).await;
            for index in ["waiting", "busy", "claimed"] {
                assert!(plan.contains(&format!("INDEX coordinator_signal_{index} (")), "{index}\n{plan}");
            }
            assert!(!plan.contains("SCAN coordinator_signal"), "{plan}");
        }
        let plan = plan(session, claim::CLAIM).await;
        assert!(plan.contains("USING INDEX coordinator_signal_expiring ("), "{plan}");
        assert!(plan.contains("SEARCH coordinator_signal USING INTEGER PRIMARY KEY"), "{plan}");
    })
    .await;
}

#[tokio::test]
async fn every_other_statement_has_its_index() {
    with_session(async |session| {
        for (sql, index) in [
            (record::RECORD, "sqlite_autoindex_coordinator_signal_1 (group_id=? AND id=?"),
            (record::ACKNOWLEDGE, "sqlite_autoindex_coordinator_signal_1 (group_id=? AND id=?"),
            (doubt::MARK, "coordinator_signal_state (group_id=? AND state=?"),
            (doubt::LIST, "coordinator_signal_state (group_id=? AND state=?"),
            (sweep::SIGNALS, "coordinator_signal_settled (group_id=? AND settled_ms<?"),
            (sweep::MEMBERS, "PRIMARY KEY (group_id=? AND id=?"),
            (reading::TOTALS, "coordinator_signal_state (group_id=? AND state=?"),
            (reading::TOTALS, "coordinator_signal_expired (group_id=? AND settled_ms>?"),
            (reading::COUNTS, "COVERING INDEX coordinator_signal_state (group_id=? AND state=?"),
            (reading::TOTALS, "coordinator_signal_claimed (group_id=? AND claimed_ms>?"),
            (reading::LIST_ALL, "coordinator_signal_arrival (group_id=? AND arrival<?"),
            (reading::LIST_STATE, "coordinator_signal_state (group_id=? AND state=? AND arrival<?"),
            (reading::LIST_INSTRUMENT, "coordinator_signal_arrival (group_id=? AND arrival<?"),
            (reading::LIST_BOTH, "coordinator_signal_state (group_id=? AND state=? AND arrival<?"),
            (audit::OF_GROUP, "coordinator_audit_group (group_id=?"),
            (audit::OF_SIGNAL, "coordinator_audit_signal (group_id=? AND signal_id=?"),
        ] {
            let plan = plan(session, sql).await;
            assert!(plan.contains(index), "{index}\n{plan}");
            assert!(!plan.contains("SCAN coordinator_"), "{plan}");
            assert!(!plan.contains("TEMP B-TREE"), "sorted by an index: {plan}");
        }
    })
    .await;
}
