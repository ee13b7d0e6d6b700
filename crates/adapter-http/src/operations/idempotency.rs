//! `Idempotency-Key`: a repeated request gets the first answer and is not carried out again.
//!
//! The answers are in the memory of one instance. That is enough, because each action is safe to repeat: a handover
//! names the epoch, a decision names the attempt, and the other actions set a state. The key only saves a client from
//! the question whether its first request did something.

use super::BODY_LEN_MAX;
use crate::caller::Caller;
use crate::problem::Problem;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Extension, Request};
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Longest key; a UUID has 36 characters.
const KEY_LEN_MAX: usize = 128;
/// Most answers that are kept; operators act rarely.
const KEPT_MAX: usize = 256;
/// The time for which an answer is kept.
const KEPT_FOR: Duration = Duration::from_hours(24);
/// Largest answer that is kept: a signal with the largest payload.
const ANSWER_LEN_MAX: usize = 256 * 1024;

/// The answers to requests with a key, the oldest first.
#[derive(Default)]
pub(super) struct Answers(Mutex<VecDeque<Entry>>);

struct Entry {
    /// The credential and the key.
    of: (Option<Arc<str>>, String),
    /// Hash of method, path and body.
    request: [u8; 32],
    since: Instant,
    /// `None` while the first request is carried out.
    answer: Option<Answer>,
}

#[derive(Clone)]
struct Answer {
    status: StatusCode,
    content: Option<HeaderValue>,
    body: Bytes,
}

/// What to do with a request.
enum Turn {
    First,
    Again(Answer),
    Refused(Problem),
}

impl Answers {
    fn begin(&self, of: &(Option<Arc<str>>, String), request: [u8; 32], now: Instant) -> Turn {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|entry| entry.answer.is_none() || now < entry.since + KEPT_FOR);
        match entries.iter().find(|entry| entry.of == *of) {
            Some(entry) if entry.request != request => Turn::Refused(Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "another request had this Idempotency-Key: choose a new key for each action",
            )),
            Some(Entry { answer: Some(answer), .. }) => Turn::Again(answer.clone()),
            Some(_) => Turn::Refused(Problem::new(
                StatusCode::CONFLICT,
                "the first request with this Idempotency-Key is being carried out: repeat it later",
            )),
            None => {
                if entries.len() >= KEPT_MAX
                    && let Some(oldest) = entries.iter().position(|entry| entry.answer.is_some())
                {
                    entries.remove(oldest);
                }
                entries.push_back(Entry { of: of.clone(), request, since: now, answer: None });
                Turn::First
            }
        }
    }

    /// Keeps the answer; without one, the next request with the key is carried out.
    fn end(&self, of: &(Option<Arc<str>>, String), answer: Option<Answer>) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = entries.iter().position(|entry| entry.of == *of && entry.answer.is_none());
        let Some(at) = at else { return };
        match answer {
            Some(answer) => entries[at].answer = Some(answer),
            None => drop(entries.remove(at)),
        }
    }
}

/// Ends the request's turn also if its future is dropped, as when the client disconnects.
struct Turned<'a> {
    answers: &'a Answers,
    of: (Option<Arc<str>>, String),
    answer: Option<Answer>,
}

impl Drop for Turned<'_> {
    fn drop(&mut self) {
        self.answers.end(&self.of, self.answer.take());
    }
}

/// Carries out each request with a key once.
pub(super) async fn once(
    Extension(answers): Extension<Arc<Answers>>,
    Extension(caller): Extension<Caller>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let Some(key) = key(request.headers())? else { return Ok(next.run(request).await) };
    let (head, body) = request.into_parts();
    let body = to_bytes(body, BODY_LEN_MAX)
        .await
        .map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "the body is incomplete or too large"))?;
    let mut hash = Sha256::new();
    for part in [head.method.as_str().as_bytes(), b" ", head.uri.path().as_bytes(), b"\n", &body] {
        hash.update(part);
    }
    let of = (caller.credential, key);
    match answers.begin(&of, hash.finalize().into(), Instant::now()) {
        Turn::Again(answer) => return Ok(answer.into_response()),
        Turn::Refused(problem) => return Err(problem),
        Turn::First => {}
    }
    let mut turned = Turned { answers: &answers, of, answer: None };
    let response = next.run(Request::from_parts(head, Body::from(body))).await;
    // A store that did not answer may answer the next request.
    if response.status().is_server_error() {
        return Ok(response);
    }
    let (head, body) = response.into_parts();
    let body = to_bytes(body, ANSWER_LEN_MAX)
        .await
        .map_err(|_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the answer is too large"))?;
    let content = head.headers.get(CONTENT_TYPE).cloned();
    turned.answer = Some(Answer { status: head.status, content, body: body.clone() });
    Ok(Response::from_parts(head, Body::from(body)))
}

fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut keys = headers.get_all(KEY).into_iter();
    let (first, second) = (keys.next(), keys.next());
    let Some(first) = first else { return Ok(None) };
    let text = first.to_str().ok().map(str::trim);
    match text.filter(|text| second.is_none() && (1..=KEY_LEN_MAX).contains(&text.len())) {
        Some(text) => Ok(Some(text.to_owned())),
        None => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            format!("an Idempotency-Key is 1 to {KEY_LEN_MAX} ASCII characters, such as a UUID"),
        )),
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.body).into_response();
        response.headers_mut().remove(CONTENT_TYPE);
        if let Some(content) = self.content {
            response.headers_mut().insert(CONTENT_TYPE, content);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> Answer {
        Answer { status: StatusCode::OK, content: None, body: Bytes::new() }
    }

    #[test]
    fn a_request_that_was_cut_off_is_carried_out_again() {
        let (answers, now) = (Answers::default(), Instant::now());
        let of = (None, "k".to_owned());
        assert!(matches!(answers.begin(&of, [1; 32], now), Turn::First));
        assert!(matches!(answers.begin(&of, [1; 32], now), Turn::Refused(_)), "at the same time");
        drop(Turned { answers: &answers, of: of.clone(), answer: None });
        assert!(matches!(answers.begin(&of, [1; 32], now), Turn::First));
        drop(Turned { answers: &answers, of: of.clone(), answer: Some(answer()) });
        assert!(matches!(answers.begin(&of, [1; 32], now), Turn::Again(_)));
        assert!(matches!(answers.begin(&of, [2; 32], now), Turn::Refused(_)), "another body");
        let other = (Some("asha".into()), "k".to_owned());
        assert!(matches!(answers.begin(&other, [1; 32], now), Turn::First), "another credential");
        assert!(matches!(answers.begin(&of, [1; 32], now + KEPT_FOR), Turn::First), "a day later");
    }

    #[test]
    fn the_number_of_answers_is_bounded() {
        let (answers, now) = (Answers::default(), Instant::now());
        for n in 0..2 * KEPT_MAX {
            let of = (None, n.to_string());
            assert!(matches!(answers.begin(&of, [0; 32], now), Turn::First));
            answers.end(&of, Some(answer()));
        }
        assert_eq!(answers.0.lock().expect("no panic").len(), KEPT_MAX);
    }
}
