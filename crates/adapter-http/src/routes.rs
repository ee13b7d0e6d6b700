//! Routes: the handler of each path.

use crate::accept::Form;
use crate::backend::Backend;
use crate::guard::{BODY_LEN_MAX, Gate, guard};
use crate::hooks;
use crate::json::cluster::{HistoryJson, ReadJson, StatusJson};
use crate::json::metrics::MetricsJson;
use crate::leader;
use crate::openapi;
use crate::operations;
use crate::page;
use crate::pages::{Pages, Prefix, SignalPages};
use crate::present::{self, PRESENT_TIME_MAX};
use crate::problem::Problem;
use crate::runbooks;
use crate::signals;
use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use domain::alert::Report;
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;
use tokio::time::timeout;

/// Most terms in one answer: a hundred hours at the highest rate of changes that fires no alert.
pub const HISTORY_LIMIT_MAX: u32 = 1_000;
/// Default number of terms.
pub const HISTORY_LIMIT_DEFAULT: u32 = 50;

/// Content type of Prometheus' text format.
const EXPOSITION_TYPE: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

pub(crate) type Shared = State<Arc<dyn Backend>>;

/// The pages, to serve with [`serve`](crate::serve)'s own limits on connections or to nest in another router
/// (`Router::new().nest("/coordinator", router)`). Links on the pages then begin with the path of the nest.
///
/// If the router is nested, the caller's server accepts the connections. The router bounds the time of an answer and
/// the size of a body, but not the number of connections and not the time in which a request's head arrives. The audit
/// of signals shows the address of the client only if the server uses
/// `into_make_service_with_connect_info::<SocketAddr>()`.
pub fn router(backend: Arc<dyn Backend>, pages: Pages) -> Router {
    let pages = Arc::new(pages);
    let routes = Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/leader", get(leader))
        .route("/status", get(status))
        .route("/history", get(history))
        .route("/metrics", get(exposition))
        .route("/coordinator/metrics", get(metrics))
        .merge(runbooks::routes())
        .merge(openapi::routes())
        .merge(operations::routes())
        .merge(page::routes(pages.streams));
    let routes = match pages.signals {
        SignalPages::Served => {
            routes.merge(signals::routes()).merge(operations::signal_routes()).merge(hooks::routes())
        }
        SignalPages::Absent => routes,
    };
    routes
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(BODY_LEN_MAX))
        .layer(axum::middleware::from_fn_with_state(
            Gate::new(Arc::clone(&pages), Arc::clone(&backend)),
            guard,
        ))
        .layer(Extension(pages.signals))
        .with_state(backend)
}

async fn livez() -> Response {
    Json(json!({ "status": "alive" })).into_response()
}

async fn readyz(State(backend): Shared) -> Result<Response, Problem> {
    match backend.ready() {
        Ok(()) => Ok(Json(json!({ "status": "ready" })).into_response()),
        Err(reason) => Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, reason)),
    }
}

async fn leader(State(backend): Shared) -> Response {
    leader::answer(&backend.leader())
}

async fn status(State(backend): Shared) -> Result<Response, Problem> {
    let Some(mut report) = backend.status() else {
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the coordinator is starting"));
    };
    let facts = present::facts(&*backend).await?;
    // An operator who has just turned the kill switch reads its present position. Without an answer, the last known
    // totals remain.
    if facts.members.current().is_some()
        && let Ok(Ok(totals)) = timeout(PRESENT_TIME_MAX, backend.totals()).await
    {
        report.snapshot.totals.answered(totals, report.snapshot.now_ms);
    }
    Ok(Json(StatusJson::new(&report, &facts)).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HistoryQuery {
    limit: Option<u32>,
}

async fn history(
    State(backend): Shared,
    query: Result<Query<HistoryQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let wrong = || {
        let detail = format!("the only parameter is limit, a whole number from 1 to {HISTORY_LIMIT_MAX}");
        Problem::new(StatusCode::BAD_REQUEST, detail)
    };
    let limit = query.map_err(|_| wrong())?.limit.unwrap_or(HISTORY_LIMIT_DEFAULT);
    if !(1..=HISTORY_LIMIT_MAX).contains(&limit) {
        return Err(wrong());
    }
    let history = present::history(&*backend, limit).await?;
    let terms = history.last().map_or(&[][..], |(terms, _)| terms);
    let read = ReadJson::of(&history);
    let decisions = present::decisions(&*backend, limit, &history).await;
    let report = backend.status();
    Ok(Json(HistoryJson::new(terms, decisions.as_deref(), report.as_ref(), read)).into_response())
}

async fn exposition(State(backend): Shared) -> Response {
    match backend.status() {
        Some(_) => text(&*backend),
        None => not_initialized(),
    }
}

async fn metrics(State(backend): Shared, headers: HeaderMap) -> Response {
    let mut response = match (backend.status(), Form::preferred(&headers)) {
        (None, _) => not_initialized(),
        (Some(_), Form::Text) => text(&*backend),
        (Some(report), Form::Json) => json_page(&report),
    };
    response.headers_mut().insert(VARY, HeaderValue::from_name(ACCEPT));
    response
}

fn json_page(report: &Report) -> Response {
    Json(MetricsJson::from(report)).into_response()
}

fn text(backend: &dyn Backend) -> Response {
    let problem = |detail| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail).into_response();
    match backend.exposition() {
        // An empty page would silence every alert on these metrics.
        Ok(text) if text.trim().is_empty() => problem("there are no metrics".to_owned()),
        Ok(text) => ([(CONTENT_TYPE, EXPOSITION_TYPE)], text).into_response(),
        Err(reason) => problem(reason),
    }
}

/// The answer that existing users of the metrics paths expect, so no problem document.
fn not_initialized() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "error": "Coordinator not initialized" }))).into_response()
}

async fn not_found(
    State(backend): Shared,
    method: Method,
    uri: Uri,
    Extension(signals): Extension<SignalPages>,
    Extension(prefix): Extension<Prefix>,
) -> Problem {
    let remedy = signals::remedy(&method, signals, &prefix);
    Problem::new(
        StatusCode::NOT_FOUND,
        format!("there is no {}{}{remedy}", prefix.0, backend.hooks().without_secrets(uri.path())),
    )
}

async fn method_not_allowed(
    State(backend): Shared,
    method: Method,
    uri: Uri,
    Extension(signals): Extension<SignalPages>,
    Extension(prefix): Extension<Prefix>,
) -> Problem {
    let remedy = signals::remedy(&method, signals, &prefix);
    let detail = format!(
        "{}{} does not support {method}{remedy}",
        prefix.0,
        backend.hooks().without_secrets(uri.path())
    );
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}
