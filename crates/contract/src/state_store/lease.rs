//! The lease: claim, renew, release, and the request to hand over.

use crate::{Case, Process, Scene, StateStores, TTL, cases};
use domain::id::InstanceId;
use domain::lease::{Epoch, Seq, Timeline, Token, Version};
use domain::ports::{Claim, ClaimRequest, Release, Renewal, StepDown};
use std::time::Duration;
use tokio::task::JoinSet;

pub(super) fn cases<A: StateStores>() -> Vec<Case<A>> {
    cases!("state_store", Scene:
        a_claim_takes_the_lease_with_the_next_epoch,
        of_16_concurrent_claims_one_is_granted,
        a_claim_from_any_other_version_loses,
        a_claim_exceeds_the_epoch_of_the_lease_and_its_floor,
        a_claim_loses_against_a_renewal_since,
        a_claim_loses_against_another_claim_since,
        a_claim_loses_against_a_release_since,
        a_claim_loses_against_the_re_sent_same_claim,
        a_renewal_raises_only_seq,
        a_late_renewal_loses,
        a_renewal_for_another_timeline_writes_nothing,
        a_superseded_token_renews_and_releases_nothing,
        a_forged_token_renews_and_releases_nothing,
        a_release_opens_the_lease_once,
        a_late_release_loses,
        a_released_lease_cannot_become_valid_again,
        a_step_down_is_read_by_the_holder_and_removed_by_the_next_claim,
        a_step_down_needs_the_holders_token,
        a_step_down_keeps_256_characters,
        a_handover_names_its_successor_until_the_next_claim,
        a_later_request_replaces_the_successor,
    )
}

fn renewed_quietly(answer: &Renewal, token: &Token) -> bool {
    *answer == Renewal::Renewed { timeline: token.timeline, resign: None, forgotten: false }
}

async fn a_claim_takes_the_lease_with_the_next_epoch(scene: Scene) {
    let mut opening = crate::Opening::new(scene.group(), "b");
    opening.ttl = Duration::from_millis(12_345);
    let (a, b) = (scene.process("a").await, scene.start(opening).await);
    let first = a.lead().await;
    assert_eq!(first.epoch, Epoch(1));
    let seen = b.read_lease().await;
    let request = b.request(&seen);
    let token = Token { timeline: seen.version.current, epoch: Epoch(2), claim: request.claim };
    assert_eq!(b.state.claim(&request).await, Ok(Claim::Granted(token)));

    let lease = a.read_lease().await;
    assert_eq!(lease.version, Version { current: seen.version.current, token, seq: Seq(0) });
    assert!(!lease.released);
    assert_eq!((lease.ttl, lease.holder, lease.resign), (b.opening.ttl, Some(b.opening.id.clone()), None));
}

async fn of_16_concurrent_claims_one_is_granted(scene: Scene) {
    let mut processes = Vec::new();
    for n in 0..8 {
        processes.push(scene.process(&format!("p{n}")).await);
    }
    let seen = processes[0].read_lease().await;
    let mut claims = JoinSet::new();
    for process in processes.iter().chain(&processes) {
        let (state, request) = (process.state.clone(), process.request(&seen));
        claims.spawn(async move { (request.claim, state.claim(&request).await) });
    }
    let answers = claims.join_all().await;
    let granted: Vec<_> = answers
        .iter()
        .filter_map(|(claim, answer)| matches!(answer, Ok(Claim::Granted(_))).then_some(*claim))
        .collect();
    let lost = answers.iter().filter(|(_, answer)| *answer == Ok(Claim::Lost)).count();
    assert_eq!((granted.len(), lost), (1, 15), "{answers:?}");
    let lease = processes[0].read_lease().await;
    assert_eq!((lease.version.token.claim, lease.version.token.epoch), (granted[0], Epoch(1)));
}

async fn a_claim_from_any_other_version_loses(scene: Scene) {
    let process = scene.process("a").await;
    process.lead().await;
    let seen = process.read_lease().await;
    let right = seen.version;
    let wrong = [
        Version { current: Timeline(right.current.0 + 1), ..right },
        Version { seq: right.seq.next(), ..right },
        Version { token: Token { timeline: Timeline(right.token.timeline.0 + 1), ..right.token }, ..right },
        Version { token: Token { epoch: Epoch(right.token.epoch.0 - 1), ..right.token }, ..right },
        Version { token: Token { epoch: right.token.epoch.next(), ..right.token }, ..right },
        Version { token: Token { claim: process.fresh_claim(), ..right.token }, ..right },
    ];
    for observed in wrong {
        let request = ClaimRequest { observed, ..process.request(&seen) };
        assert_eq!(process.state.claim(&request).await, Ok(Claim::Lost), "{observed:?}");
        assert_eq!(process.read_lease().await, seen, "a lost claim writes nothing");
    }
    assert!(matches!(process.state.claim(&process.request(&seen)).await, Ok(Claim::Granted(_))));
}

async fn a_claim_exceeds_the_epoch_of_the_lease_and_its_floor(scene: Scene) {
    let process = scene.process("a").await;
    for (floor, granted) in [(0, 1), (7, 8), (8, 9), (3, 10)] {
        let request = ClaimRequest { floor: Epoch(floor), ..process.request(&process.read_lease().await) };
        let Ok(Claim::Granted(token)) = process.state.claim(&request).await else {
            panic!("the lease is unchanged")
        };
        assert_eq!((token.epoch, request.epoch()), (Epoch(granted), Epoch(granted)), "floor {floor}");
        assert_eq!(process.read_lease().await.version.token, token);
        assert_eq!(process.state.history(1).await.expect("history")[0].epoch, token.epoch);
    }
}

async fn a_claim_loses_against_a_renewal_since(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    let token = a.lead().await;
    let stale = b.request(&b.read_lease().await);
    a.state.renew(&token, Seq(1), token.timeline).await.expect("renewal");
    assert_eq!(b.state.claim(&stale).await, Ok(Claim::Lost), "seq is compared, not the epoch alone");
    assert_eq!(b.read_lease().await.version.token, token);
}

async fn a_claim_loses_against_another_claim_since(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    let stale = b.request(&b.read_lease().await);
    let token = a.lead().await;
    assert_eq!(b.state.claim(&stale).await, Ok(Claim::Lost));
    assert_eq!(b.read_lease().await.version.token, token);
}

async fn a_claim_loses_against_a_release_since(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    let token = a.lead().await;
    let stale = b.request(&b.read_lease().await);
    assert_eq!(a.state.release(&token, Seq(1), "test").await, Ok(Release::Released));
    assert_eq!(b.state.claim(&stale).await, Ok(Claim::Lost));
    assert!(b.read_lease().await.released);
}

async fn a_claim_loses_against_the_re_sent_same_claim(scene: Scene) {
    let process = scene.process("a").await;
    let request = process.request(&process.read_lease().await);
    assert!(matches!(process.state.claim(&request).await, Ok(Claim::Granted(_))));
    let lease = process.read_lease().await;
    assert_eq!(process.state.claim(&request).await, Ok(Claim::Lost), "its own grant changed the version");
    assert_eq!(
        process.read_lease().await,
        lease,
        "the holder finds its claim in the lease and knows that it was granted"
    );
}

async fn a_renewal_raises_only_seq(scene: Scene) {
    let process = scene.process("a").await;
    let token = process.lead().await;
    let before = process.read_lease().await;
    for seq in [Seq(1), Seq(2), Seq(7)] {
        let answer = process.state.renew(&token, seq, token.timeline).await.expect("renewal");
        assert!(renewed_quietly(&answer, &token), "{answer:?}");
        let mut expected = before.clone();
        expected.version.seq = seq;
        assert_eq!(process.read_lease().await, expected);
    }
}

async fn a_late_renewal_loses(scene: Scene) {
    let process = scene.process("a").await;
    let token = process.lead().await;
    process.state.renew(&token, Seq(5), token.timeline).await.expect("renewal");
    for late in [Seq(0), Seq(4), Seq(5)] {
        assert_eq!(
            process.state.renew(&token, late, token.timeline).await,
            Ok(Renewal::Superseded),
            "{late:?}"
        );
        assert_eq!(process.read_lease().await.version.seq, Seq(5));
    }
}

/// M20: a renewal that is sent before a promotion and carried out after it.
async fn a_renewal_for_another_timeline_writes_nothing(scene: Scene) {
    let process = scene.process("a").await;
    let token = process.lead().await;
    let before = process.read_lease().await;
    let current = before.version.current;
    for other in [Timeline(current.0 - 1), Timeline(current.0 + 1)] {
        let answer = process.state.renew(&token, Seq(1), other).await;
        assert_eq!(answer, Ok(Renewal::OtherTimeline(current)), "{other:?}");
    }
    assert_eq!(process.read_lease().await, before);
    let answer = process.state.renew(&token, Seq(1), current).await.expect("renewal");
    assert!(renewed_quietly(&answer, &token), "they changed nothing: {answer:?}");
}

async fn a_superseded_token_renews_and_releases_nothing(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    let old = a.lead().await;
    b.lead().await;
    assert_powerless(&a, &old, "another instance claimed the lease").await;
}

async fn a_forged_token_renews_and_releases_nothing(scene: Scene) {
    let process = scene.process("a").await;
    let token = process.lead().await;
    let forged = [
        Token { timeline: Timeline(token.timeline.0 + 1), ..token },
        Token { epoch: token.epoch.next(), ..token },
        Token { epoch: Epoch(token.epoch.0 - 1), ..token },
        Token { claim: process.fresh_claim(), ..token },
    ];
    for token in forged {
        assert_powerless(&process, &token, "one part of the token differs").await;
    }
}

async fn assert_powerless(process: &Process, token: &Token, why: &str) {
    let before = process.read_lease().await;
    let seq = Seq(1_000);
    let current = before.version.current;
    assert_eq!(process.state.renew(token, seq, current).await, Ok(Renewal::Superseded), "{why}: {token}");
    assert_eq!(process.state.release(token, seq, "late").await, Ok(Release::Superseded), "{why}: {token}");
    assert_eq!(
        process.state.request_step_down(token, "late").await,
        Ok(StepDown::Superseded),
        "{why}: {token}"
    );
    assert_eq!(process.read_lease().await, before, "{why}: nothing was written");
}

async fn a_release_opens_the_lease_once(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    let token = a.lead().await;
    assert_eq!(a.state.release(&token, Seq(1), "planned").await, Ok(Release::Released));
    let lease = b.read_lease().await;
    assert!(lease.released);
    assert_eq!((lease.version.token, lease.version.seq, lease.ttl), (token, Seq(1), TTL));
    assert_eq!(a.state.release(&token, Seq(2), "again").await, Ok(Release::Superseded));
    assert_eq!(b.read_lease().await, lease, "the second release writes nothing");
    assert_eq!(b.lead().await.epoch, token.epoch.next());
}

async fn a_late_release_loses(scene: Scene) {
    let process = scene.process("a").await;
    let token = process.lead().await;
    process.state.renew(&token, Seq(3), token.timeline).await.expect("renewal");
    assert_eq!(process.state.release(&token, Seq(3), "late").await, Ok(Release::Superseded));
    assert!(!process.read_lease().await.released);
    assert_eq!(process.state.release(&token, Seq(4), "in time").await, Ok(Release::Released));
}

async fn a_released_lease_cannot_become_valid_again(scene: Scene) {
    let process = scene.process("a").await;
    let token = process.lead().await;
    assert_eq!(process.state.release(&token, Seq(2), "planned").await, Ok(Release::Released));
    for seq in [Seq(1), Seq(2), Seq(3)] {
        assert_eq!(
            process.state.renew(&token, seq, token.timeline).await,
            Ok(Renewal::Superseded),
            "{seq:?}"
        );
    }
    assert!(process.read_lease().await.released);
}

async fn a_step_down_is_read_by_the_holder_and_removed_by_the_next_claim(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    let token = a.lead().await;
    let seq = a.read_lease().await.version.seq;
    let reason = "rolling update; it's time — ₹".to_owned();
    assert_eq!(b.state.request_step_down(&token, &reason).await, Ok(StepDown::Requested));
    let lease = a.read_lease().await;
    assert_eq!(
        (lease.resign, lease.version.seq),
        (Some(reason.clone()), seq),
        "reported without a change of seq"
    );
    let answer = a.state.renew(&token, Seq(1), token.timeline).await;
    assert_eq!(
        answer,
        Ok(Renewal::Renewed { timeline: token.timeline, resign: Some(reason), forgotten: false })
    );
    b.lead().await;
    assert_eq!(b.read_lease().await.resign, None, "it was for the former holder");
}

async fn a_step_down_needs_the_holders_token(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    let old = a.lead().await;
    let token = b.lead().await;
    assert_eq!(a.state.request_step_down(&old, "too late").await, Ok(StepDown::Superseded));
    assert_eq!(a.read_lease().await.resign, None);
    assert_eq!(b.state.release(&token, Seq(1), "planned").await, Ok(Release::Released));
    assert_eq!(
        a.state.request_step_down(&token, "gone").await,
        Ok(StepDown::Superseded),
        "no instance holds it"
    );
    assert_eq!(a.read_lease().await.resign, None);
}

async fn a_step_down_keeps_256_characters(scene: Scene) {
    let process = scene.process("a").await;
    let token = process.lead().await;
    let long = "ü".repeat(300);
    assert_eq!(process.state.request_step_down(&token, &long).await, Ok(StepDown::Requested));
    assert_eq!(process.read_lease().await.resign, Some("ü".repeat(256)));
}

/// The instances that find the lease released leave it to the successor.
async fn a_handover_names_its_successor_until_the_next_claim(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    let token = a.lead().await;
    assert_eq!(b.read_lease().await.successor, None);
    let successor = InstanceId::parse("desk-2.lan").expect("an id");
    let version = b.read_lease().await.version;
    let requested = b.state.request_handover(&token, Some(&successor), "planned").await;
    assert_eq!(requested, Ok(StepDown::Requested));
    let lease = b.read_lease().await;
    assert_eq!(
        (lease.successor.as_ref(), lease.resign.as_deref(), lease.version),
        (Some(&successor), Some("planned"), version),
        "it is not the holder's write"
    );
    a.state.renew(&token, Seq(1), token.timeline).await.expect("a renewal");
    assert_eq!(b.read_lease().await.successor.as_ref(), Some(&successor));
    assert_eq!(a.state.release(&token, Seq(2), "planned").await, Ok(Release::Released));
    let lease = b.read_lease().await;
    assert_eq!((lease.released, lease.successor.as_ref()), (true, Some(&successor)));
    let late = b.state.request_handover(&token, None, "late").await;
    assert_eq!(late, Ok(StepDown::Superseded), "the lease is released");
    assert_eq!(b.read_lease().await.successor.as_ref(), Some(&successor));
    b.lead().await;
    assert_eq!(a.read_lease().await.successor, None, "it was for the former term");
}

async fn a_later_request_replaces_the_successor(scene: Scene) {
    let process = scene.process("a").await;
    let token = process.lead().await;
    for name in [Some("b"), Some("c"), None] {
        let successor = name.map(|name| InstanceId::parse(name).expect("an id"));
        let requested = process.state.request_handover(&token, successor.as_ref(), "planned").await;
        assert_eq!(requested, Ok(StepDown::Requested));
        assert_eq!(process.read_lease().await.successor, successor);
    }
}
