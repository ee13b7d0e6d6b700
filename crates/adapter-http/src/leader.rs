//! Who leads: the page of that name, and the answer of an instance that would have to lead and does not.

use crate::backend::LeaderView;
use crate::json::cluster::LeaderJson;
use crate::problem::Problem;
use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::id::InstanceId;

/// The leader's id, and the address of its page.
const LEADER: HeaderName = HeaderName::from_static("coordinator-leader");
const LEADER_ADDRESS: HeaderName = HeaderName::from_static("coordinator-leader-address");

/// 200 on the active leader, 503 elsewhere.
pub(crate) fn told(view: &LeaderView) -> Response {
    if view.active { named(Json(LeaderJson::from(view)).into_response(), view) } else { elsewhere(view) }
}

/// 503, with the leader in the body and the headers.
pub(crate) fn elsewhere(view: &LeaderView) -> Response {
    let detail = match &view.id {
        Some(id) => format!("this instance is not the active leader; {id} holds the lease"),
        None => "nobody is known to lead".to_owned(),
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
        // An address is what another process wrote: one that is no header value is only in the body.
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
