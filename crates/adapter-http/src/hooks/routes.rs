//! The paths of hooks.

use super::Hooks;
use super::hook::Hook;
use super::reading::NotRead;
use super::recent::{Seen, SeenJson, Sender};
use super::secret::Place;
use crate::access::attempts::{FAILURES_MAX, too_many};
use crate::backend::Backend;
use crate::caller::Caller;
use crate::guard::SUBMISSION_LEN_MAX;
use crate::json::signals::SignalJson;
use crate::pages::Prefix;
use crate::problem::Problem;
use crate::routes::Shared;
use crate::signals::{conflict, invalid, whole_body};
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{DefaultBodyLimit, Extension, Path, State};
use axum::handler::Handler;
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use domain::ledger::{Actor, HookName, NewSignal, Signal};
use domain::metrics::Refusal;
use domain::ports::Submit;
use jiff::Timestamp;
use serde::Serialize;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Path of the list; the hooks are below it.
const PATH: &str = "/hooks";

/// Timeout of the store. TradingView waits 3 s; an answer after 1 s may be too late behind a proxy.
const SUBMIT_TIME_MAX: Duration = Duration::from_millis(900);

pub(crate) fn routes() -> Router<Arc<dyn Backend>> {
    let most = || DefaultBodyLimit::max(SUBMISSION_LEN_MAX);
    Router::new()
        .route(PATH, get(list))
        .route("/hooks/{name}", post(without_part.layer(most())))
        .route("/hooks/{name}/{secret}", post(with_part.layer(most())))
}

/// Whether a request is an alert for a hook.
pub(crate) fn is_hook(method: &Method, path: &str) -> bool {
    *method == Method::POST && path.starts_with("/hooks/")
}

#[derive(Serialize)]
struct ListJson<'h> {
    hooks: Vec<HookJson<'h>>,
    requests: Vec<SeenJson>,
}

#[derive(Serialize)]
struct HookJson<'h> {
    name: &'h str,
    path: String,
    preset: Option<&'h str>,
    duplicate_window_s: u32,
}

async fn list(State(backend): Shared) -> Response {
    let hooks = backend.hooks();
    let shown = hooks.by_name.values().map(|hook| HookJson {
        name: hook.name.as_str(),
        path: hook.path(),
        preset: hook.preset.as_deref(),
        duplicate_window_s: hook.window_s,
    });
    let list = ListJson { hooks: shown.collect(), requests: hooks.recent.latest_first() };
    Json(list).into_response()
}

type Body = Result<Bytes, BytesRejection>;

async fn without_part(
    State(backend): Shared,
    Extension(caller): Extension<Caller>,
    Extension(prefix): Extension<Prefix>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    // A part that is no text names no hook.
    let name = path.map(|Path(name)| name).unwrap_or_default();
    alert(&*backend, Arrived { caller, prefix, name, secret: None, headers, body }).await
}

async fn with_part(
    State(backend): Shared,
    Extension(caller): Extension<Caller>,
    Extension(prefix): Extension<Prefix>,
    path: Result<Path<(String, String)>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let (name, secret) = path.map(|Path(parts)| parts).unwrap_or_default();
    alert(&*backend, Arrived { caller, prefix, name, secret: Some(secret), headers, body }).await
}

/// A request to a hook.
struct Arrived {
    caller: Caller,
    prefix: Prefix,
    name: String,
    /// The part of the path after the name.
    secret: Option<String>,
    headers: HeaderMap,
    body: Body,
}

/// The answer to an alert, and what is remembered of it.
struct Verdict {
    answer: Response,
    seen: Seen,
    sender: Sender,
}

async fn alert(backend: &dyn Backend, arrived: Arrived) -> Response {
    let hooks = backend.hooks();
    let received_ms = Timestamp::now().as_millisecond();
    let mut seen = Seen {
        at_ms: received_ms,
        hook: None,
        from: arrived.caller.remote.map(|remote| remote.ip().to_canonical()),
        status: 0,
        verdict: "refused",
        signal: None,
        why: None,
        body: None,
    };
    let hook = HookName::parse(&arrived.name).ok().and_then(|name| hooks.by_name.get(&name));
    let verdict = match hook {
        // The name is not repeated: it may be a secret in the wrong place.
        None => {
            let known = "no hook of that name is configured; `coordinator config check` lists the hooks";
            refused(seen, Sender::Stranger, Problem::new(StatusCode::NOT_FOUND, known), known)
        }
        Some(hook) => {
            seen.hook = Some(hook.name.to_string());
            judge(backend, &hooks, hook, arrived, seen).await
        }
    };
    let Verdict { answer, mut seen, sender } = verdict;
    seen.status = answer.status().as_u16();
    if answer.status().is_server_error() {
        // Not every sender repeats it, so it counts as a missed trade until the signal arrives.
        backend.refused(Refusal::Other);
        let hook = seen.hook.as_deref().unwrap_or_default();
        let why = seen.why.as_deref().unwrap_or_default();
        tracing::warn!(status = seen.status, hook, "an alert was not stored: {why}");
    }
    hooks.recent.add(sender, seen);
    answer
}

fn refused(mut seen: Seen, sender: Sender, problem: Problem, why: &str) -> Verdict {
    seen.why = Some(why.to_owned());
    Verdict { answer: problem.into_response(), seen, sender }
}

async fn judge(
    backend: &dyn Backend,
    hooks: &Hooks,
    hook: &Hook,
    arrived: Arrived,
    mut seen: Seen,
) -> Verdict {
    let forbidden = |seen: Seen, why: String| {
        refused(seen, Sender::Stranger, Problem::new(StatusCode::FORBIDDEN, named(hook, &why)), &why)
    };
    let wrong_secret = |seen: Seen, why: String| match hooks.failed(seen.from) {
        None => forbidden(seen, why),
        Some(wait) => too_often(hook, seen, &why, wait),
    };
    let peer = seen.from;
    let sender = match hook.sources.sender(peer, &arrived.headers) {
        Ok(sender) => sender,
        Err(why) => return forbidden(seen, why),
    };
    seen.from = sender;
    if let Err(why) = hook.sources.admit(sender, &arrived.headers) {
        return forbidden(seen, why);
    }
    if let Err(why) = path_secret(hook, arrived.secret.as_deref()) {
        return wrong_secret(seen, why.to_owned());
    }
    let body = match whole_body(arrived.body, SUBMISSION_LEN_MAX) {
        Ok(body) => body,
        Err(problem) => {
            let why = problem.detail().to_owned();
            let known = match &hook.secrets.place {
                Place::Path | Place::None => Sender::Known,
                Place::Field(_) | Place::Hmac(_) => Sender::Stranger,
            };
            return refused(seen, known, problem, &why);
        }
    };
    if let Place::Hmac(header) = &hook.secrets.place
        && let Err(why) = hook.secrets.signed(header, &arrived.headers, &body)
    {
        return wrong_secret(seen, why);
    }
    let accepted = backend.remembers_since_s()..=backend.accepts_until_s();
    let reading = hook.read(&body, seen.at_ms, accepted);
    match &reading.result {
        Err(NotRead::Secret(why)) => wrong_secret(seen, why.clone()),
        Err(why) => {
            let problem = problem(hook, why);
            let reasons = reading.signal().err().unwrap_or_default().join("; ");
            let known = match (&hook.secrets.place, why) {
                (Place::Field(_), NotRead::Malformed(_)) => Sender::Stranger,
                _ => Sender::Known,
            };
            seen.body.clone_from(&reading.shown);
            refused(seen, known, problem, &reasons)
        }
        Ok(signal) => {
            seen.body.clone_from(&reading.shown);
            store(backend, hook, signal, &arrived.prefix, peer, seen).await
        }
    }
}

/// 429 after too many wrong secrets of an address. A right one is accepted at any time.
fn too_often(hook: &Hook, mut seen: Seen, why: &str, wait: Duration) -> Verdict {
    seen.why = Some(why.to_owned());
    let detail =
        named(hook, &format!("{why}; more than {FAILURES_MAX} wrong secrets came from this address"));
    Verdict { answer: too_many(&detail, wait), seen, sender: Sender::Stranger }
}

/// Checks the part of the path after the name.
fn path_secret(hook: &Hook, given: Option<&str>) -> Result<(), &'static str> {
    match (&hook.secrets.place, given) {
        (Place::Path, Some(given)) if hook.secrets.has(given) => Ok(()),
        (Place::Path, Some(_)) => Err("the secret in the path is wrong"),
        (Place::Path, None) => {
            Err("the secret is missing: it is the last part of the path, /hooks/NAME/SECRET")
        }
        (Place::Field(_) | Place::Hmac(_) | Place::None, None) => Ok(()),
        (Place::Field(_) | Place::Hmac(_) | Place::None, Some(_)) => Err(
            "the path has a part after the name of the hook, and the secret of this hook is not in the path",
        ),
    }
}

/// Every reason names the hook: the log has lines of all of them.
fn named(hook: &Hook, why: &str) -> String {
    format!("hook {}: {why}", hook.name)
}

fn problem(hook: &Hook, why: &NotRead) -> Problem {
    match why {
        NotRead::Secret(why) => Problem::new(StatusCode::FORBIDDEN, named(hook, why)),
        NotRead::Malformed(why) => Problem::new(StatusCode::BAD_REQUEST, named(hook, why)),
        NotRead::Invalid(faults) => invalid(&named(hook, ""), faults),
        NotRead::TooLarge => crate::signals::payload_too_large(),
    }
}

async fn store(
    backend: &dyn Backend,
    hook: &Hook,
    signal: &NewSignal,
    prefix: &Prefix,
    peer: Option<IpAddr>,
    mut seen: Seen,
) -> Verdict {
    let from = match (seen.from, peer) {
        (Some(sender), Some(peer)) if sender != peer => format!("{sender} by {peer}"),
        (Some(sender), _) => sender.to_string(),
        (None, _) => "unknown".to_owned(),
    };
    let actor = Actor { who: format!("hook {}", hook.name), origin: from };
    let answer = match timeout(SUBMIT_TIME_MAX, backend.submit(signal, &actor)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return unavailable(seen, &error.to_string()),
        Err(_) => {
            let why = format!("the state store did not answer within {} ms", SUBMIT_TIME_MAX.as_millis());
            return unavailable(seen, &why);
        }
    };
    let (status, verdict, stored) = match answer {
        Submit::Accepted(stored) => (StatusCode::CREATED, "accepted", stored),
        Submit::Repeated(stored) => (StatusCode::OK, "repeated", stored),
        Submit::Folded(stored) => (StatusCode::OK, "folded", stored),
        Submit::Conflict(other) => {
            let problem = conflict(signal, &other);
            let why = problem.detail().to_owned();
            seen.signal = Some(other.id.to_string());
            return refused(seen, Sender::Known, problem, &why);
        }
    };
    seen.verdict = verdict;
    seen.signal = Some(stored.id.to_string());
    let answer = answered(status, verdict, &stored, prefix);
    Verdict { answer, seen, sender: Sender::Known }
}

fn unavailable(mut seen: Seen, why: &str) -> Verdict {
    seen.verdict = "unavailable";
    refused(seen, Sender::Known, Problem::new(StatusCode::SERVICE_UNAVAILABLE, why), why)
}

#[derive(Serialize)]
struct AnswerJson<'s> {
    verdict: &'static str,
    #[serde(flatten)]
    signal: SignalJson<'s>,
}

fn answered(status: StatusCode, verdict: &'static str, stored: &Signal, prefix: &Prefix) -> Response {
    let location = [(LOCATION, format!("{}/signals/{}", prefix.0, stored.id))];
    (status, location, Json(AnswerJson { verdict, signal: SignalJson::from(stored) })).into_response()
}
