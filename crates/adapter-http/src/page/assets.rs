//! The files of the page, compiled in. Their names contain a hash of their content, so a browser may keep them
//! forever.

use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::problem::Problem;

/// The page around its sections.
pub(super) const HTML: &str = include_str!("assets/page.html");

const CSS: Asset = Asset::new("css", "text/css; charset=utf-8", include_str!("assets/page.css"));
const JS: Asset = Asset::new("js", "text/javascript; charset=utf-8", include_str!("assets/page.js"));
const ICON: Asset = Asset::new("svg", "image/svg+xml", include_str!("assets/icon.svg"));

struct Asset {
    /// The end of its name.
    kind: &'static str,
    media_type: &'static str,
    content: &'static str,
    hash: u64,
}

impl Asset {
    const fn new(kind: &'static str, media_type: &'static str, content: &'static str) -> Self {
        Self { kind, media_type, content, hash: fnv1a(content.as_bytes()) }
    }

    fn name(&self) -> String {
        format!("{:016x}.{}", self.hash, self.kind)
    }

    fn path(&self, prefix: &str) -> String {
        format!("{prefix}/page/{}", self.name())
    }
}

/// FNV-1a, which can run at compile time. It distinguishes versions and protects nothing.
const fn fnv1a(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325;
    let mut at = 0;
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        at += 1;
    }
    hash
}

/// The addresses of the files.
pub(super) fn css(prefix: &str) -> String {
    CSS.path(prefix)
}

pub(super) fn js(prefix: &str) -> String {
    JS.path(prefix)
}

pub(super) fn icon(prefix: &str) -> String {
    ICON.path(prefix)
}

/// Answers a file. During an upgrade behind one address, a page of another version may name another hash: it gets the
/// present file, which its browser must not keep.
pub(super) async fn file(Path(name): Path<String>) -> Response {
    let found = [CSS, JS, ICON].into_iter().find(|asset| name.rsplit('.').next() == Some(asset.kind));
    let Some(asset) = found else {
        return Problem::new(StatusCode::NOT_FOUND, "the page has no such file").into_response();
    };
    let keep = if name == asset.name() { "public, max-age=31536000, immutable" } else { "no-store" };
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(asset.media_type)),
        (CACHE_CONTROL, HeaderValue::from_static(keep)),
    ];
    (headers, asset.content).into_response()
}
