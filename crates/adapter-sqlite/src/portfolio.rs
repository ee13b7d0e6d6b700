//! The positions and the portfolio row, which recovery checks.

use crate::config::SqliteConfig;
use crate::session::Session;
use crate::statement::Statement;
use crate::stored::Stored;
use domain::ports::StoreError;
use domain::recovery::{PortfolioRows, RawPosition, RawTotals};
use sqlx::AssertSqlSafe;
use sqlx::sqlite::SqliteRow;

/// Longest value that is read unchanged, in characters; every decimal that recovery accepts is shorter. A
/// longer value is replaced by a text that is never a number, because a truncated one could pass for another
/// value.
const VALUE_LEN_MAX: usize = 256;

/// Rows of the portfolio relation that are read. There must be exactly one; two are enough to detect more.
const TOTALS_READ_MAX: usize = 2;

const POSITION_COLUMNS: [&str; 7] =
    ["position_id", "instrument", "status", "quantity", "entry_price", "risk_amount", "margin_used"];
const TOTALS_COLUMNS: [&str; 2] = ["total_risk_amount", "margin_used"];

/// See [`domain::ports::PortfolioSource::portfolio`].
///
/// One statement reads both relations from one snapshot, without a transaction that a dropped future could
/// leave open.
pub(crate) async fn portfolio(
    session: &Session,
    config: &SqliteConfig,
    rows: &mut dyn PortfolioRows,
) -> Result<(), StoreError> {
    let each = session.each(statement(config), |row| hand_over(row, rows)).await;
    each.map_err(|error| named(config, error))
}

fn hand_over(row: &SqliteRow, rows: &mut dyn PortfolioRows) -> Result<(), StoreError> {
    let stored = Stored::new("recovery", row);
    let value = |column| stored.maybe_text(column);
    match stored.number("relation")? {
        0 => rows.position(&RawPosition {
            position_id: value("c0")?,
            instrument: value("c1")?,
            status: value("c2")?,
            quantity: value("c3")?,
            entry_price: value("c4")?,
            risk_amount: value("c5")?,
            margin_used: value("c6")?,
        }),
        _ => rows.totals(&RawTotals { total_risk_amount: value("c0")?, margin_used: value("c1")? }),
    }
    Ok(())
}

fn statement(config: &SqliteConfig) -> Statement {
    let positions = format!(
        "SELECT 0 AS relation, {} FROM \"{}\" WHERE status IS NULL OR lower(CAST(status AS TEXT)) <> 'closed'",
        columns(&POSITION_COLUMNS),
        config.positions(),
    );
    let totals = format!(
        "SELECT 1 AS relation, {} FROM \"{}\" LIMIT {TOTALS_READ_MAX}",
        columns(&TOTALS_COLUMNS),
        config.portfolio(),
    );
    // Names of relations cannot be arguments; `RelationName` accepts only identifiers. What does not fit into
    // the connection's cache is sorted in a temporary file.
    Statement::new(AssertSqlSafe(format!(
        "SELECT * FROM ({positions}) UNION ALL SELECT * FROM ({totals}) ORDER BY relation, c0 COLLATE BINARY"
    )))
}

/// The columns as texts, named c0, c1 ...; as many as a position has, so that both relations fit together.
fn columns(names: &[&str]) -> String {
    let texts = names.iter().map(|name| {
        format!(
            "CASE WHEN length(CAST({name} AS TEXT)) > {VALUE_LEN_MAX} \
             THEN 'a text of ' || length(CAST({name} AS TEXT)) || ' characters' ELSE CAST({name} AS TEXT) END"
        )
    });
    let all = texts.chain(std::iter::repeat("NULL".to_owned())).take(POSITION_COLUMNS.len());
    all.enumerate().map(|(i, text)| format!("{text} AS c{i}")).collect::<Vec<_>>().join(", ")
}

/// Adds to the error which settings name the relations. SQLite only names the missing table or column.
fn named(config: &SqliteConfig, error: StoreError) -> StoreError {
    match error {
        StoreError::Corrupt(told) => StoreError::Corrupt(format!(
            "recovery reads {} (recovery.positions: {}) and {} (recovery.portfolio: {}): {told}",
            config.positions(),
            POSITION_COLUMNS.join(", "),
            config.portfolio(),
            TOTALS_COLUMNS.join(", "),
        )),
        StoreError::Unavailable(_) | StoreError::Unknown(_) => error,
    }
}
