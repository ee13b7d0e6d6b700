//! The moment at which the store was found to have forgotten, as operators read it.

use super::members::{beat, line};
use crate::{Case, Process, Scene, StateStores, cases};
use domain::lease::Seq;
use domain::ports::{Claim, ClaimRequest};

pub(super) fn cases<A: StateStores>() -> Vec<Case<A>> {
    cases!("state_store", Scene:
        a_store_that_never_forgot_has_no_moment,
        a_claim_that_finds_it_notes_the_moment_for_every_process,
    )
}

/// By both ways, which agree.
async fn moment(process: &Process) -> Option<i64> {
    let read = process.state.forgot_ms().await.expect("the moment");
    assert_eq!(
        beat(process, &line(process)).await.forgot_ms,
        read,
        "with the heartbeat of {}",
        process.opening.id
    );
    read
}

async fn a_store_that_never_forgot_has_no_moment(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    assert_eq!(moment(&a).await, None);
    let token = a.lead().await;
    a.state.renew(&token, Seq(1), token.timeline).await.expect("a renewal");
    b.lead().await;
    assert_eq!((moment(&a).await, moment(&b).await), (None, None), "handovers forget nothing");
}

async fn a_claim_that_finds_it_notes_the_moment_for_every_process(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    let find = async |process: &Process| {
        let request = ClaimRequest { forgotten: true, ..process.request(&process.look().await) };
        assert!(matches!(process.state.claim(&request).await, Ok(Claim::Granted(_))));
    };
    find(&a).await;
    let first = moment(&b).await.expect("it is noted");
    let began = a.state.history(1).await.expect("history")[0].from_ms;
    assert!(first - began < 60_000 && began - first < 60_000, "{first} is the time of the claim, {began}");
    assert_eq!(moment(&a).await, Some(first));
    b.lead().await;
    assert_eq!(moment(&a).await, Some(first), "a claim that finds nothing leaves it");
    find(&b).await;
    assert!(moment(&a).await.is_some_and(|again| again > first), "the latest counts");
    assert_eq!(moment(&scene.neighbour().process("a").await).await, None, "of this group");
}
