//! The state that a receiver of orders keeps so that a former leader cannot reach it. Embedding services use it in
//! their [`SignalHandler`](crate::ports::SignalHandler); the broker of the demonstration and the broker of the tests
//! use the same value. Invariant: after [`promise`](HandlerFence::promise), no order that a leader sent earlier is
//! accepted under that attempt.

use crate::id::ClaimId;
use crate::lease::Epoch;
use alloc::collections::BTreeMap;

/// The latest leader that a receiver of orders has seen, and the attempts that the receiver promised not to execute.
///
/// "There is no order for it" does not mean "there will be none": the order of a leader that was paused just before
/// it sent the order may still arrive. Only a receiver that checks this fence in the same moment in which it executes
/// an order may answer [`Outcome::Received`](super::Outcome::Received) to a lookup.
///
/// `Key` identifies a signal at the receiver: its id or its idempotency key. Keep [`latest`](Self::latest) and the
/// [`promises`](Self::promises) over restarts.
///
/// ```
/// use domain::id::ClaimId;
/// use domain::lease::Epoch;
/// use domain::ledger::HandlerFence;
///
/// let (old, new) = (ClaimId::from_u128(1), ClaimId::from_u128(2));
/// let mut fence = HandlerFence::default();
/// // A lookup by the leader of epoch 8: there is no order for attempt 1.
/// fence.see(Epoch(8), new);
/// fence.promise("signal-1", 1);
/// // Orders arrive late: one of the former leader, one of this leader, whose request took too long.
/// assert!(fence.refuses(&"signal-1", 1, Epoch(7), old));
/// assert!(fence.refuses(&"signal-1", 1, Epoch(8), new));
/// assert!(!fence.refuses(&"signal-1", 2, Epoch(8), new));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandlerFence<Key> {
    latest: Option<(Epoch, ClaimId)>,
    /// The latest attempt of each signal that will not be executed.
    promised: BTreeMap<Key, u32>,
}

impl<Key> Default for HandlerFence<Key> {
    /// No leader seen and no promise made.
    fn default() -> Self {
        Self { latest: None, promised: BTreeMap::new() }
    }
}

impl<Key: Ord> HandlerFence<Key> {
    /// The fence of a receiver that restarts and has kept [`latest`](Self::latest). The receiver then repeats its
    /// [`promises`](Self::promises).
    pub fn resumed(epoch: Epoch, claim: ClaimId) -> Self {
        Self { latest: Some((epoch, claim)), promised: BTreeMap::new() }
    }

    /// The largest epoch seen, and the claim under which it was seen first.
    pub fn latest(&self) -> Option<(Epoch, ClaimId)> {
        self.latest
    }

    /// Remembers the leader of any request, before the receiver promises it anything. An epoch that was seen under
    /// another claim changes nothing: two leaders may have the same epoch after the store has forgotten. A larger
    /// epoch ends all promises: every order that they concern is refused by its epoch from now on, and attempts
    /// restart at 1 after the store has forgotten.
    pub fn see(&mut self, epoch: Epoch, claim: ClaimId) {
        if self.latest.is_none_or(|(latest, _)| epoch > latest) {
            self.latest = Some((epoch, claim));
            self.promised.clear();
        }
    }

    /// True if a later leader was seen, or another leader with the same epoch.
    pub fn is_past(&self, epoch: Epoch, claim: ClaimId) -> bool {
        self.latest.is_some_and(|latest| epoch < latest.0 || (epoch == latest.0 && claim != latest.1))
    }

    /// Promises that this attempt of the signal and all earlier attempts will not be executed.
    pub fn promise(&mut self, signal: Key, attempt: u32) {
        let promised = self.promised.entry(signal).or_default();
        *promised = attempt.max(*promised);
    }

    /// True if an order must not be executed: its leader is a former one, or its attempt is promised not to be
    /// executed.
    pub fn refuses(&self, signal: &Key, attempt: u32, epoch: Epoch, claim: ClaimId) -> bool {
        self.is_past(epoch, claim) || self.promised.get(signal).is_some_and(|promised| attempt <= *promised)
    }

    /// Every promise: the signal and its latest attempt that will not be executed.
    pub fn promises(&self) -> impl Iterator<Item = (&Key, u32)> {
        self.promised.iter().map(|(signal, attempt)| (signal, *attempt))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ClaimId = ClaimId::NIL;

    fn b() -> ClaimId {
        ClaimId::from_u128(2)
    }

    #[test]
    fn a_former_leader_is_refused_even_with_the_same_epoch() {
        let mut fence = HandlerFence::<u8>::default();
        assert!(!fence.is_past(Epoch(0), A), "the first leader");
        fence.see(Epoch(5), A);
        fence.see(Epoch(4), b());
        fence.see(Epoch(5), b());
        assert_eq!(fence.latest(), Some((Epoch(5), A)));
        for (epoch, claim, past) in [(4, A, true), (5, A, false), (5, b(), true), (6, b(), false)] {
            assert_eq!(fence.is_past(Epoch(epoch), claim), past, "epoch {epoch}, claim {claim}");
        }
        assert_eq!(HandlerFence::<u8>::resumed(Epoch(5), A), fence, "unchanged after a restart");
    }

    #[test]
    fn a_promise_holds_for_the_attempt_and_all_earlier_ones() {
        let mut fence = HandlerFence::default();
        fence.promise('x', 2);
        fence.promise('x', 1);
        for (signal, attempt, refused) in [('x', 1, true), ('x', 2, true), ('x', 3, false), ('y', 1, false)] {
            assert_eq!(fence.refuses(&signal, attempt, Epoch(9), A), refused, "{signal} {attempt}");
        }
        fence.see(Epoch(10), A);
        assert!(fence.refuses(&'x', 2, Epoch(9), A), "refused by its epoch");
        assert!(!fence.refuses(&'x', 1, Epoch(10), A), "attempts restart at 1 after the store has forgotten");
    }
}
