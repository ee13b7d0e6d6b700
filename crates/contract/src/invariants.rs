//! What must hold over the events of several processes, told as sentences when it does not.

use crate::event::{Event, EventKind, Record};
use domain::lease::margin;
use std::fmt;
use std::time::Duration;

/// An invariant that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: &'static str,
    /// Who and when.
    pub told: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.told)
    }
}

/// Every invariant of this module, for processes of one group with this LEADER_TTL.
pub fn all(records: &[Record], ttl: Duration) -> Vec<Violation> {
    [at_most_one_believer(records, ttl), no_belief_is_revived(records, ttl), epochs_only_grow(records)]
        .concat()
}

/// Panics with every violation there is.
///
/// # Panics
/// When there is one.
pub fn assert_none(violations: &[Violation]) {
    let sentences: Vec<String> = violations.iter().map(Violation::to_string).collect();
    assert!(violations.is_empty(), "{} violations:\n{}", violations.len(), sentences.join("\n"));
}

/// At no instant do two processes believe that they lead (S1).
///
/// A belief lasts from `lead` to `lost`, `resign` or the death of the process, and never beyond what its
/// last acknowledged claim or renewal gave: a process that was stopped believes nothing it can act on.
pub fn at_most_one_believer(records: &[Record], ttl: Duration) -> Vec<Violation> {
    let mut beliefs: Vec<Belief> = records.iter().flat_map(|record| beliefs(record, ttl)).collect();
    beliefs.sort_by_key(|belief| belief.from);
    let mut violations = Vec::new();
    for (at, first) in beliefs.iter().enumerate() {
        let during = beliefs[at + 1..].iter().take_while(|second| second.from < first.until);
        for second in during.filter(|second| second.from < second.until) {
            let both = second.until.min(first.until) - second.from;
            let told = format!("{first} and {second}: both for {}", millis(both));
            violations.push(Violation { invariant: "at most one believer", told });
        }
    }
    violations
}

/// A belief whose deadline has passed is not renewed, not even by an acknowledgement that came late (M13).
pub fn no_belief_is_revived(records: &[Record], ttl: Duration) -> Vec<Violation> {
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

/// As [`epochs_only_grow`], where a standby took the database's place at the times `promotions`
/// (CLOCK_MONOTONIC nanoseconds, between the old primary's end and the first request that the new one saw):
/// every new timeline may repeat epochs of the one before.
pub fn epochs_only_grow_between(records: &[Record], promotions: &[u64]) -> Vec<Violation> {
    let mut leads: Vec<(&Record, &Event)> = Vec::new();
    for record in records {
        leads.extend(
            record.events.iter().filter(|event| event.kind == EventKind::Lead).map(|event| (record, event)),
        );
    }
    leads.sort_by_key(|(_, event)| event.t);
    // By the time of the request: its answer comes from the server that was the primary then.
    let timeline = |event: &Event| {
        promotions.iter().filter(|&&promotion| promotion <= event.sent.unwrap_or(event.t)).count()
    };
    let backwards = leads
        .windows(2)
        .filter(|two| timeline(two[0].1) == timeline(two[1].1) && two[1].1.epoch <= two[0].1.epoch);
    let tell = |(record, event): (&Record, &Event)| {
        format!("{} led under epoch {} from {}", record.name, event.epoch, millis(event.t))
    };
    backwards
        .map(|two| {
            let told = format!("{}, after {}", tell(two[1]), tell(two[0]));
            Violation { invariant: "epochs only grow", told }
        })
        .collect()
}

/// One term lasts from `from` to `to` (CLOCK_MONOTONIC nanoseconds): it began before, and was neither lost nor given up,
/// nor did its renewals stop. The records are read after `to`. Whether the premise of stability held in that time is for
/// the caller to know: chaos measures it.
pub fn one_term_lasts(records: &[Record], ttl: Duration, from: u64, to: u64) -> Vec<Violation> {
    let mut beliefs: Vec<Belief> = records.iter().flat_map(|record| beliefs(record, ttl)).collect();
    if beliefs.iter().any(|belief| belief.from <= from && belief.until >= to) {
        return Vec::new();
    }
    beliefs.retain(|belief| belief.from < to && belief.until > from);
    beliefs.sort_by_key(|belief| belief.from);
    let terms: Vec<String> = beliefs.iter().map(Belief::to_string).collect();
    let terms = if terms.is_empty() { "no instance led".to_owned() } else { terms.join(", ") };
    let told = format!("from {} to {}: {terms}", millis(from), millis(to));
    vec![Violation { invariant: "a term does not end", told }]
}

/// One process's leadership, as long as it can have believed in it.
struct Belief<'a> {
    name: &'a str,
    epoch: u64,
    from: u64,
    until: u64,
}

impl fmt::Display for Belief<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, until) = (millis(self.from), millis(self.until));
        write!(f, "{} (epoch {}, {from} to {until})", self.name, self.epoch)
    }
}

fn beliefs(record: &Record, ttl: Duration) -> Vec<Belief<'_>> {
    let mut beliefs = Vec::new();
    let mut open: Option<Belief> = None;
    for event in &record.events {
        match event.kind {
            EventKind::Ready => {}
            EventKind::Lead => {
                // Two in a row: the first was never said to have ended, so it has its whole time.
                let belief = Belief {
                    name: &record.name,
                    epoch: event.epoch,
                    from: event.t,
                    until: deadline(event, ttl),
                };
                beliefs.extend(open.replace(belief));
            }
            EventKind::Renew => {
                if let Some(belief) = &mut open {
                    belief.until = belief.until.max(deadline(event, ttl));
                }
            }
            EventKind::Lost | EventKind::Resign | EventKind::Resigned => {
                beliefs
                    .extend(open.take().map(|belief| Belief { until: belief.until.min(event.t), ..belief }));
            }
        }
    }
    let ended = record.ended.unwrap_or(u64::MAX);
    beliefs.extend(open.map(|belief| Belief { until: belief.until.min(ended), ..belief }));
    beliefs
}

/// Until when an acknowledged claim or renewal lets its sender believe.
fn deadline(event: &Event, ttl: Duration) -> u64 {
    let granted = u64::try_from(ttl.saturating_sub(margin(ttl)).as_nanos()).unwrap_or(u64::MAX);
    event.sent.unwrap_or(event.t).saturating_add(granted)
}

fn revived(record: &Record, event: &Event, until: u64) -> Violation {
    let (name, epoch, late) = (&record.name, event.epoch, millis(event.t - until));
    let told = format!("{name} took a {:?} of epoch {epoch} {late} after its deadline", event.kind);
    Violation { invariant: "no belief is revived", told }
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
    /// What a process believes in after sending.
    const GRANTED: u64 = 10 * SECOND - 12_000_000;

    /// Events at seconds; requests are answered in no time.
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
        violations.iter().map(|violation| violation.told.as_str()).collect()
    }

    #[test]
    fn handovers_kills_and_stops_are_well() {
        let handed_over = record(
            "a",
            &[(Ready, 0, 0), (Lead, 1, 1), (Renew, 4, 1), (Resign, 5, 1), (Resigned, 7, 1)],
            None,
        );
        let killed = record("b", &[(Ready, 0, 0), (Lead, 6, 2), (Renew, 9, 2)], Some(10));
        // Led as soon as the killed one's process was dead, then was stopped and told so late.
        let stopped = record("c", &[(Ready, 0, 0), (Lead, 10, 3), (Lost, 90, 3)], None);
        let last = record("d", &[(Lead, 20, 4)], None);
        assert_eq!(all(&[stopped, killed, last, handed_over], TTL), []);
    }

    #[test]
    fn two_believers_are_told_with_how_long() {
        let a = record("a", &[(Lead, 1, 1), (Renew, 4, 1), (Lost, 12, 1)], None);
        let b = record("b", &[(Lead, 11, 2)], None);
        let violations = at_most_one_believer(&[b, a], TTL);
        assert_eq!(violations.len(), 1);
        assert!(sentences(&violations)[0].ends_with("both for 1000.000 ms"), "{violations:?}");
    }

    #[test]
    fn a_live_process_believes_until_its_deadline() {
        let a = record("a", &[(Lead, 1, 1)], None);
        let at = |t| {
            let mut b = record("b", &[(Lead, 0, 2)], None);
            b.events[0].t = t;
            b.events[0].sent = Some(t);
            b
        };
        let deadline = SECOND + GRANTED;
        assert_eq!(at_most_one_believer(&[a.clone(), at(deadline)], TTL), [], "not at the deadline itself");
        assert_eq!(at_most_one_believer(&[a, at(deadline - 1)], TTL).len(), 1);
    }

    #[test]
    fn a_killed_process_believes_until_its_death() {
        let b = record("b", &[(Lead, 3, 2)], None);
        assert_eq!(at_most_one_believer(&[record("a", &[(Lead, 1, 1)], Some(3)), b.clone()], TTL), []);
        assert_eq!(at_most_one_believer(&[record("a", &[(Lead, 1, 1)], Some(4)), b], TTL).len(), 1);
    }

    #[test]
    fn a_late_acknowledgement_must_not_be_taken() {
        let mut late = record("a", &[(Lead, 1, 1), (Renew, 11, 1)], None);
        late.events[1].sent = Some(2 * SECOND);
        let violations = no_belief_is_revived(&[late], TTL);
        assert_eq!(sentences(&violations), ["a took a Renew of epoch 1 12.000 ms after its deadline"]);
        let mut dead_on_arrival = record("a", &[(Lead, 11, 1)], None);
        dead_on_arrival.events[0].sent = Some(SECOND);
        assert_eq!(no_belief_is_revived(&[dead_on_arrival], TTL).len(), 1);
        let again = record("a", &[(Lead, 1, 1), (Lost, 10, 1), (Lead, 30, 2), (Renew, 33, 2)], None);
        assert_eq!(no_belief_is_revived(&[again], TTL), []);
    }

    #[test]
    fn an_epoch_that_repeats_or_falls_is_told() {
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
    fn an_epoch_may_repeat_on_another_timeline_only() {
        let a = record("a", &[(Lead, 1, 5), (Lost, 2, 5)], None);
        let b = record("b", &[(Lead, 3, 5), (Lost, 4, 5), (Lead, 8, 6)], None);
        let records = [a, b];
        assert_eq!(epochs_only_grow_between(&records, &[2 * SECOND]), []);
        for elsewhere in [SECOND, 4 * SECOND] {
            assert_eq!(epochs_only_grow_between(&records, &[elsewhere]).len(), 1, "{elsewhere}");
        }
    }

    #[test]
    fn a_term_that_is_lost_given_up_or_not_renewed_does_not_last() {
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
        assert_eq!(lasts(&[(Lead, 10, 1), (Renew, 14, 1)], None).len(), 1, "it was not renewed any more");
        assert_eq!(lasts(&[(Lead, 21, 1)], None).len(), 1, "it began too late");
        let two = [(Lead, 10, 1), (Lost, 21, 1), (Lead, 22, 2), (Renew, 24, 2)];
        assert!(lasts(&two, None)[0].told.contains("epoch 2, 22000.000 ms"), "{:?}", lasts(&two, None));
        assert!(lasts(&[], None)[0].told.ends_with("no instance led"));
    }

    #[test]
    #[should_panic(expected = "1 violations:\nepochs only grow: b")]
    fn violations_fail_a_test_with_their_sentences() {
        let twice = [record("a", &[(Lead, 1, 1)], Some(2)), record("b", &[(Lead, 3, 1)], None)];
        assert_none(&all(&twice, TTL));
    }
}
