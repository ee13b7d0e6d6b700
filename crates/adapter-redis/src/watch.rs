//! Hints: "look again", without saying what happened.

use domain::id::Nonce;
use fred::types::Value;
use tokio::sync::Notify;

/// What arrived since the last look. Many hints are one: each only says that looking is worth it.
pub(crate) struct Hints {
    /// This process's start, as its own hints carry it.
    nonce: String,
    /// Keeps one permit while nobody waits, so that nothing that arrives in between is lost.
    pending: Notify,
}

impl Hints {
    pub(crate) fn new(nonce: Nonce) -> Self {
        Self { nonce: nonce.to_string(), pending: Notify::new() }
    }

    /// What this process's own hints say.
    pub(crate) fn own(&self) -> &str {
        &self.nonce
    }

    /// A message of the channel: a hint unless it is this process's own. Whatever else it says, it is one.
    pub(crate) fn message(&self, payload: &Value) {
        if payload.as_bytes() != Some(self.nonce.as_bytes()) {
            self.look_again();
        }
    }

    /// Something may have been missed: a connection came up, messages were dropped.
    pub(crate) fn look_again(&self) {
        self.pending.notify_one();
    }

    /// Resolves at the next hint. Dropping the future gives the hint to the next call.
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
    fn a_hint_of_another_process_is_kept_for_the_next_look() {
        let (mine, other) = (Hints::new(Nonce::new(1)), Hints::new(Nonce::new(2)));
        mine.message(&Value::from(other.own()));
        mine.message(&Value::Bytes(fred::bytes::Bytes::from_static(b"\xff")));
        assert!(hinted(&mine), "two hints that nobody waited for");
        assert!(!hinted(&mine), "are one");
    }

    #[test]
    fn my_own_hint_is_none() {
        let mine = Hints::new(Nonce::new(1));
        mine.message(&Value::from(mine.own()));
        assert!(!hinted(&mine));
        mine.look_again();
        assert!(hinted(&mine));
    }

    fn hinted(hints: &Hints) -> bool {
        pin!(hints.next()).poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(())
    }
}
