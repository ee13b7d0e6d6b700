//! The data that recovery reads: open positions and the portfolio row, from one snapshot.

use crate::config::quoted;
use crate::error;
use crate::pool::Lane;
use crate::row::Columns;
use crate::state_store::Process;
use domain::ports::StoreError;
use domain::recovery::{PortfolioRows, RawPosition, RawTotals, RelationName};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Executor};

/// The one transaction of this adapter in addition to the migration. It runs on a session that is closed if
/// the future is dropped, so no later request can find it open.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
const CURSOR: &str = "coordinator_positions";
/// Rows of one request, each at most 7 kB. Whatever the number of rows, the server holds no long answer for a
/// client that has stopped. A client that is slow with a long answer is not idle in its transaction, because
/// its next request comes soon.
const ROWS_AT_ONCE: usize = 500;
/// Rows of the portfolio relation that are read. There must be exactly one; two are enough to detect more.
const TOTALS_READ_MAX: usize = 2;

/// Columns as text, cut at the server: every valid value is far shorter than 256 characters.
const POSITION_COLUMNS: &str = "\
    left(position_id::text, 256) AS position_id, left(instrument::text, 256) AS instrument,
    left(status::text, 256) AS status, left(quantity::text, 256) AS quantity,
    left(entry_price::text, 256) AS entry_price, left(risk_amount::text, 256) AS risk_amount,
    left(margin_used::text, 256) AS margin_used";
const TOTALS_COLUMNS: &str = "\
    left(total_risk_amount::text, 256) AS total_risk_amount, left(margin_used::text, 256) AS margin_used";

/// The relations of recovery: positions and portfolio.
type Relations<'a> = (&'a RelationName, &'a RelationName);

pub(crate) async fn read(
    lane: &Lane,
    me: &Process,
    relations: Relations<'_>,
    rows: &mut dyn PortfolioRows,
) -> Result<(), StoreError> {
    let mut session = lane.take().await?;
    let answer = read_snapshot(session.connection(), me, relations, rows).await;
    session.answered(answer)
}

async fn read_snapshot(
    connection: &mut PgConnection,
    me: &Process,
    (positions, portfolio): Relations<'_>,
    rows: &mut dyn PortfolioRows,
) -> Result<(), StoreError> {
    connection.execute(BEGIN).await.map_err(|error| error::after_sending(&error))?;
    let schema = me.names.schema();
    let open = format!(
        "DECLARE {CURSOR} NO SCROLL CURSOR FOR
         SELECT {POSITION_COLUMNS} FROM {} WHERE lower(status::text) IS DISTINCT FROM 'closed'
         ORDER BY left(position_id::text, 256) COLLATE \"C\"",
        quoted(positions, schema)
    );
    all(connection, open, positions).await?;
    loop {
        let some = all(connection, format!("FETCH {ROWS_AT_ONCE} FROM {CURSOR}"), positions).await?;
        for row in &some {
            rows.position(&position(row)?);
        }
        if some.len() < ROWS_AT_ONCE {
            break;
        }
    }
    let totals =
        format!("SELECT {TOTALS_COLUMNS} FROM {} LIMIT {TOTALS_READ_MAX}", quoted(portfolio, schema));
    for row in &all(connection, totals, portfolio).await? {
        rows.totals(&totals_row(row)?);
    }
    connection.execute("COMMIT").await.map_err(|error| error::after_sending(&error))?;
    Ok(())
}

/// Reads all rows of a statement. Its only dynamic parts are a [`RelationName`], quoted, and constants. It is
/// not prepared, because a relation may change between two recoveries.
async fn all(
    connection: &mut PgConnection,
    statement: String,
    relation: &RelationName,
) -> Result<Vec<PgRow>, StoreError> {
    sqlx::query(AssertSqlSafe(statement))
        .persistent(false)
        .fetch_all(connection)
        .await
        .map_err(|error| error::while_recovering(&error, relation))
}

fn position(row: &PgRow) -> Result<RawPosition, StoreError> {
    let columns = Columns::of("positions", row);
    Ok(RawPosition {
        position_id: columns.optional("position_id")?,
        instrument: columns.optional("instrument")?,
        status: columns.optional("status")?,
        quantity: columns.optional("quantity")?,
        entry_price: columns.optional("entry_price")?,
        risk_amount: columns.optional("risk_amount")?,
        margin_used: columns.optional("margin_used")?,
    })
}

fn totals_row(row: &PgRow) -> Result<RawTotals, StoreError> {
    let columns = Columns::of("portfolio", row);
    Ok(RawTotals {
        total_risk_amount: columns.optional("total_risk_amount")?,
        margin_used: columns.optional("margin_used")?,
    })
}
