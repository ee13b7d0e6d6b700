//! Cases of the first start, and of files that are not ours.

use crate::files::{Files, opening};
use adapter_sqlite::SqliteStore;
use contract::raw_portfolio::RawPortfolio;
use contract::signal_ledger::client;
use contract::{Case, Opening};
use domain::SCHEMA_VERSION;
use domain::ports::{LeaseStore, Migrate, Schema, SignalLedger, StateStore, StoreError, Switch};
use sqlx::Row;
use std::sync::Arc;
use std::time::Duration;

/// Instances that start at the same time; as many as an operator starts with one command.
const STARTERS: usize = 8;

/// How long a writer holds the file: much shorter than a start waits.
const WRITER_HOLDS: Duration = Duration::from_millis(200);

pub fn suite() -> Vec<Case<Files>> {
    vec![
        Case::new("migration::many_starters_on_a_new_file_all_succeed", many_starters),
        Case::new("migration::it_waits_for_a_writer_of_a_new_file", writer_of_a_new_file),
        Case::new("migration::checking_creates_nothing", checking_creates_nothing),
        Case::new("migration::a_later_start_changes_nothing", a_later_start_changes_nothing),
        Case::new("migration::tables_of_the_team_are_left_alone", tables_of_the_team),
        Case::new("migration::a_view_of_the_team_is_left_alone", a_view_of_the_team),
        Case::new("migration::other_relations_are_not_created", other_relations),
        Case::new("migration::another_applications_file_is_refused", foreign_application),
        Case::new("migration::a_file_that_is_no_database_is_refused", no_database),
        Case::new("migration::a_directory_that_cannot_be_is_named", no_directory),
        Case::new("migration::a_newer_schema_is_not_touched", newer_schema),
        Case::new("migration::a_dropped_table_is_named", dropped_table),
        Case::new(
            "migration::a_dropped_table_without_which_nothing_is_lost_is_created_again",
            repaired_table,
        ),
        Case::new("migration::a_file_that_lost_its_version_and_a_table_is_refused", lost_version_and_table),
    ]
}

async fn many_starters(_: Arc<Files>) {
    let files = Arc::new(Files::new());
    let starters: Vec<_> = (0..STARTERS)
        .map(|n| {
            let store = files.store(&format!("i{n}"));
            tokio::spawn(async move {
                let schema = store.migrate(Migrate::Apply).await;
                (schema, store.observe().await)
            })
        })
        .collect();
    for starter in starters {
        let (schema, seen) = starter.await.expect("no panic");
        assert_eq!(schema, Ok(Schema::Current));
        let seen = seen.expect("the lease");
        assert!(seen.released, "no instance has led yet");
        assert_eq!(seen.schema, SCHEMA_VERSION);
    }
    let mut shell = files.shell().await;
    let row = sqlx::query(
        "SELECT (SELECT count(*) FROM coordinator_schema), (SELECT count(*) FROM coordinator_lease), \
         (SELECT count(*) FROM portfolio_state), (SELECT * FROM pragma_journal_mode)",
    )
    .fetch_one(&mut shell)
    .await
    .unwrap();
    assert_eq!((row.get::<i64, _>(0), row.get::<i64, _>(1), row.get::<i64, _>(2)), (1, 1, 1));
    assert_eq!(row.get::<String, _>(3), "wal");
}

/// SQLite waits for a writer, except with the statement that turns the file to WAL.
async fn writer_of_a_new_file(_: Arc<Files>) {
    let files = Files::new();
    std::fs::create_dir_all(files.path().parent().unwrap()).unwrap();
    files.sql("CREATE TABLE theirs (x)").await.unwrap();
    let mut shell = files.shell().await;
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut shell).await.unwrap();
    let store = files.store("i");
    let migration = tokio::spawn(async move { store.migrate(Migrate::Apply).await });
    // Long enough to block the start, short enough for the start to wait. A slow machine only makes the case
    // less strict.
    tokio::time::sleep(WRITER_HOLDS).await;
    sqlx::raw_sql("COMMIT").execute(&mut shell).await.unwrap();
    assert_eq!(migration.await.expect("no panic"), Ok(Schema::Current));
}

async fn checking_creates_nothing(_: Arc<Files>) {
    let files = Files::new();
    let store = files.store("i");
    assert_eq!(store.migrate(Migrate::Check).await, Ok(Schema::Older { found: 0 }));
    assert!(!files.path().parent().unwrap().exists());
    // Using it creates no file either: an instance that lost its file does not begin a new history.
    assert!(matches!(store.observe().await, Err(StoreError::Unavailable(_))));
    assert!(!files.path().exists());
    assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
    assert_eq!(store.migrate(Migrate::Check).await, Ok(Schema::Current));
}

async fn a_later_start_changes_nothing(_: Arc<Files>) {
    let files = Files::new();
    files.migrated("i").await.close().await;
    let before = std::fs::read(files.path()).unwrap();
    let second = files.migrated("j").await;
    second.close().await;
    assert!(before == std::fs::read(files.path()).unwrap(), "the file is the same to the byte");
}

async fn tables_of_the_team(_: Arc<Files>) {
    let files = Files::new();
    std::fs::create_dir_all(files.path().parent().unwrap()).unwrap();
    files
        .sql(
            "CREATE TABLE Portfolio_State (total_risk_amount TEXT, margin_used TEXT); \
             INSERT INTO Portfolio_State VALUES ('7.50', '1')",
        )
        .await
        .unwrap();
    let portfolio = RawPortfolio::read(&*files.migrated("i").await).await.unwrap();
    assert_eq!(portfolio.totals.len(), 1, "no second row was added");
    assert_eq!(portfolio.totals[0].total_risk_amount.as_deref(), Some("7.50"));
}

async fn a_view_of_the_team(_: Arc<Files>) {
    let files = Files::new();
    std::fs::create_dir_all(files.path().parent().unwrap()).unwrap();
    files
        .sql("CREATE VIEW portfolio_state AS SELECT '1' AS total_risk_amount, '2' AS margin_used")
        .await
        .unwrap();
    let portfolio = RawPortfolio::read(&*files.migrated("i").await).await.unwrap();
    assert_eq!(portfolio.totals[0].margin_used.as_deref(), Some("2"));
}

async fn other_relations(_: Arc<Files>) {
    let files = Files::new();
    let opening =
        Opening { positions: "select".to_owned(), portfolio: "my_totals".to_owned(), ..opening("i") };
    let store = SqliteStore::new(files.config(&opening));
    assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
    let Err(StoreError::Corrupt(message)) = RawPortfolio::read(&store).await else {
        panic!("there was a portfolio to read")
    };
    assert!(message.contains("select") && message.contains("no such table"), "{message}");
    files
        .sql(
            "CREATE TABLE \"select\" (position_id, instrument, status, quantity, entry_price, \
             risk_amount, margin_used); CREATE TABLE my_totals (total_risk_amount, margin_used)",
        )
        .await
        .unwrap();
    assert_eq!(RawPortfolio::read(&store).await, Ok(RawPortfolio::default()));
}

async fn foreign_application(_: Arc<Files>) {
    let files = Files::new();
    std::fs::create_dir_all(files.path().parent().unwrap()).unwrap();
    files.sql("PRAGMA application_id = 252006673; CREATE TABLE theirs (x)").await.unwrap();
    let before = std::fs::read(files.path()).unwrap();
    let store = files.store("i");
    for answer in [store.migrate(Migrate::Apply).await, store.migrate(Migrate::Check).await] {
        let Err(StoreError::Corrupt(message)) = answer else { panic!("{answer:?}") };
        assert!(message.contains("another application") && message.contains("coordinator.db"), "{message}");
    }
    assert!(matches!(store.observe().await, Err(StoreError::Corrupt(_))));
    assert!(before == std::fs::read(files.path()).unwrap(), "it was not written to");
}

async fn no_database(_: Arc<Files>) {
    let files = Files::new();
    std::fs::create_dir_all(files.path().parent().unwrap()).unwrap();
    let text = "a letter to a friend, longer than the header of a database. ".repeat(20);
    std::fs::write(files.path(), &text).unwrap();
    let answer = files.store("i").migrate(Migrate::Apply).await;
    let Err(StoreError::Corrupt(message)) = answer else { panic!("{answer:?}") };
    assert!(message.contains("is not a SQLite database") && message.contains("coordinator.db"), "{message}");
    assert_eq!(std::fs::read_to_string(files.path()).unwrap(), text);
}

async fn no_directory(_: Arc<Files>) {
    let files = Files::new();
    let directory = files.path().parent().unwrap().to_owned();
    std::fs::write(&directory, "a file").unwrap();
    let answer = files.store("i").migrate(Migrate::Apply).await;
    let Err(StoreError::Unavailable(message)) = answer else { panic!("{answer:?}") };
    assert!(message.contains(&directory.display().to_string()), "{message}");
}

async fn dropped_table(_: Arc<Files>) {
    for table in ["lease", "signal", "audit"] {
        let files = Files::new();
        files.migrated("i").await.close().await;
        files.sql(&format!("DROP TABLE coordinator_{table}")).await.unwrap();
        let store = files.store("i");
        let checked = store.migrate(Migrate::Check).await;
        let Err(StoreError::Corrupt(message)) = &checked else { panic!("{table}: {checked:?}") };
        assert!(message.contains(&format!("has lost coordinator_{table},")), "{message}");
        assert_eq!(store.migrate(Migrate::Apply).await, checked);
        let used = store.observe().await;
        assert!(table != "lease" || used.is_err(), "{used:?}");
        if let Err(error) = used {
            assert!(error.to_string().contains("migrate --check"), "{error}");
        }
    }
}

/// What was in these tables comes back, is in another one, or is not missed.
async fn repaired_table(_: Arc<Files>) {
    const SHAPE: &str = "SELECT name || ' ' || sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name";
    let files = Files::new();
    let store = files.migrated("i").await;
    store.switch(Switch::Pause, &client(), "the desk is closed").await.expect("pause");
    store.close().await;
    let shape: Vec<String> = sqlx::query_scalar(SHAPE).fetch_all(&mut files.shell().await).await.unwrap();
    for lost in [
        "DROP TABLE coordinator_member",
        "DROP TABLE coordinator_term",
        "DROP TABLE coordinator_dispatch",
        "DROP TABLE coordinator_schema",
        "DELETE FROM coordinator_schema",
        "DROP TABLE coordinator_member; DROP TABLE coordinator_term; DROP TABLE coordinator_dispatch; \
         DROP TABLE coordinator_schema",
    ] {
        files.sql(lost).await.unwrap();
        let store = files.store("i");
        match store.migrate(Migrate::Check).await {
            Ok(Schema::Older { found: 0 }) => assert!(lost.contains("schema"), "{lost}"),
            Err(StoreError::Corrupt(message)) => {
                assert!(
                    message.contains("run `coordinator migrate`, which creates it again"),
                    "{lost}: {message}"
                );
            }
            other => panic!("{lost}: {other:?}"),
        }
        assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current), "{lost}");
        assert_eq!(store.migrate(Migrate::Check).await, Ok(Schema::Current), "{lost}");
        assert!(store.totals().await.expect("totals").paused.is_some(), "{lost}: the kill switch is on");
        store.close().await;
        let now: Vec<String> = sqlx::query_scalar(SHAPE).fetch_all(&mut files.shell().await).await.unwrap();
        assert_eq!(now, shape, "{lost}");
    }
}

/// What was in a table that is missing cannot be made up, whether the version is known or not.
async fn lost_version_and_table(_: Arc<Files>) {
    let files = Files::new();
    files.migrated("i").await.close().await;
    files.sql("DROP TABLE coordinator_schema; DROP TABLE coordinator_signal").await.unwrap();
    let store = files.store("i");
    for apply in [Migrate::Check, Migrate::Apply] {
        let answer = store.migrate(apply).await;
        let Err(StoreError::Corrupt(message)) = answer else { panic!("{answer:?}") };
        assert!(message.contains("has lost coordinator_signal, coordinator_schema,"), "{message}");
    }
}

async fn newer_schema(_: Arc<Files>) {
    let files = Files::new();
    files.migrated("i").await.close().await;
    let found = SCHEMA_VERSION + 1;
    files
        .sql(&format!("UPDATE coordinator_schema SET version = {found}; DELETE FROM coordinator_lease"))
        .await
        .unwrap();
    let old = files.store("old");
    assert_eq!(old.migrate(Migrate::Apply).await, Ok(Schema::Newer { found }));
    assert_eq!(old.migrate(Migrate::Check).await, Ok(Schema::Newer { found }));
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM coordinator_lease")
        .fetch_one(&mut files.shell().await)
        .await
        .unwrap();
    assert_eq!(rows, 0, "not even the group's lease was created again");
}
