//! Headers of every answer, also of those that hyper gives itself.

use axum::http::header::{CACHE_CONTROL, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderValue};

const NOSNIFF: &str = "nosniff";
const NO_REFERRER: &str = "no-referrer";
const NO_STORE: &str = "no-store";

/// Adds the headers. A route may have allowed a cache.
pub(crate) fn secure(headers: &mut HeaderMap) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static(NOSNIFF));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static(NO_REFERRER));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static(NO_STORE));
}

/// The same headers as lines of a head.
pub(crate) fn lines() -> String {
    format!(
        "{X_CONTENT_TYPE_OPTIONS}: {NOSNIFF}\r\n{REFERRER_POLICY}: {NO_REFERRER}\r\n{CACHE_CONTROL}: {NO_STORE}\r\n"
    )
}
