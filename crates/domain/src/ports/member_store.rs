//! The instance table and the history of terms: the port of heartbeats, pages and the command line to the state store.

use super::StoreError;
use crate::id::{InstanceId, Nonce};
use crate::member::{Heartbeat, LeaseSeen, Member, MemberSeen, Term};
use alloc::boxed::Box;
use alloc::vec::Vec;
use async_trait::async_trait;

/// Most lines of the instance table that are read: more live instances than any group has.
pub const MEMBERS_READ_MAX: u32 = 1_000;

/// The instances of one group and the terms that they led. No rule of the election reads it.
#[async_trait]
pub trait MemberStore: Send + Sync {
    /// Writes this process's line of the instance table. The answer is what the same statement read.
    async fn heartbeat(&self, member: &Member) -> Result<Heartbeat, StoreError>;

    /// Removes this process's line from the table at a clean stop, unless another process has replaced it.
    async fn leave(&self, id: &InstanceId, nonce: Nonce) -> Result<(), StoreError>;

    /// The instance table, ordered by id. Lines older than a day are left out, and of more than [`MEMBERS_READ_MAX`]
    /// those with the oldest heartbeats: the lines of dead processes never hide a live one.
    async fn members(&self) -> Result<Vec<MemberSeen>, StoreError>;

    /// The latest terms, newest first, at most `limit`. A term ends with its lease (`renewed + ttl`), or with its release
    /// or the next claim if that is earlier: the time to the next term had no leader.
    async fn history(&self, limit: u32) -> Result<Vec<Term>, StoreError>;

    /// The lease as operators see it, with the age of its last write by the store's clock. A store that forgets (a
    /// standby was promoted, an older backup restored) shows in [`LeaseSeen::forgot_ms`].
    async fn lease(&self) -> Result<LeaseSeen, StoreError>;
}
