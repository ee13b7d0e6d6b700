//! Cases of values that another process wrote, and of tables that grow.

use crate::audit::lead;
use crate::files::{Files, opening};
use contract::Case;
use contract::raw_portfolio::RawPortfolio;
use domain::id::{ClaimId, InstanceId};
use domain::ports::{LeaseStore, MemberStore, SignalLedger, StoreError, Swept};
use sqlx::Row;
use std::sync::Arc;
use std::time::Duration;

pub fn suite() -> Vec<Case<Files>> {
    vec![
        Case::new("rows::the_schema_refuses_values_that_cannot_be", schema_refuses),
        Case::new("rows::a_rebuilt_table_is_judged_column_by_column", rebuilt_table),
        Case::new("rows::hostile_texts_are_cut_and_cleaned", hostile_texts),
        Case::new("rows::decimals_stay_exact_and_floats_show", decimals),
        Case::new("rows::history_keeps_the_latest_terms_only", history_is_bounded),
        Case::new("rows::a_term_that_was_there_before_does_not_stop_a_claim", term_again),
        Case::new("rows::lines_of_yesterday_go_with_the_leaders_sweep", members_are_bounded),
    ]
}

/// Values that no lease can have, by the column that the error must name.
const BAD: [(&str, &str); 17] = [
    ("tl", "NULL"),
    ("tl", "-1"),
    ("tl", "4294967296"),
    ("tl", "'one'"),
    ("epoch", "NULL"),
    ("epoch", "-1"),
    ("epoch", "1.5"),
    ("epoch", "9223372036854775807"),
    ("claim", "NULL"),
    ("claim", "'not a uuid'"),
    ("claim", "zeroblob(100000)"),
    ("seq", "-1"),
    ("released", "2"),
    ("released", "NULL"),
    ("ttl_ms", "999"),
    ("ttl_ms", "300001"),
    ("ttl_ms", "x'00'"),
];

async fn schema_refuses(_: Arc<Files>) {
    let files = Files::new();
    let store = files.migrated("i").await;
    let before = store.observe().await.unwrap();
    for (column, value) in BAD {
        let message = files.sql(&format!("UPDATE coordinator_lease SET {column} = {value}")).await;
        assert!(message.is_err(), "{column} = {value}");
    }
    assert_eq!(store.observe().await.unwrap(), before);
}

async fn rebuilt_table(_: Arc<Files>) {
    let files = Files::new();
    let store = files.migrated("i").await;
    let before = store.observe().await.unwrap();
    files
        .sql(
            "CREATE TABLE kept AS SELECT * FROM coordinator_lease; DROP TABLE coordinator_lease; \
             CREATE TABLE coordinator_lease AS SELECT * FROM kept",
        )
        .await
        .unwrap();
    assert_eq!(store.observe().await.unwrap(), before);
    let upper = ("claim", "upper(replace(claim, '0', 'a'))");
    for (column, value) in BAD.into_iter().chain([upper]) {
        files.sql(&format!("UPDATE coordinator_lease SET {column} = {value}")).await.unwrap();
        let answer = store.observe().await;
        let Err(StoreError::Corrupt(message)) = &answer else { panic!("{column} = {value}: {answer:?}") };
        assert!(message.contains(&format!("coordinator_lease.{column} ")), "{column} = {value}: {message}");
        files
            .sql("DELETE FROM coordinator_lease; INSERT INTO coordinator_lease SELECT * FROM kept")
            .await
            .unwrap();
    }
    files.sql("DELETE FROM coordinator_lease").await.unwrap();
    let Err(StoreError::Corrupt(message)) = store.observe().await else {
        panic!("the lease was read without a row")
    };
    assert!(message.contains("no lease row for the group g"), "{message}");
    files.sql("DROP TABLE coordinator_lease").await.unwrap();
    let Err(StoreError::Corrupt(message)) = store.observe().await else {
        panic!("the lease was read without a table")
    };
    assert!(message.contains("coordinator_lease") && message.contains("coordinator migrate"), "{message}");
}

async fn hostile_texts(_: Arc<Files>) {
    let files = Files::new();
    let store = files.migrated("i").await;
    files
        .sql(
            "UPDATE coordinator_lease SET holder = '<script>' || CAST(x'ff' AS TEXT) || \
             replace(hex(zeroblob(500000)), '00', 'é'), resign = replace(hex(zeroblob(500000)), '00', 'é')",
        )
        .await
        .unwrap();
    let seen = store.observe().await.unwrap();
    let holder = seen.holder.expect("a holder");
    assert!(holder.as_str().starts_with("?script??"), "{holder}");
    assert!(InstanceId::parse(&holder.as_str().replace('?', "-")).is_ok(), "{holder}");
    assert_eq!(seen.resign.expect("a reason").chars().count(), 256);
    files.sql("UPDATE coordinator_lease SET holder = ''").await.unwrap();
    assert_eq!(store.observe().await.unwrap().holder.unwrap().as_str(), "?");
}

async fn decimals(_: Arc<Files>) {
    let files = Files::new();
    let store = files.migrated("i").await;
    files
        .sql(
            "INSERT INTO portfolio_positions VALUES \
             ('p1', 'NIFTY', 'open', '0.1000000000000000055511151231', 9e999, NULL, 12), \
             ('p2', 'x', 'Closed', NULL, NULL, NULL, NULL), \
             ('p3', CAST(x'ff41' AS TEXT), NULL, replace(hex(zeroblob(300)), '00', '1'), 1.5, x'31', -9e999)",
        )
        .await
        .unwrap();
    let portfolio = RawPortfolio::read(&*store).await.unwrap();
    let [p1, p3] = portfolio.positions.as_slice() else { panic!("{portfolio:?}") };
    assert_eq!(p1.quantity.as_deref(), Some("0.1000000000000000055511151231"));
    assert_eq!(p1.entry_price.as_deref(), Some("Inf"));
    assert_eq!(p1.risk_amount, None);
    assert_eq!(p1.margin_used.as_deref(), Some("12"));
    assert_eq!(p3.instrument.as_deref(), Some("\u{fffd}A"));
    assert_eq!(p3.status, None);
    assert_eq!(p3.quantity.as_deref(), Some("a text of 300 characters"));
    assert_eq!((p3.entry_price.as_deref(), p3.risk_amount.as_deref()), (Some("1.5"), Some("1")));
    assert_eq!(p3.margin_used.as_deref(), Some("-Inf"));
    assert_eq!(portfolio.totals.len(), 1);
    assert_eq!(portfolio.totals[0].total_risk_amount.as_deref(), Some("0"));
}

async fn history_is_bounded(_: Arc<Files>) {
    let files = Files::new();
    let store = files.migrated("i").await;
    files
        .sql(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10005) \
             INSERT INTO coordinator_term (group_id, tl, epoch, claim, holder, host, from_ms, to_ms, reason) \
             SELECT 'g', 1, i, 'c', 'h', '', i, i, 'r' FROM n; \
             INSERT INTO coordinator_term (group_id, tl, epoch, claim, host, from_ms) \
             VALUES ('other', 1, 1, 'c', '', 1); \
             UPDATE coordinator_lease SET epoch = 10005",
        )
        .await
        .unwrap();
    lead(&store, 1).await;
    let row = sqlx::query(
        "SELECT count(*) FILTER (WHERE group_id = 'g'), min(epoch) FILTER (WHERE group_id = 'g'), \
         count(*) FILTER (WHERE group_id = 'other' AND to_ms IS NULL) FROM coordinator_term",
    )
    .fetch_one(&mut files.shell().await)
    .await
    .unwrap();
    assert_eq!((row.get::<i64, _>(0), row.get::<i64, _>(1), row.get::<i64, _>(2)), (10_000, 7, 1));
    assert_eq!(store.history(1).await.unwrap()[0].epoch.0, 10_006);
}

async fn term_again(_: Arc<Files>) {
    let files = Files::new();
    let store = files.migrated("i").await;
    lead(&store, 1).await;
    // As after a restore of this one row from a backup.
    files.sql(&format!("UPDATE coordinator_lease SET epoch = 0, claim = '{}'", ClaimId::NIL)).await.unwrap();
    lead(&store, 2).await;
    let history = store.history(10).await.unwrap();
    assert_eq!(history.iter().filter(|term| term.epoch.0 == 1).count(), 2, "{history:?}");
    assert_eq!(history.iter().filter(|term| term.to_ms.is_none()).count(), 1, "{history:?}");
}

async fn members_are_bounded(_: Arc<Files>) {
    let files = Files::new();
    let store = files.migrated("i").await;
    files
        .sql(
            "INSERT INTO coordinator_member (group_id, id, nonce, host, address, status, epoch, fallback, \
             alerts, version, started_ms, beat_ms) VALUES \
             ('g', 'old', '0', '', '', 'standby', 0, 0, 0, '', 0, 0), \
             ('other', 'old', '0', '', '', 'standby', 0, 0, 0, '', 0, 0)",
        )
        .await
        .unwrap();
    assert_eq!(store.members().await, Ok(vec![]), "a line of 1970 is not shown");
    store.heartbeat(&member("i")).await.unwrap();
    let lines = async || {
        sqlx::query_scalar::<_, String>("SELECT group_id || '/' || id FROM coordinator_member ORDER BY 1")
            .fetch_all(&mut files.shell().await)
            .await
            .unwrap()
    };
    assert_eq!(lines().await, ["g/i", "g/old", "other/old"], "a heartbeat removes nothing");
    let old = lead(&store, 1).await;
    let token = lead(&store, 2).await;
    assert_eq!(store.sweep(&old, Duration::ZERO).await, Ok(None));
    assert_eq!(lines().await, ["g/i", "g/old", "other/old"], "a fenced token removes nothing");
    let swept = Swept { signals: 0, members: 1 };
    assert_eq!(store.sweep(&token, Duration::ZERO).await, Ok(Some(swept)));
    assert_eq!(lines().await, ["g/i", "other/old"]);
    assert_eq!(store.sweep(&token, Duration::ZERO).await, Ok(Some(Swept::default())));
}

fn member(id: &str) -> domain::member::Member {
    let opening = opening(id);
    domain::member::Member {
        id: opening.id,
        nonce: opening.nonce,
        host: opening.host,
        address: "http://127.0.0.1:5000".to_owned(),
        state: domain::member::MemberState::Standby,
        epoch: domain::lease::Epoch(0),
        fallback: false,
        alerts: domain::member::Health::Ok,
        version: "0.1.0".to_owned(),
        started_ms: 0,
        settings: domain::settings::SharedSettings::default(),
        cannot_lead: None,
        sync_p95: None,
    }
}
