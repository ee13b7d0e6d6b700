//! The leader store of a run: the fake that passes the contract suites, behind a server that restarts.

use crate::line::{Line, Reply};
use crate::server::Server;
use async_trait::async_trait;
use contract::Opening;
use contract::fake::{FakeLeaderStore, FakeTickets};
use domain::id::ClaimId;
use domain::identity::Identity;
use domain::ports::{Acquire, LeaderStore, StoreError, Ticket, TicketRenewal};
use std::sync::Arc;
use tokio::sync::Notify;

/// The leader store of one run.
#[derive(Debug)]
pub struct Redis {
    /// The stored data.
    pub fake: FakeTickets,
    /// The server that answers.
    pub server: Arc<Server>,
}

impl Redis {
    /// An empty one.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { fake: FakeTickets::new(), server: Server::new() })
    }
}

/// One process's leader store.
#[derive(Debug)]
pub struct RedisClient {
    store: Arc<FakeLeaderStore>,
    redis: Arc<Redis>,
    line: Arc<Line>,
    changed: Notify,
}

impl RedisClient {
    /// For the process of that opening, over `line`.
    pub fn new(redis: &Arc<Redis>, opening: &Opening, line: &Arc<Line>) -> Arc<Self> {
        let (redis, line) = (Arc::clone(redis), Arc::clone(line));
        Arc::new(Self { store: redis.fake.process(opening), redis, line, changed: Notify::new() })
    }

    /// Carries hints while it is polled.
    pub async fn carry_hints(self: Arc<Self>) {
        loop {
            self.store.changed().await;
            if let Some(takes) = self.line.hint() {
                tokio::time::sleep(takes).await;
                self.changed.notify_one();
            }
        }
    }

    async fn ask<T, F>(
        &self,
        work: impl FnOnce(Arc<FakeLeaderStore>) -> F + Send + 'static,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let store = Arc::clone(&self.store);
        // Redis acknowledges at once; its replicas follow later.
        self.line.carry(&self.redis.server, async move { work(store).await }, |_| Reply::Read).await
    }
}

#[async_trait]
impl LeaderStore for RedisClient {
    fn identity(&self) -> Identity {
        self.store.identity()
    }

    async fn acquire(&self, claim: ClaimId, superseded: Option<ClaimId>) -> Result<Acquire, StoreError> {
        self.ask(move |store| async move { store.acquire(claim, superseded).await }).await
    }

    async fn renew(&self, claim: ClaimId) -> Result<TicketRenewal, StoreError> {
        self.ask(move |store| async move { store.renew(claim).await }).await
    }

    async fn release(&self, claim: ClaimId) -> Result<(), StoreError> {
        self.ask(move |store| async move { store.release(claim).await }).await
    }

    async fn inspect(&self) -> Result<Option<Ticket>, StoreError> {
        self.ask(|store| async move { store.inspect().await }).await
    }

    async fn changed(&self) {
        self.changed.notified().await;
    }
}
