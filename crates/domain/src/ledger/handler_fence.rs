//! What a receiver of orders remembers so that a leader of the past cannot reach it. Embedding services use it in their
//! [`SignalHandler`](crate::ports::SignalHandler); the demonstration's broker and the tests' broker use the same value.
//! A change must keep this: after [`promise`](HandlerFence::promise), no order that a leader had sent before is accepted
//! under that attempt, ever.

use crate::id::ClaimId;
use crate::lease::Epoch;
use alloc::collections::BTreeMap;

/// The latest leader that a receiver of orders has seen, and what the receiver promised not to execute.
///
/// "There is no order for it" is not "there will be none": the order of a leader that was stopped just before it sent it
/// may be on its way. A receiver that checks this fence in the same moment in which it executes an order may answer
/// [`Outcome::Received`](super::Outcome::Received) to a lookup, and only such a receiver may.
///
/// `Key` is what the receiver knows a signal by: its id, or its idempotency key. Keep [`latest`](Self::latest) and the
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
    /// No leader was seen and nothing was promised.
    fn default() -> Self {
        Self { latest: None, promised: BTreeMap::new() }
    }
}

impl<Key: Ord> HandlerFence<Key> {
    /// The fence of a receiver that restarts and kept [`latest`](Self::latest). It makes its [`promises`](Self::promises)
    /// again.
    pub fn resumed(epoch: Epoch, claim: ClaimId) -> Self {
        Self { latest: Some((epoch, claim)), promised: BTreeMap::new() }
    }

    /// The largest epoch that was seen, and the claim under which it was seen first.
    pub fn latest(&self) -> Option<(Epoch, ClaimId)> {
        self.latest
    }

    /// Remembers the leader of a request, whatever the request is about, before anything is promised to it. An epoch that
    /// was seen under another claim changes nothing: two leaders may have one number after the store has forgotten. With a
    /// larger epoch all promises end: every order that they are about is refused by its epoch from now on, and attempts
    /// are counted anew after the store has forgotten.
    pub fn see(&mut self, epoch: Epoch, claim: ClaimId) {
        if self.latest.is_none_or(|(latest, _)| epoch > latest) {
            self.latest = Some((epoch, claim));
            self.promised.clear();
        }
    }

    /// Whether a later leader was seen, or another one with the same epoch.
    pub fn is_past(&self, epoch: Epoch, claim: ClaimId) -> bool {
        self.latest.is_some_and(|latest| epoch < latest.0 || (epoch == latest.0 && claim != latest.1))
    }

    /// Promises that this attempt of the signal, and all before it, will not be executed.
    pub fn promise(&mut self, signal: Key, attempt: u32) {
        let promised = self.promised.entry(signal).or_default();
        *promised = attempt.max(*promised);
    }

    /// Whether an order must not be executed: its leader is of the past, or its attempt is promised not to be executed.
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
    fn a_leader_of_the_past_is_refused_also_under_the_same_number() {
        let mut fence = HandlerFence::<u8>::default();
        assert!(!fence.is_past(Epoch(0), A), "the first leader that comes");
        fence.see(Epoch(5), A);
        fence.see(Epoch(4), b());
        fence.see(Epoch(5), b());
        assert_eq!(fence.latest(), Some((Epoch(5), A)));
        for (epoch, claim, past) in [(4, A, true), (5, A, false), (5, b(), true), (6, b(), false)] {
            assert_eq!(fence.is_past(Epoch(epoch), claim), past, "epoch {epoch}, claim {claim}");
        }
        assert_eq!(HandlerFence::<u8>::resumed(Epoch(5), A), fence, "it is the same after a restart");
    }

    #[test]
    fn a_promise_holds_for_the_attempt_and_all_before_it() {
        let mut fence = HandlerFence::default();
        fence.promise('x', 2);
        fence.promise('x', 1);
        for (signal, attempt, refused) in [('x', 1, true), ('x', 2, true), ('x', 3, false), ('y', 1, false)] {
            assert_eq!(fence.refuses(&signal, attempt, Epoch(9), A), refused, "{signal} {attempt}");
        }
        fence.see(Epoch(10), A);
        assert!(fence.refuses(&'x', 2, Epoch(9), A), "by its epoch");
        assert!(
            !fence.refuses(&'x', 1, Epoch(10), A),
            "attempts are counted anew after the store has forgotten"
        );
    }
}
