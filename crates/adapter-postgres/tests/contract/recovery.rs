//! Cases of recovery from relations that belong to the team.

use crate::cases;
use crate::databases::{Databases, opening};
use contract::raw_portfolio::RawPortfolio;
use contract::{Case, Opening};
use domain::ports::{Migrate, Schema, StateStore, StoreError};
use sqlx::Row;

pub fn cases() -> Vec<Case<Databases>> {
    cases!("recovery":
        a_view_over_foreign_tables_is_read_exactly,
        a_view_of_the_default_name_is_left_alone,
        both_relations_are_read_from_one_snapshot,
    )
}

/// The books are in one database, and a view over them in another.
async fn a_view_over_foreign_tables_is_read_exactly(databases: &Databases) {
    let (books, service) = (databases.another().await, databases.another().await);
    books
        .execute(
            "CREATE TABLE trades (id int, symbol text, state text, qty numeric, price numeric, risk numeric,
                                  margin numeric);
             INSERT INTO trades VALUES (1, 'NIFTY', 'open', 0.10, 123456789012345678.01, 'NaN', 1),
                                       (2, 'NIFTY', 'Closed', 1, 1, 1, 1),
                                       (3, NULL, NULL, 'Infinity', -1, 0.010, NULL);
             CREATE TABLE totals (risk numeric, margin numeric); INSERT INTO totals VALUES (100000.005, 'NaN')",
        )
        .await;
    // The server's own address, which differs from the test's view of it if the server runs in a container.
    let itself = service.until("SELECT host(inet_server_addr()) AS host, inet_server_port() AS port").await;
    let (host, port) = (itself.get::<String, _>("host"), itself.get::<i32, _>("port"));
    service
        .execute(&format!(
            "CREATE EXTENSION postgres_fdw; CREATE SCHEMA desk;
             CREATE ROLE clerk LOGIN PASSWORD 'clerk';
             CREATE SERVER books FOREIGN DATA WRAPPER postgres_fdw
                OPTIONS (host '{host}', port '{port}', dbname '{}');
             CREATE USER MAPPING FOR postgres SERVER books OPTIONS (user 'clerk', password 'clerk')",
            books.name(),
        ))
        .await;
    books.execute("GRANT SELECT ON trades, totals TO clerk").await;
    service
        .execute(
            "IMPORT FOREIGN SCHEMA public LIMIT TO (trades, totals) FROM SERVER books INTO desk;
             CREATE VIEW desk.positions AS SELECT id AS position_id, symbol AS instrument, state AS status,
                qty AS quantity, price AS entry_price, risk AS risk_amount, margin AS margin_used FROM desk.trades;
             CREATE VIEW desk.portfolio AS SELECT risk AS total_risk_amount, margin AS margin_used FROM desk.totals",
        )
        .await;
    let relations = Opening {
        positions: "desk.positions".to_owned(),
        portfolio: "desk.portfolio".to_owned(),
        ..opening("foreign", "a")
    };
    let store = service.store(&relations);
    assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
    let book = RawPortfolio::read(&store).await.expect("portfolio");
    let figures: Vec<_> = book
        .positions
        .iter()
        .map(|p| {
            [&p.position_id, &p.quantity, &p.entry_price, &p.risk_amount, &p.margin_used]
                .map(Option::as_deref)
        })
        .collect();
    assert_eq!(
        figures,
        [
            [Some("1"), Some("0.10"), Some("123456789012345678.01"), Some("NaN"), Some("1")],
            [Some("3"), Some("Infinity"), Some("-1"), Some("0.010"), None],
        ]
    );
    assert_eq!((&book.positions[1].instrument, &book.positions[1].status), (&None, &None));
    assert_eq!(book.totals.len(), 1);
    assert_eq!(book.totals[0].total_risk_amount.as_deref(), Some("100000.005"));
    assert_eq!(book.totals[0].margin_used.as_deref(), Some("NaN"));

    // The books' owner renames a column: the foreign table exists, its column does not.
    books.execute("ALTER TABLE trades RENAME COLUMN risk TO exposure").await;
    match RawPortfolio::read(&store).await {
        Err(StoreError::Corrupt(message)) => assert!(message.contains("risk"), "{message}"),
        other => panic!("{other:?}"),
    }
}

async fn a_view_of_the_default_name_is_left_alone(databases: &Databases) {
    let database = databases.another().await;
    database
        .execute(
            "CREATE VIEW portfolio_state AS SELECT 7.5::numeric AS total_risk_amount, 2::numeric AS margin_used",
        )
        .await;
    let store = database.store(&opening("view", "a"));
    for _ in 0..2 {
        assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
    }
    let book = RawPortfolio::read(&store).await.expect("portfolio");
    assert_eq!(book.totals.len(), 1);
    assert_eq!(book.totals[0].total_risk_amount.as_deref(), Some("7.5"));
    let kind = database.until("SELECT relkind::text FROM pg_class WHERE relname = 'portfolio_state'").await;
    assert_eq!(kind.get::<String, _>(0), "v");
}

/// The totals are a view that counts positions. Whatever is committed between the two reads, they use the
/// same snapshot: a position that another session adds in between is in both or in neither.
async fn both_relations_are_read_from_one_snapshot(databases: &Databases) {
    let database = databases.another().await;
    database
        .execute(
            "CREATE TABLE books (n int);
             CREATE FUNCTION slow() RETURNS text LANGUAGE plpgsql VOLATILE AS $$ BEGIN
                -- Room for the other session between the two reads; without it the case is only easier.
                PERFORM pg_notify('reading', ''); PERFORM pg_sleep(0.05); RETURN 'NIFTY'; END $$;
             CREATE VIEW portfolio_positions AS SELECT n AS position_id, slow() AS instrument, 'open' AS status,
                1 AS quantity, 1 AS entry_price, 1 AS risk_amount, 1 AS margin_used FROM books;
             CREATE VIEW portfolio_state AS
                SELECT count(*) AS total_risk_amount, count(*) AS margin_used FROM books;
             INSERT INTO books VALUES (0)",
        )
        .await;
    let store = std::sync::Arc::new(database.store(&opening("snapshot", "a")));
    assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
    for n in 1..20 {
        let read = tokio::spawn({
            let store = store.clone();
            async move { RawPortfolio::read(&*store).await }
        });
        database.execute(&format!("INSERT INTO books VALUES ({n})")).await;
        let book = read.await.expect("no panic").expect("portfolio");
        let counted = book.totals[0].total_risk_amount.as_deref().and_then(|count| count.parse().ok());
        assert_eq!(counted, Some(book.positions.len()));
    }
}
