//! Redis as the leader store.

use crate::error::OpenError;
use adapter_redis::{PREFIX_DEFAULT, RedisConfig, RedisStore};
use domain::identity::Identity;
use std::fmt;
use std::time::Duration;

/// A request to Redis never takes longer, however long the lease.
const REQUEST_MAX: Duration = Duration::from_secs(2);

/// Redis: a ticket (an advisory lock that only orders attempts to lead) and hints. A failure of Redis costs speed and
/// never changes who leads. `Debug` shows no password.
#[derive(Clone)]
pub struct Redis {
    url: String,
    prefix: String,
}

impl Redis {
    /// One server (`redis://host:6379`), sentinels (`redis-sentinel://`) or a cluster (`redis-cluster://`); `rediss` with
    /// TLS.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), prefix: PREFIX_DEFAULT.to_owned() }
    }

    /// The first part of every key and channel; `coordinator` unless set.
    #[must_use]
    pub fn prefix(self, prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), ..self }
    }

    pub(crate) fn open(&self, identity: &Identity, heartbeat: Duration) -> Result<RedisStore, OpenError> {
        let config = RedisConfig {
            url: self.url.clone(),
            prefix: self.prefix.clone(),
            identity: identity.clone(),
            request_timeout: heartbeat.min(REQUEST_MAX),
        };
        RedisStore::new(config).map_err(OpenError::because)
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}
