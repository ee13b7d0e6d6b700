//! What the HTTP face shows: the coordinator and the state store, behind one trait.

use adapter_http::{Backend, LeaderView};
use adapter_otel::Exposition;
use async_trait::async_trait;
use coordinator::{Coordinator, clock};
use domain::id::InstanceId;
use domain::member::{MemberSeen, Term};
use domain::metrics::Snapshot;
use domain::ports::{StateStore, StoreError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How soon the leader's address is looked up again when the instance table did not have it.
const LOOK_UP_AGAIN: Duration = Duration::from_secs(2);

/// The instance behind the pages.
pub struct Page {
    coordinator: Coordinator,
    state: Arc<dyn StateStore>,
    exposition: Exposition,
    /// The leader whose address is known.
    leader: Mutex<Option<(InstanceId, String)>>,
}

impl Page {
    pub fn new(coordinator: Coordinator, state: Arc<dyn StateStore>, exposition: Exposition) -> Self {
        Self { coordinator, state, exposition, leader: Mutex::new(None) }
    }

    /// Keeps the leader's address at hand, which only the instance table knows. Runs until it is dropped.
    pub async fn follow_the_leader(&self) {
        let mut seen = self.coordinator.leadership();
        loop {
            let leader = seen.borrow_and_update().leader.clone();
            let found = match &leader {
                Some(leader) => self.address_of(leader).await,
                None => None,
            };
            let missing = leader.is_some() && found.is_none();
            *self.leader.lock().unwrap_or_else(PoisonError::into_inner) = leader.clone().zip(found);
            // The sender lives as long as the coordinator.
            let changed = seen.wait_for(|now| now.leader != leader);
            if missing {
                let _ = tokio::time::timeout(LOOK_UP_AGAIN, changed).await;
            } else {
                let _ = changed.await;
            }
        }
    }

    async fn address_of(&self, leader: &InstanceId) -> Option<String> {
        let members = tokio::time::timeout(LOOK_UP_AGAIN, self.state.members()).await.ok()?.ok()?;
        let line = members.into_iter().find(|seen| seen.member.id == *leader)?;
        Some(line.member.address)
    }
}

#[async_trait]
impl Backend for Page {
    fn snapshot(&self) -> Option<Snapshot> {
        self.coordinator.snapshot()
    }

    fn exposition(&self) -> Result<String, String> {
        let snapshot = self.coordinator.snapshot().ok_or("not started")?;
        self.exposition.render(&snapshot).map_err(|error| error.to_string())
    }

    fn ready(&self) -> Result<(), String> {
        self.coordinator.ready()
    }

    fn leader(&self) -> LeaderView {
        let seen = self.coordinator.leadership().borrow().clone();
        let known = self.leader.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let address = known.filter(|(id, _)| Some(id) == seen.leader.as_ref()).map(|(_, address)| address);
        let active = seen.is_active(clock::now());
        LeaderView { active, id: seen.leader, address, epoch: seen.epoch }
    }

    async fn members(&self) -> Result<Vec<MemberSeen>, StoreError> {
        self.state.members().await
    }

    async fn history(&self, limit: u32) -> Result<Vec<Term>, StoreError> {
        self.state.history(limit).await
    }
}
