//! The messages between the parent and the guardian: records of a fixed length on a socket pair. The end of the
//! stream is a message too: the other process has ended.

use super::schedule::Permission;
use domain::time::Time;
use std::time::Duration;

/// Length of a record: a kind and two numbers.
pub const LEN: usize = 17;
const EXTEND: u8 = 1;
const STOP: u8 = 2;
const ENDED: u8 = 3;

/// A message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// To the guardian: the command may run under this permission.
    Extend(Permission),
    /// To the guardian: SIGTERM now, SIGKILL after this time.
    Stop(Duration),
    /// To the parent: no process of the command exists any more.
    Ended {
        /// The exit code of the command, as a shell reports it.
        code: u8,
        /// No signal of the guardian ended it.
        by_itself: bool,
    },
}

impl Message {
    /// The record.
    pub fn encode(self) -> [u8; LEN] {
        let (kind, first, second) = match self {
            Self::Extend(Permission { term_at, kill_at }) => (EXTEND, term_at.as_nanos(), kill_at.as_nanos()),
            Self::Stop(grace) => (STOP, u64::try_from(grace.as_nanos()).unwrap_or(u64::MAX), 0),
            Self::Ended { code, by_itself } => (ENDED, u64::from(code), u64::from(by_itself)),
        };
        let mut record = [0; LEN];
        record[0] = kind;
        record[1..9].copy_from_slice(&first.to_be_bytes());
        record[9..].copy_from_slice(&second.to_be_bytes());
        record
    }

    /// The message of a record; `None` if no version of this program writes it.
    pub fn decode(record: &[u8; LEN]) -> Option<Self> {
        let number = |from: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&record[from..from + 8]);
            u64::from_be_bytes(bytes)
        };
        let (first, second) = (number(1), number(9));
        match record[0] {
            EXTEND => Some(Self::Extend(Permission {
                term_at: Time::from_nanos(first),
                kill_at: Time::from_nanos(second),
            })),
            STOP => Some(Self::Stop(Duration::from_nanos(first))),
            ENDED => Some(Self::Ended { code: u8::try_from(first).ok()?, by_itself: second == 1 }),
            _ => None,
        }
    }
}

/// Records from a stream, which may arrive in pieces.
#[derive(Debug, Default)]
pub struct Inbox(Vec<u8>);

impl Inbox {
    /// Takes in what was read.
    pub fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The next whole message.
    pub fn next(&mut self) -> Option<Message> {
        let record: [u8; LEN] = self.0.get(..LEN)?.try_into().ok()?;
        self.0.drain(..LEN);
        Message::decode(&record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_arrives_as_it_was_sent_also_in_pieces() {
        let permission = Permission { term_at: Time::from_nanos(7), kill_at: Time::from_nanos(u64::MAX) };
        let all = [
            Message::Extend(permission),
            Message::Stop(Duration::from_millis(5)),
            Message::Ended { code: 137, by_itself: false },
            Message::Ended { code: 0, by_itself: true },
        ];
        let bytes: Vec<u8> = all.iter().flat_map(|message| message.encode()).collect();
        for piece in [1, 5, LEN, bytes.len()] {
            let mut inbox = Inbox::default();
            let mut seen = Vec::new();
            for piece in bytes.chunks(piece) {
                inbox.push(piece);
                seen.extend(std::iter::from_fn(|| inbox.next()));
            }
            assert_eq!(seen, all, "in pieces of {piece}");
        }
    }

    #[test]
    fn an_unknown_record_is_no_message() {
        assert_eq!(Message::decode(&[0; LEN]), None);
    }
}
