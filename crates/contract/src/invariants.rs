//! Invariants over the events of several processes, with a sentence for every violation.

use crate::event::{Event, EventKind, Record};
use domain::lease::margin;
use std::fmt;
use std::time::Duration;

/// A broken invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The invariant.
    pub invariant: &'static str,
    /// The processes and times.
    pub details: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.details)
    }
}

/// Every invariant of this module, for processes of one group with this LEADER_TTL.
pub fn all(records: &[Record], ttl: Duration) -> Vec<Violation> {
    [
        at_most_one_valid_lease(records, ttl),
        no_ended_leadership_is_revived(records, ttl),
        epochs_only_grow(records),
    ]
    .concat()
}

/// Panics if there is a violation, with every violation.
///
/// # Panics
/// If there is one.
pub fn assert_none(violations: &[Violation]) {
    let sentences: Vec<String> = violations.iter().map(Violation::to_string).collect();
    assert!(violations.is_empty(), "{} violations:\n{}", violations.len(), sentences.join("\n"));
}

/// At every moment at most one process holds a valid lease (S1).
///
/// A lease is valid from `lead` to `lost`, `resign` or the death of the process, and never beyond the deadline of its
/// last acknowledged claim or renewal: a paused process cannot act on it.
pub fn at_most_one_valid_lease(records: &[Record], ttl: Duration) -> Vec<Violation> {
    let mut leases: Vec<ValidLease> = records.iter().flat_map(|record| leases(record, ttl)).collect();
    leases.sort_by_key(|lease| lease.from);
    let mut violations = Vec::new();
    for (at, first) in leases.iter().enumerate() {
        let during = leases[at + 1..].iter().take_while(|second| second.from < first.until);
        for second in during.filter(|second| second.from < second.until) {
            let both = second.until.min(first.until) - second.from;
            let details = format!("{first} and {second}: both for {}", millis(both));
            violations.push(Violation { invariant: "at most one valid lease", details });
        }
    }
    violations
}

/// A lease whose deadline has passed is not renewed, not even by a late acknowledgement (M13).
pub fn no_ended_leadership_is_revived(records: &[Record], ttl: Duration) -> Vec<Violation> {
    let mut violations = Vec::new();
    for record in records {
        let mut until = None;
        for event in &record.events {
            let late = until.filter(|&until| event.t >= until);
            match event.kind {
                EventKind::Lead => {
                    if event.t >= deadline(event, ttl) {
                        violations.push(revived(record, event, deadline(event, ttl)));
                    }
                    until = Some(deadline(event, ttl));
                }
                EventKind::Renew => {
                    violations.extend(late.map(|until| revived(record, event, until)));
                    until = until.max(Some(deadline(event, ttl)));
                }
                EventKind::Lost | EventKind::Resign | EventKind::Resigned => until = None,
                EventKind::Ready => {}
            }
        }
    }
    violations
}

/// Every leadership has a higher epoch than the one that began before it (S3, on one timeline).
pub fn epochs_only_grow(records: &[Record]) -> Vec<Violation> {
    epochs_only_grow_between(records, &[])
}

/// Like [`epochs_only_grow`], with promotions of a standby at the times `promotions` (CLOCK_MONOTONIC nanoseconds,
/// between the end of the old primary and the first request to the new one). Every new timeline may repeat epochs of
/// the previous one.
pub fn epochs_only_grow_between(records: &[Record], promotions: &[u64]) -> Vec<Violation> {
    let mut leads: Vec<(&Record, &Event)> = Vec::new();
    for record in records {
        leads.extend(
            record.events.iter().filter(|event| event.kind == EventKind::Lead).map(|event| (record, event)),
        );
    }
    leads.sort_by_key(|(_, event)| event.t);
    // By the time of the request: the server that was the primary then has answered it.
    let timeline = |event: &Event| {
        promotions.iter().filter(|&&promotion| promotion <= event.sent.unwrap_or(event.t)).count()
    };
    let backwards = leads
        .windows(2)
        .filter(|two| timeline(two[0].1) == timeline(two[1].1) && two[1].1.epoch <= two[0].1.epoch);
    let sentence = |(record, event): (&Record, &Event)| {
        format!("{} led under epoch {} from {}", record.name, event.epoch, millis(event.t))
    };
    backwards
        .map(|two| {
            let details = format!("{}, after {}", sentence(two[1]), sentence(two[0]));
            Violation { invariant: "epochs only grow", details }
        })
        .collect()
}

/// One term lasts from `from` to `to` (CLOCK_MONOTONIC nanoseconds): it began before, was neither lost nor released,
/// and was renewed throughout. The records are read after `to`. The caller must know that the premise of stability
/// held in that time; the chaos test measures it.
pub fn one_term_lasts(records: &[Record], ttl: Duration, from: u64, to: u64) -> Vec<Violation> {
    let mut leases: Vec<ValidLease> = records.iter().flat_map(|record| leases(record, ttl)).collect();
    if leases.iter().any(|lease| lease.from <= from && lease.until >= to) {
        return Vec::new();
    }
    leases.retain(|lease| lease.from < to && lease.until > from);
    leases.sort_by_key(|lease| lease.from);
    let terms: Vec<String> = leases.iter().map(ValidLease::to_string).collect();
    let terms = if terms.is_empty() { "no instance led".to_owned() } else { terms.join(", ") };
    let details = format!("from {} to {}: {terms}", millis(from), millis(to));
    vec![Violation { invariant: "a term does not end", details }]
}

/// One process's leadership, with the longest time for which it can be valid.
struct ValidLease<'a> {
    name: &'a str,
    epoch: u64,
    from: u64,
    until: u64,
}

impl fmt::Display for ValidLease<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, until) = (millis(self.from), millis(self.until));
        write!(f, "{} (epoch {}, {from} to {until})", self.name, self.epoch)
    }
}

fn leases(record: &Record, ttl: Duration) -> Vec<ValidLease<'_>> {
    let mut leases = Vec::new();
    let mut open: Option<ValidLease> = None;
    for event in &record.events {
        match event.kind {
            EventKind::Ready => {}
            EventKind::Lead => {
                // Two in a row: the end of the first was not reported, so it counts until its deadline.
                let lease = ValidLease {
                    name: &record.name,
                    epoch: event.epoch,
                    from: event.t,
                    until: deadline(event, ttl),
                };
                leases.extend(open.replace(lease));
            }
            EventKind::Renew => {
                if let Some(lease) = &mut open {
                    lease.until = lease.until.max(deadline(event, ttl));
                }
            }
            EventKind::Lost | EventKind::Resign | EventKind::Resigned => {
                leases
                    .extend(open.take().map(|lease| ValidLease { until: lease.until.min(event.t), ..lease }));
            }
        }
    }
    let ended = record.ended.unwrap_or(u64::MAX);
    leases.extend(open.map(|lease| ValidLease { until: lease.until.min(ended), ..lease }));
    leases
}

/// The deadline that an acknowledged claim or renewal gives.
fn deadline(event: &Event, ttl: Duration) -> u64 {
    let granted = u64::try_from(ttl.saturating_sub(margin(ttl)).as_nanos()).unwrap_or(u64::MAX);
    event.sent.unwrap_or(event.t).saturating_add(granted)
}

fn revived(record: &Record, event: &Event, until: u64) -> Violation {
    let (name, epoch, late) = (&record.name, event.epoch, millis(event.t - until));
    let details = format!("{name} took a {:?} of epoch {epoch} {late} after its deadline", event.kind);
    Violation { invariant: "no ended leadership is revived", details }
}

fn millis(nanos: u64) -> String {
    format!("{}.{:03} ms", nanos / 1_000_000, nanos / 1_000 % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use EventKind::{Lead, Lost, Ready, Renew, Resign, Resigned};

    const TTL: Duration = Duration::from_secs(10);
    const SECOND: u64 = 1_000_000_000;
    /// The time for which a lease is valid after the send.
    const GRANTED: u64 = 10 * SECOND - 12_000_000;

    /// Events at seconds; requests are answered immediately.
    fn record(name: &str, events: &[(EventKind, u64, u64)], ended: Option<u64>) -> Record {
        let event = |&(kind, seconds, epoch): &(EventKind, u64, u64)| {
            let t = seconds * SECOND;
            Event { kind, t, epoch, sent: matches!(kind, Lead | Renew).then_some(t) }
        };
        Record {
            name: name.to_owned(),
            events: events.iter().map(event).collect(),
            ended: ended.map(|s| s * SECOND),
        }
    }

    fn sentences(violations: &[Violation]) -> Vec<&str> {
        violations.iter().map(|violation| violation.details.as_str()).collect()
    }

    #[test]
    fn handovers_kills_and_pauses_break_no_invariant() {
        let handed_over = record(
            "a",
            &[(Ready, 0, 0), (Lead, 1, 1), (Renew, 4, 1), (Resign, 5, 1), (Resigned, 7, 1)],
            None,
        );
        let killed = record("b", &[(Ready, 0, 0), (Lead, 6, 2), (Renew, 9, 2)], Some(10));
        // It leads as soon as the killed process is dead, then it is paused and reports that late.
        let stopped = record("c", &[(Ready, 0, 0), (Lead, 10, 3), (Lost, 90, 3)], None);
        let last = record("d", &[(Lead, 20, 4)], None);
        assert_eq!(all(&[stopped, killed, last, handed_over], TTL), []);
    }

    #[test]
    fn two_valid_leases_are_reported_with_their_overlap() {
        let a = record("a", &[(Lead, 1, 1), (Renew, 4, 1), (Lost, 12, 1)], None);
        let b = record("b", &[(Lead, 11, 2)], None);
        let violations = at_most_one_valid_lease(&[b, a], TTL);
        assert_eq!(violations.len(), 1);
        assert!(sentences(&violations)[0].ends_with("both for 1000.000 ms"), "{violations:?}");
    }

    #[test]
    fn a_live_process_holds_a_valid_lease_until_its_deadline() {
        let a = record("a", &[(Lead, 1, 1)], None);
        let at = |t| {
            let mut b = record("b", &[(Lead, 0, 2)], None);
            b.events[0].t = t;
            b.events[0].sent = Some(t);
            b
        };
        let deadline = SECOND + GRANTED;
        assert_eq!(
            at_most_one_valid_lease(&[a.clone(), at(deadline)], TTL),
            [],
            "not at the deadline itself"
        );
        assert_eq!(at_most_one_valid_lease(&[a, at(deadline - 1)], TTL).len(), 1);
    }

    #[test]
    fn a_killed_process_holds_a_valid_lease_until_its_death() {
        let b = record("b", &[(Lead, 3, 2)], None);
        assert_eq!(at_most_one_valid_lease(&[record("a", &[(Lead, 1, 1)], Some(3)), b.clone()], TTL), []);
        assert_eq!(at_most_one_valid_lease(&[record("a", &[(Lead, 1, 1)], Some(4)), b], TTL).len(), 1);
    }

    #[test]
    fn a_late_acknowledgement_must_not_be_accepted() {
        let mut late = record("a", &[(Lead, 1, 1), (Renew, 11, 1)], None);
        late.events[1].sent = Some(2 * SECOND);
        let violations = no_ended_leadership_is_revived(&[late], TTL);
        assert_eq!(sentences(&violations), ["a took a Renew of epoch 1 12.000 ms after its deadline"]);
        let mut dead_on_arrival = record("a", &[(Lead, 11, 1)], None);
        dead_on_arrival.events[0].sent = Some(SECOND);
        assert_eq!(no_ended_leadership_is_revived(&[dead_on_arrival], TTL).len(), 1);
        let again = record("a", &[(Lead, 1, 1), (Lost, 10, 1), (Lead, 30, 2), (Renew, 33, 2)], None);
        assert_eq!(no_ended_leadership_is_revived(&[again], TTL), []);
    }

    #[test]
    fn an_epoch_that_repeats_or_falls_is_reported() {
        let a = record("a", &[(Lead, 1, 5), (Lost, 2, 5)], None);
        for epoch in [5, 4] {
            let b = record("b", &[(Lead, 3, epoch)], None);
            let violations = epochs_only_grow(&[b, a.clone()]);
            assert_eq!(violations.len(), 1);
            assert!(
                sentences(&violations)[0].starts_with(&format!("b led under epoch {epoch}")),
                "{violations:?}"
            );
        }
        assert_eq!(epochs_only_grow(&[record("b", &[(Lead, 3, 6)], None), a]), []);
    }

    #[test]
    fn an_epoch_may_repeat_only_on_another_timeline() {
        let a = record("a", &[(Lead, 1, 5), (Lost, 2, 5)], None);
        let b = record("b", &[(Lead, 3, 5), (Lost, 4, 5), (Lead, 8, 6)], None);
        let records = [a, b];
        assert_eq!(epochs_only_grow_between(&records, &[2 * SECOND]), []);
        for elsewhere in [SECOND, 4 * SECOND] {
            assert_eq!(epochs_only_grow_between(&records, &[elsewhere]).len(), 1, "{elsewhere}");
        }
    }

    #[test]
    fn a_term_that_is_lost_released_or_not_renewed_does_not_last() {
        let lasts = |events: &[(EventKind, u64, u64)], ended| {
            one_term_lasts(&[record("a", events, ended)], TTL, 20 * SECOND, 25 * SECOND)
        };
        let renewed = [(Lead, 10, 1), (Renew, 17, 1)];
        assert_eq!(lasts(&renewed, None), []);
        for end in [(Lost, 22, 1), (Resign, 22, 1)] {
            let ended = lasts(&[renewed[0], renewed[1], end], None);
            assert_eq!(
                sentences(&ended),
                ["from 20000.000 ms to 25000.000 ms: a (epoch 1, 10000.000 ms to 22000.000 ms)"]
            );
        }
        assert_eq!(lasts(&renewed, Some(24)).len(), 1, "the process ended");
        assert_eq!(lasts(&[(Lead, 10, 1), (Renew, 14, 1)], None).len(), 1, "it was not renewed again");
        assert_eq!(lasts(&[(Lead, 21, 1)], None).len(), 1, "it began too late");
        let two = [(Lead, 10, 1), (Lost, 21, 1), (Lead, 22, 2), (Renew, 24, 2)];
        assert!(lasts(&two, None)[0].details.contains("epoch 2, 22000.000 ms"), "{:?}", lasts(&two, None));
        assert!(lasts(&[], None)[0].details.ends_with("no instance led"));
    }

    #[test]
    #[should_panic(expected = "1 violations:\nepochs only grow: b")]
    fn violations_fail_a_test_with_their_sentences() {
        let twice = [record("a", &[(Lead, 1, 1)], Some(2)), record("b", &[(Lead, 3, 1)], None)];
        assert_none(&all(&twice, TTL));
    }
}
