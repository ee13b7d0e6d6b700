//! [`guard`]: the checks and limits of every request, whatever its path.

use crate::backend::Backend;
use crate::caller::{self, Caller};
use crate::problem::Problem;
use crate::refusals::Refusals;
use crate::server::Limits;
use crate::signals;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use domain::ledger::PAYLOAD_LEN_MAX;
use std::sync::Arc;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Largest request body in bytes, except for a submission.
pub(crate) const BODY_LEN_MAX: usize = 64 * 1024;

/// Largest body of a submission: the largest payload with escapes, and the other fields.
pub(crate) const SUBMISSION_LEN_MAX: usize = 96 * 1024;
const _: () = assert!(SUBMISSION_LEN_MAX >= PAYLOAD_LEN_MAX + PAYLOAD_LEN_MAX / 2);

/// State of the guard in addition to the request.
#[derive(Clone)]
pub(crate) struct Gate {
    limits: Limits,
    refusals: Arc<Refusals>,
}

impl Gate {
    pub(crate) fn new(limits: Limits, backend: Arc<dyn Backend>) -> Self {
        Self { limits, refusals: Arc::new(Refusals::new(backend)) }
    }
}

/// Refuses foreign callers and large bodies before reading them, limits the time of an answer, and turns a
/// panic into a 500: a failed metrics provider must not appear as a dead process, and never as an empty 200.
pub(crate) async fn guard(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let submitted_by =
        is_submission(&request).then(|| request.extensions().get::<Caller>().map(|caller| caller.remote));
    let mut response = match refused(&request) {
        Some(problem) => {
            let mut response = problem.into_response();
            // Part of the body may not have arrived yet, and it will not be read.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            response
        }
        None => answer(gate.limits, request, next).await,
    };
    if let Some(origin) = submitted_by {
        gate.refusals.notice(origin, &response);
    }
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The reason to refuse a request before its path is considered.
fn refused(request: &Request) -> Option<Problem> {
    if let Some(reason) = caller::refusal(request) {
        return Some(Problem::new(StatusCode::FORBIDDEN, reason));
    }
    let most = if is_submission(request) { SUBMISSION_LEN_MAX } else { BODY_LEN_MAX };
    (announced_len(request) > most as u64).then(|| too_large(most))
}

fn is_submission(request: &Request) -> bool {
    request.method() == Method::POST && request.uri().path() == signals::PATH
}

/// Error for a body of more than `most` bytes.
pub(crate) fn too_large(most: usize) -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("a request body has at most {most} bytes here"))
}

fn announced_len(request: &Request) -> u64 {
    let length = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    // The announced length is a number; hyper refuses everything else, also a number beyond u64.
    length.and_then(|text| text.parse().ok()).unwrap_or(0)
}

async fn answer(limits: Limits, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    // A separate task catches a panic. In a set, the task ends if the client disconnects and this is dropped.
    let mut task = JoinSet::new();
    task.spawn(next.run(request));
    match timeout(limits.answer, task.join_next()).await {
        Ok(Some(Ok(response))) => response,
        Ok(Some(Err(error))) => {
            tracing::error!(path, %error, "answering a request failed");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the answer failed; the log contains the reason")
                .into_response()
        }
        Ok(None) => unreachable!("the set has one task"),
        Err(_) => {
            let detail = format!("no answer within {} ms", limits.answer.as_millis());
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).into_response()
        }
    }
}
