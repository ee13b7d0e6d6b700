//! [`Upload`]: posts prepared bodies to paths under one address.

use crate::handler::exchange::{Failure, exchange};
use crate::handler::{HandlerUrl, TlsSource};
use axum::body::Body;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, StatusCode};
use std::fmt;
use std::time::Duration;

/// Timeout of a call, from its start to the end of its answer.
const TIME_MAX: Duration = Duration::from_secs(5);
/// Statuses with which a receiver requests that the client try again later.
const PASSING: [StatusCode; 2] = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];

/// The reason why a body may not have been accepted, as a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotTaken {
    /// The receiver may accept the same body later.
    Failed(String),
    /// The receiver refuses this body (a status of 400 to 499, except for 408 and 429).
    Refused(String),
}

impl fmt::Display for NotTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Failed(why) | Self::Refused(why)) = self;
        f.write_str(why)
    }
}

/// Posts bodies of one type to paths under an address.
#[derive(Debug, Clone)]
pub struct Upload {
    base: HandlerUrl,
    content_type: &'static str,
    tls: Option<TlsSource>,
}

impl Upload {
    /// Posts bodies of `content_type` under `base`; connects to nothing yet.
    pub fn new(base: HandlerUrl, content_type: &'static str) -> Self {
        Self { base, content_type, tls: None }
    }

    /// Sets the TLS settings for an `https` address, which cannot be reached without them.
    #[must_use]
    pub fn tls(self, tls: TlsSource) -> Self {
        Self { tls: Some(tls), ..self }
    }

    /// Posts `body` to `path`, which begins with a slash, and waits for the answer, for 5 s in total.
    /// Cancellation safe: the connection is closed.
    ///
    /// # Errors
    /// [`NotTaken`] if the receiver did not accept it, or it may not have arrived.
    ///
    /// # Panics
    /// If `path` or the content type has characters that HTTP does not allow there.
    pub async fn post(&self, path: &str, body: Vec<u8>) -> Result<(), NotTaken> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(self.base.target_below(path))
            .header(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        let request = request.body(Body::from(body)).expect("the parts of a request are checked texts");
        match exchange(&self.base, self.tls.as_ref(), request, TIME_MAX).await {
            Ok(reply) if reply.status.is_success() => Ok(()),
            Ok(reply) if reply.status.is_client_error() && !PASSING.contains(&reply.status) => {
                Err(NotTaken::Refused(reply.status_text()))
            }
            Ok(reply) => Err(NotTaken::Failed(reply.status_text())),
            Err(Failure::NotConnected(why) | Failure::Unanswered(why)) => Err(NotTaken::Failed(why)),
        }
    }
}
