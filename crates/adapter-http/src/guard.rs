//! [`guard`]: the checks and limits of every request, whatever its path.

use crate::access::{Denied, admit_without_access, routes};
use crate::arriving::Arriving;
use crate::backend::Backend;
use crate::caller::{self, Caller};
use crate::headers;
use crate::hooks;
use crate::pages::{Pages, Prefix, SignalPages};
use crate::problem::Problem;
use crate::refusals::Refusals;
use crate::signals;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{CONNECTION, CONTENT_LENGTH};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use domain::ledger::PAYLOAD_LEN_MAX;
use std::sync::Arc;
use std::time::Duration;
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
    pages: Arc<Pages>,
    backend: Arc<dyn Backend>,
    refusals: Arc<Refusals>,
}

impl Gate {
    pub(crate) fn new(pages: Arc<Pages>, backend: Arc<dyn Backend>) -> Self {
        Self { pages, backend: Arc::clone(&backend), refusals: Arc::new(Refusals::new(backend)) }
    }

    /// Names the caller by its credential, or refuses the request.
    fn admit(&self, request: &Request, caller: &mut Caller) -> Result<(), Box<Response>> {
        let admitted = match self.backend.access() {
            Some(access) => access.admit(request, caller),
            None => admit_without_access(request, caller, self.pages.clients),
        };
        match admitted {
            Ok(name) => {
                caller.credential = name;
                Ok(())
            }
            Err(Denied { why, response }) => {
                self.backend.access_refused(why);
                // A refused submission has its own line.
                if !is_submission(request) && !misses_the_route(request, self.pages.signals) {
                    self.refusals.log_denied(caller.remote, &response);
                }
                Err(response)
            }
        }
    }
}

/// Refuses unknown callers and large bodies without reading them, bounds the time of an answer, and turns a panic into
/// a 500: a dead metrics provider must not look like a dead process, and never like an empty 200.
pub(crate) async fn guard(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    let mut caller = Caller::of(&request);
    let prefix = Prefix::of(&request);
    request.extensions_mut().insert(prefix);
    let submits = is_submission(&request) || misses_the_route(&request, gate.pages.signals);
    let submitted_by = submits.then_some(caller.remote);
    let mut response = match permitted(&gate, &request, &mut caller) {
        Err(mut response) => {
            // Part of the body may not have arrived yet, and it will not be read.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            *response
        }
        Ok(()) => {
            request.extensions_mut().insert(caller);
            answer(gate.pages.answer, request, next).await
        }
    };
    if let Some(origin) = submitted_by {
        gate.refusals.notice(origin, &response);
    }
    headers::secure(response.headers_mut());
    response
}

/// Names the caller, or answers a request that is refused before its handler runs: for its origin, its credential, or
/// the size of its body.
fn permitted(gate: &Gate, request: &Request, caller: &mut Caller) -> Result<(), Box<Response>> {
    if let Some(reason) = caller::refusal(request, caller, &gate.pages.hosts) {
        return Err(Box::new(Problem::new(StatusCode::FORBIDDEN, reason).into_response()));
    }
    gate.admit(request, caller)?;
    let most = if is_submission(request) { SUBMISSION_LEN_MAX } else { BODY_LEN_MAX };
    if announced_len(request) > most as u64 { Err(Box::new(too_large(most).into_response())) } else { Ok(()) }
}

fn is_submission(request: &Request) -> bool {
    let path = request.uri().path();
    request.method() == Method::POST && path == signals::PATH || hooks::is_hook(request.method(), path)
}

/// True if a client may have meant to submit a signal but used another path or method than [`is_submission`].
fn misses_the_route(request: &Request, signals: SignalPages) -> bool {
    let path = request.uri().path();
    let is_another = request.method() == Method::POST && routes::takes_another_post(path);
    let sends = matches!(*request.method(), Method::POST | Method::PUT);
    signals == SignalPages::Served && sends && !is_another
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

/// The path of a request for the log. That of a hook, or one without a route, may contain a secret: the log has the form
/// of the first, and nothing of the second.
fn loggable(request: &Request) -> String {
    match request.extensions().get::<MatchedPath>().map(MatchedPath::as_str) {
        Some(route) if route.contains("/hooks/") => route.to_owned(),
        Some(_) => request.uri().path().to_owned(),
        None => "a path without a route".to_owned(),
    }
}

async fn answer(limit: Duration, request: Request, next: Next) -> Response {
    let path = loggable(&request);
    let (head, body) = request.into_parts();
    let (body, awaited) = Arriving::watched(body);
    let request = Request::from_parts(head, body);
    // A separate task catches a panic. In a set, the task ends if the client disconnects and this is dropped.
    let mut task = JoinSet::new();
    task.spawn(next.run(request));
    match timeout(limit, task.join_next()).await {
        Ok(Some(Ok(response))) => response,
        Ok(Some(Err(error))) => {
            tracing::error!(path, %error, "answering a request failed");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the answer failed; the log contains the reason")
                .into_response()
        }
        Ok(None) => unreachable!("the set has one task"),
        Err(_) if awaited.is_so() => {
            let detail = format!("the body did not come to its end within {} ms", limit.as_millis());
            Problem::new(StatusCode::REQUEST_TIMEOUT, detail).into_response()
        }
        Err(_) => {
            let detail = format!("no answer within {} ms", limit.as_millis());
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).into_response()
        }
    }
}
