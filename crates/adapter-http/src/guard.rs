//! What holds for every request, whatever it asks.

use crate::problem::Problem;
use crate::server::Limits;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Largest request body in bytes.
pub(crate) const BODY_LEN_MAX: usize = 64 * 1024;

/// Refuses a large body unread, bounds the time an answer takes, and turns a panic into a 500: a dead
/// metrics provider must not look like a dead process, and never like an empty 200.
pub(crate) async fn guard(State(limits): State<Limits>, request: Request, next: Next) -> Response {
    let mut response = if announces_large_body(&request) {
        let problem = Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("a request body has at most {BODY_LEN_MAX} bytes"),
        );
        let mut response = problem.into_response();
        // The body is still to come and nobody will read it.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        response
    } else {
        answer(limits, request, next).await
    };
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn announces_large_body(request: &Request) -> bool {
    let length = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    // What is announced is a number, or hyper would have refused it; one beyond u64 it refuses too.
    length.and_then(|text| text.parse::<u64>().ok()).is_some_and(|length| length > BODY_LEN_MAX as u64)
}

async fn answer(limits: Limits, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    // A task of its own catches a panic; in a set, it ends when the client goes away and this is dropped.
    let mut task = JoinSet::new();
    task.spawn(next.run(request));
    match timeout(limits.answer, task.join_next()).await {
        Ok(Some(Ok(response))) => response,
        Ok(Some(Err(error))) => {
            tracing::error!(path, %error, "answering a request failed");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "answering failed; the log says more")
                .into_response()
        }
        Ok(None) => unreachable!("the set has one task"),
        Err(_) => {
            let detail = format!("no answer within {} ms", limits.answer.as_millis());
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).into_response()
        }
    }
}
