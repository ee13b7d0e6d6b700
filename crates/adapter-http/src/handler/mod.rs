//! [`HttpHandler`]: sends signals to a service by HTTP.

mod credentials;
pub(crate) mod exchange;
mod source;
mod url;
mod verdict;

pub use credentials::Credentials;
pub use source::{SecretSource, Source, TlsSource};
pub use url::HandlerUrl;

use crate::json::signals::SignalJson;
use crate::outcome;
use async_trait::async_trait;
use axum::body::Body;
use domain::lease::Token;
use domain::ledger::{Outcome, Signal};
use domain::ports::{Answer, SignalHandler};
use exchange::{Failure, Reply, exchange};
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

/// Addresses of the service, and how the two sides identify each other.
#[derive(Debug, Clone)]
pub struct HttpHandlerConfig {
    /// Signals are posted here.
    pub execute: HandlerUrl,
    /// Under this address and the signal's fingerprint, the service returns the outcome of a signal; `None`
    /// if it has no lookup.
    pub lookup: Option<HandlerUrl>,
    /// Time from the start of a call to the end of its answer.
    pub timeout: Duration,
    /// TLS settings for `https` addresses; without them such an address cannot be reached.
    pub tls: Option<TlsSource>,
    /// How this instance identifies itself to the service.
    pub credentials: Credentials,
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
        let call = Call { method: Method::POST, target: url.target(), body };
        match self.call(url, call, signal, token).await {
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
        let target = url.target_of(&signal.fingerprint());
        let call = Call { method: Method::GET, target, body: String::new() };
        match self.call(url, call, signal, token).await {
            Ok(reply) => found(&reply, signal.attempt),
            Err(Failure::NotConnected(why) | Failure::Unanswered(why)) => {
                Answer::unknown(outcome::note(&format!("lookup: {why}")))
            }
        }
    }
}

/// One call of the service.
struct Call {
    method: Method,
    target: String,
    body: String,
}

impl HttpHandler {
    async fn call(
        &self,
        url: &HandlerUrl,
        call: Call,
        signal: &Signal,
        token: &Token,
    ) -> Result<Reply, Failure> {
        let HttpHandlerConfig { timeout, tls, credentials, .. } = &self.config;
        let mut request = head(&call, signal, token).expect("the parts of a request are checked texts");
        // Without its credentials a request is not sent, so nothing was executed.
        credentials.sign(&mut request, call.body.as_bytes()).map_err(Failure::NotConnected)?;
        exchange(url, tls.as_ref(), request.map(|()| Body::from(call.body)), *timeout).await
    }
}

fn head(call: &Call, signal: &Signal, token: &Token) -> hyper::http::Result<Request<()>> {
    let request = Request::builder()
        .method(&call.method)
        .uri(&call.target)
        .header(ACCEPT, "application/json")
        .header(IDEMPOTENCY_KEY, signal.fingerprint().to_string())
        .header(EPOCH, token.epoch.0)
        .header(CLAIM, token.claim.to_string())
        .header(TIMELINE, token.timeline.0)
        .header(ATTEMPT, signal.attempt);
    let request =
        if call.body.is_empty() { request } else { request.header(CONTENT_TYPE, "application/json") };
    request.body(())
}
