//! Redis as the leader store.

use crate::client_tls::ClientTls;
use crate::error::OpenError;
use adapter_redis::{PREFIX_DEFAULT, RedisConfig, RedisStore};
use domain::identity::Identity;
use domain::transport::{Protection, TlsPolicy};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A request to Redis never takes longer, however long the lease.
const REQUEST_MAX: Duration = Duration::from_secs(2);

/// Redis: a ticket (an advisory lock that only orders attempts to lead) and hints. A failure of Redis costs speed and
/// never changes who leads. `Debug` shows no password.
#[derive(Clone)]
pub struct Redis {
    url: String,
    prefix: String,
    tls: TlsPolicy,
    client_tls: ClientTls,
}

impl Redis {
    /// One server (`redis://host:6379`), sentinels (`redis-sentinel://`) or a cluster (`redis-cluster://`); `rediss` with
    /// TLS, which a server on another host needs; see [`tls`](Self::tls).
    pub fn new(url: impl Into<String>) -> Self {
        let (tls, client_tls) = (TlsPolicy::Required, ClientTls::default());
        Self { url: url.into(), prefix: PREFIX_DEFAULT.to_owned(), tls, client_tls }
    }

    /// Whether a server on another host may be reached without TLS; `Required` unless set.
    #[must_use]
    pub fn tls(self, tls: TlsPolicy) -> Self {
        Self { tls, ..self }
    }

    /// The authorities that a `rediss` server is checked with, and the certificate of this client; the system's
    /// authorities and none unless set.
    #[must_use]
    pub fn client_tls(self, client_tls: ClientTls) -> Self {
        Self { client_tls, ..self }
    }

    /// The protection of the connections that `url` leads to. The error is the reason why it cannot be used; it shows no
    /// password.
    pub fn protection(url: &str) -> Result<Protection, String> {
        adapter_redis::protection(url).map_err(|fault| fault.0)
    }

    /// What protects a connection to a server on another host.
    pub const REMEDY: &str = "Set up TLS on the server, and begin the URL with rediss instead of redis";

    /// The first part of every key and channel; `coordinator` unless set.
    #[must_use]
    pub fn prefix(self, prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), ..self }
    }

    pub(crate) fn open(&self, identity: &Identity, heartbeat: Duration) -> Result<RedisStore, OpenError> {
        let permitted = Self::protection(&self.url)
            .and_then(|protection| self.tls.permits(&protection, Self::REMEDY, "tls"));
        permitted.map_err(|why| OpenError::refused("Redis", &why))?;
        let client_tls = self.client_tls.clone();
        let config = RedisConfig {
            url: self.url.clone(),
            tls: Some(Arc::new(move || client_tls.config())),
            prefix: self.prefix.clone(),
            identity: identity.clone(),
            request_timeout: heartbeat.min(REQUEST_MAX),
        };
        RedisStore::new(config).map_err(OpenError::because)
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url: _, prefix, tls, client_tls } = self;
        f.debug_struct("Redis")
            .field("prefix", prefix)
            .field("tls", tls)
            .field("client_tls", client_tls)
            .finish_non_exhaustive()
    }
}
