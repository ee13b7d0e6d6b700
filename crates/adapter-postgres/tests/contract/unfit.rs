//! Cases with databases that cannot hold a group, and with poolers: what works, and what is refused by name.

use crate::cases;
use crate::databases::{Databases, claimed, config, lead, opening, report};
use adapter_postgres::{PostgresConfig, PostgresStore, SchemaName};
use contract::raw_portfolio::RawPortfolio;
use contract::signal_ledger::{client, offer, signal};
use contract::{Case, Opening};
use domain::ledger::Outcome;
use domain::ports::{
    LeaseStore, MemberStore, Migrate, OperatorRequests, Recorded, Schema, SignalLedger, StateStore,
    StoreError, Switch,
};
use testkit::backend::{self, pgbouncer};

pub fn cases() -> Vec<Case<Databases>> {
    cases!("unfit":
        a_search_path_has_no_effect,
        a_group_is_in_one_schema_of_a_database,
        a_group_that_may_be_in_another_schema_is_refused,
        the_roles_are_granted_in_the_schema_that_is_set,
        a_database_of_another_encoding_is_refused,
        a_note_that_cannot_be_stored_delays_no_result,
        a_role_without_the_timelines_functions_is_refused,
        a_dropped_table_is_named_and_the_advice_works,
        a_dropped_table_without_which_nothing_is_lost_is_created_again,
        a_database_whose_tables_were_all_dropped_is_migrated_again,
        a_schema_that_lost_its_version_and_a_table_is_refused_and_the_advice_works,
        a_pooler_in_session_mode_as_it_is_shipped_works,
        a_pooler_that_shares_sessions_is_refused,
    )
}

fn store_in(url: &str, schema: &str, opening: &Opening) -> PostgresStore {
    let schema = SchemaName::parse(schema).expect("a schema");
    PostgresStore::new(PostgresConfig { schema, ..config(url, opening) }).expect("a good URL")
}

/// The message of a refusal that ends the start, both with and without the right to write.
async fn refusal(store: &PostgresStore) -> String {
    let checked = store.migrate(Migrate::Check).await;
    let applied = store.migrate(Migrate::Apply).await;
    assert_eq!(checked, applied);
    match applied {
        Err(StoreError::Corrupt(message)) => message,
        other => panic!("not refused: {other:?}"),
    }
}

/// Leads, processes a signal, and reads everything once.
async fn serve(store: &PostgresStore, opening: &Opening) {
    let token = lead(store, opening).await;
    store.renew(&token, domain::lease::Seq(1), token.timeline).await.expect("renew");
    offer(store, &signal("s-1")).await;
    offer(store, &signal("s-1")).await;
    let signal = claimed(store, &token).await;
    let settled = store.record(&token, &[report(&signal, Outcome::Done)]).await;
    assert_eq!(settled, Ok(Some(vec![Recorded::Recorded])));
    store.take_over(&token, domain::ports::InFlight::All).await.expect("take over").expect("held");
    assert_eq!(store.audit(None, 10).await.map(|lines| lines.len()), Ok(3));
    store.totals().await.expect("totals");
    store.counts().await.expect("counts");
    store.members().await.expect("members");
    RawPortfolio::read(store).await.expect("portfolio");
    store.sweep(&token, std::time::Duration::ZERO).await.expect("sweep").expect("held");
    store.request_step_down(&token, "planned").await.expect("step down");
    store.release(&token, domain::lease::Seq(2), "planned").await.expect("release");
    assert_eq!(store.history(10).await.map(|terms| terms.len()), Ok(1));
}

async fn a_search_path_has_no_effect(databases: &Databases) {
    let database = databases.another().await;
    for path in ["\"$user\", decoy, public", "decoy", "nowhere"] {
        database.execute("CREATE SCHEMA IF NOT EXISTS decoy").await;
        database.execute(&format!("ALTER DATABASE {} SET search_path = {path}", database.name())).await;
        for schema in ["public", "Desk_1"] {
            let opening = opening(&format!("{schema}-{}", path.len()), "a");
            let store = store_in(database.url(), schema, &opening);
            store.migrate(Migrate::Check).await.expect("it can be checked");
            assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
            serve(&store, &opening).await;
        }
    }
    let tables =
        "SELECT 1 WHERE NOT EXISTS (SELECT FROM pg_tables WHERE schemaname NOT IN ('public', 'Desk_1')
                  AND (tablename LIKE 'coordinator%' OR tablename LIKE 'portfolio%'))";
    database.until(tables).await;
}

async fn a_group_is_in_one_schema_of_a_database(databases: &Databases) {
    let database = databases.another().await;
    let opening = opening("once", "a");
    let first = store_in(database.url(), "app", &opening);
    assert_eq!(first.migrate(Migrate::Apply).await, Ok(Schema::Current));
    let message = refusal(&store_in(database.url(), "public", &opening)).await;
    assert!(message.contains("schema app") && message.contains("schema public"), "{message}");
    assert!(message.contains("once") && message.contains("postgres.schema = \"app\""), "{message}");
    let other = crate::databases::opening("another", "a");
    let second = store_in(database.url(), "public", &other);
    assert_eq!(second.migrate(Migrate::Apply).await, Ok(Schema::Current), "another group may be there");
    assert_eq!(first.migrate(Migrate::Apply).await, Ok(Schema::Current), "and the first one continues");
}

async fn a_group_that_may_be_in_another_schema_is_refused(databases: &Databases) {
    let database = databases.another().await;
    let opening = opening("hidden", "a");
    let first = store_in(database.url(), "app", &opening);
    assert_eq!(first.migrate(Migrate::Apply).await, Ok(Schema::Current));
    database.execute("CREATE ROLE stranger LOGIN PASSWORD 'p'; GRANT ALL ON SCHEMA public TO stranger").await;
    let message = refusal(&store_in(&database.url_as("stranger", "p"), "public", &opening)).await;
    assert!(message.contains("schema app") && message.contains("cannot read"), "{message}");
}

async fn the_roles_are_granted_in_the_schema_that_is_set(databases: &Databases) {
    let database = databases.another().await;
    let migrated = opening("migrated", "a");
    let owner = store_in(database.url(), "desk", &migrated);
    assert_eq!(owner.migrate(Migrate::Apply).await, Ok(Schema::Current));
    {
        let mut admin = databases.admin().await;
        sqlx::Executor::execute(&mut admin, "SELECT pg_advisory_lock(1)").await.expect("a lock");
        database.execute(&format!("SET coordinator.schema = 'desk'; {}", adapter_postgres::ROLES)).await;
        database.execute("CREATE ROLE desk_3 LOGIN PASSWORD 'p' IN ROLE coordinator_app").await;
    }
    let opening = opening("served", "a");
    let store = store_in(&database.url_as("desk_3", "p"), "desk", &opening);
    assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
    serve(&store, &opening).await;
}

async fn a_database_of_another_encoding_is_refused(databases: &Databases) {
    for (encoding, name) in [("LATIN1", "in_latin1"), ("SQL_ASCII", "in_ascii")] {
        let create = format!("CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0");
        databases.execute(&create).await;
        let url = databases.url().rsplit_once('/').expect("a database").0.to_owned() + "/" + name;
        let message = refusal(&store_in(&url, "public", &opening("latin", "a"))).await;
        for named in [name, encoding, "ENCODING 'UTF8'"] {
            assert!(message.contains(named), "{message}");
        }
        assert_eq!(backend::text(&url, "SELECT to_regclass('coordinator_lease')::text").await, None);
    }
}

/// As a constraint or a trigger of the team may refuse one.
async fn a_note_that_cannot_be_stored_delays_no_result(databases: &Databases) {
    let database = databases.another().await;
    let opening = opening("noted", "a");
    let store = database.store(&opening);
    assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
    database.execute("ALTER TABLE coordinator_signal ADD CHECK (note !~ '✅')").await;
    let token = lead(&store, &opening).await;
    let signals = ["s-1", "s-2", "s-3"].map(signal);
    store.submit(&signals, &client()).await.expect("submit");
    let mut reports = Vec::new();
    for note in ["fine", "filled ✅", "fine"] {
        let mut report = report(&claimed(&store, &token).await, Outcome::Done);
        report.note = Some(note.to_owned());
        reports.push(report);
    }
    assert_eq!(store.record(&token, &reports).await, Ok(Some(vec![Recorded::Recorded; 3])));
    let stored = store.find(&reports[1].id).await.expect("find").expect("there").note;
    assert_eq!(stored.as_deref(), Some("filled ?"));
}

async fn a_role_without_the_timelines_functions_is_refused(databases: &Databases) {
    for (n, function) in ["pg_walfile_name(pg_lsn)", "pg_current_wal_lsn()"].into_iter().enumerate() {
        let database = databases.another().await;
        database
            .execute(&format!(
                "REVOKE EXECUTE ON FUNCTION pg_catalog.{function} FROM PUBLIC;
                 CREATE ROLE managed_{n} LOGIN PASSWORD 'p'; GRANT ALL ON SCHEMA public TO managed_{n}"
            ))
            .await;
        let url = database.url_as(&format!("managed_{n}"), "p");
        let store = store_in(&url, "public", &opening("managed", "a"));
        let message = refusal(&store).await;
        let grant = format!("GRANT EXECUTE ON FUNCTION pg_catalog.{function} TO managed_{n}");
        assert!(message.contains(&grant), "{message}");
        database.execute(&grant).await;
        assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current), "the advice works");
    }
}

async fn a_dropped_table_is_named_and_the_advice_works(databases: &Databases) {
    for table in ["lease", "signal", "audit"] {
        let database = databases.another().await;
        let opening = opening("dropped", "a");
        let store = database.store(&opening);
        assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
        database.execute(&format!("DROP TABLE coordinator_{table}")).await;
        // A statement that needs the table must not give useless advice.
        if let Err(error) = store.observe().await {
            assert!(!error.to_string().contains("run `coordinator migrate`"), "{error}");
        }
        let message = match store.migrate(Migrate::Check).await {
            Err(StoreError::Corrupt(message)) => message,
            other => panic!("{table}: {other:?}"),
        };
        assert!(message.contains(&format!("has lost coordinator_{table},")), "{message}");
        assert_eq!(store.migrate(Migrate::Apply).await, Err(StoreError::Corrupt(message.clone())));
        let advice = message.split('`').find(|part| part.starts_with("DROP TABLE")).expect("statements");
        database.execute(advice).await;
        assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current), "{table}");
        serve(&store, &opening).await;
    }
}

/// Columns, constraints, indexes and triggers of our tables, as the server describes them.
const SHAPE: &str = "\
    SELECT line FROM (
        SELECT format('%s.%s %s %s %s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
                      a.attidentity, pg_get_expr(d.adbin, d.adrelid)) AS line
        FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0
        LEFT JOIN pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE c.relkind = 'r' AND c.relname LIKE 'coordinator\\_%'
        UNION ALL SELECT format('%s %s', conrelid::regclass, pg_get_constraintdef(oid)) FROM pg_constraint
        WHERE conrelid::regclass::text LIKE 'coordinator\\_%'
        UNION ALL SELECT indexdef FROM pg_indexes WHERE tablename LIKE 'coordinator\\_%'
        UNION ALL SELECT pg_get_triggerdef(oid) FROM pg_trigger
        WHERE NOT tgisinternal AND tgrelid::regclass::text LIKE 'coordinator\\_%') AS all_of_it
    ORDER BY line";

/// What was in these tables comes back, is in another one, or is not missed.
async fn a_dropped_table_without_which_nothing_is_lost_is_created_again(databases: &Databases) {
    let database = databases.another().await;
    let opening = opening("dropped", "a");
    let store = database.store(&opening);
    assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
    store.switch(Switch::Pause, &client(), "the desk is closed").await.expect("pause");
    let shape = database.texts(SHAPE).await;
    assert!(shape.len() > 100, "{shape:?}");
    for dropped in [
        "member",
        "term",
        "dispatch",
        "decision",
        "member, coordinator_term, coordinator_dispatch, coordinator_schema",
    ] {
        database.execute(&format!("DROP TABLE coordinator_{dropped}")).await;
        match store.migrate(Migrate::Check).await {
            Ok(Schema::Older { found: 0 }) => {}
            Err(StoreError::Corrupt(message)) => {
                assert!(message.contains("run `coordinator migrate`, which creates it again"), "{message}");
            }
            other => panic!("{dropped}: {other:?}"),
        }
        assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current), "{dropped}");
        assert_eq!(database.texts(SHAPE).await, shape, "{dropped}");
        assert!(store.totals().await.expect("totals").paused.is_some(), "{dropped}: the kill switch is on");
    }
    lead(&store, &opening).await;
}

/// Functions are not dropped with the tables. That everything is gone is no reason to refuse, nor that the version alone is.
async fn a_database_whose_tables_were_all_dropped_is_migrated_again(databases: &Databases) {
    let all = "coordinator_lease, coordinator_member, coordinator_term, coordinator_signal, coordinator_dispatch, \
               coordinator_audit, coordinator_decision";
    for lost in [
        format!("DROP TABLE {all}, coordinator_schema"),
        "DROP TABLE coordinator_schema".to_owned(),
        "DELETE FROM coordinator_schema".to_owned(),
    ] {
        let database = databases.another().await;
        let opening = opening("dropped", "a");
        let store = database.store(&opening);
        assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
        database.execute(&lost).await;
        assert_eq!(store.migrate(Migrate::Check).await, Ok(Schema::Older { found: 0 }), "{lost}");
        assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current), "{lost}");
        assert_eq!(store.migrate(Migrate::Check).await, Ok(Schema::Current), "{lost}");
        serve(&store, &opening).await;
    }
}

/// What was in a table that is missing cannot be made up, whether the version is known or not.
async fn a_schema_that_lost_its_version_and_a_table_is_refused_and_the_advice_works(databases: &Databases) {
    let database = databases.another().await;
    let opening = opening("dropped", "a");
    let store = database.store(&opening);
    assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
    database.execute("DROP TABLE coordinator_schema, coordinator_signal").await;
    for apply in [Migrate::Check, Migrate::Apply] {
        let answer = store.migrate(apply).await;
        let Err(StoreError::Corrupt(message)) = answer else { panic!("{answer:?}") };
        assert!(message.contains("has lost coordinator_signal, coordinator_schema,"), "{message}");
        if apply == Migrate::Apply {
            let advice = message.split('`').find(|part| part.starts_with("DROP TABLE")).expect("statements");
            database.execute(advice).await;
        }
    }
    assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
    serve(&store, &opening).await;
}

async fn a_pooler_in_session_mode_as_it_is_shipped_works(databases: &Databases) {
    let database = databases.another().await;
    let pooler = pgbouncer(&databases.address(), "session");
    let opening = opening("pooled", "a");
    let store = store_in(&pooler.url(database.name()), "public", &opening);
    assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
    serve(&store, &opening).await;
    store.close().await;
}

async fn a_pooler_that_shares_sessions_is_refused(databases: &Databases) {
    let database = databases.another().await;
    for mode in ["transaction", "statement"] {
        let pooler = pgbouncer(&databases.address(), mode);
        let store = store_in(&pooler.url(database.name()), "public", &opening("pooled", "a"));
        let message = refusal(&store).await;
        assert!(message.contains("set pool_mode = session"), "{message}");
        store.close().await;
    }
}
