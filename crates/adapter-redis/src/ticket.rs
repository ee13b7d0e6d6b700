//! The lease key's value, `instance claim`, and the scripts' answers about it. Any client of Redis can write
//! the key, so this module trusts nothing that it reads from it.

use domain::id::{ClaimId, InstanceId};
use domain::ports::{StoreError, Ticket, TicketFault};
use fred::interfaces::Resp3Frame as Frame;
use std::time::Duration;

/// Answer of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The caller holds the ticket, for LEADER_TTL from now.
    Mine,
    /// The caller does not hold it. Contains the holder's ticket, if there is one.
    NotMine(Option<Ticket>),
}

/// The value that the scripts write.
pub(crate) fn value(claim: ClaimId, id: &InstanceId) -> String {
    format!("{id} {claim}")
}

/// Parses the answer of acquire, renew and inspect: `[1]`, `[0]` or `[0, type, length, remaining ms, head]`.
pub(crate) fn answer(frame: &Frame, ttl: Duration) -> Result<Answer, StoreError> {
    let Frame::Array { data, .. } = frame else { return Err(corrupt()) };
    match data.as_slice() {
        [Frame::Number { data: 1, .. }] => Ok(Answer::Mine),
        [Frame::Number { data: 0, .. }] => Ok(Answer::NotMine(None)),
        [
            Frame::Number { data: 0, .. },
            Frame::BlobString { data: kind, .. },
            Frame::Number { data: length, .. },
            Frame::Number { data: remaining_ms, .. },
            Frame::BlobString { data: head, .. },
        ] => {
            let stored = Stored { kind, length: *length, remaining_ms: *remaining_ms, head };
            Ok(Answer::NotMine(Some(stored.ticket(ttl))))
        }
        _ => Err(corrupt()),
    }
}

/// Parses the answer of release, `[deleted, reason]`. The reason says why the hint was not published; it is
/// empty if it was.
pub(crate) fn hint_refusal(frame: &Frame) -> Result<Option<String>, StoreError> {
    let Frame::Array { data, .. } = frame else { return Err(corrupt()) };
    match data.as_slice() {
        [Frame::Number { .. }, Frame::BlobString { data: refusal, .. }] => {
            let refusal = String::from_utf8_lossy(refusal);
            Ok((!refusal.is_empty()).then(|| refusal.into_owned()))
        }
        _ => Err(corrupt()),
    }
}

/// The key as a script returns it.
struct Stored<'a> {
    /// Type of the key.
    kind: &'a [u8],
    /// Length of the whole value in bytes.
    length: i64,
    /// Milliseconds until the key expires; -1 if it never expires.
    remaining_ms: i64,
    /// First 512 bytes of the value.
    head: &'a [u8],
}

impl Stored<'_> {
    fn ticket(&self, ttl: Duration) -> Ticket {
        let parsed = self.parse();
        let remaining = match (self.kind, &parsed) {
            (b"string", Some(_)) => self.remaining(ttl),
            (b"string", None) => Err(TicketFault::Malformed),
            _ => Err(TicketFault::WrongType),
        };
        match parsed {
            Some((claim, holder)) => Ticket { holder, claim: Some(claim), remaining },
            None => Ticket { holder: shown(self.head), claim: None, remaining },
        }
    }

    /// Accepts only the exact form that [`value`] writes.
    fn parse(&self) -> Option<(ClaimId, InstanceId)> {
        if usize::try_from(self.length) != Ok(self.head.len()) {
            return None;
        }
        let (id, claim) = std::str::from_utf8(self.head).ok()?.split_once(' ')?;
        Some((ClaimId::parse(claim)?, InstanceId::parse(id).ok()?))
    }

    fn remaining(&self, ttl: Duration) -> Result<Duration, TicketFault> {
        let Ok(ms) = u64::try_from(self.remaining_ms) else { return Err(TicketFault::NoExpiry) };
        let remaining = Duration::from_millis(ms);
        if remaining > ttl { Err(TicketFault::TooLong) } else { Ok(remaining) }
    }
}

/// Text to display for a value that this adapter did not write.
fn shown(head: &[u8]) -> InstanceId {
    InstanceId::from_stored(&String::from_utf8_lossy(head))
}

/// Error for an answer that the script cannot return.
pub(crate) fn corrupt() -> StoreError {
    StoreError::Corrupt("Redis returned an answer that the lease script cannot produce".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(10);
    const CLAIM: &str = "01234567-89ab-cdef-0123-456789abcdef";

    #[test]
    fn what_is_written_is_read_back() {
        let claim = ClaimId::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
        let id = InstanceId::parse("host:5000-1.a_b").unwrap();
        let written = value(claim, &id);
        assert_eq!(written, format!("host:5000-1.a_b {CLAIM}"));
        let ticket = string(written.as_bytes(), 4_000);
        assert_eq!(ticket, Ticket { holder: id, claim: Some(claim), remaining: Ok(Duration::from_secs(4)) });
    }

    #[test]
    fn only_our_exact_form_is_a_ticket() {
        for value in [
            String::new(),
            CLAIM.to_owned(),
            format!(" {CLAIM}"),
            format!(" a {CLAIM}"),
            format!("a  {CLAIM}"),
            format!("a b {CLAIM}"),
            format!("a {CLAIM} "),
            format!("a {CLAIM}\0"),
            format!("a\0 {CLAIM}"),
            format!("a\n{CLAIM}"),
            format!("{CLAIM} a"),
            format!("a {}", CLAIM.to_uppercase()),
            format!("a {}", CLAIM.replace('-', "")),
            format!("a {}", CLAIM.replace('0', "+")),
            format!("a {}", CLAIM.replace('0', "g")),
            "a 0123-456789ab-cdef-0123-456789abcdef".to_owned(),
            format!("{} {CLAIM}", "a".repeat(129)),
        ] {
            let ticket = string(value.as_bytes(), 4_000);
            assert_eq!((ticket.claim, ticket.remaining), (None, Err(TicketFault::Malformed)), "{value:?}");
        }
        assert_eq!(string(b"\xff\xfe<script>", 1).holder.as_str(), "???script?");
    }

    #[test]
    fn a_value_longer_than_its_head_is_not_ours_however_it_begins() {
        let head = format!("a {CLAIM}");
        let stored = Stored { kind: b"string", length: 8 << 20, remaining_ms: 1, head: head.as_bytes() };
        assert_eq!(stored.ticket(TTL).remaining, Err(TicketFault::Malformed));
    }

    #[test]
    fn an_expiry_beyond_the_ttl_or_missing_is_a_fault() {
        let value = format!("a {CLAIM}");
        for (remaining_ms, remaining) in [
            (0, Ok(Duration::ZERO)),
            (10_000, Ok(TTL)),
            (10_001, Err(TicketFault::TooLong)),
            (3_629_000, Err(TicketFault::TooLong)),
            (i64::MAX, Err(TicketFault::TooLong)),
            (-1, Err(TicketFault::NoExpiry)),
        ] {
            let ticket = string(value.as_bytes(), remaining_ms);
            assert!(ticket.claim.is_some());
            assert_eq!(ticket.remaining, remaining, "{remaining_ms}");
        }
    }

    #[test]
    fn another_type_is_a_fault() {
        let stored = Stored { kind: b"list", length: 0, remaining_ms: -1, head: b"" };
        assert_eq!(stored.ticket(TTL).remaining, Err(TicketFault::WrongType));
    }

    #[test]
    fn an_answer_of_another_shape_is_corrupt() {
        let number = |data| Frame::Number { data, attributes: None };
        let array = |data| Frame::Array { data, attributes: None };
        assert_eq!(answer(&array(vec![number(1)]), TTL), Ok(Answer::Mine));
        assert_eq!(answer(&array(vec![number(0)]), TTL), Ok(Answer::NotMine(None)));
        for frame in
            [Frame::Null, number(1), array(vec![]), array(vec![number(2)]), array(vec![number(0); 5])]
        {
            assert!(matches!(answer(&frame, TTL), Err(StoreError::Corrupt(_))), "{frame:?}");
            assert!(matches!(hint_refusal(&frame), Err(StoreError::Corrupt(_))), "{frame:?}");
        }
    }

    fn string(value: &[u8], remaining_ms: i64) -> Ticket {
        let length = i64::try_from(value.len()).unwrap();
        Stored { kind: b"string", length, remaining_ms, head: value }.ticket(TTL)
    }
}
