//! What this process knows about the state store's commits, for the operator: whether they are slow for this LEADER_TTL,
//! and why a term ended without a renewal. Used by the driver and the heartbeat; no election rule reads it.
//!
//! Renewals and heartbeats count once they are acknowledged, because each is one small commit. One without an answer shows
//! nothing about commits: the store or the network may be unavailable. A claim does not count: it also writes the file of
//! epochs.

use domain::commit_latency::{CommitLatency, Verdict};
use domain::election::LeaseAnswer;
use domain::ports::{Renewal, StoreError};
use domain::time::Time;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What an operator can do about commits that are slow.
const REMEDY: &str = "raise leader_ttl (COORDINATOR_LEADER_TTL), or move data_dir to a faster disk (with PostgreSQL: the \
                      disk of its server, or the network to it)";

pub(crate) struct Commits(Mutex<Known>);

struct Known {
    latency: CommitLatency,
    last: Renewed,
    /// The slowest of the commits shortly before it.
    before: Option<Duration>,
}

/// The last renewal.
#[derive(Debug, Clone, Copy)]
enum Renewed {
    /// None was sent yet.
    Never,
    /// It was sent then, and has no answer yet.
    Sent(Time),
    /// The store acknowledged it after that time.
    Acknowledged(Duration),
    /// The store answered, and did not renew the lease.
    NotGranted,
    /// It failed; the store's error is logged when it begins.
    Failed,
    /// It was abandoned after that time.
    Unanswered(Duration),
}

impl Commits {
    pub(crate) fn new(ttl: Duration) -> Self {
        Self(Mutex::new(Known { latency: CommitLatency::new(ttl), last: Renewed::Never, before: None }))
    }

    /// A renewal is sent.
    pub(crate) fn renewing(&self, at: Time) {
        let mut known = self.known();
        known.before = known.latency.slowest_recent();
        known.last = Renewed::Sent(at);
    }

    /// The last renewal ended after `took`; `None`: it was abandoned without an answer.
    pub(crate) fn renewed(&self, answer: Option<&Result<LeaseAnswer, StoreError>>, took: Duration) {
        let last = match answer {
            Some(Ok(LeaseAnswer::Renewal(Renewal::Renewed { .. }))) => Renewed::Acknowledged(took),
            Some(Ok(_)) => Renewed::NotGranted,
            Some(Err(_)) => Renewed::Failed,
            None => Renewed::Unanswered(took),
        };
        self.known().last = last;
        match last {
            Renewed::Acknowledged(took) => self.committed(took),
            // Nothing was written, or the store may be unavailable: it is not known to be slow.
            Renewed::Unanswered(_)
            | Renewed::NotGranted
            | Renewed::Failed
            | Renewed::Never
            | Renewed::Sent(_) => {}
        }
    }

    /// A commit was acknowledged after `took`. Logs when the store becomes slow for this
    /// LEADER_TTL, and when it is fast again.
    pub(crate) fn committed(&self, took: Duration) {
        let verdict = self.known().latency.record(took);
        match verdict {
            Some(Verdict::Slow(slowness)) => tracing::warn!(
                "the state store commits slowly for this LEADER_TTL: {slowness}, more than a tenth of LEADER_TTL ({} ms). \
                 A longer stall ends the term of a healthy leader: {REMEDY}",
                slowness.limit.as_millis()
            ),
            Some(Verdict::FastAgain(slowness)) => {
                tracing::info!("the state store commits fast enough for this LEADER_TTL again: {slowness}");
            }
            None => {}
        }
    }

    /// Why no renewal was acknowledged, as far as this process knows at `now`.
    pub(crate) fn why_lost(&self, now: Time) -> String {
        let known = self.known();
        let unanswered = |took: Duration| {
            let before = known.before.map_or_else(String::new, |slowest| {
                format!("; the slowest commit shortly before took {} ms", slowest.as_millis())
            });
            format!(
                "the last one had no answer for {} ms{before}. If the state store is slow and not away: {REMEDY}",
                took.as_millis()
            )
        };
        match known.last {
            Renewed::Never => "none was sent: this process was stopped, or had no processor time".to_owned(),
            Renewed::Sent(at) => unanswered(now.since(at)),
            Renewed::Unanswered(took) => unanswered(took),
            Renewed::Acknowledged(took) => format!(
                "the last one was acknowledged after {} ms and the next was not sent in time: this process was stopped, or \
                 had no processor time",
                took.as_millis()
            ),
            Renewed::NotGranted => {
                "the state store answered the last one and did not renew the lease".to_owned()
            }
            Renewed::Failed => "the last one failed".to_owned(),
        }
    }

    /// After a panic of a recorder, what it knew is still right.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::lease::Timeline;

    fn commits() -> Commits {
        Commits::new(Duration::from_secs(10))
    }

    fn at(ms: u64) -> Time {
        Time::ZERO + Duration::from_millis(ms)
    }

    #[test]
    fn a_renewal_without_an_answer_is_compared_with_the_commits_before_it() {
        let commits = commits();
        commits.committed(Duration::from_millis(7));
        commits.renewing(at(100));
        let why = commits.why_lost(at(3_433));
        assert!(
            why.starts_with(
                "the last one had no answer for 3333 ms; the slowest commit shortly before took 7 ms. If"
            ),
            "{why}"
        );
        commits.renewed(None, Duration::from_millis(3_333));
        assert_eq!(commits.why_lost(at(9_000)), why, "given up, and noticed later");
    }

    #[test]
    fn a_process_that_did_not_run_says_so() {
        let commits = commits();
        assert!(commits.why_lost(at(1)).contains("none was sent: this process was stopped"));
        commits.renewing(at(100));
        let granted = Renewal::Renewed { timeline: Timeline(1), resign: None, forgotten: false };
        commits.renewed(Some(&Ok(LeaseAnswer::Renewal(granted))), Duration::from_millis(4));
        assert_eq!(
            commits.why_lost(at(60_000)),
            "the last one was acknowledged after 4 ms and the next was not sent in time: this process was stopped, or had no \
             processor time"
        );
    }

    #[test]
    fn a_renewal_that_the_store_does_not_grant_or_answer_is_no_slow_commit() {
        let commits = commits();
        let slow = Duration::from_secs(9);
        for _ in 0..200 {
            commits.renewed(None, slow);
            assert!(commits.why_lost(at(1)).starts_with("the last one had no answer for 9000 ms"));
            commits.renewed(Some(&Ok(LeaseAnswer::Renewal(Renewal::OtherTimeline(Timeline(2))))), slow);
            assert_eq!(
                commits.why_lost(at(1)),
                "the state store answered the last one and did not renew the lease"
            );
            commits.renewed(Some(&Err(StoreError::Unavailable("away".to_owned()))), slow);
            assert_eq!(commits.why_lost(at(1)), "the last one failed");
        }
        assert_eq!(commits.known().latency.slowest_recent(), None);
    }
}
