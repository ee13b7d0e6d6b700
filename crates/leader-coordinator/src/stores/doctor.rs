//! Facts about the stores for `coordinator doctor`.

use super::{OpenDatabase, Stores};
use domain::doctor::{GroupFacts, HostClock, PostgresFacts, RedisFacts, SqliteFacts};

/// Facts about the stores of a group. A store that the group does not use is `None`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StoreFacts {
    /// PostgreSQL.
    pub postgres: Option<PostgresFacts>,
    /// The embedded store.
    pub sqlite: Option<SqliteFacts>,
    /// Redis.
    pub redis: Option<RedisFacts>,
    /// The instances of the group.
    pub group: GroupFacts,
}

impl Stores {
    /// Reads what the guarantees depend on. Creates nothing. Takes a few seconds, and longer if a store does not answer.
    pub async fn doctor(&self, clock: HostClock) -> StoreFacts {
        #[cfg(feature = "redis")]
        let redis = match &self.redis {
            Some(redis) => Some(redis.doctor().await),
            None => None,
        };
        #[cfg(not(feature = "redis"))]
        let redis = None;
        match &self.database {
            #[cfg(feature = "postgres")]
            OpenDatabase::Postgres(store) => {
                let facts = store.doctor(clock).await;
                let group = group(self, &facts).await;
                StoreFacts { postgres: Some(facts), sqlite: None, redis, group }
            }
            #[cfg(feature = "sqlite")]
            OpenDatabase::Sqlite(store) => {
                // All instances of a file are on this host, so there are no clocks to compare.
                let _ = clock;
                let facts = store.doctor().await;
                let group = GroupFacts { members: store.doctor_members().await, store_ms: None };
                StoreFacts { postgres: None, sqlite: Some(facts), redis, group }
            }
        }
    }
}

/// The instance table, read right after the last reading of the store's clock.
#[cfg(feature = "postgres")]
async fn group(stores: &Stores, facts: &PostgresFacts) -> GroupFacts {
    let Ok(server) = facts else {
        let members = Err("PostgreSQL could not be checked".to_owned());
        return GroupFacts { members, store_ms: None };
    };
    if let Ok(Err(_)) = server.pooler {
        let members = Err("not read, because the pooler shares sessions".to_owned());
        return GroupFacts { members, store_ms: None };
    }
    let members = stores.state.members().await.map_err(|error| error.to_string());
    let store_ms = server.clock.as_ref().ok().map(|walk| walk.last.store_us / 1_000);
    GroupFacts { members, store_ms }
}
