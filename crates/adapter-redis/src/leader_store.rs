//! [`RedisStore`]: the port `LeaderStore` on Redis, as four scripts over one key.

use crate::config::{InvalidUrl, RedisConfig, endpoint, parse};
use crate::connection::Dial;
use crate::link::Link;
use crate::ticket::{self, Answer};
use crate::watch::Hints;
use async_trait::async_trait;
use domain::id::ClaimId;
use domain::identity::Identity;
use domain::ports::{Acquire, LeaderStore, StoreError, Ticket, TicketRenewal};
use fred::interfaces::Resp3Frame as Frame;
use fred::types::Value;
use fred::util::redis_keyslot;
use std::sync::Arc;
use tokio::time::Instant;

/// A script, preceded by the part that reads the key. Every request sends the whole text: Redis compiles it
/// once, a few hundred bytes a heartbeat cost nothing, and no "unknown script" can occur after a restart, a
/// failover or SCRIPT FLUSH.
macro_rules! script {
    ($name:literal) => {
        concat!(include_str!("scripts/ticket.lua"), include_str!(concat!("scripts/", $name, ".lua")))
    };
}

const ACQUIRE: &str = script!("acquire");
const RENEW: &str = script!("renew");
const RELEASE: &str = script!("release");
const INSPECT: &str = script!("inspect");

/// Heartbeats in LEADER_TTL. The idle connection for requests is checked once per heartbeat.
const HEARTBEATS_PER_TTL: u32 = 3;

/// The [`LeaderStore`] of one group on Redis.
///
/// It has two connections: one sends requests, the other receives hints. Both open at first use and reconnect
/// automatically. Dropping the store closes them.
pub struct RedisStore {
    config: RedisConfig,
    key: String,
    hints: Arc<Hints>,
    requests: Link,
    messages: Link,
}

impl RedisStore {
    /// Reads the URL. The store connects at first use.
    pub fn new(config: RedisConfig) -> Result<Self, InvalidUrl> {
        let parsed = parse(&config.url)?;
        let hints = Arc::new(Hints::new(config.identity.nonce));
        let key = config.key();
        let dial = |channel, ping_every| Dial {
            config: parsed.clone(),
            tls: config.tls.clone(),
            endpoint: endpoint(&parsed),
            request_timeout: config.request_timeout,
            ping_every,
            slot: redis_keyslot(key.as_bytes()),
            channel,
        };
        let requests = Link::new(dial(None, config.identity.ttl / HEARTBEATS_PER_TTL), hints.clone());
        // A hint only saves time, so no caller waits for an error that this connection would notice sooner.
        let messages = Link::new(dial(Some(config.channel()), config.identity.ttl), hints.clone());
        Ok(Self { config, key, hints, requests, messages })
    }

    /// Closes both connections. Every later request returns [`StoreError::Unavailable`], and
    /// [`changed`](LeaderStore::changed) does not resolve for later events. If the future is dropped, a
    /// connection may stay open until the store is dropped.
    pub async fn close(&self) {
        self.requests.close().await;
        self.messages.close().await;
    }

    pub(crate) fn config(&self) -> &RedisConfig {
        &self.config
    }

    /// Runs a command without arguments once.
    pub(crate) async fn command(&self, command: &'static str) -> Result<Frame, StoreError> {
        let deadline = Instant::now() + self.config.request_timeout;
        let connection = self.requests.connection(deadline).await?;
        connection.request(command, Vec::new(), self.config.request_timeout).await
    }

    /// Runs a script once. The request timeout includes the wait for a connection.
    pub(crate) async fn run<const N: usize>(
        &self,
        script: &'static str,
        arguments: [Value; N],
    ) -> Result<Frame, StoreError> {
        self.messages.start();
        let deadline = Instant::now() + self.config.request_timeout;
        let connection = self.requests.connection(deadline).await?;
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            // For fred, zero means no timeout.
            return Err(StoreError::Unavailable("Redis: connected too late for this request".to_owned()));
        }
        let keys = [Value::from_static_str(script), Value::from(1), Value::from(self.key.as_str())];
        connection.request("EVAL", keys.into_iter().chain(arguments).collect(), left).await
    }

    fn answer(&self, frame: &Frame) -> Result<Answer, StoreError> {
        ticket::answer(frame, self.config.identity.ttl)
    }

    /// LEADER_TTL in milliseconds, for PX and PEXPIRE.
    fn ttl_ms(&self) -> Value {
        // LEADER_TTL is at most five minutes; at least 1, because 0 is an error for PX.
        Value::from(i64::try_from(self.config.identity.ttl.as_millis()).unwrap_or(i64::MAX).max(1))
    }
}

#[async_trait]
impl LeaderStore for RedisStore {
    fn identity(&self) -> Identity {
        self.config.identity.clone()
    }

    async fn acquire(&self, claim: ClaimId, superseded: Option<ClaimId>) -> Result<Acquire, StoreError> {
        let value = ticket::value(claim, &self.config.identity.id);
        let superseded = superseded.map(|superseded| superseded.to_string()).unwrap_or_default();
        let arguments =
            [Value::from(claim.to_string()), Value::from(value), self.ttl_ms(), Value::from(superseded)];
        match self.answer(&self.run(ACQUIRE, arguments).await?)? {
            Answer::Mine => Ok(Acquire::Granted),
            Answer::NotMine(Some(ticket)) => Ok(Acquire::Held(ticket)),
            Answer::NotMine(None) => Err(ticket::corrupt()),
        }
    }

    async fn renew(&self, claim: ClaimId) -> Result<TicketRenewal, StoreError> {
        let arguments = [Value::from(claim.to_string()), self.ttl_ms()];
        Ok(match self.answer(&self.run(RENEW, arguments).await?)? {
            Answer::Mine => TicketRenewal::Renewed,
            Answer::NotMine(ticket) => TicketRenewal::Lost(ticket),
        })
    }

    async fn release(&self, claim: ClaimId) -> Result<(), StoreError> {
        let arguments = [
            Value::from(claim.to_string()),
            Value::from(self.config.channel()),
            Value::from(self.hints.own()),
        ];
        if let Some(refusal) = ticket::hint_refusal(&self.run(RELEASE, arguments).await?)? {
            tracing::warn!(channel = %self.config.channel(), "Redis: the hint was not published: {refusal}");
        }
        Ok(())
    }

    async fn inspect(&self) -> Result<Option<Ticket>, StoreError> {
        match self.answer(&self.run(INSPECT, []).await?)? {
            Answer::NotMine(ticket) => Ok(ticket),
            Answer::Mine => Err(ticket::corrupt()),
        }
    }

    async fn changed(&self) {
        self.requests.start();
        self.messages.start();
        self.hints.next().await;
    }
}
