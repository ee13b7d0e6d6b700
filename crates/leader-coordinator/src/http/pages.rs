//! The pages of an embedded coordinator as a router.

use super::page::{Delivery, Page};
use crate::handle::Coordinator;
use adapter_http::SignalPages;
use adapter_otel::Exposition;
use axum::Router;
use coordinator::Ledger;
use std::fmt;
use std::sync::Arc;

/// Settings of the pages; see [`Coordinator::pages`].
#[must_use = "nothing is served before `router`"]
pub struct Pages {
    coordinator: Coordinator,
    hosts: Vec<String>,
    signals: Option<(Ledger, Delivery)>,
}

impl Pages {
    pub(crate) fn new(coordinator: Coordinator) -> Self {
        Self { coordinator, hosts: Vec::new(), signals: None }
    }

    /// A host name, without a port, under which clients reach the service. Requests that name another host than loopback or
    /// one of these are refused, so that a web page cannot reach the pages through a name that it controls.
    pub fn host(mut self, name: impl Into<String>) -> Self {
        self.hosts.push(name.into());
        self
    }

    /// Adds the signal API (`/signals`). Without it these paths answer 404.
    #[cfg(feature = "signals")]
    pub fn signals(self, ledger: Ledger, delivery: Delivery) -> Self {
        Self { signals: Some((ledger, delivery)), ..self }
    }

    /// The pages: `/metrics`, `/leader`, `/readyz`, `/status` and the others of the `coordinator` program, for
    /// `Router::nest`. Any client that reaches the pages may use them, so put them behind the service's own checks if the
    /// service does not listen on loopback.
    ///
    /// # Errors
    /// The metrics cannot be registered.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn router(self) -> Result<Router, String> {
        let Self { coordinator, hosts, signals } = self;
        let exposition = Exposition::new().map_err(|error| error.to_string())?;
        let served = match &signals {
            Some(_) => SignalPages::Served,
            None => SignalPages::Absent,
        };
        let members = Arc::clone(&coordinator.stores().state) as _;
        let page = Arc::new(Page::new((*coordinator).clone(), members, signals, exposition));
        let followed = Arc::clone(&page);
        tokio::spawn(async move {
            tokio::select! {
                () = followed.follow_the_leader() => {}
                // Its error is reported by `ended` itself.
                _ = coordinator.ended() => {}
            }
        });
        let pages = adapter_http::Pages { hosts, signals: served, ..adapter_http::Pages::default() };
        Ok(adapter_http::router(page, pages))
    }
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { coordinator, hosts, signals: _ } = self;
        f.debug_struct("Pages")
            .field("coordinator", coordinator)
            .field("hosts", hosts)
            .finish_non_exhaustive()
    }
}
