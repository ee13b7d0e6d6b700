//! Signals are handed to a service by HTTP.

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
/// The leader's epoch. A service that has seen a larger one can refuse this.
const EPOCH: HeaderName = HeaderName::from_static("coordinator-epoch");
/// The leader's claim of the lease. A service that has seen the same epoch under another one can refuse this: after the
/// store has forgotten, two leaders may have one number.
const CLAIM: HeaderName = HeaderName::from_static("coordinator-claim");
/// Which claim of the signal this is about.
const ATTEMPT: HeaderName = HeaderName::from_static("coordinator-attempt");

/// Where signals go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpHandlerConfig {
    /// Signals are posted here.
    pub execute: HandlerUrl,
    /// Below it, under its fingerprint, the service tells what became of a signal; `None` when it cannot tell.
    pub lookup: Option<HandlerUrl>,
    /// From the start of a call to the end of its answer.
    pub timeout: Duration,
}

/// Hands each signal to a service, in one request on a connection of its own: no client that repeats a request by
/// itself is in between.
///
/// A service says what became of a signal in a JSON object with an `outcome`: `done`, `sent`, `rejected`,
/// `not_executed` or `unknown`, with a `note` if it likes. An empty body with 200, 201 or 204 is done, with 202 sent.
/// Everything else is unknown, but for a connection that was never made: then nothing was executed.
///
/// The outcome that a lookup answers has to be as certain. `not_executed` is for a service that refuses, from this answer
/// on, orders of a smaller `Coordinator-Epoch`, orders of the same epoch under another `Coordinator-Claim`, and orders of
/// this signal's attempts up to the one that is looked up (`Coordinator-Attempt`): each of them may still be on its way.
/// The service confirms the last with `"attempt"` in its answer; without it the signal stays in doubt.
#[derive(Debug, Clone)]
pub struct HttpHandler {
    config: HttpHandlerConfig,
}

impl HttpHandler {
    /// A handler; connects to nothing yet.
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
        .header(ATTEMPT, signal.attempt)
}
