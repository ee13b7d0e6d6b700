//! The scene of a case: a separate group, and its processes.

use super::{Refused, StateStores, Tamper};
use domain::id::{ClaimId, GroupId, InstanceId, Nonce};
use domain::identity::Identity;
use domain::lease::{Observation, Token};
use domain::ports::{Claim, ClaimRequest, Migrate, PortfolioSource, Schema, SignalLedger, StateStore};
use domain::recovery::RelationName;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// LEADER_TTL of a case that does not depend on it: nothing expires during the case.
pub const TTL: Duration = Duration::from_mins(5);

/// The identity of one start of a process; the adapter makes its configuration from it.
#[derive(Debug, Clone)]
pub struct Opening {
    /// The case's group.
    pub group: GroupId,
    /// The process's id.
    pub id: InstanceId,
    /// The start of the process.
    pub nonce: Nonce,
    /// The host that it reports.
    pub host: String,
    /// Its LEADER_TTL.
    pub ttl: Duration,
    /// The relation of the open positions.
    pub positions: String,
    /// The relation of the portfolio row.
    pub portfolio: String,
}

impl Opening {
    /// The process, as its stores and its coordinator have it.
    pub fn identity(&self) -> Identity {
        let Self { group, id, nonce, host, ttl, .. } = self.clone();
        Identity { group, id, nonce, host, ttl }
    }

    /// The relations of recovery: positions and portfolio.
    ///
    /// # Panics
    /// When one is not the name of a relation.
    pub fn relations(&self) -> (RelationName, RelationName) {
        let relation = |text: &str| RelationName::parse(text).expect("a case's relation");
        (relation(&self.positions), relation(&self.portfolio))
    }

    /// A new start of a process, with the default relations.
    ///
    /// # Panics
    /// If `id` is not an id.
    pub fn new(group: &GroupId, id: &str) -> Self {
        Self {
            group: group.clone(),
            id: InstanceId::parse(id).expect("a case's instance id"),
            nonce: fresh_nonce(),
            host: format!("host-of-{id}"),
            ttl: TTL,
            positions: "portfolio_positions".to_owned(),
            portfolio: "portfolio_state".to_owned(),
        }
    }
}

/// The ports on one database, as one process opens them.
pub struct Opened {
    /// The lease, members, history.
    pub state: Arc<dyn StateStore>,
    /// The signals.
    pub ledger: Arc<dyn SignalLedger>,
    /// The portfolio.
    pub portfolio: Arc<dyn PortfolioSource>,
}

/// A case's group in one database.
pub struct Scene {
    stores: Arc<dyn StateStores>,
    group: GroupId,
}

impl Scene {
    /// A new group, named after the case.
    pub fn new(case: &str, stores: Arc<impl StateStores>) -> Self {
        Self { stores, group: fresh_group(case) }
    }

    /// The same in a separate database, which was not migrated yet.
    #[must_use]
    pub async fn in_fresh_database(&self) -> Self {
        Self { stores: self.stores.fresh().await, group: self.group.clone() }
    }

    /// The case's group.
    pub fn group(&self) -> &GroupId {
        &self.group
    }

    /// Another group in the same database.
    #[must_use]
    pub fn neighbour(&self) -> Self {
        Self { stores: self.stores.clone(), group: fresh_group("neighbour") }
    }

    /// A new start of the process `id`, after its migration.
    pub async fn process(&self, id: &str) -> Process {
        self.start(Opening::new(&self.group, id)).await
    }

    /// The process of that opening, after its migration.
    ///
    /// # Panics
    /// If the migration fails.
    pub async fn start(&self, opening: Opening) -> Process {
        let process = self.open(opening).await;
        assert_eq!(process.state.migrate(Migrate::Apply).await, Ok(Schema::Current), "migration at start");
        process
    }

    /// The process of that opening, before any migration.
    pub async fn open(&self, opening: Opening) -> Process {
        let Opened { state, ledger, portfolio } = self.stores.open(&opening).await;
        Process { opening, state, ledger, portfolio, claims: AtomicU32::new(0) }
    }

    /// Applies `what` to the database directly.
    pub async fn tamper(&self, what: Tamper) -> Result<(), Refused> {
        self.stores.tamper(&what).await
    }
}

/// One process of the group.
pub struct Process {
    /// Its identity.
    pub opening: Opening,
    /// Its state store.
    pub state: Arc<dyn StateStore>,
    /// Its ledger.
    pub ledger: Arc<dyn SignalLedger>,
    /// Its portfolio.
    pub portfolio: Arc<dyn PortfolioSource>,
    claims: AtomicU32,
}

impl Process {
    /// A claim id that was not used before.
    pub fn fresh_claim(&self) -> ClaimId {
        self.opening.nonce.claim(self.claims.fetch_add(1, Relaxed) + 1)
    }

    /// The present lease.
    ///
    /// # Panics
    /// If it cannot be read.
    pub async fn read_lease(&self) -> Observation {
        self.state.observe().await.expect("observe")
    }

    /// A claim of the lease in the version `seen`.
    pub fn request(&self, seen: &Observation) -> ClaimRequest {
        ClaimRequest {
            observed: seen.version,
            claim: self.fresh_claim(),
            holder: self.opening.id.clone(),
            ttl: self.opening.ttl,
            floor: domain::lease::Epoch(0),
            forgotten: false,
            former: domain::ports::FormerTerm::Expired,
        }
    }

    /// Claims the present lease, even from another holder: the store leaves the judgement of expiry to the core.
    ///
    /// # Panics
    /// If the claim is not granted.
    pub async fn lead(&self) -> Token {
        let request = self.request(&self.read_lease().await);
        match self.state.claim(&request).await {
            Ok(Claim::Granted(token)) => token,
            other => panic!("{} claims the present lease: {other:?}", self.opening.id),
        }
    }
}

/// Numbers the groups and process starts of this test process.
static SERIAL: AtomicU64 = AtomicU64::new(1);

pub(super) fn fresh_group(case: &str) -> GroupId {
    GroupId::parse(&format!("{case}-{}", SERIAL.fetch_add(1, Relaxed))).expect("a case's name is an id")
}

pub(super) fn fresh_nonce() -> Nonce {
    Nonce::new((u128::from(SERIAL.fetch_add(1, Relaxed)) << 32) | u128::from(std::process::id()))
}
