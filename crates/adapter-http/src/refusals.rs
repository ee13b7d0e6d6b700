//! Counts and logs refused submissions. Each is a missed trade, and a chart reads no answer. Every refusal is
//! counted, and logged unless a flood of them would fill the log.

use crate::backend::Backend;
use crate::outcome;
use crate::problem::Why;
use axum::http::StatusCode;
use axum::response::Response;
use domain::metrics::Refusal;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Most lines in the log within [`WINDOW`]: more than a desk causes by mistake.
const LINES_MAX: u32 = 10;
const WINDOW: Duration = Duration::from_secs(10);

pub(crate) struct Refusals {
    backend: Arc<dyn Backend>,
    lines: Mutex<Lines>,
}

/// Lines that were logged in the current window.
#[derive(Default)]
struct Lines {
    since: Option<Instant>,
    logged: u32,
    left_out: u64,
}

/// Treatment of one more refusal.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    /// Log it, after this number of refusals that were not logged.
    Write(u64),
    LeaveOut,
}

impl Lines {
    fn next(&mut self, now: Instant) -> Line {
        if self.since.is_none_or(|since| now >= since + WINDOW) {
            (self.since, self.logged) = (Some(now), 0);
        }
        if self.logged == LINES_MAX {
            self.left_out += 1;
            return Line::LeaveOut;
        }
        self.logged += 1;
        Line::Write(std::mem::take(&mut self.left_out))
    }
}

impl Refusals {
    pub(crate) fn new(backend: Arc<dyn Backend>) -> Self {
        Self { backend, lines: Mutex::default() }
    }

    /// Counts and logs the answer to a submission if it is a refusal.
    pub(crate) fn notice(&self, origin: Option<SocketAddr>, response: &Response) {
        let status = response.status();
        if !status.is_client_error() {
            return;
        }
        self.backend.refused(refusal(status));
        self.log(origin, response, "a submission");
    }

    /// Logs the answer to a request that was refused for its credential. No line contains anything of a credential
    /// except the name of one that was found.
    pub(crate) fn log_denied(&self, origin: Option<SocketAddr>, response: &Response) {
        self.log(origin, response, "a request");
    }

    fn log(&self, origin: Option<SocketAddr>, response: &Response, what: &str) {
        let line = self.lines.lock().unwrap_or_else(PoisonError::into_inner).next(Instant::now());
        let Line::Write(left_out) = line else { return };
        let why = response.extensions().get::<Why>().map_or("", |why| why.0.as_str());
        let why = outcome::note(why);
        let origin = origin.map_or_else(|| "unknown".to_owned(), |origin| origin.to_string());
        tracing::warn!(status = response.status().as_u16(), origin, "refused {what}: {why}");
        if left_out > 0 {
            tracing::warn!(
                "refused {left_out} more requests since the previous line; the metrics count all of them"
            );
        }
    }
}

fn refusal(status: StatusCode) -> Refusal {
    match status {
        StatusCode::BAD_REQUEST => Refusal::Malformed,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => {
            Refusal::Forbidden
        }
        StatusCode::CONFLICT => Refusal::Conflict,
        StatusCode::PAYLOAD_TOO_LARGE => Refusal::TooLarge,
        StatusCode::UNPROCESSABLE_ENTITY => Refusal::Invalid,
        _ => Refusal::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_refusals_is_counted_in_the_line_after_it() {
        let (mut lines, start) = (Lines::default(), Instant::now());
        for _ in 0..LINES_MAX {
            assert_eq!(lines.next(start), Line::Write(0));
        }
        assert_eq!(lines.next(start), Line::LeaveOut);
        assert_eq!(lines.next(start + WINDOW / 2), Line::LeaveOut);
        assert_eq!(lines.next(start + WINDOW), Line::Write(2));
        assert_eq!(lines.next(start + WINDOW), Line::Write(0));
    }
}
