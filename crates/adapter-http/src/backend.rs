//! What the HTTP face asks of the instance behind it.

use async_trait::async_trait;
use domain::id::InstanceId;
use domain::lease::Epoch;
use domain::member::{MemberSeen, Term};
use domain::metrics::Snapshot;
use domain::ports::StoreError;

/// The instance behind the pages.
///
/// The plain methods answer from memory, at once. The async ones read a store; they are dropped when they
/// take too long or the client goes away, so they must be cancellation safe. A panic becomes a 500.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// Everything there is to tell; `None` before start-up is done.
    fn snapshot(&self) -> Option<Snapshot>;

    /// The metrics of one snapshot as Prometheus text (format 0.0.4), or why there are none. Asked only
    /// after [`Backend::snapshot`] answered.
    fn exposition(&self) -> Result<String, String>;

    /// Whether this instance could take over leadership now; the error says why not, on one line.
    /// That it leads, or does not, is no reason: that would block rolling updates.
    fn ready(&self) -> Result<(), String>;

    /// Who leads, as far as this instance knows.
    fn leader(&self) -> LeaderView;

    /// The instance table.
    async fn members(&self) -> Result<Vec<MemberSeen>, StoreError>;

    /// The latest terms, newest first, at most `limit` of them.
    async fn history(&self, limit: u32) -> Result<Vec<Term>, StoreError>;
}

/// Who leads, as far as one instance knows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LeaderView {
    /// This instance leads, and has recovered: it is the one that acts.
    pub active: bool,
    /// Who leads; `None` when nobody does or it is unknown.
    pub id: Option<InstanceId>,
    /// Where the leader's page is, as the instance table has it.
    pub address: Option<String>,
    /// The latest epoch seen.
    pub epoch: Option<Epoch>,
}
