//! [`Problem`]: error answers by RFC 9457.

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::ports::StoreError;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

/// Seconds after which a client may repeat a request that a store did not answer: about one heartbeat.
const RETRY_AFTER_S: &str = "3";

/// The reason for a refusal, for the log. It is an extension of the response.
#[derive(Debug, Clone)]
pub(crate) struct Why(pub(crate) String);

/// An error answer: `application/problem+json`.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    detail: String,
    /// As JSON text, so that a signal's payload keeps its numbers as they were written.
    more: Vec<(&'static str, Box<RawValue>)>,
}

impl Problem {
    /// A problem with a status and a sentence about this case.
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), more: Vec::new() }
    }

    /// The sentence about this case.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// Adds a member to the standard ones.
    pub(crate) fn with(mut self, name: &'static str, value: impl Serialize) -> Self {
        let value = to_raw_value(&value).expect("our documents have text for keys, so they are JSON");
        self.more.push((name, value));
        self
    }
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", "about:blank")?;
        map.serialize_entry("title", self.status.canonical_reason().unwrap_or("Error"))?;
        map.serialize_entry("status", &self.status.as_u16())?;
        map.serialize_entry("detail", &self.detail)?;
        for (name, value) in &self.more {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_string(&self).expect("every member is JSON already");
        let mut response = (self.status, body).into_response();
        response.extensions_mut().insert(Why(self.detail));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
        }
        response
    }
}

/// A store that does not answer may answer later; invalid data needs the operator.
impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let detail = error.to_string();
        match error {
            StoreError::Unavailable(_) | StoreError::Unknown(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
            }
            StoreError::Corrupt(fault) => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, detail).with("state_store_fault", fault)
            }
        }
    }
}
