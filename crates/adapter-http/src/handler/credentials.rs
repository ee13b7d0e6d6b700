//! [`Credentials`]: how this instance identifies itself to the service.
//!
//! The signature covers everything that a service decides by: what is asked, about which signal, under which fencing token,
//! in which attempt, and the body. A recorded request that is sent again has the same signature and the same attempt, which
//! the service has executed or refuses (docs/signals.md).

use super::{ATTEMPT, CLAIM, EPOCH, IDEMPOTENCY_KEY, SecretSource, TIMELINE};
use hmac::{Hmac, KeyInit, Mac};
use hyper::Request;
use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};
use sha2::Sha256;
use std::fmt::Write;

/// The signature of a request.
const SIGNATURE: HeaderName = HeaderName::from_static("coordinator-signature");
/// The headers that the signature covers, in their order.
const SIGNED: [HeaderName; 5] = [IDEMPOTENCY_KEY, TIMELINE, EPOCH, CLAIM, ATTEMPT];

/// The secrets that the service knows; none by default.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// Sent as `Authorization: Bearer`.
    pub token: Option<SecretSource>,
    /// Key of the signature: HMAC-SHA256 in lower-case hexadecimal digits, sent as `Coordinator-Signature: sha256=...`, over
    /// the method, the values of the headers `Idempotency-Key`, `Coordinator-Timeline`, `Coordinator-Epoch`,
    /// `Coordinator-Claim`, `Coordinator-Attempt`, and the body, joined by newlines.
    pub key: Option<SecretSource>,
}

impl Credentials {
    /// Adds the headers to a request that has this body.
    ///
    /// # Errors
    /// A secret cannot be had, or cannot be sent.
    pub(super) fn sign(&self, request: &mut Request<()>, body: &[u8]) -> Result<(), String> {
        if let Some(token) = &self.token {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", token.get()?))
                .map_err(|_| "the bearer token has characters that a header cannot have".to_owned())?;
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        if let Some(key) = &self.key {
            let value = HeaderValue::from_str(&signature(&key.get()?, request, body)).expect("digits");
            request.headers_mut().insert(SIGNATURE, value);
        }
        Ok(())
    }
}

fn signature(key: &str, request: &Request<()>, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("a key of any length");
    mac.update(request.method().as_str().as_bytes());
    for name in SIGNED {
        mac.update(b"\n");
        mac.update(request.headers()[&name].as_bytes());
    }
    mac.update(b"\n");
    mac.update(body);
    let digits = |mut text: String, byte: &u8| {
        let _ = write!(text, "{byte:02x}");
        text
    };
    mac.finalize().into_bytes().iter().fold("sha256=".to_owned(), digits)
}
