//! Hints: requests to poll again. A hint does not say what happened.

use domain::id::Nonce;
use fred::types::Value;
use tokio::sync::Notify;

/// Hints that arrived since the last poll. They are merged into one, because each only requests a poll.
pub(crate) struct Hints {
    /// This process's start, which its own hints contain.
    nonce: String,
    /// Keeps one permit while no caller waits, so that a hint in between is not lost.
    pending: Notify,
}

impl Hints {
    pub(crate) fn new(nonce: Nonce) -> Self {
        Self { nonce: nonce.to_string(), pending: Notify::new() }
    }

    /// The payload of this process's own hints.
    pub(crate) fn own(&self) -> &str {
        &self.nonce
    }

    /// Handles a message of the channel. Any payload is a hint, unless it is this process's own.
    pub(crate) fn message(&self, payload: &Value) {
        if payload.as_bytes() != Some(self.nonce.as_bytes()) {
            self.poll_again();
        }
    }

    /// Requests a poll because messages may have been missed: a connection was opened, or messages were
    /// dropped.
    pub(crate) fn poll_again(&self) {
        self.pending.notify_one();
    }

    /// Resolves at the next hint. If the future is dropped, the next call receives the hint.
    pub(crate) async fn next(&self) {
        self.pending.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    #[test]
    fn a_hint_of_another_process_is_kept_for_the_next_poll() {
        let (mine, other) = (Hints::new(Nonce::new(1)), Hints::new(Nonce::new(2)));
        mine.message(&Value::from(other.own()));
        mine.message(&Value::Bytes(fred::bytes::Bytes::from_static(b"\xff")));
        assert!(hinted(&mine), "two hints without a caller that waits");
        assert!(!hinted(&mine), "are merged into one");
    }

    #[test]
    fn an_own_hint_is_ignored() {
        let mine = Hints::new(Nonce::new(1));
        mine.message(&Value::from(mine.own()));
        assert!(!hinted(&mine));
        mine.poll_again();
        assert!(hinted(&mine));
    }

    fn hinted(hints: &Hints) -> bool {
        pin!(hints.next()).poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(())
    }
}
