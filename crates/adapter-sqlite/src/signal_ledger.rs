//! The ledger of signals. Every effect is one statement whose condition is the fence.

use crate::fence::{fenced, may_act};
use crate::state_store::SqliteStore;
use crate::statement::Statement;
use crate::stored::{Stored, now_text};
use async_trait::async_trait;
use domain::lease::{Epoch, Timeline, Token};
use domain::ledger::{BODY_LEN_MAX, NewSignal, Settlement, Signal, SignalCounts, SignalId, SignalState};
use domain::ports::{Recorded, SignalClaim, SignalLedger, StoreError, Submit};
use sqlx::sqlite::SqliteRow;

#[async_trait]
impl SignalLedger for SqliteStore {
    async fn submit(&self, signal: &NewSignal) -> Result<Submit, StoreError> {
        const SQL: &str = concat!(
            "INSERT INTO coordinator_signal (group_id, id, body, state, received_at) ",
            "VALUES (?1, ?2, ?3, 'received', ",
            now_text!(),
            ") ON CONFLICT (group_id, id) DO NOTHING RETURNING arrival"
        );
        if signal.body.len() > BODY_LEN_MAX {
            return Err(StoreError::Unavailable(format!(
                "the body of {} has {} bytes, {BODY_LEN_MAX} are allowed",
                signal.id,
                signal.body.len()
            )));
        }
        let statement = self.about(SQL, &signal.id).bind(signal.body.clone());
        let rows = self.work.fetch(statement).await?;
        if let Some(row) = rows.first() {
            return Ok(Submit::Accepted(Signal {
                id: signal.id.clone(),
                body: signal.body.clone(),
                order: stored(row).number("arrival")?,
                state: SignalState::Received,
            }));
        }
        // The id is taken. Signals are never deleted, so it still is.
        let first = self.find(&signal.id).await?;
        Ok(if first.body == signal.body { Submit::Repeated(first) } else { Submit::Conflict(first) })
    }

    async fn claim_next(&self, token: &Token) -> Result<SignalClaim, StoreError> {
        const SQL: &str = concat!(
            "UPDATE coordinator_signal SET state = 'claimed', tl = ?2, epoch = ?3, claim = ?4, claimed_at = ",
            now_text!(),
            " WHERE arrival = (SELECT arrival FROM coordinator_signal WHERE group_id = ?1 ",
            "AND state = 'received' ORDER BY arrival LIMIT 1) AND ",
            may_act!(),
            " RETURNING ",
            signal_columns!()
        );
        let rows = self.work.fetch(fenced(SQL, &self.config.group, token)).await?;
        match rows.first() {
            Some(row) => read(row).map(SignalClaim::Claimed),
            // Nothing was written. A token that still holds now held then: a lost one never comes back.
            None if self.holds(token).await? => Ok(SignalClaim::Empty),
            None => Ok(SignalClaim::Fenced),
        }
    }

    async fn settle(&self, token: &Token, id: &SignalId, as_: Settlement) -> Result<Recorded, StoreError> {
        const SQL: &str = concat!(
            "UPDATE coordinator_signal SET state = ?6, settled_at = ",
            now_text!(),
            " WHERE group_id = ?1 AND id = ?5 AND state = 'claimed' AND (tl, epoch, claim) = (?2, ?3, ?4) AND ",
            may_act!()
        );
        let state = match as_ {
            Settlement::Done => "done",
            Settlement::Rejected => "rejected",
            // What this leader claimed it may have sent: it does not go back to wait.
            Settlement::Received => return Ok(Recorded::Fenced),
        };
        self.record(fenced(SQL, &self.config.group, token).bind(id.as_str().to_owned()).bind(state)).await
    }

    async fn take_over(&self, token: &Token) -> Result<Option<Vec<Signal>>, StoreError> {
        const MARK: &str = concat!(
            "UPDATE coordinator_signal SET state = 'in_doubt' WHERE group_id = ?1 AND state = 'claimed' AND ",
            may_act!()
        );
        // One row without a signal when the token holds and nothing is in doubt; none when it is fenced.
        const LIST: &str = concat!(
            "SELECT ",
            signal_columns!(),
            " FROM (SELECT 1 WHERE ",
            may_act!(),
            ") LEFT JOIN coordinator_signal ON group_id = ?1 AND state = 'in_doubt' ORDER BY arrival"
        );
        self.work.execute(fenced(MARK, &self.config.group, token)).await?;
        let rows = self.work.fetch(fenced(LIST, &self.config.group, token)).await?;
        if rows.is_empty() {
            return Ok(None);
        }
        let mut signals = Vec::with_capacity(rows.len());
        for row in &rows {
            if stored(row).maybe_number::<u64>("arrival")?.is_some() {
                signals.push(read(row)?);
            }
        }
        Ok(Some(signals))
    }

    async fn resolve(&self, token: &Token, id: &SignalId, as_: Settlement) -> Result<Recorded, StoreError> {
        const SETTLED: &str = concat!(
            "UPDATE coordinator_signal SET state = ?6, settled_at = ",
            now_text!(),
            " WHERE group_id = ?1 AND id = ?5 AND state = 'in_doubt' AND ",
            may_act!()
        );
        const BACK: &str = concat!(
            "UPDATE coordinator_signal SET state = ?6, tl = NULL, epoch = NULL, claim = NULL, ",
            "claimed_at = NULL WHERE group_id = ?1 AND id = ?5 AND state = 'in_doubt' AND ",
            may_act!()
        );
        let (sql, state) = match as_ {
            Settlement::Done => (SETTLED, "done"),
            Settlement::Rejected => (SETTLED, "rejected"),
            Settlement::Received => (BACK, "received"),
        };
        self.record(fenced(sql, &self.config.group, token).bind(id.as_str().to_owned()).bind(state)).await
    }

    async fn counts(&self) -> Result<SignalCounts, StoreError> {
        const SQL: &str = "SELECT \
             count(*) FILTER (WHERE state = 'received') AS received, \
             count(*) FILTER (WHERE state = 'claimed') AS claimed, \
             count(*) FILTER (WHERE state = 'done') AS done, \
             count(*) FILTER (WHERE state = 'rejected') AS rejected, \
             count(*) FILTER (WHERE state = 'in_doubt') AS in_doubt \
             FROM coordinator_signal WHERE group_id = ?1";
        let rows = self.work.fetch(Statement::new(SQL).bind(self.config.group.as_str().to_owned())).await?;
        let row = rows.first().ok_or_else(|| StoreError::Unknown("a count answered no row".to_owned()))?;
        let stored = stored(row);
        Ok(SignalCounts {
            received: stored.number("received")?,
            claimed: stored.number("claimed")?,
            done: stored.number("done")?,
            rejected: stored.number("rejected")?,
            in_doubt: stored.number("in_doubt")?,
        })
    }

    async fn submitted(&self) {
        self.next_signal().await;
    }
}

/// What [`read`] needs. The body is cut one byte beyond its limit, so that a longer one is noticed
/// without being read.
macro_rules! signal_columns {
    () => {
        "arrival, substr(id, 1, 129) AS id, substr(body, 1, 65537) AS body, substr(state, 1, 16) AS state, \
         tl, epoch, substr(claim, 1, 37) AS claim"
    };
}
use signal_columns;

impl SqliteStore {
    fn about(&self, sql: &'static str, id: &SignalId) -> Statement {
        Statement::new(sql).bind(self.config.group.as_str().to_owned()).bind(id.as_str().to_owned())
    }

    async fn find(&self, id: &SignalId) -> Result<Signal, StoreError> {
        const SQL: &str =
            concat!("SELECT ", signal_columns!(), " FROM coordinator_signal WHERE group_id = ?1 AND id = ?2");
        let rows = self.work.fetch(self.about(SQL, id)).await?;
        let row = rows.first().ok_or_else(|| StoreError::Unknown(format!("{id} vanished: ask again")))?;
        read(row)
    }

    async fn holds(&self, token: &Token) -> Result<bool, StoreError> {
        const SQL: &str = concat!("SELECT 1 WHERE ", may_act!());
        Ok(!self.work.fetch(fenced(SQL, &self.config.group, token)).await?.is_empty())
    }

    async fn record(&self, statement: Statement) -> Result<Recorded, StoreError> {
        Ok(if self.work.execute(statement).await? == 1 { Recorded::Recorded } else { Recorded::Fenced })
    }
}

fn stored(row: &SqliteRow) -> Stored<'_> {
    Stored::new("coordinator_signal", row)
}

fn read(row: &SqliteRow) -> Result<Signal, StoreError> {
    let stored = stored(row);
    let id = SignalId::parse(&stored.text("id")?).map_err(|fault| stored.corrupt("id", fault))?;
    let body = stored.text("body")?;
    if body.len() > BODY_LEN_MAX {
        return Err(stored.corrupt("body", format_args!("of {id} is longer than {BODY_LEN_MAX} bytes")));
    }
    let state = match stored.text("state")?.as_str() {
        "received" => SignalState::Received,
        "claimed" => SignalState::Claimed(Token {
            timeline: Timeline(stored.number("tl")?),
            epoch: Epoch(stored.number("epoch")?),
            claim: stored.claim("claim")?,
        }),
        "done" => SignalState::Done,
        "rejected" => SignalState::Rejected,
        "in_doubt" => SignalState::InDoubt,
        _ => return Err(stored.corrupt("state", format_args!("of {id} is unknown"))),
    };
    Ok(Signal { id, body, order: stored.number("arrival")?, state })
}
