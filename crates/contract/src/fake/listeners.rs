//! Listeners: the processes that a write must wake.

use domain::id::{GroupId, Nonce};
use std::sync::{Arc, Weak};
use tokio::sync::Notify;

/// One process's stored hint: [`Notify`] keeps one that came without a waiting task.
pub(super) type Hint = Arc<Notify>;

/// The hints of every live process.
#[derive(Debug, Clone, Default)]
pub(super) struct Listeners(Vec<(GroupId, Nonce, Weak<Notify>)>);

impl Listeners {
    pub(super) fn add(&mut self, group: &GroupId, nonce: Nonce) -> Hint {
        let hint = Hint::default();
        self.0.push((group.clone(), nonce, Arc::downgrade(&hint)));
        hint
    }

    /// Wakes the group's other processes.
    pub(super) fn wake_others(&mut self, group: &GroupId, writer: Nonce) {
        self.wake(|of, nonce| of == group && nonce != writer);
    }

    /// Wakes the group's processes.
    pub(super) fn wake_all(&mut self, group: &GroupId) {
        self.wake(|of, _| of == group);
    }

    fn wake(&mut self, whom: impl Fn(&GroupId, Nonce) -> bool) {
        self.0.retain(|(_, _, hint)| hint.strong_count() > 0);
        for (_, _, hint) in self.0.iter().filter(|(of, nonce, _)| whom(of, *nonce)) {
            if let Some(hint) = hint.upgrade() {
                hint.notify_one();
            }
        }
    }
}
