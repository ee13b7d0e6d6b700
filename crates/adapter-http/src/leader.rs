//! The page `/leader`, and the answer of an instance that is not the active leader to requests that only the
//! leader serves.

use crate::backend::LeaderView;
use crate::json::cluster::LeaderJson;
use crate::problem::Problem;
use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::id::InstanceId;

/// Headers with the leader's id and the address of its page.
const LEADER: HeaderName = HeaderName::from_static("coordinator-leader");
const LEADER_ADDRESS: HeaderName = HeaderName::from_static("coordinator-leader-address");

/// 200 on the active leader, 503 on other instances.
pub(crate) fn answer(view: &LeaderView) -> Response {
    if view.active { named(Json(LeaderJson::from(view)).into_response(), view) } else { elsewhere(view) }
}

/// 503, with the leader in the body and the headers.
pub(crate) fn elsewhere(view: &LeaderView) -> Response {
    let detail = match &view.id {
        Some(id) => format!("this instance is not the active leader; {id} holds the lease"),
        None => "no leader is known".to_owned(),
    };
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
        .with("active", false)
        .with("leader", view.id.as_ref().map(InstanceId::as_str))
        .with("address", view.address.as_deref())
        .with("epoch", view.epoch.map(|epoch| epoch.0));
    named(problem.into_response(), view)
}

fn named(mut response: Response, view: &LeaderView) -> Response {
    let names =
        [(LEADER, view.id.as_ref().map(InstanceId::as_str)), (LEADER_ADDRESS, view.address.as_deref())];
    for (name, value) in names {
        // Another process wrote the address. If it is no valid header value, only the body contains it.
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
