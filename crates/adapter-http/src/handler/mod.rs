//! [`HttpHandler`]: sends signals to a service by HTTP.

pub(crate) mod exchange;
mod url;
mod verdict;

pub use url::HandlerUrl;

use crate::json::signals::SignalJson;
use crate::outcome;
use async_trait::async_trait;
use axum::body::Body;
use domain::lease::Token;
use domain::ledger::{Outcome, Signal};
use domain::ports::{Answer, SignalHandler};
use exchange::{Failure, exchange};
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderName};
use hyper::{Method, Request};
use std::time::Duration;
use verdict::{executed, found};

/// The signal's fingerprint: the same for every attempt.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The leader's epoch. A service that has seen a larger one can refuse the request.
const EPOCH: HeaderName = HeaderName::from_static("coordinator-epoch");
/// The leader's claim of the lease. A service that has seen the same epoch under another claim can refuse the
/// request: after the store has forgotten, two leaders may have the same epoch.
const CLAIM: HeaderName = HeaderName::from_static("coordinator-claim");
/// The timeline of the leader's claim. With the epoch and the claim, it is the fencing token.
const TIMELINE: HeaderName = HeaderName::from_static("coordinator-timeline");
/// Number of the signal's attempt that the request belongs to.
const ATTEMPT: HeaderName = HeaderName::from_static("coordinator-attempt");

/// Addresses of the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpHandlerConfig {
    /// Signals are posted here.
    pub execute: HandlerUrl,
    /// Under this address and the signal's fingerprint, the service returns the outcome of a signal; `None`
    /// if it has no lookup.
    pub lookup: Option<HandlerUrl>,
    /// Time from the start of a call to the end of its answer.
    pub timeout: Duration,
}

/// Sends each signal to a service, in one request on a separate connection, so that no client library repeats
/// a request automatically.
///
/// A service answers with a JSON object with an `outcome`: `done`, `sent`, `rejected`, `not_executed` or
/// `unknown`, and optionally a `note`. An empty body with 200, 201 or 204 means done, with 202 sent.
/// Everything else is unknown, except if no connection was made: then nothing was executed.
///
/// The outcome of a lookup must be as certain. A service may answer `not_executed` only if, from this answer
/// on, it refuses orders of a smaller `Coordinator-Epoch`, orders of the same epoch under another
/// `Coordinator-Claim`, and orders of this signal's attempts up to the requested one (`Coordinator-Attempt`):
/// each of them may still be on its way. The service confirms the last point with `"attempt"` in its answer;
/// without it the signal stays in doubt.
#[derive(Debug, Clone)]
pub struct HttpHandler {
    config: HttpHandlerConfig,
}

impl HttpHandler {
    /// Creates a handler; connects to nothing yet.
    pub fn new(config: HttpHandlerConfig) -> Self {
        Self { config }
    }
}

#[async_trait]
impl SignalHandler for HttpHandler {
    async fn execute(&self, signal: &Signal, token: &Token) -> Answer {
        let url = &self.config.execute;
        let body = serde_json::to_string(&SignalJson::from(signal).in_epoch(token.epoch))
            .expect("a signal's members have text for names");
        let request = head(Method::POST, signal, token)
            .uri(url.target())
            .header(CONTENT_TYPE, "application/json")
            .header(IDEMPOTENCY_KEY, signal.fingerprint().to_string());
        let request = request.body(Body::from(body)).expect("the parts of a request are checked texts");
        match exchange(url, request, self.config.timeout).await {
            Ok(reply) => executed(&reply),
            Err(Failure::NotConnected(why)) => {
                Answer { outcome: Outcome::Received, note: outcome::note(&why) }
            }
            Err(Failure::Unanswered(why)) => Answer::unknown(outcome::note(&why)),
        }
    }

    async fn lookup(&self, signal: &Signal, token: &Token) -> Answer {
        let Some(url) = &self.config.lookup else {
            return Answer::unknown("no lookup URL is configured");
        };
        let request = head(Method::GET, signal, token).uri(url.target_of(&signal.fingerprint()));
        let request = request.body(Body::empty()).expect("the parts of a request are checked texts");
        match exchange(url, request, self.config.timeout).await {
            Ok(reply) => found(&reply, signal.attempt),
            Err(Failure::NotConnected(why) | Failure::Unanswered(why)) => {
                Answer::unknown(outcome::note(&format!("lookup: {why}")))
            }
        }
    }
}

fn head(method: Method, signal: &Signal, token: &Token) -> hyper::http::request::Builder {
    Request::builder()
        .method(method)
        .header(ACCEPT, "application/json")
        .header(EPOCH, token.epoch.0)
        .header(CLAIM, token.claim.to_string())
        .header(TIMELINE, token.timeline.0)
        .header(ATTEMPT, signal.attempt)
}
