//! The orders that the broker has executed, and those that it refuses.

use super::Order;
use domain::id::ClaimId;
use domain::lease::Epoch;
use domain::ledger::HandlerFence;
use std::collections::{BTreeSet, HashMap, HashSet};

/// Refusal of an order: a later leader has sent a request, or a lookup has confirmed that this attempt will
/// not be executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TurnedAway;

/// Answer to a lookup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// There is an order.
    Executed,
    /// There is no order, and this attempt will be refused from now on.
    NeverWillBe,
}

/// See the [module](self).
#[derive(Default)]
pub(super) struct Books {
    pub(super) executed: Vec<Order>,
    /// Number of executions, by the signal's name.
    pub(super) times: HashMap<String, usize>,
    pub(super) lookups: u64,
    pub(super) answered: BTreeSet<(String, u32)>,
    pub(super) unanswered: BTreeSet<(String, u32)>,
    pub(super) turned_away: u64,
    keys: HashSet<String>,
    /// By the idempotency key.
    fence: HandlerFence<String>,
}

impl Books {
    /// Records the leader of every request, whatever its outcome.
    pub(super) fn hear(&mut self, epoch: Epoch, claim: ClaimId) {
        self.fence.see(epoch, claim);
    }

    /// Whether the order may still be executed.
    pub(super) fn admit(&mut self, order: &Order) -> Result<(), TurnedAway> {
        if self.fence.refuses(&order.key, order.attempt, Epoch(order.epoch), order.claim) {
            self.turned_away += 1;
            return Err(TurnedAway);
        }
        Ok(())
    }

    /// Executes the order, unless an answer between its arrival and now forbids it.
    pub(super) fn execute(&mut self, order: Order) -> Result<(), TurnedAway> {
        self.admit(&order)?;
        *self.times.entry(order.id.clone()).or_default() += 1;
        self.keys.insert(order.key.clone());
        self.executed.push(order);
        Ok(())
    }

    /// The outcome of the signal, which from now on stays true for this attempt and all earlier ones.
    pub(super) fn look_up(&mut self, key: &str, attempt: u32) -> Found {
        if self.keys.contains(key) {
            return Found::Executed;
        }
        self.fence.promise(key.to_owned(), attempt);
        Found::NeverWillBe
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn order(epoch: u64, attempt: u32) -> Order {
        let (id, instrument, key) = ("s-1".to_owned(), "NIFTY".to_owned(), "k".to_owned());
        let (claim, body) = (ClaimId::NIL, serde_json::Value::Null);
        Order { id, instrument, key, epoch, claim, attempt, body, at: Instant::now() }
    }

    #[test]
    fn an_attempt_that_was_denied_is_never_executed() {
        let mut books = Books::default();
        assert_eq!(books.look_up("k", 1), Found::NeverWillBe);
        assert_eq!(books.execute(order(1, 1)), Err(TurnedAway), "it was on its way during the lookup");
        assert_eq!(books.execute(order(1, 2)), Ok(()), "a later attempt is another order");
        assert_eq!(books.look_up("k", 2), Found::Executed);
        assert_eq!((books.times["s-1"], books.turned_away), (1, 1));
    }

    #[test]
    fn a_former_leader_is_refused_after_a_later_one() {
        let mut books = Books::default();
        books.hear(Epoch(2), ClaimId::NIL);
        assert_eq!(books.execute(order(1, 1)), Err(TurnedAway));
        assert_eq!(books.execute(order(2, 1)), Ok(()));
        assert_eq!(
            books.execute(order(2, 1)),
            Ok(()),
            "an order that arrives twice is executed twice and counted"
        );
        assert_eq!(books.times["s-1"], 2);
    }
}
