//! The condition under which a token may write.
//!
//! SQLite needs no row lock for it. A statement that writes takes the one write lock of the file first
//! and reads the newest state after, so between this condition and the effect in the same statement
//! nobody can claim: a superseded or released token changes nothing, whatever the timing.

use crate::state_store::SqliteStore;
use crate::statement::Statement;
use domain::id::GroupId;
use domain::lease::{Seq, Timeline, Token};
use domain::ports::StoreError;

/// SQLite has no standbys that could be promoted: one timeline, for ever.
pub(crate) const TIMELINE: Timeline = Timeline(1);

/// The row of `coordinator_lease` is the token's and not released. Arguments ?1 to ?4 by [`fenced`].
macro_rules! holds {
    () => {
        "group_id = ?1 AND tl = ?2 AND epoch = ?3 AND claim = ?4 AND released = 0"
    };
}

/// The token may have effects: it holds the row, on the current timeline, and the row has at least the seq ?5. A row
/// that is behind what was acknowledged is an older copy, which a backup has brought back (M23). Arguments by [`effect`].
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

/// Binds what [`may_act`] asks for; further arguments start at ?6.
pub(crate) fn effect(sql: &'static str, store: &SqliteStore, token: &Token) -> Statement {
    let Seq(reached) = store.reached(token);
    fenced(sql, &store.config.identity.group, token).bind(integer(reached))
}

/// Binds what [`holds`] asks for; further arguments start at ?5.
pub(crate) fn fenced(sql: &'static str, group: &GroupId, token: &Token) -> Statement {
    Statement::new(sql)
        .bind(group.as_str().to_owned())
        .bind(i64::from(token.timeline.0))
        .bind(integer(token.epoch.0))
        .bind(token.claim.to_string())
}

/// Whether the token may have effects now. One that may now could at any moment since it was granted: a lost
/// token never comes back.
pub(crate) async fn may_still_act(store: &SqliteStore, token: &Token) -> Result<bool, StoreError> {
    const SQL: &str = concat!("SELECT 1 WHERE ", may_act!());
    Ok(!store.work.fetch(effect(SQL, store, token)).await?.is_empty())
}

/// As SQLite keeps numbers. One that is too large becomes the largest, which no row's epoch can have.
pub(crate) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
