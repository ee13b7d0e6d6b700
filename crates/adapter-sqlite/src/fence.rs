//! The condition under which a token may write. Every fenced statement contains it.
//!
//! SQLite needs no row lock for it. A statement that writes first acquires the one write lock of the file and
//! then reads the newest state, so no instance can claim between this condition and the effect in the same
//! statement. A superseded or released token changes nothing, whatever the timing.

use crate::state_store::SqliteStore;
use crate::statement::Statement;
use domain::id::GroupId;
use domain::lease::{Seq, Timeline, Token};
use domain::ports::StoreError;

/// SQLite has no standbys that could be promoted, so there is only one timeline.
pub(crate) const TIMELINE: Timeline = Timeline(1);

/// The token holds the lease, and the lease is not released. Arguments ?1 to ?4 by [`fenced`].
macro_rules! holds {
    () => {
        "group_id = ?1 AND tl = ?2 AND epoch = ?3 AND claim = ?4 AND released = 0"
    };
}

/// The token may have effects: it holds the lease, on the current timeline, and the lease has at least the
/// seq ?5. A row with a seq lower than the acknowledged one is an older copy, restored from a backup (M23).
/// Arguments by [`effect`].
macro_rules! may_act {
    () => {
        concat!(
            "EXISTS (SELECT 1 FROM coordinator_lease WHERE ",
            crate::fence::holds!(),
            " AND tl = 1 AND seq >= ?5)"
        )
    };
}

pub(crate) use {holds, may_act};

/// Binds the arguments of [`may_act`]; further arguments start at ?6.
pub(crate) fn effect(sql: &'static str, store: &SqliteStore, token: &Token) -> Statement {
    let Seq(reached) = store.reached(token);
    fenced(sql, &store.config.identity.group, token).bind(integer(reached))
}

/// Binds the arguments of [`holds`]; further arguments start at ?5.
pub(crate) fn fenced(sql: &'static str, group: &GroupId, token: &Token) -> Statement {
    Statement::new(sql)
        .bind(group.as_str().to_owned())
        .bind(i64::from(token.timeline.0))
        .bind(integer(token.epoch.0))
        .bind(token.claim.to_string())
}

/// Whether the token may have effects now. If it may now, it always could since it was granted: a lost token
/// never becomes valid again.
pub(crate) async fn may_still_act(store: &SqliteStore, token: &Token) -> Result<bool, StoreError> {
    const SQL: &str = concat!("SELECT 1 WHERE ", may_act!());
    Ok(!store.work.fetch(effect(SQL, store, token)).await?.is_empty())
}

/// A number as SQLite stores it. A larger one becomes the largest, which no row's epoch can have.
pub(crate) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
