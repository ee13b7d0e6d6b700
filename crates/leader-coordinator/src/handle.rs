//! The handle of a service on its coordinator and on the stores that were opened for it.

use crate::stores::Stores;
use domain::identity::Identity;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// One instance of one group, running in the background. Clones are the same instance.
///
/// It has all methods of [`coordinator::Coordinator`], among them
/// [`run_while_leader`](coordinator::Coordinator::run_while_leader),
/// [`step_down`](coordinator::Coordinator::step_down) and
/// [`leadership`](coordinator::Coordinator::leadership). Dropping every handle does not stop it: call
/// [`shutdown`](Self::shutdown) to hand over cleanly.
#[derive(Clone)]
pub struct Coordinator {
    driver: coordinator::Coordinator,
    stores: Arc<Stores>,
    identity: Identity,
}

impl Coordinator {
    pub(crate) fn new(driver: coordinator::Coordinator, stores: Arc<Stores>, identity: Identity) -> Self {
        Self { driver, stores, identity }
    }

    /// The identity with which every store was opened.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The stores, for reads that no method here has.
    pub fn stores(&self) -> &Stores {
        &self.stores
    }

    /// Hands over if it leads, ends the election and closes the connections of every store. It takes at most a few
    /// heartbeats, also when the stores do not answer.
    pub async fn shutdown(&self) {
        self.driver.shutdown().await;
        self.stores.close().await;
    }

    /// The ledger of the group's signals. Spawn [`Ledger::run`](coordinator::Ledger::run) on every instance; the leader
    /// then executes the signals.
    ///
    /// # Panics
    /// Never: all stores are opened with one identity.
    #[cfg(feature = "signals")]
    pub fn ledger(&self, settings: coordinator::LedgerSettings) -> coordinator::Ledger {
        let store = Arc::clone(&self.stores.ledger);
        coordinator::Ledger::new(self.driver.clone(), store, settings)
            .expect("all stores are opened with one identity")
    }

    /// Every metric and alert of this moment as Prometheus text (format 0.0.4); an error before the lease was read for the
    /// first time.
    #[cfg(feature = "metrics")]
    pub fn exposition(&self) -> Result<String, String> {
        let report = self.driver.report().ok_or("the coordinator is starting")?;
        let exposition = adapter_otel::Exposition::new().map_err(|error| error.to_string())?;
        exposition.render(&report).map_err(|error| error.to_string())
    }

    /// The HTTP pages, to nest in the router of the service.
    #[cfg(feature = "http")]
    pub fn pages(&self) -> crate::http::Pages {
        crate::http::Pages::new(self.clone())
    }

    /// Posts the alerts that cannot wait for a scrape to `webhook` (the API `/api/v2/alerts` of an Alertmanager), until the
    /// coordinator ends. Each is repeated until it has arrived. Their label `job` is `portfolio_manager`, and their runbooks
    /// are those of an instance on port 5000 of this host; [`AlertWebhook`](crate::http::AlertWebhook) has both as
    /// settings.
    #[cfg(feature = "http")]
    pub async fn post_alerts(&self, webhook: crate::http::HandlerUrl) {
        let Identity { group, id, .. } = self.identity.clone();
        let webhook = crate::http::AlertWebhook::new(webhook, group, id);
        let posting = crate::http::post_alerts(self.driver.urgent(), webhook);
        tokio::select! {
            () = posting => {}
            // Its error is reported by `ended` itself.
            _ = self.driver.ended() => {}
        }
    }
}

impl Deref for Coordinator {
    type Target = coordinator::Coordinator;

    fn deref(&self) -> &Self::Target {
        &self.driver
    }
}

impl fmt::Debug for Coordinator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Coordinator").field("identity", &self.identity).finish_non_exhaustive()
    }
}
