//! The pages as a router: of the program itself, or nested in the router of a service that embeds coordinator.

use crate::server::ANSWER_TIME_DEFAULT;
use axum::extract::{OriginalUri, Request};
use std::time::Duration;

/// Default number of streams: half of the default number of connections.
pub(crate) const STREAMS_DEFAULT: usize = 64;

/// Whether the pages have the signal API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SignalPages {
    /// `/signals` and the paths below it.
    #[default]
    Served,
    /// Every path below `/signals` answers 404: the service does not use the ledger.
    Absent,
}

/// The clients that may use the pages. Without effect if the backend has an [`Access`](crate::Access), which decides then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Clients {
    /// Every client that reaches the listener.
    #[default]
    All,
    /// Clients with a verified certificate; the others get probes only.
    WithCertificate,
}

/// Settings of a [`router`](crate::router).
#[derive(Debug, Clone)]
pub struct Pages {
    /// Time from a request to its answer.
    pub answer: Duration,
    /// Host names, and addresses without brackets, without a port, that requests may name in addition to loopback and the address of the connection.
    /// Every other name is refused: a web page could have pointed it at this host (DNS rebinding).
    pub hosts: Vec<String>,
    /// The clients that may use the pages.
    pub clients: Clients,
    /// The signal API.
    pub signals: SignalPages,
    /// Streams of `/events` at a time; further ones are refused with 503. At most half of the server's connections leaves
    /// the others to probes, scrapers and signals.
    pub streams: usize,
}

impl Default for Pages {
    fn default() -> Self {
        Self {
            answer: ANSWER_TIME_DEFAULT,
            hosts: Vec::new(),
            clients: Clients::default(),
            signals: SignalPages::default(),
            streams: STREAMS_DEFAULT,
        }
    }
}

/// The path under which the router is nested; empty when it is not. Links begin with it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Prefix(pub(crate) String);

impl Prefix {
    pub(crate) fn of(request: &Request) -> Self {
        let original = request.extensions().get::<OriginalUri>().map_or("", |uri| uri.0.path());
        let inner = request.uri().path();
        // A nested `/` is `/prefix` or `/prefix/` outside.
        let prefix = original.strip_suffix(inner).unwrap_or(original);
        Self(prefix.trim_end_matches('/').to_owned())
    }
}
