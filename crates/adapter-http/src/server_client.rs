//! [`Server`]: the HTTP server of an instance, as the command line uses it.

use crate::access::Token;
use crate::handler::{HandlerUrl, TlsSource};
use crate::remote::{request, send};
use axum::body::Body;
use domain::transport::is_this_host;
use hyper::Method;
use hyper::header::CONTENT_TYPE;
use std::fmt;
use std::time::Duration;

/// Timeout of an answer. The server answers within 5 s, whatever its store does.
const TIME_MAX: Duration = Duration::from_secs(10);

/// An answer.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

/// The server, and the token for its requests.
#[derive(Debug, Clone)]
pub struct Server {
    url: HandlerUrl,
    token: Option<Token>,
    tls: Option<TlsSource>,
}

impl Server {
    /// Parses the address of a server, also with a path if a proxy serves it below one.
    ///
    /// # Errors
    /// What is required, as a sentence that repeats nothing of the address.
    pub fn parse(text: &str) -> Result<Self, String> {
        let url = HandlerUrl::parse(text)?;
        Ok(Self { url, token: None, tls: None })
    }

    /// Sends the token with each request.
    #[must_use]
    pub fn with_token(self, token: Option<Token>) -> Self {
        Self { token, ..self }
    }

    /// Sets the TLS settings for an `https` address, which cannot be reached without them.
    #[must_use]
    pub fn with_tls(self, tls: TlsSource) -> Self {
        Self { tls: Some(tls), ..self }
    }

    /// Whether no third party can read a token on its way.
    pub fn keeps_secrets(&self) -> bool {
        self.url.is_https() || is_this_host(self.url.host())
    }

    /// Reads a path, which may have a query.
    ///
    /// # Errors
    /// Why there is no answer, as a sentence.
    pub async fn get(&self, path: &str) -> Result<Reply, String> {
        let request = request(&self.url, Method::GET, path, self.token.as_ref());
        send(&self.url, self.tls.as_ref(), request.body(Body::empty()), TIME_MAX).await
    }

    /// Posts a JSON body. `key` makes a repetition of the request harmless; a lost answer is requested once more.
    ///
    /// # Errors
    /// Why there is no answer, as a sentence.
    pub async fn post(&self, path: &str, body: &str, key: &str) -> Result<Reply, String> {
        match self.post_once(path, body, key).await {
            Ok(reply) => Ok(reply),
            Err(_) => self.post_once(path, body, key).await,
        }
    }

    async fn post_once(&self, path: &str, body: &str, key: &str) -> Result<Reply, String> {
        let request = request(&self.url, Method::POST, path, self.token.as_ref())
            .header(CONTENT_TYPE, "application/json")
            .header("Idempotency-Key", key);
        send(&self.url, self.tls.as_ref(), request.body(Body::from(body.to_owned())), TIME_MAX).await
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.url.fmt(f)
    }
}
