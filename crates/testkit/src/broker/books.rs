//! What the broker has executed, and what it never will.

use super::Order;
use domain::id::ClaimId;
use domain::lease::Epoch;
use domain::ledger::HandlerFence;
use std::collections::{BTreeSet, HashMap, HashSet};

/// An order that will not be executed: a later leader was here, or a look-up has said that this attempt is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TurnedAway;

/// What a look-up tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// There is an order.
    Executed,
    /// There is none, and this attempt will be none any more.
    NeverWillBe,
}

/// See the [module](self).
#[derive(Default)]
pub(super) struct Books {
    pub(super) executed: Vec<Order>,
    /// By the signal's name.
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
    /// Every request is heard of, whatever becomes of it.
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

    /// Executes the order, unless it must not be any more: whatever was told between its arrival and now counts.
    pub(super) fn execute(&mut self, order: Order) -> Result<(), TurnedAway> {
        self.admit(&order)?;
        *self.times.entry(order.id.clone()).or_default() += 1;
        self.keys.insert(order.key.clone());
        self.executed.push(order);
        Ok(())
    }

    /// What became of the signal; from now on that stays true for this attempt and all before it.
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
    fn what_was_said_not_to_be_executed_never_is() {
        let mut books = Books::default();
        assert_eq!(books.look_up("k", 1), Found::NeverWillBe);
        assert_eq!(books.execute(order(1, 1)), Err(TurnedAway), "it was on its way");
        assert_eq!(books.execute(order(1, 2)), Ok(()), "a later attempt is another order");
        assert_eq!(books.look_up("k", 2), Found::Executed);
        assert_eq!((books.times["s-1"], books.turned_away), (1, 1));
    }

    #[test]
    fn a_later_leader_keeps_a_former_one_out() {
        let mut books = Books::default();
        books.hear(Epoch(2), ClaimId::NIL);
        assert_eq!(books.execute(order(1, 1)), Err(TurnedAway));
        assert_eq!(books.execute(order(2, 1)), Ok(()));
        assert_eq!(books.execute(order(2, 1)), Ok(()), "what comes twice is executed twice, and counted");
        assert_eq!(books.times["s-1"], 2);
    }
}
