//! The operator's page at `/`: the server builds one tree for each section, writes it as HTML for the first paint and as
//! JSON for `/events`. The script of the page knows no wording; it builds the same elements from the tree.
//!
//! | file | what it is |
//! |---|---|
//! | [`tree`] | elements, written as HTML and as JSON |
//! | [`seen`] | what this instance knows at one moment: the input of every section |
//! | [`listing`] | the signals that a reader has chosen |
//! | [`document`] | the sections in their order, and the HTML document |
//! | [`events`] | `GET /events`: what changed, as server-sent events |
//! | [`assets`] | style sheet, script and icon |
//! | the others | one section each, a pure function of [`seen::Seen`] |

mod assets;
mod chart;
mod charts;
mod document;
mod events;
mod figures;
mod history;
mod instances;
mod lead;
mod listing;
mod live;
mod moment;
mod recovery;
mod seen;
mod settings;
mod signals;
mod stores;
mod tree;
mod words;
mod wrong;

use crate::pages::{Prefix, SignalPages};
use crate::routes::Shared;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_SECURITY_POLICY, COOKIE};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use std::sync::Arc;

use crate::backend::Backend;
pub(crate) use events::Closing;
use events::Places;
use listing::{Choice, Listing};
use live::Live;
use seen::Seen;
pub(crate) use tree::escape as escape_into;

/// The page loads nothing from other servers, contains no inline script or style, and is shown in no frame of another
/// page.
pub(crate) const POLICY: &str =
    "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

/// The parameters of an address. A malformed query has none: the page is shown nevertheless.
type Parameters = Result<Query<Vec<(String, String)>>, QueryRejection>;

/// The paths of the page, with at most `streams` streams at a time.
pub(crate) fn routes(streams: usize) -> Router<Arc<dyn Backend>> {
    Router::new()
        .route("/", get(front))
        .route("/events", get(events::events))
        .route("/page/{name}", get(assets::file))
        .layer(Extension(Arc::new(Live::default())))
        .layer(Extension(Places::new(streams)))
}

async fn front(
    State(backend): Shared,
    Extension(signals): Extension<SignalPages>,
    Extension(prefix): Extension<Prefix>,
    parameters: Parameters,
    headers: HeaderMap,
) -> Response {
    let seen = Seen::by(&*backend, signals, &prefix.0);
    let parameters = parameters.map(|Query(all)| all).unwrap_or_default();
    let listing = Listing::read(&*backend, &seen, &Choice::of(&parameters)).await;
    let page = document::html(&seen, &listing, theme(&headers));
    ([(CONTENT_SECURITY_POLICY, POLICY)], Html(page)).into_response()
}

/// The theme that the reader has chosen, from the cookie, so that the first paint has it.
fn theme(headers: &HeaderMap) -> &'static str {
    let cookies = headers.get_all(COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut chosen =
        cookies.flat_map(|value| value.split(';')).filter_map(|one| one.trim().strip_prefix("theme="));
    match chosen.next() {
        Some("light") => "light",
        Some("dark") => "dark",
        _ => "system",
    }
}

#[cfg(test)]
mod tests;
