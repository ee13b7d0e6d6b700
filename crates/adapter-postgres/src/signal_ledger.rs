//! The effects. Every statement that takes a token begins with the fence.

use crate::fence::{bind_token, with_fence};
use crate::listen::{Hint, channel};
use crate::pool::Statement;
use crate::row::Columns;
use crate::state_store::PostgresStore;
use async_trait::async_trait;
use domain::lease::{Epoch, Timeline, Token};
use domain::ledger::{BODY_LEN_MAX, NewSignal, Settlement, Signal, SignalCounts, SignalId, SignalState};
use domain::ports::{Recorded, SignalClaim, SignalLedger, StoreError, Submit};
use sqlx::postgres::PgRow;

const TABLE: &str = "coordinator_signal";

/// Signals in doubt that one take-over hands out, oldest first: with the largest bodies 64 MiB. A leader
/// leaves one in doubt, so more means that nobody has resolved any for a long time; the rest stays in
/// doubt and comes with a later take-over.
const IN_DOUBT_READ_MAX: i64 = 1_000;

const _: () = assert!(BODY_LEN_MAX == 65_536, "as SQL has it below and in the schema");

/// A signal's columns, with alias `s`; an overlong body is not fetched.
macro_rules! signal_columns {
    () => {
        "left(s.id, 129) AS id, CASE WHEN octet_length(s.body) <= 65536 THEN s.body END AS body, s.arrival,
         left(s.state, 32) AS state, s.tl, s.epoch, s.claim"
    };
}

/// $1 group, $2 id, $3 body, $4 hint.
///
/// The update of a repetition changes nothing, and is there because it writes: its commit waits for the
/// synchronous standby as the first one did, and PostgreSQL's log is in order, so when it is there, the
/// first is too. A statement that only reads would acknowledge a signal whose commit was cancelled while it
/// waited, which is visible here and not yet there. An inserted row has no `xmax`; one that was updated by
/// this statement was locked by it before and has its transaction there.
const SUBMIT: &str = concat!(
    "WITH s AS (
        INSERT INTO coordinator_signal (group_id, id, body) VALUES ($1, $2, $3)
        ON CONFLICT (group_id, id) DO UPDATE SET id = excluded.id
        RETURNING *, xmax = 0 AS fresh)
     SELECT ",
    signal_columns!(),
    ", s.fresh, CASE WHEN s.fresh THEN pg_notify(",
    channel!(),
    ", $4) END FROM s"
);

/// The row lock on the oldest makes two claims of the same leader take two signals.
const CLAIM_NEXT: &str = concat!(
    with_fence!(
        "oldest AS (
            SELECT w.group_id, w.id FROM fence, coordinator_signal AS w
            WHERE w.group_id = $1 AND w.state = 'received' ORDER BY w.arrival LIMIT 1 FOR UPDATE OF w),
         s AS (
            UPDATE coordinator_signal AS t
            SET state = 'claimed', tl = $2, epoch = $3, claim = $4, claimed_at = now(), settled_at = NULL
            FROM oldest WHERE t.group_id = oldest.group_id AND t.id = oldest.id RETURNING t.*)
         SELECT EXISTS (SELECT FROM fence) AS held, "
    ),
    signal_columns!(),
    " FROM (VALUES (1)) AS always LEFT JOIN s ON true"
);

/// $5 id, $6 state. By the claim and not the whole token: a leader that carried its row to a new timeline
/// has the claim it had. That the token is the row's, the fence has checked.
const SETTLE: &str = with_fence!(
    "s AS (
        UPDATE coordinator_signal SET state = $6, settled_at = now()
        WHERE group_id = $1 AND id = $5 AND state = 'claimed' AND claim = $4 AND EXISTS (SELECT FROM fence)
        RETURNING 1)
     SELECT 1 FROM s"
);

/// $5 limit.
const TAKE_OVER: &str = concat!(
    with_fence!(
        "doubted AS (
            UPDATE coordinator_signal SET state = 'in_doubt'
            WHERE group_id = $1 AND state = 'claimed' AND EXISTS (SELECT FROM fence)
            RETURNING *),
         s AS (
            SELECT * FROM doubted
            UNION ALL
            SELECT * FROM coordinator_signal
            WHERE group_id = $1 AND state = 'in_doubt' AND EXISTS (SELECT FROM fence))
         SELECT EXISTS (SELECT FROM fence) AS held, "
    ),
    signal_columns!(),
    " FROM (VALUES (1)) AS always LEFT JOIN s ON true ORDER BY s.arrival LIMIT $5"
);

/// $5 id, $6 state.
const RESOLVE: &str = with_fence!(
    "s AS (
        UPDATE coordinator_signal
        SET state = $6, settled_at = CASE WHEN $6 = 'received' THEN NULL ELSE now() END
        WHERE group_id = $1 AND id = $5 AND state = 'in_doubt' AND EXISTS (SELECT FROM fence)
        RETURNING 1)
     SELECT 1 FROM s"
);

const COUNTS: &str = "\
    SELECT left(state, 32) AS state, count(*) AS signals FROM coordinator_signal
    WHERE group_id = $1 GROUP BY coordinator_signal.state";

#[async_trait]
impl SignalLedger for PostgresStore {
    async fn submit(&self, signal: &NewSignal) -> Result<Submit, StoreError> {
        let statement = sqlx::query(SUBMIT)
            .bind(self.me.group.as_str())
            .bind(signal.id.as_str())
            .bind(signal.body.as_str())
            .bind(self.me.payload(Hint::Signal));
        let row = self.service.one(statement).await?;
        let stored = read(&row)?;
        Ok(if Columns::of(TABLE, &row).required("fresh")? {
            Submit::Accepted(stored)
        } else if stored.body == signal.body {
            Submit::Repeated(stored)
        } else {
            Submit::Conflict(stored)
        })
    }

    async fn claim_next(&self, token: &Token) -> Result<SignalClaim, StoreError> {
        let row = self.service.one(bind_token(CLAIM_NEXT, &self.me.group, token)).await?;
        Ok(match (held(&row)?, read_if_there(&row)?) {
            (false, _) => SignalClaim::Fenced,
            (true, None) => SignalClaim::Empty,
            (true, Some(signal)) => SignalClaim::Claimed(signal),
        })
    }

    async fn settle(&self, token: &Token, id: &SignalId, as_: Settlement) -> Result<Recorded, StoreError> {
        match as_ {
            Settlement::Done | Settlement::Rejected => self.record(SETTLE, token, id, as_).await,
            // Only a signal in doubt can go back to wait: no claimed one is in the state this starts from.
            Settlement::Received => Ok(Recorded::Fenced),
        }
    }

    async fn take_over(&self, token: &Token) -> Result<Option<Vec<Signal>>, StoreError> {
        let statement = bind_token(TAKE_OVER, &self.me.group, token).bind(IN_DOUBT_READ_MAX);
        let rows = self.service.all(statement).await?;
        // `always` yields a row even when there is no signal.
        match rows.first() {
            Some(first) if held(first)? => rows
                .iter()
                .filter_map(|row| read_if_there(row).transpose())
                .collect::<Result<_, _>>()
                .map(Some),
            Some(_) | None => Ok(None),
        }
    }

    async fn resolve(&self, token: &Token, id: &SignalId, as_: Settlement) -> Result<Recorded, StoreError> {
        self.record(RESOLVE, token, id, as_).await
    }

    async fn counts(&self) -> Result<SignalCounts, StoreError> {
        let rows = self.service.all(sqlx::query(COUNTS).bind(self.me.group.as_str())).await?;
        let mut counts = SignalCounts::default();
        for row in &rows {
            let columns = Columns::of(TABLE, row);
            let signals = columns.number("signals")?;
            let state: &str = columns.required("state")?;
            *match state {
                "received" => &mut counts.received,
                "claimed" => &mut counts.claimed,
                "done" => &mut counts.done,
                "rejected" => &mut counts.rejected,
                "in_doubt" => &mut counts.in_doubt,
                other => return Err(columns.corrupt("state", &format!("is {other:?}"))),
            } = signals;
        }
        Ok(counts)
    }

    async fn submitted(&self) {
        self.listener.signal().await;
    }
}

impl PostgresStore {
    /// [`SETTLE`] or [`RESOLVE`].
    async fn record(
        &self,
        sql: &'static str,
        token: &Token,
        id: &SignalId,
        as_: Settlement,
    ) -> Result<Recorded, StoreError> {
        let state = match as_ {
            Settlement::Done => "done",
            Settlement::Rejected => "rejected",
            Settlement::Received => "received",
        };
        let statement: Statement<'_> = bind_token(sql, &self.me.group, token).bind(id.as_str()).bind(state);
        Ok(if self.service.optional(statement).await?.is_some() {
            Recorded::Recorded
        } else {
            Recorded::Fenced
        })
    }
}

/// Whether the fence let the statement through.
fn held(row: &PgRow) -> Result<bool, StoreError> {
    Columns::of("coordinator_lease", row).required("held")
}

/// The signal of an outer join's row.
fn read_if_there(row: &PgRow) -> Result<Option<Signal>, StoreError> {
    match Columns::of(TABLE, row).optional::<&str>("id")? {
        Some(_) => read(row).map(Some),
        None => Ok(None),
    }
}

fn read(row: &PgRow) -> Result<Signal, StoreError> {
    let columns = Columns::of(TABLE, row);
    let id = SignalId::parse(columns.required("id")?)
        .map_err(|fault| columns.corrupt("id", &fault.to_string()))?;
    let state: &str = columns.required("state")?;
    let state = match state {
        "received" => SignalState::Received,
        "claimed" => SignalState::Claimed(Token {
            timeline: Timeline(columns.number("tl")?),
            epoch: Epoch(columns.number("epoch")?),
            claim: columns.claim("claim")?,
        }),
        "done" => SignalState::Done,
        "rejected" => SignalState::Rejected,
        "in_doubt" => SignalState::InDoubt,
        other => return Err(columns.corrupt("state", &format!("is {other:?}"))),
    };
    Ok(Signal { id, body: columns.required("body")?, order: columns.number("arrival")?, state })
}
