//! Claims of signals, and the take-over of what a former leader left.

use super::stored::{held, signal, signal_columns, signal_with, small_columns};
use super::{DISPATCH, SIGNALS, no_switch};
use crate::fence::{bind_fence, with_fence};
use crate::row::{self, Columns};
use crate::state_store::PostgresStore;
use domain::lease::Token;
use domain::ledger::{FORGOTTEN, FORGOTTEN_ALERT, LimitReached, Limits, ORPHANED, Signal};
use domain::ports::{CLAIM_MAX, InFlight, SIGNALS_READ_MAX, SignalClaim, StoreError};
use sqlx::postgres::PgRow;
use std::collections::BTreeMap;

/// Signals that one claim expires, which takes a fraction of a statement's timeout. The rest waits for the
/// next claim, and is not claimed until then.
const EXPIRE_MAX: i64 = 1_000;
/// Signals that one take-over puts in doubt because the store has forgotten.
const ASK_MAX: i64 = 1_000;

/// A signal that may have been executed before the store forgot, and about which the handler was not queried
/// since. No clock is compared: `asked_ms` is the moment up to which the signal is known not to have been
/// executed (see `SUBMIT`).
macro_rules! unasked {
    () => {
        "(t.state = 'received' AND EXISTS (
            SELECT FROM coordinator_lease AS l
            WHERE l.group_id = $1 AND l.forgot_ms > coalesce(t.asked_ms, 0)))"
    };
}
pub(super) use unasked;

/// $6 most, $7 and $8 limits of a minute and a day or NULL, $9 actor, $10 origin, $11 how many to expire.
///
/// `head` goes from one instrument to the next by the index, and takes the oldest signal of each that has not
/// expired; it does not read those behind it. `turn` leaves out the instruments with a signal under way, and
/// signals about which the handler must be queried first.
///
/// Everything up to there, the limits' counts included, is one snapshot, which may be outdated when the claim
/// is carried out. So `granted` counts the claim in the row that holds the kill switch, and only if that row
/// is as the snapshot has it: of two claims at the same time the later one, after its wait for the lock,
/// finds another count and claims nothing. A claim that a pause has overtaken claims nothing either. All that
/// follows reads from `granted`.
///
/// The claim's time is the clock's and not the statement's, which may have waited: limits count from when the
/// signal is sent. `due` comes last because it waits for no lock (and it reads from `s` for this reason
/// alone).
pub(crate) const CLAIM: &str = concat!(
    with_fence!(
        "clock AS (SELECT floor(extract(epoch FROM now()) * 1000)::bigint AS now_ms),
         dispatch AS MATERIALIZED (
            SELECT claims, paused_at IS NOT NULL AS paused FROM coordinator_dispatch WHERE group_id = $1),
         room AS MATERIALIZED (
            SELECT CASE WHEN $7::bigint IS NOT NULL THEN $7 - (
                       SELECT count(*) FROM (
                           SELECT FROM coordinator_signal
                           WHERE group_id = $1 AND claimed_at > now() - interval '60 seconds'
                           ORDER BY claimed_at DESC LIMIT $7) AS latest) END AS minute,
                   CASE WHEN $8::bigint IS NOT NULL THEN $8 - (
                       SELECT count(*) FROM (
                           SELECT FROM coordinator_signal
                           WHERE group_id = $1 AND claimed_at > now() - interval '24 hours'
                           ORDER BY claimed_at DESC LIMIT $8) AS latest) END AS day),
         head AS (
            (SELECT w.id, w.instrument, w.arrival FROM coordinator_signal AS w
             WHERE w.group_id = $1 AND w.state = 'received'
               AND (w.expires_ms IS NULL OR w.expires_ms > (SELECT now_ms FROM clock))
             ORDER BY w.instrument, w.arrival LIMIT 1)
            UNION ALL
            SELECT next.* FROM head, LATERAL (
                SELECT w.id, w.instrument, w.arrival FROM coordinator_signal AS w
                WHERE w.group_id = $1 AND w.state = 'received' AND w.instrument > head.instrument
                  AND (w.expires_ms IS NULL OR w.expires_ms > (SELECT now_ms FROM clock))
                ORDER BY w.instrument, w.arrival LIMIT 1) AS next),
         turn AS MATERIALIZED (
            SELECT head.id FROM head
            WHERE head.instrument NOT IN (
                SELECT o.instrument FROM coordinator_signal AS o
                WHERE o.group_id = $1 AND o.state IN ('claimed', 'in_doubt'))
              AND NOT (
                SELECT ",
        unasked!(),
        " FROM coordinator_signal AS t WHERE t.group_id = $1 AND t.id = head.id)
            ORDER BY head.arrival
            LIMIT (SELECT greatest(1, least($6::bigint, minute, day)) FROM room)),
         granted AS (
            UPDATE coordinator_dispatch AS d SET claims = d.claims + 1
            FROM fence, dispatch, room
            WHERE d.group_id = $1 AND d.claims = dispatch.claims AND d.paused_at IS NULL AND NOT dispatch.paused
              AND least($6::bigint, room.minute, room.day) > 0 AND EXISTS (SELECT FROM turn)
            RETURNING 1),
         mine AS (
            SELECT t.group_id, t.id
            FROM granted, turn JOIN coordinator_signal AS t ON t.group_id = $1 AND t.id = turn.id
            WHERE t.state = 'received' ORDER BY t.fingerprint FOR UPDATE OF t),
         s AS (
            UPDATE coordinator_signal AS t
            SET state = 'claimed', tl = $2, epoch = $3, claim = $4, attempt = t.attempt + 1,
                claimed_at = clock_timestamp(), note = NULL, changed_by = $9, changed_from = $10
            FROM mine WHERE t.group_id = mine.group_id AND t.id = mine.id AND t.state = 'received'
            RETURNING t.*),
         due AS (
            SELECT t.id FROM fence, coordinator_signal AS t
            WHERE t.group_id = $1 AND t.state = 'received' AND t.expires_ms <= (SELECT now_ms FROM clock)
              AND (SELECT count(*) FROM s) >= 0 AND NOT ",
        unasked!(),
        "
            ORDER BY t.expires_ms LIMIT $11 FOR UPDATE OF t SKIP LOCKED),
         expired AS (
            UPDATE coordinator_signal
            SET state = 'expired', settled_at = now(), changed_by = $9, changed_from = $10
            WHERE group_id = $1 AND id = ANY (ARRAY(SELECT id FROM due)) AND state = 'received')
         SELECT EXISTS (SELECT FROM fence) AS held, (SELECT paused FROM dispatch) AS paused,
                EXISTS (SELECT FROM turn) AS waiting, coalesce((SELECT minute <= 0 FROM room), false) AS minute,
                coalesce((SELECT day <= 0 FROM room), false) AS day, "
    ),
    small_columns!(),
    " FROM (VALUES (1)) AS always LEFT JOIN s ON true ORDER BY s.arrival"
);

/// $1 group, $2 ids. The payloads of what [`CLAIM`] has claimed, read when it holds no lock any more; they
/// never change.
const PAYLOADS: &str = "\
    SELECT s.id, CASE WHEN octet_length(s.payload) <= 65536 THEN s.payload END AS payload
    FROM coordinator_signal AS s WHERE s.group_id = $1 AND s.id = ANY ($2)";

/// $6 whether another dispatcher works on the token's own claims, $7 ids of those being worked on, $8 actor,
/// $9 origin, $10 note for signals that the store may have forgotten, $11 how many of them at once,
/// $12 note for signals without an outcome, $13 as $10 for those of a hook with a window.
/// [`IN_DOUBT`] reads what is in doubt afterwards, when no lock is held any more.
///
/// What the store may have forgotten may have been executed: it is in doubt as if it had been claimed when it
/// was received. For signals that are already in doubt, the handler will be queried in any case.
const TAKE_OVER: &str = concat!(with_fence!(
    "forgotten AS (
            SELECT t.group_id, t.id FROM fence, coordinator_signal AS t
            WHERE t.group_id = $1 AND ",
    unasked!(),
    " ORDER BY t.fingerprint LIMIT $11 FOR UPDATE OF t),
         asked AS (
            UPDATE coordinator_signal AS t
            SET state = 'in_doubt', attempt = t.attempt + 1, claimed_at = t.received_at,
                note = CASE WHEN t.hook_window_s > 0 THEN $13 ELSE $10 END,
                asked_ms = (SELECT forgot_ms FROM coordinator_lease WHERE group_id = $1),
                changed_by = $8, changed_from = $9
            FROM forgotten AS f WHERE t.group_id = f.group_id AND t.id = f.id AND t.state = 'received'
            RETURNING 1),
         left_behind AS (
            SELECT t.group_id, t.id FROM fence, coordinator_signal AS t
            WHERE t.group_id = $1 AND t.state = 'claimed' AND NOT (t.claim = $4 AND ($6 OR t.id = ANY ($7)))
            ORDER BY t.fingerprint FOR UPDATE OF t),
         doubted AS (
            UPDATE coordinator_signal AS t
            SET state = 'in_doubt', changed_by = $8, changed_from = $9, note = $12,
                asked_ms = (SELECT forgot_ms FROM coordinator_lease WHERE group_id = $1)
            FROM left_behind AS l WHERE t.group_id = l.group_id AND t.id = l.id AND t.state = 'claimed'
            RETURNING 1)
         SELECT EXISTS (SELECT FROM fence) AS held,
                (SELECT count(*) FROM doubted) + (SELECT count(*) FROM asked) AS doubted"
));

/// $1 group, $2 limit.
const IN_DOUBT: &str = concat!(
    "SELECT ",
    signal_columns!(),
    " FROM coordinator_signal AS s WHERE s.group_id = $1 AND s.state = 'in_doubt' ORDER BY s.arrival LIMIT $2"
);

pub(super) async fn claim(
    store: &PostgresStore,
    token: &Token,
    limits: Limits,
    most: u16,
) -> Result<SignalClaim, StoreError> {
    let own = store.me.actor();
    let statement = bind_fence(CLAIM, &store.me, token)
        .bind(i64::from(most.clamp(1, CLAIM_MAX)))
        .bind(limits.per_minute.map(i64::from))
        .bind(limits.per_day.map(i64::from))
        .bind(row::actor(&own.who))
        .bind(row::actor(&own.origin))
        .bind(EXPIRE_MAX);
    let rows = store.service.all(statement).await?;
    let first = rows.first().ok_or_else(|| no_switch(&store.me.identity.group))?;
    if !held(first)? {
        return Ok(SignalClaim::Fenced);
    }
    let columns = Columns::of(DISPATCH, first);
    if columns.optional("paused")?.ok_or_else(|| no_switch(&store.me.identity.group))? {
        return Ok(SignalClaim::Paused);
    }
    let claimed = claimed(store, &rows).await?;
    let flag = |column| columns.required::<bool>(column);
    Ok(if !claimed.is_empty() {
        SignalClaim::Claimed(claimed)
    } else if !flag("waiting")? {
        SignalClaim::Empty
    } else if flag("day")? {
        SignalClaim::Limited(LimitReached::PerDay)
    } else if flag("minute")? {
        SignalClaim::Limited(LimitReached::PerMinute)
    } else {
        // Another claim was quicker.
        SignalClaim::Empty
    })
}

/// The claimed signals with their payloads.
async fn claimed(store: &PostgresStore, rows: &[PgRow]) -> Result<Vec<Signal>, StoreError> {
    let id = |row: &PgRow| Columns::of(SIGNALS, row).optional::<String>("id");
    let ids: Vec<String> = rows.iter().filter_map(|row| id(row).transpose()).collect::<Result<_, _>>()?;
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let statement = store.me.names.query(PAYLOADS).bind(store.me.identity.group.as_str()).bind(&ids);
    let mut payloads = BTreeMap::new();
    for row in &store.service.all(statement).await? {
        let columns = Columns::of(SIGNALS, row);
        payloads.insert(columns.required::<String>("id")?, columns.required::<String>("payload")?);
    }
    let with_payload = |(row, id): (&PgRow, &String)| {
        let gone = || StoreError::Unknown(format!("signal {id} was claimed, and is gone"));
        signal_with(row, payloads.remove(id).ok_or_else(gone)?)
    };
    rows.iter().zip(&ids).map(with_payload).collect()
}

pub(super) async fn take_over(
    store: &PostgresStore,
    token: &Token,
    in_flight: InFlight<'_>,
) -> Result<Option<Vec<Signal>>, StoreError> {
    let (elsewhere, here) = match in_flight {
        InFlight::All => (true, &[][..]),
        InFlight::Only(these) => (false, these),
    };
    let own = store.me.actor();
    let statement = bind_fence(TAKE_OVER, &store.me, token)
        .bind(elsewhere)
        .bind(here.iter().map(|id| id.as_str().to_owned()).collect::<Vec<_>>())
        .bind(row::actor(&own.who))
        .bind(row::actor(&own.origin))
        .bind(FORGOTTEN)
        .bind(ASK_MAX)
        .bind(ORPHANED)
        .bind(FORGOTTEN_ALERT);
    if !held(&store.service.one(statement).await?)? {
        return Ok(None);
    }
    let statement = store
        .me
        .names
        .query(IN_DOUBT)
        .bind(store.me.identity.group.as_str())
        .bind(i64::from(SIGNALS_READ_MAX));
    store.service.all(statement).await?.iter().map(signal).collect::<Result<_, _>>().map(Some)
}
