//! The one check of a fencing token. Every fenced statement begins with it.

use crate::pool::Statement;
use crate::row;
use crate::state_store::Process;
use domain::lease::{Seq, Token};

/// The server's timeline as a bigint: the first 8 hexadecimal digits of a WAL file's name. On a standby the
/// call fails, and so does the statement: a standby must grant nothing.
macro_rules! timeline {
    () => {
        "(SELECT ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint)"
    };
}
pub(crate) use timeline;

/// A statement that begins with `fence`: one row if the token `$1` to `$4` holds the lease, the lease is not
/// released, is on the server's timeline and has at least the seq `$5` (see [`bind_fence`]); no row
/// otherwise.
///
/// With FOR SHARE, a later claim waits until this statement is committed, and this statement waits for an
/// earlier claim and then reads the row again (READ COMMITTED). FOR KEY SHARE would let a claim pass, and
/// WHERE EXISTS without a lock would use the row as it was when the statement began. The statement is
/// RECURSIVE for those that follow and need it; the fence itself does not.
/// The timeline is compared because a token may survive on a promoted standby, whose row may be old: it is
/// refused until its holder has carried the row over. The seq is compared for the same reason: a row with a
/// seq lower than the acknowledged one is an older copy, restored by a backup or a crash of the server (M23).
macro_rules! with_fence {
    ($($rest:tt)+) => {
        concat!(
            "WITH RECURSIVE fence AS (
                SELECT 1 FROM coordinator_lease
                WHERE group_id = $1 AND tl = $2 AND epoch = $3 AND claim = $4 AND NOT released
                  AND seq >= $5 AND tl = ",
            $crate::fence::timeline!(),
            " FOR SHARE), ",
            $($rest)+
        )
    };
}
pub(crate) use with_fence;

/// As [`bind_token`], and the seq that the row has reached for certain, to `$5`.
pub(crate) fn bind_fence<'q>(sql: &'static str, me: &Process, token: &Token) -> Statement<'q> {
    let Seq(reached) = me.reached(token);
    bind_token(sql, me, token).bind(row::bigint(reached))
}

/// A statement with the group and the token's timeline, epoch and claim bound to `$1` to `$4`.
pub(crate) fn bind_token<'q>(sql: &'static str, me: &Process, token: &Token) -> Statement<'q> {
    me.names
        .query(sql)
        .bind(me.identity.group.as_str().to_owned())
        .bind(i64::from(token.timeline.0))
        .bind(row::bigint(token.epoch.0))
        .bind(row::uuid(token.claim))
}
