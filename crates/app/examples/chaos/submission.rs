//! Submits a signal as users do: by HTTP, to any instance, repeatedly until it is acknowledged.

use serde_json::json;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};
use testkit::http::Client;

/// Timeout of a client for an acknowledgement; then it tries another instance.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(1);

/// A signal, ready to be sent. Every repetition sends the same signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// Id of the signal.
    pub id: String,
    /// Instrument of the signal.
    pub instrument: String,
    body: String,
}

impl Submission {
    /// A signal that arises now.
    pub fn new(id: String, instrument: String) -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let body = json!({
            "id": id,
            "instrument": instrument,
            "signal_type": "BASE_ENTRY",
            // With the instrument and the time, it makes the signal unique.
            "position": id,
            "timestamp": now.as_secs(),
            "payload": { "price": "24310.55", "quantity": 50 },
        });
        Self { id, instrument, body: body.to_string() }
    }
}

/// Answer of an instance to a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// The signal is durable.
    Acknowledged,
    /// No answer, or an uncertain one: try again at any instance.
    NotNow,
    /// A refusal, although the submission is valid.
    Refused(String),
}

/// The instances that accept signals.
pub struct Doors(Vec<Client>);

impl Doors {
    /// The instances at these addresses; nothing is connected yet.
    pub fn new(addresses: &[SocketAddr]) -> Self {
        Self(addresses.iter().map(|address| Client::new(address.to_string(), ANSWER_TIME_MAX)).collect())
    }

    /// Number of instances.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Submits a signal once, at one of them.
    pub fn submit(&self, at: usize, submission: &Submission) -> Said {
        let answer = self.0[at].send("POST", "/signals", &[], &submission.body);
        let Ok(answer) = answer else { return Said::NotNow };
        let named = || answer.body.contains(&format!("\"id\":\"{}\"", submission.id));
        match answer.status {
            200 | 201 if named() => Said::Acknowledged,
            503 => Said::NotNow,
            status => Said::Refused(format!("{}: HTTP {status}: {}", submission.id, answer.body)),
        }
    }
}
