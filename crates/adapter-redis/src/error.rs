//! Translation of fred's errors and Redis' refusals: what the caller may conclude, and what the operator can
//! do.

use domain::ports::StoreError;
use fred::error::{Error, ErrorKind};
use std::time::Duration;

/// Characters of Redis' reply that a message quotes; enough for every reply that Redis itself writes.
const QUOTE_LEN_MAX: usize = 200;

/// Advice by a part of the reply of Redis or fred. The first match counts. Inside a script, Redis 6 puts its
/// own words before the code, so the code can be anywhere in the reply.
const ADVICE: [(&str, &str); 17] = [
    ("WRONGPASS", CREDENTIALS),
    ("NOAUTH", CREDENTIALS),
    ("NOPERM", "give its ACL user the commands, the keys and the channel of this group"),
    ("LOADING", "it is still loading its data: wait"),
    ("READONLY", "it is a replica: point the URL at the primary, or use redis-sentinel://"),
    ("MASTERDOWN", "it is a replica without its primary: point the URL at the primary"),
    ("MISCONF", "it cannot save its data and refuses writes: check its log and its disk"),
    ("OOM", "it is full: raise its maxmemory or allow it to evict keys"),
    ("NOREPLICAS", "it has fewer replicas than min-replicas-to-write requires"),
    ("CLUSTERDOWN", "its cluster lacks slots: read CLUSTER INFO"),
    ("MOVED", "it is part of a cluster: use redis-cluster://"),
    ("cluster support disabled", "it is not part of a cluster: use redis://"),
    ("BUSY", "another client's script keeps it busy: SCRIPT KILL ends it"),
    ("DENIED", "it is in protected mode: give it a password or an address to bind"),
    ("InvalidCertificate", "this host does not trust its certificate for that name"),
    ("timed out", "it does not answer: it hangs, a firewall blocks it, or only one side speaks TLS"),
    ("ConnectionRefused", "no server listens there: start it or correct the URL"),
];
const CREDENTIALS: &str = "check user and password in the URL (redis://USER:PASSWORD@HOST)";

/// Translates an error reply: Redis refused the command. Each of our scripts writes only in its last step, so
/// nothing has changed.
pub(crate) fn refused(endpoint: &str, reply: &str) -> StoreError {
    StoreError::Unavailable(explained(endpoint, reply))
}

/// Translates a missing answer: the request was sent, and Redis may have executed it.
pub(crate) fn unanswered(endpoint: &str, error: &Error, waited: Duration) -> StoreError {
    StoreError::Unknown(match error.kind() {
        ErrorKind::Timeout => format!("Redis at {endpoint} was silent for {} ms", waited.as_millis()),
        _ => explained(endpoint, error.details()),
    })
}

/// A message that quotes Redis or fred, with advice if there is any.
pub(crate) fn explained(endpoint: &str, words: &str) -> String {
    let quote: String = words.chars().filter(|c| !c.is_control()).take(QUOTE_LEN_MAX).collect();
    match ADVICE.iter().find(|(sign, _)| words.contains(sign)) {
        Some((_, advice)) => format!("Redis at {endpoint}: {advice} ({quote})"),
        None => format!("Redis at {endpoint}: {quote}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_changed_nothing_and_says_what_to_do() {
        for (reply, advice) in [
            ("WRONGPASS invalid username-password pair or user is disabled.", "password in the URL"),
            ("NOAUTH Authentication required.", "password in the URL"),
            ("LOADING Redis is loading the dataset in memory", "wait"),
            ("ERR Error running script: @user_script: 12: -READONLY You can't write", "redis-sentinel://"),
            ("MISCONF Redis is configured to save RDB snapshots", "its disk"),
            ("OOM command not allowed when used memory > 'maxmemory'.", "maxmemory"),
            ("MOVED 3999 127.0.0.1:6381", "redis-cluster://"),
        ] {
            let StoreError::Unavailable(message) = refused("h:1", reply) else { panic!("{reply}") };
            assert!(message.contains(advice) && message.contains("h:1"), "{message}");
        }
        let long = explained("h:1", &"x\n".repeat(5_000));
        assert!(long.len() < 300 && !long.contains('\n'));
    }

    #[test]
    fn a_missing_answer_is_unknown_and_not_a_refusal() {
        let waited = Duration::from_millis(300);
        let silent = unanswered("h:1", &Error::new(ErrorKind::Timeout, "Request timed out."), waited);
        assert_eq!(silent, StoreError::Unknown("Redis at h:1 was silent for 300 ms".to_owned()));
        let broken = unanswered("h:1", &Error::new(ErrorKind::IO, "Connection closed."), waited);
        assert_eq!(broken, StoreError::Unknown("Redis at h:1: Connection closed.".to_owned()));
    }
}
