//! The paths of signals: submit, list, show, claim, and record results.

pub(crate) mod fields;
mod placeholder;
mod query;
mod submission;
mod time;

pub use query::{SIGNALS_LIMIT_DEFAULT, SIGNALS_LIMIT_MAX};

use crate::backend::{Backend, Pull, Reported};
use crate::caller::Caller;
use crate::guard::{BODY_LEN_MAX, SUBMISSION_LEN_MAX, too_large};
use crate::json::raw::Plain;
use crate::json::signals::{ListJson, PullJson, SignalJson, StoryJson};
use crate::leader;
use crate::outcome::{OUTCOMES, note, outcome};
use crate::pages::{Prefix, SignalPages};
use crate::present;
use crate::problem::Problem;
use crate::routes::Shared;
use crate::server::ANSWER_TIME_DEFAULT;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{DefaultBodyLimit, Extension, Path, Query, RawQuery, State};
use axum::handler::Handler;
use axum::http::header::LOCATION;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use domain::ledger::{Actor, Fingerprint, LimitReached, NewSignal, Outcome, Signal, SignalId};
use domain::ports::{CLAIM_MAX, Report, StoreError, Submit};
pub(crate) use fields::{Fault, invalid, not_an_object};
use fields::{Fields, whole};
pub(crate) use placeholder::placeholder;
use std::sync::Arc;
use std::time::Duration;
pub(crate) use submission::{NO_TEXT, id, label, payload_too_large, too_new, too_old};
pub(crate) use time::{EXPIRED_BOUNDS, Repeated, unix_ms, unix_ms_in};

/// Path of the signals.
pub(crate) const PATH: &str = "/signals";

/// Longest wait for a claim, in milliseconds. The answer, store included, must come within its timeout.
const WAIT_MS_MAX: u32 = 4_000;
const _: () =
    assert!(Duration::from_millis(WAIT_MS_MAX as u64).as_millis() < ANSWER_TIME_DEFAULT.as_millis());

pub(crate) fn routes() -> Router<Arc<dyn Backend>> {
    Router::new()
        .route(PATH, get(list).post(submit.layer(DefaultBodyLimit::max(SUBMISSION_LEN_MAX))))
        // A signal may have any id, including these words.
        .route("/signals/claim", post(pull).get(one_of_that_name))
        .route("/signals/pause", get(one_of_that_name))
        .route("/signals/resume", get(one_of_that_name))
        .route("/signals/{id}", get(one))
        .route("/signals/{id}/result", post(report))
}

/// What a client reads that may have meant to submit a signal; empty for any other.
pub(crate) fn remedy(method: &Method, signals: SignalPages, prefix: &Prefix) -> String {
    let sends = matches!(*method, Method::POST | Method::PUT);
    if sends && signals == SignalPages::Served {
        format!(": a signal is submitted with POST {}{PATH}", prefix.0)
    } else {
        String::new()
    }
}

pub(crate) type Body = Result<Bytes, BytesRejection>;

async fn submit(
    State(backend): Shared,
    Extension(caller): Extension<Caller>,
    Extension(prefix): Extension<Prefix>,
    body: Body,
) -> Result<Response, Problem> {
    let body = whole_body(body, SUBMISSION_LEN_MAX)?;
    let new = submission::read(&body, backend.remembers_since_s()..=backend.accepts_until_s())?;
    match backend.submit(&new, &client(&caller)).await.map_err(again)? {
        Submit::Accepted(signal) => {
            let location = [(LOCATION, format!("{}{PATH}/{}", prefix.0, signal.id))];
            Ok((StatusCode::CREATED, location, Json(SignalJson::from(&signal))).into_response())
        }
        Submit::Repeated(signal) | Submit::Folded(signal) => {
            Ok(Json(SignalJson::from(&signal)).into_response())
        }
        Submit::Conflict(signal) => Err(conflict(&new, &signal)),
    }
}

/// The client may repeat the request after any fault of the store, and should not stop trying.
#[expect(clippy::needless_pass_by_value, reason = "an argument of `map_err`")]
pub(crate) fn again(error: StoreError) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
}

/// The client at the other end of the connection, by the name of its credential.
pub(crate) fn client(caller: &Caller) -> Actor {
    let origin = caller.remote.map_or_else(|| "unknown".to_owned(), |remote| remote.to_string());
    let who = caller.credential.as_deref().unwrap_or("client").to_owned();
    Actor { who, origin }
}

pub(crate) fn conflict(new: &NewSignal, existing: &Signal) -> Problem {
    let detail = if existing.fingerprint() == Fingerprint::of(&new.instruction) {
        format!(
            "the same instrument, signal_type, position and timestamp (one fingerprint) were accepted before as \
             {}, with another payload or expires_at",
            existing.id
        )
    } else {
        format!("the id {} belongs to another signal, with another fingerprint", existing.id)
    };
    Problem::new(StatusCode::CONFLICT, detail).with("signal", SignalJson::from(existing))
}

async fn list(
    State(backend): Shared,
    Extension(prefix): Extension<Prefix>,
    RawQuery(raw): RawQuery,
    Query(parameters): Query<Vec<(String, String)>>,
) -> Result<Response, Problem> {
    query::check_text(raw.as_deref().unwrap_or_default())?;
    let query = query::read(&parameters)?;
    let next = |signals: &[Signal]| query::next(&query, signals).map(|path| format!("{}{path}", prefix.0));
    let list = present::signals(&*backend, &query, next).await?;
    Ok(Json(ListJson::new(&list)).into_response())
}

async fn one(State(backend): Shared, id: Result<Path<String>, PathRejection>) -> Result<Response, Problem> {
    shown(&*backend, &named(id)?).await
}

async fn one_of_that_name(State(backend): Shared, uri: Uri) -> Result<Response, Problem> {
    let name = uri.path().rsplit('/').next().unwrap_or_default();
    shown(&*backend, &SignalId::parse(name).expect("letters are an id")).await
}

async fn shown(backend: &dyn Backend, id: &SignalId) -> Result<Response, Problem> {
    let (signal, audit) = backend.signal(id).await?.ok_or_else(|| unknown(id))?;
    Ok(Json(StoryJson::new(&signal, &audit)).into_response())
}

/// A text that is not an id belongs to no signal.
pub(crate) fn named(id: Result<Path<String>, PathRejection>) -> Result<SignalId, Problem> {
    let id = id.ok().and_then(|Path(id)| SignalId::parse(&id).ok());
    id.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "no signal can have that id"))
}

pub(crate) fn unknown(id: &SignalId) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, format!("there is no signal {id}"))
}

async fn pull(State(backend): Shared, body: Body) -> Result<Response, Problem> {
    let body = whole_body(body, BODY_LEN_MAX)?;
    let mut fields = Fields::read(if body.is_empty() { b"{}" } else { &body })?;
    let most = fields.optional("max", whole(1, CLAIM_MAX.into()));
    let wait_ms = fields.optional("wait_ms", whole(0, WAIT_MS_MAX));
    fields.refuse_rest("max and wait_ms");
    fields.finish(Some(()))?;
    let most = most.map_or(1, |most| u16::try_from(most).unwrap_or(CLAIM_MAX));
    let none = |why| Ok(Json(PullJson::none(why)).into_response());
    match backend.pull(most, Duration::from_millis(wait_ms.unwrap_or(0).into())).await.map_err(again)? {
        Pull::Claimed { token, signals } => Ok(Json(PullJson::claimed(&token, &signals)).into_response()),
        Pull::Empty => none("empty"),
        Pull::Paused => none("paused"),
        Pull::Limited(LimitReached::PerMinute) => none("limit_per_minute"),
        Pull::Limited(LimitReached::PerDay) => none("limit_per_day"),
        Pull::NotLeading => Ok(leader::elsewhere(&backend.leader())),
        Pull::Pushed => Err(Problem::new(
            StatusCode::CONFLICT,
            "the leader sends signals to the configured handler, so they cannot be claimed here",
        )),
    }
}

async fn report(
    State(backend): Shared,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
    body: Body,
) -> Result<Response, Problem> {
    let id = named(id)?;
    let body = whole_body(body, BODY_LEN_MAX)?;
    let report = read_report(&id, &body)?;
    let reported = backend.report(report, &client(&caller)).await.map_err(again)?;
    if reported == Reported::NotLeading {
        return Ok(leader::elsewhere(&backend.leader()));
    }
    let (signal, _) = backend.signal(&id).await?.ok_or_else(|| unknown(&id))?;
    let signal = SignalJson::from(&signal);
    if reported == Reported::Recorded {
        return Ok(Json(signal).into_response());
    }
    let detail = "the result cannot follow the signal's state, or it concerns another attempt";
    Err(Problem::new(StatusCode::CONFLICT, detail).with("signal", signal))
}

fn read_report(id: &SignalId, body: &[u8]) -> Result<Report, Problem> {
    let mut fields = Fields::read(body)?;
    let attempt = fields.required("attempt", whole(1, u32::MAX));
    let outcome = fields.required("outcome", outcome_text);
    let note = fields.optional("note", note_text);
    fields.refuse_rest("attempt, outcome and note");
    let report = || Some(Report { id: id.clone(), attempt: attempt?, outcome: outcome?, note });
    let report = report();
    fields.finish(report)
}

fn outcome_text(plain: &Plain) -> Result<Outcome, String> {
    let Plain::Text(text) = plain else { return Err(format!("{OUTCOMES} is required")) };
    outcome(text.trim()).ok_or_else(|| format!("{OUTCOMES} is required"))
}

/// The note of a result; a broker's order id may be a number.
fn note_text(plain: &Plain) -> Result<String, String> {
    match plain {
        Plain::Text(text) | Plain::Number(text) => Ok(note(text)),
        Plain::Null | Plain::Other => Err("a text is required".to_owned()),
    }
}

/// The body, once all of it has arrived.
pub(crate) fn whole_body(body: Body, most: usize) -> Result<Bytes, Problem> {
    body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(most),
        status => Problem::new(status, "the body is incomplete"),
    })
}
