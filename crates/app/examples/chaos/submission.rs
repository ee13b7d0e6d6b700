//! A signal as users submit it: by HTTP, to any instance, again and again until it is acknowledged.

use crate::wire::Wire;
use serde_json::json;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

/// What a client waits for an acknowledgement before it asks somebody else.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(1);

/// A signal, ready to be sent. Whoever sends it again sends the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// Its name.
    pub id: String,
    /// What it is about.
    pub instrument: String,
    body: String,
}

impl Submission {
    /// One that arises now.
    pub fn new(id: String, instrument: String) -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let body = json!({
            "id": id,
            "instrument": instrument,
            "signal_type": "BASE_ENTRY",
            // With the instrument and the time it makes the signal one of its own.
            "position": id,
            "timestamp": now.as_secs(),
            "payload": { "price": "24310.55", "quantity": 50 },
        });
        Self { id, instrument, body: body.to_string() }
    }
}

/// What an instance said of a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// It is durable.
    Acknowledged,
    /// Nothing, or that it cannot tell: again, anywhere.
    NotNow,
    /// That something is wrong with it, which is not so.
    Refused(String),
}

/// Where the instances accept signals.
pub struct Doors(Vec<Wire>);

impl Doors {
    /// The doors at these addresses; nothing is connected yet.
    pub fn new(addresses: &[SocketAddr]) -> Self {
        Self(addresses.iter().map(|&address| Wire::new(address, ANSWER_TIME_MAX)).collect())
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Submits it once, at one of them.
    pub fn submit(&mut self, at: usize, submission: &Submission) -> Said {
        let Ok(answer) = self.0[at].ask("POST", "/signals", &submission.body) else { return Said::NotNow };
        let named = || answer.body.contains(&format!("\"id\":\"{}\"", submission.id));
        match answer.status {
            200 | 201 if named() => Said::Acknowledged,
            503 => Said::NotNow,
            status => Said::Refused(format!("{}: HTTP {status}: {}", submission.id, answer.body)),
        }
    }
}
