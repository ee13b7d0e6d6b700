//! [`Recent`]: the latest requests to the hooks of this instance, for `coordinator hooks tail`. In memory, bounded, without
//! secrets.

use crate::json::rfc3339;
use serde::Serialize;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

/// Most requests with a right secret that are kept: an hour of a busy desk.
const KNOWN_MAX: usize = 100;
/// Most other requests that are kept. They have their own place: strangers must not push out the others.
const STRANGERS_MAX: usize = 20;

/// One request and its verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Seen {
    #[serde(skip)]
    pub(super) at_ms: i64,
    /// The configured name; null if there is no such hook.
    pub(super) hook: Option<String>,
    pub(super) from: Option<IpAddr>,
    pub(super) status: u16,
    /// `accepted`, `repeated`, `folded`, `refused` or `unavailable`.
    pub(super) verdict: &'static str,
    /// The signal.
    pub(super) signal: Option<String>,
    /// The reason for a refusal.
    pub(super) why: Option<String>,
    /// The body without the secret, cut; null if the secret was wrong or there are no fields.
    pub(super) body: Option<String>,
}

/// A request as JSON, with its time.
#[derive(Debug, Serialize)]
pub(super) struct SeenJson {
    at: Option<String>,
    #[serde(flatten)]
    seen: Seen,
}

/// Whether the sender knew the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sender {
    Known,
    Stranger,
}

/// Each request with its number, which is their order.
#[derive(Debug, Default)]
pub(super) struct Recent {
    lists: Mutex<Lists>,
}

#[derive(Debug, Default)]
struct Lists {
    count: u64,
    known: VecDeque<(u64, Seen)>,
    strangers: VecDeque<(u64, Seen)>,
}

impl Recent {
    pub(super) fn add(&self, sender: Sender, seen: Seen) {
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        lists.count += 1;
        let number = lists.count;
        let (list, most) = match sender {
            Sender::Known => (&mut lists.known, KNOWN_MAX),
            Sender::Stranger => (&mut lists.strangers, STRANGERS_MAX),
        };
        if list.len() == most {
            list.pop_front();
        }
        list.push_back((number, seen));
    }

    /// All of them, the latest first.
    pub(super) fn latest_first(&self) -> Vec<SeenJson> {
        let mut all: Vec<(u64, Seen)> = {
            let lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
            lists.known.iter().chain(&lists.strangers).cloned().collect()
        };
        all.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
        all.into_iter().map(|(_, seen)| SeenJson { at: rfc3339(seen.at_ms), seen }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_do_not_push_out_the_alerts_of_a_desk() {
        let recent = Recent::default();
        let seen = |at_ms, verdict| Seen {
            at_ms,
            hook: None,
            from: None,
            status: 201,
            verdict,
            signal: None,
            why: None,
            body: None,
        };
        recent.add(Sender::Known, seen(0, "accepted"));
        recent.add(Sender::Known, seen(0, "repeated"));
        for at_ms in 1..=1_000 {
            recent.add(Sender::Stranger, seen(at_ms, "refused"));
        }
        let all = recent.latest_first();
        assert_eq!((all.len(), all[0].seen.at_ms), (STRANGERS_MAX + 2, 1_000));
        let last: Vec<&str> = all[STRANGERS_MAX..].iter().map(|last| last.seen.verdict).collect();
        assert_eq!(last, ["repeated", "accepted"], "of one millisecond the later is first");
    }
}
