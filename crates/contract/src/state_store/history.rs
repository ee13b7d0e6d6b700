//! The leadership history: each term with its leader, its begin and end, and the reason for its end.

use super::members::until_older;
use crate::{Case, Opening, Process, Scene, StateStores, cases};
use domain::lease::{Epoch, Seq, TTL_MIN, Token};
use domain::member::Term;
use domain::ports::{Claim, ClaimRequest, FormerTerm, Release};
use std::time::Duration;

/// How much later than the end of the lease a late release is: more than rounding explains.
const LATE: Duration = Duration::from_millis(200);

pub(super) fn cases<A: StateStores>() -> Vec<Case<A>> {
    cases!("state_store", Scene:
        a_claim_opens_a_term,
        a_claim_closes_the_expired_term_before,
        a_claim_after_the_end_of_a_process_says_so,
        a_term_that_expired_ends_with_its_lease,
        a_release_closes_the_term_with_its_reason,
        a_release_after_the_lease_has_ended_moves_no_end,
        history_is_newest_first_and_limited,
        a_lost_write_leaves_history_alone,
    )
}

async fn terms(process: &Process) -> Vec<Term> {
    process.state.history(100).await.expect("history")
}

fn who(term: &Term) -> (u64, &str, &str) {
    (term.epoch.0, term.holder.as_str(), &term.host)
}

async fn a_claim_opens_a_term(scene: Scene) {
    let process = scene.process("a").await;
    let Token { timeline, .. } = process.lead().await;
    let terms = terms(&process).await;
    assert_eq!(terms.len(), 1);
    assert_eq!(who(&terms[0]), (1, "a", "host-of-a"));
    assert_eq!((terms[0].timeline, terms[0].to_ms, &terms[0].reason), (timeline, None, &None));
    assert!(terms[0].from_ms > 0, "a time after 1970: {}", terms[0].from_ms);
}

async fn a_claim_closes_the_expired_term_before(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    a.lead().await;
    b.lead().await;
    let terms = terms(&a).await;
    assert_eq!(terms.iter().map(who).collect::<Vec<_>>(), [(2, "b", "host-of-b"), (1, "a", "host-of-a")]);
    assert_eq!(terms[1].reason.as_deref(), Some("expired"));
    let ended = terms[1].to_ms.expect("the former term has ended");
    assert!(terms[1].from_ms <= ended && ended <= terms[0].from_ms, "{terms:?}");
    assert_eq!((terms[0].to_ms, &terms[0].reason), (None, &None));
}

async fn a_claim_after_the_end_of_a_process_says_so(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    a.lead().await;
    let request = ClaimRequest { former: FormerTerm::ProcessEnded, ..b.request(&b.read_lease().await) };
    assert!(matches!(b.state.claim(&request).await, Ok(Claim::Granted(_))));
    b.lead().await;
    let reasons: Vec<_> = terms(&b).await.into_iter().map(|term| term.reason).collect();
    assert_eq!(reasons, [None, Some("expired".to_owned()), Some("process ended".to_owned())]);
}

/// The group had no leader from then to the next claim, and the history shows it.
async fn a_term_that_expired_ends_with_its_lease(scene: Scene) {
    let short = scene.start(Opening { ttl: TTL_MIN, ..Opening::new(scene.group(), "a") }).await;
    let b = scene.process("b").await;
    short.lead().await;
    until_older(&b, TTL_MIN).await;
    b.lead().await;
    let terms = terms(&b).await;
    let ended = terms[1].to_ms.expect("the former term has ended");
    let ttl_ms = i64::try_from(TTL_MIN.as_millis()).expect("a short time");
    // Stores keep the two times with microseconds and round each to a millisecond.
    assert!((ended - terms[1].from_ms - ttl_ms).abs() <= 1, "it was never renewed: {terms:?}");
    assert!(ended <= terms[0].from_ms, "{terms:?}");
}

async fn a_release_closes_the_term_with_its_reason(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    let token = a.lead().await;
    let reason = "operator's step-down; rolling update";
    assert_eq!(a.state.release(&token, Seq(1), reason).await, Ok(Release::Released));
    let released = terms(&a).await;
    assert_eq!(released[0].reason.as_deref(), Some(reason));
    assert!(released[0].to_ms.is_some_and(|to| released[0].from_ms <= to));
    b.lead().await;
    assert_eq!(terms(&a).await[1], released[0], "the next claim does not rewrite it");
}

/// A leader that was cut off releases late; it had stopped acting before its lease ended.
async fn a_release_after_the_lease_has_ended_moves_no_end(scene: Scene) {
    let short = scene.start(Opening { ttl: TTL_MIN, ..Opening::new(scene.group(), "a") }).await;
    let b = scene.process("b").await;
    let token = short.lead().await;
    until_older(&b, TTL_MIN + LATE).await;
    assert_eq!(short.state.release(&token, Seq(1), "cut off").await, Ok(Release::Released));
    let term = terms(&b).await.remove(0);
    assert_eq!(term.reason.as_deref(), Some("cut off"));
    let led_ms = term.to_ms.expect("it has ended") - term.from_ms;
    let ttl_ms = i64::try_from(TTL_MIN.as_millis()).expect("a short time");
    // Stores keep the two times with microseconds and round each to a millisecond.
    assert!((led_ms - ttl_ms).abs() <= 1, "it was never renewed: {term:?}");
}

async fn history_is_newest_first_and_limited(scene: Scene) {
    let process = scene.process("a").await;
    for _ in 0..5 {
        process.lead().await;
    }
    let epochs = |terms: Vec<Term>| terms.iter().map(|term| term.epoch).collect::<Vec<_>>();
    let latest = process.state.history(3).await.expect("history");
    assert_eq!(epochs(latest), [Epoch(5), Epoch(4), Epoch(3)]);
    let all = process.state.history(u32::MAX).await.expect("history");
    assert_eq!(epochs(all), [5, 4, 3, 2, 1].map(Epoch));
    assert_eq!(process.state.history(0).await, Ok(vec![]));
}

async fn a_lost_write_leaves_history_alone(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    let stale = a.request(&a.read_lease().await);
    let old = a.lead().await;
    b.lead().await;
    let before = terms(&a).await;
    a.state.claim(&stale).await.expect("a lost claim");
    a.state.release(&old, Seq(9), "late").await.expect("a superseded release");
    a.state.renew(&old, Seq(9), old.timeline).await.expect("a superseded renewal");
    assert_eq!(terms(&a).await, before);
}
