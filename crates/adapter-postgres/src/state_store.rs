//! [`PostgresStore`]: both ports of one process on one database.

use crate::config::PostgresConfig;
use crate::hosts::{Hosts, InvalidUrl, SessionLimits};
use crate::listen::{Hint, Listener};
use crate::names::Names;
use crate::pool::{Lane, LaneLimits};
use crate::{decisions, lease, members, portfolio, schema};
use async_trait::async_trait;
use domain::decision::Decision;
use domain::id::{InstanceId, Nonce};
use domain::identity::Identity;
use domain::lease::{Epoch, Observation, Reached, Seq, Timeline, Token};
use domain::ledger::Actor;
use domain::member::{Heartbeat, LeaseSeen, Member, MemberSeen, Term};
use domain::ports::{
    Claim, ClaimRequest, LeaseStore, MemberStore, Migrate, Noted, OperatorRequests, PortfolioSource, Release,
    Removal, Renewal, Schema, StateStore, StepDown, StoreError,
};
use domain::recovery::{PortfolioRows, RecoveryCode, RelationName};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Sessions for the election: a renewal and a read of the lease. Further requests wait.
const ELECTION_SESSIONS: usize = 2;
/// Sessions for heartbeat, page, ledger and recovery of one process at the same time.
const SERVICE_SESSIONS: usize = 4;
/// Timeout of a statement outside of the election. Recovery may read a view over another server's tables.
const SERVICE_STATEMENT_MAX: Duration = Duration::from_secs(10);
/// Timeout for opening a session outside of the election, over all hosts. It is not a share of LEADER_TTL: a
/// short one would leave no time for TLS to a distant host, although nothing here must be that quick.
const SERVICE_CONNECT_MAX: Duration = Duration::from_secs(5);
/// Longest wait for a free session outside of the election.
const SERVICE_WAIT_MAX: Duration = Duration::from_secs(5);
/// How long a request outside of the election keeps its place after its caller stopped waiting. Requests of
/// the election need no such time: they all write the one row, so all but one end at `lock_timeout`.
const SERVICE_LINGER: Duration = Duration::from_secs(30);

/// This process, as every statement of it needs it.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    pub identity: Identity,
    /// Statements on its tables.
    pub names: Arc<Names>,
    /// The seq that the lease has reached according to acknowledged writes.
    pub reached: Arc<Mutex<Reached>>,
}

impl Process {
    /// The seq that the row has reached for certain under this token.
    pub(crate) fn reached(&self, token: &Token) -> Seq {
        self.known().of(token)
    }

    /// See [`Reached::claimed`].
    pub(crate) fn claimed(&self, token: &Token, forgot_ms: Option<i64>) {
        self.known().claimed(token, forgot_ms);
    }

    /// See [`Reached::renewed`].
    pub(crate) fn renewed(&self, token: &Token, seq: Seq, forgot_ms: Option<i64>, found: bool) -> bool {
        self.known().renewed(token, seq, forgot_ms, found)
    }

    fn known(&self) -> MutexGuard<'_, Reached> {
        // The value is whole after every change.
        self.reached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Payload of the notification about a write of this process.
    pub(crate) fn payload(&self, hint: Hint) -> String {
        hint.payload(self.identity.nonce)
    }

    /// Actor of what this process does automatically.
    pub(crate) fn actor(&self) -> Actor {
        Actor { who: self.identity.id.as_str().to_owned(), origin: self.identity.host.clone() }
    }
}

/// [`StateStore`] and [`SignalLedger`](domain::ports::SignalLedger) of one process on PostgreSQL.
///
/// It connects at first use, with at most 2 sessions for the election, 4 for everything else and 1 for hints
/// (2 during the search for the primary). Every method is cancellation safe: a dropped future closes its
/// connection.
pub struct PostgresStore {
    pub(crate) me: Process,
    /// Observe, claim, renew, release; nothing else.
    pub(crate) election: Lane,
    /// Sessions for everything else.
    pub(crate) service: Lane,
    pub(crate) listener: Listener,
    pub(crate) hosts: Arc<Hosts>,
    positions: RelationName,
    portfolio: RelationName,
    /// Whether this process has written its line of the instance table.
    written_before: AtomicBool,
}

impl PostgresStore {
    /// Checks the URL; does not connect.
    pub fn new(config: PostgresConfig) -> Result<Self, InvalidUrl> {
        let PostgresConfig { url, identity, schema, positions, portfolio } = config;
        let ttl = identity.ttl;
        let hosts = Arc::new(Hosts::parse(&url, &identity.id)?);
        let names = Arc::new(Names::new(schema));
        let reached = Arc::default();
        let me = Process { identity, names, reached };
        // At the server all below ttl / 3, the time a renewal has: a lock or an open transaction of a
        // stopped process must be gone before the next renewal, or the next claim, gives up.
        let election = SessionLimits {
            connect: ttl / 3,
            lock: ttl / 6,
            statement: ttl / 4,
            idle_in_transaction: ttl / 4,
            // The session must end before a successor, which waits for a whole TTL, needs what it has locked.
            unanswered: ttl / 2,
        };
        let service =
            SessionLimits { connect: SERVICE_CONNECT_MAX, statement: SERVICE_STATEMENT_MAX, ..election };
        Ok(Self {
            listener: Listener::new(me.clone(), hosts.clone(), election),
            election: Lane::new(
                hosts.clone(),
                LaneLimits {
                    purpose: "the election",
                    sessions: ELECTION_SESSIONS,
                    session: election,
                    wait: ttl / 3,
                    trust: ttl,
                    replans: false,
                    linger: Duration::ZERO,
                },
            ),
            service: Lane::new(
                hosts.clone(),
                LaneLimits {
                    purpose: "everything but the election",
                    sessions: SERVICE_SESSIONS,
                    session: service,
                    wait: SERVICE_WAIT_MAX,
                    trust: ttl,
                    replans: true,
                    linger: SERVICE_LINGER,
                },
            ),
            hosts,
            me,
            positions,
            portfolio,
            written_before: AtomicBool::new(false),
        })
    }

    /// Ends the listener and all idle sessions. Every later request is [`StoreError::Unavailable`].
    pub async fn close(&self) {
        self.listener.stop();
        self.election.close().await;
        self.service.close().await;
    }
}

#[async_trait]
impl StateStore for PostgresStore {
    fn identity(&self) -> Identity {
        self.me.identity.clone()
    }

    async fn migrate(&self, apply: Migrate) -> Result<Schema, StoreError> {
        schema::migrate(&self.service, &self.hosts, &self.me, apply, &self.positions, &self.portfolio).await
    }
}

#[async_trait]
impl LeaseStore for PostgresStore {
    async fn observe(&self) -> Result<Observation, StoreError> {
        lease::observe(&self.election, &self.me).await
    }

    async fn claim(&self, request: &ClaimRequest) -> Result<Claim, StoreError> {
        lease::claim(&self.election, &self.me, request).await
    }

    async fn renew(&self, token: &Token, seq: Seq, current: Timeline) -> Result<Renewal, StoreError> {
        lease::renew(&self.election, &self.me, token, seq, current).await
    }

    async fn release(&self, token: &Token, seq: Seq, reason: &str) -> Result<Release, StoreError> {
        lease::release(&self.election, &self.me, token, seq, reason).await
    }

    async fn note_forgotten(&self, found: &Token, known: Epoch) -> Result<Noted, StoreError> {
        lease::note_forgotten(&self.election, &self.me, found, known).await
    }

    async fn changed(&self) {
        self.listener.lease().await;
    }
}

#[async_trait]
impl MemberStore for PostgresStore {
    async fn heartbeat(&self, member: &Member) -> Result<Heartbeat, StoreError> {
        members::heartbeat(&self.service, &self.me, &self.written_before, member).await
    }

    async fn leave(&self, id: &InstanceId, nonce: Nonce) -> Result<(), StoreError> {
        members::leave(&self.service, &self.me, id, nonce).await
    }

    async fn members(&self) -> Result<Vec<MemberSeen>, StoreError> {
        members::members(&self.service, &self.me).await
    }

    async fn history(&self, limit: u32) -> Result<Vec<Term>, StoreError> {
        members::history(&self.service, &self.me, limit).await
    }

    async fn lease(&self) -> Result<LeaseSeen, StoreError> {
        members::lease(&self.service, &self.me).await
    }
}

#[async_trait]
impl OperatorRequests for PostgresStore {
    async fn request_handover(
        &self,
        token: &Token,
        successor: Option<&InstanceId>,
        reason: &str,
    ) -> Result<StepDown, StoreError> {
        lease::request_handover(&self.service, &self.me, token, successor, reason).await
    }

    async fn remove_instance(
        &self,
        id: &InstanceId,
        recent: Duration,
        actor: &Actor,
        reason: &str,
    ) -> Result<Removal, StoreError> {
        decisions::remove_instance(&self.service, &self.me, id, recent, actor, reason).await
    }

    async fn acknowledge_recovery(
        &self,
        verdict: Option<RecoveryCode>,
        actor: &Actor,
        reason: &str,
    ) -> Result<(), StoreError> {
        decisions::acknowledge_recovery(&self.service, &self.me, verdict, actor, reason).await
    }

    async fn decisions(&self, limit: u32) -> Result<Vec<Decision>, StoreError> {
        decisions::decisions(&self.service, &self.me, limit).await
    }
}

#[async_trait]
impl PortfolioSource for PostgresStore {
    async fn portfolio(&self, rows: &mut dyn PortfolioRows) -> Result<(), StoreError> {
        portfolio::read(&self.service, &self.me, (&self.positions, &self.portfolio), rows).await
    }
}
