//! [`Peer`]: one process of a group, as the cases control it.

use adapter_redis::{PREFIX_DEFAULT, RedisConfig, RedisStore};
use domain::id::{ClaimId, GroupId, InstanceId, Nonce};
use domain::identity::Identity;
use domain::ports::{Acquire, LeaderStore, StoreError, Ticket};
use std::ops::Deref;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

/// LEADER_TTL of these cases. No ticket expires while a case runs.
pub const TTL: Duration = Duration::from_mins(5);
/// Timeout of one request. Short, because some cases wait for it; long enough for an answer on a busy
/// machine.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

static STARTS: AtomicU32 = AtomicU32::new(1);

/// A store and the claims of its process.
pub struct Peer {
    store: RedisStore,
    nonce: Nonce,
    claims: AtomicU32,
}

impl Peer {
    pub fn new(url: &str, group: &str, id: &str) -> Self {
        let config = config(url, group, id);
        let nonce = config.identity.nonce;
        Self { store: RedisStore::new(config).expect("a URL"), nonce, claims: AtomicU32::new(0) }
    }

    /// Returns a claim that no request has used.
    pub fn claim(&self) -> ClaimId {
        self.nonce.claim(self.claims.fetch_add(1, Relaxed) + 1)
    }

    /// Acquires the free ticket.
    pub async fn take(&self) -> ClaimId {
        let claim = self.claim();
        assert_eq!(self.store.acquire(claim, None).await, Ok(Acquire::Granted));
        claim
    }

    /// The claim that holds the ticket.
    pub async fn holder(&self) -> Option<ClaimId> {
        self.store.inspect().await.expect("inspect").and_then(|ticket| ticket.claim)
    }

    /// The ticket, once the store answers again.
    pub async fn back(&self) -> Option<Ticket> {
        crate::server::eventually("Redis answers again", || async { self.store.inspect().await.ok() }).await
    }
}

impl Deref for Peer {
    type Target = RedisStore;

    fn deref(&self) -> &RedisStore {
        &self.store
    }
}

/// Configuration of a new start of the process `id`.
pub fn config(url: &str, group: &str, id: &str) -> RedisConfig {
    RedisConfig {
        tls: None,
        url: url.to_owned(),
        prefix: PREFIX_DEFAULT.to_owned(),
        identity: Identity {
            group: GroupId::parse(group).expect("a group"),
            id: InstanceId::parse(id).expect("an id"),
            nonce: Nonce::new(u128::from(STARTS.fetch_add(1, Relaxed)) << 40),
            host: format!("host-of-{id}"),
            ttl: TTL,
        },
        request_timeout: REQUEST_TIMEOUT,
    }
}

/// The group's lease key.
pub fn key(group: &str) -> String {
    format!("{PREFIX_DEFAULT}:{group}:leader")
}

/// The message of a request that was refused or could not be sent.
pub fn unavailable<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> String {
    match answer {
        Err(StoreError::Unavailable(message)) => message,
        other => panic!("expected Unavailable: {other:?}"),
    }
}
