//! The signals in doubt that a leader knows of, and when to look each of them up. Used by the dispatcher. The invariant:
//! however many there are, each of them is looked up again and again.

use super::asked;
use domain::lease::Token;
use domain::ledger::{Signal, SignalId, StateName};
use domain::ports::{InFlight, ListQuery, SIGNALS_READ_MAX, SignalLedger, StoreError};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

/// First pause after a lookup without a result; it doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// Longest pause: the lookups reach a broker soon after it is available again.
const PAUSE_MAX: Duration = Duration::from_mins(1);

/// Doubts beyond the take-over's answer that are read at a time; with the largest payloads 6.4 MiB.
const PAGE: u32 = 100;

#[derive(Debug)]
struct Doubt {
    signal: Signal,
    /// When to look it up; `None` while that is under way.
    due: Option<Instant>,
    pause: Duration,
    lookups: Lookups,
}

/// How often a doubt is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lookups {
    /// Until it is resolved.
    Repeated,
    /// Once: its page will be read again.
    Once,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Doubts {
    known: BTreeMap<SignalId, Doubt>,
    /// Where the next page ends; `None` for the latest doubts.
    before: Option<u64>,
    /// The attempts of the doubts that were found, also of those that are not known any more: each is reported once.
    found: BTreeMap<SignalId, u32>,
    /// What the last lookup of an attempt said: it is logged once, and when it changes.
    said: BTreeMap<SignalId, (u32, String)>,
}

impl Doubts {
    /// Whether that very attempt is known to be in doubt.
    pub(super) fn knows(&self, signal: &Signal) -> bool {
        self.known.get(&signal.id).is_some_and(|doubt| doubt.signal.attempt == signal.attempt)
    }

    /// Adds a signal in doubt whose lookup is due now, unless it is known.
    pub(super) fn add(&mut self, signal: Signal) {
        self.insert(signal, Lookups::Repeated);
    }

    /// Adds a signal in doubt that a page has shown. Its lookup is due now; without a result the signal is removed.
    pub(super) fn add_for_one_lookup(&mut self, signal: Signal) {
        self.insert(signal, Lookups::Once);
    }

    fn insert(&mut self, signal: Signal, lookups: Lookups) {
        if !self.knows(&signal) {
            let (due, pause) = (Some(Instant::now()), PAUSE_MIN);
            self.known.insert(signal.id.clone(), Doubt { signal, due, pause, lookups });
        }
    }

    /// What to read next of the doubts beyond the take-over's answer, from the latest to the oldest and again; `None`
    /// while lookups of the page before are still to come.
    pub(super) fn next_page(&self) -> Option<ListQuery> {
        let through = self.known.values().all(|doubt| doubt.lookups == Lookups::Repeated);
        through.then_some(ListQuery {
            state: Some(StateName::InDoubt),
            instrument: None,
            before: self.before,
            limit: PAGE,
        })
    }

    /// The page was read. It is the last one when it is not full, or reaches what arrived until `arrival`.
    pub(super) fn page_was_read(&mut self, page: &[Signal], arrival: u64) {
        let full = page.len() >= PAGE as usize;
        self.before = page.last().map(|last| last.arrival).filter(|last| full && *last > arrival);
    }

    /// Whether that attempt was not found before. It was afterwards.
    pub(super) fn is_first_seen(&mut self, signal: &Signal) -> bool {
        self.found.insert(signal.id.clone(), signal.attempt) != Some(signal.attempt)
    }

    /// That attempt is in doubt no more; a later one may be.
    pub(super) fn settled(&mut self, signal: &Signal) {
        self.found.remove(&signal.id);
        self.said.remove(&signal.id);
        self.remove(signal);
    }

    fn remove(&mut self, signal: &Signal) {
        if self.known.get(&signal.id).is_some_and(|doubt| doubt.signal.attempt <= signal.attempt) {
            self.known.remove(&signal.id);
        }
    }

    /// Forgets those that are not among `these`, which are all that there are: an operator or a service has resolved them.
    pub(super) fn keep(&mut self, these: &[Signal]) {
        let ids: BTreeSet<&SignalId> = these.iter().map(|signal| &signal.id).collect();
        self.known.retain(|id, doubt| doubt.due.is_none() || ids.contains(id));
        self.found.retain(|id, _| ids.contains(id));
        self.said.retain(|id, _| ids.contains(id));
        self.before = None;
    }

    /// The one whose lookup is due for the longest time; it is under way then. In that order none waits for ever
    /// behind the others, however many there are.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Signal> {
        let due = self.known.values_mut().filter(|doubt| doubt.due.is_some_and(|due| due <= now));
        let doubt = due.min_by_key(|doubt| doubt.due)?;
        doubt.due = None;
        Some(doubt.signal.clone())
    }

    /// The number of lookups that are due and not under way.
    pub(super) fn due(&self, now: Instant) -> usize {
        self.known.values().filter(|doubt| doubt.due.is_some_and(|due| due <= now)).count()
    }

    /// Lookups that are under way, or whose result is not recorded yet.
    pub(super) fn under_way(&self) -> usize {
        self.known.values().filter(|doubt| doubt.due.is_none()).count()
    }

    /// A lookup had no result: again later. Answers whether `why` was not said of that attempt before.
    pub(super) fn unresolved(&mut self, signal: &Signal, why: &str) -> bool {
        let said = (signal.attempt, why.to_owned());
        let is_new = self.said.get(&signal.id) != Some(&said);
        self.said.insert(signal.id.clone(), said);
        let doubt = self.known.get_mut(&signal.id);
        let Some(doubt) = doubt.filter(|doubt| doubt.signal.attempt == signal.attempt) else { return is_new };
        match doubt.lookups {
            Lookups::Repeated => {
                doubt.due = Some(Instant::now() + doubt.pause);
                doubt.pause = (doubt.pause * 2).min(PAUSE_MAX);
            }
            Lookups::Once => self.remove(signal),
        }
        is_new
    }

    /// When the next lookup is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.known.values().filter_map(|doubt| doubt.due).min()
    }
}

/// Takes over, and reads `page` when the answer is full; `None` when the token is fenced. An error of either is retried
/// with both: taking over twice changes nothing.
pub(super) async fn take_over(
    store: &dyn SignalLedger,
    token: &Token,
    in_flight: InFlight<'_>,
    page: Option<ListQuery>,
) -> Result<Option<(Vec<Signal>, Option<Vec<Signal>>)>, StoreError> {
    let Some(oldest) = asked(store.take_over(token, in_flight)).await? else { return Ok(None) };
    let full = oldest.len() >= SIGNALS_READ_MAX as usize;
    let page = match page.filter(|_| full) {
        Some(query) => Some(asked(store.list(&query)).await?),
        None => None,
    };
    Ok(Some((oldest, page)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use contract::signal_ledger::signal;
    use domain::ledger::SignalState;

    fn in_doubt(arrival: u64) -> Signal {
        let new = signal(&format!("s-{arrival}"));
        Signal {
            id: new.id(),
            instruction: new.instruction,
            arrival,
            state: SignalState::InDoubt,
            attempt: 1,
            received_ms: 0,
            claimed_ms: Some(0),
            settled_ms: None,
            note: None,
        }
    }

    /// Signals that arrived `from` the latest down `to` the oldest.
    fn page(from: u64, to: u64) -> Vec<Signal> {
        (to..=from).rev().map(in_doubt).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_lookup_that_is_due_for_longest_comes_first() {
        let mut doubts = Doubts::default();
        doubts.add(in_doubt(1));
        doubts.add(in_doubt(2));
        let first = doubts.take_due(Instant::now()).expect("one is due");
        doubts.unresolved(&first, "no answer");
        tokio::time::advance(PAUSE_MIN).await;
        let second = doubts.take_due(Instant::now()).expect("both are due");
        assert_ne!(first.id, second.id);
    }

    #[tokio::test(start_paused = true)]
    async fn every_page_is_read_and_each_of_its_doubts_is_looked_up_once() {
        let oldest = 1_000;
        let most = u64::from(PAGE);
        let mut doubts = Doubts::default();
        for (before, from, to) in [
            (None, oldest + 2 * most + 5, oldest + most + 6),
            (Some(oldest + most + 6), oldest + most + 5, oldest + 6),
            // It reaches what the take-over's answer has.
            (Some(oldest + 6), oldest + 5, oldest - most + 6),
            (None, oldest + 2 * most + 5, oldest + most + 6),
        ] {
            let query = doubts.next_page().expect("the page before is looked up");
            assert_eq!((query.state, query.before), (Some(StateName::InDoubt), before));
            let page = page(from, to);
            doubts.page_was_read(&page, oldest);
            for signal in page {
                doubts.add_for_one_lookup(signal);
            }
            assert_eq!(doubts.next_page(), None, "its lookups come first");
            while let Some(signal) = doubts.take_due(Instant::now()) {
                doubts.unresolved(&signal, "no answer");
            }
            assert!(doubts.known.is_empty());
        }
    }

    #[test]
    fn why_a_lookup_had_no_result_is_logged_once_for_each_signal_and_when_it_changes() {
        let mut doubts = Doubts::default();
        let (first, other) = (in_doubt(1), in_doubt(2));
        let second = Signal { attempt: 2, ..first.clone() };
        for (signal, why, is_new) in [
            (&first, "no lookup URL is configured", true),
            (&first, "no lookup URL is configured", false),
            (&other, "no lookup URL is configured", true),
            (&first, "503", true),
            (&second, "503", true),
        ] {
            doubts.add_for_one_lookup(signal.clone());
            assert_eq!(doubts.unresolved(signal, why), is_new, "{why}");
        }
        doubts.keep(&[]);
        assert!(doubts.said.is_empty());
    }

    #[test]
    fn a_doubt_is_found_once_for_each_attempt() {
        let mut doubts = Doubts::default();
        let first = in_doubt(1);
        let second = Signal { attempt: 2, ..first.clone() };
        let seen = [&first, &first, &second, &second].map(|signal| doubts.is_first_seen(signal));
        assert_eq!(seen, [true, false, true, false]);
        doubts.keep(&[]);
        assert!(doubts.found.is_empty());
    }
}
