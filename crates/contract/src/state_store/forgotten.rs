//! The time at which the store was found to have forgotten, as operators read it.

use super::members::{heartbeat, line};
use crate::signal_ledger::{claim_one, submit};
use crate::{Case, Process, Scene, StateStores, cases};
use domain::lease::{Epoch, Seq};
use domain::ports::{Claim, ClaimRequest, Noted, Release, Renewal, SignalClaim};

pub(super) fn cases<A: StateStores>() -> Vec<Case<A>> {
    cases!("state_store", Scene:
        a_store_that_never_forgot_has_no_moment,
        a_claim_that_finds_it_notes_the_moment_for_every_process,
        a_follower_that_knows_a_later_lease_reports_it_and_the_leader_finds_it,
        a_note_that_comes_before_the_first_renewal_is_found_by_it,
        a_report_about_a_lease_that_has_changed_writes_nothing,
    )
}

/// The time from both methods, which must agree.
async fn moment(process: &Process) -> Option<i64> {
    let read = process.state.lease().await.expect("the lease").forgot_ms;
    assert_eq!(
        heartbeat(process, &line(process)).await.forgot_ms,
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
        let request = ClaimRequest { forgotten: true, ..process.request(&process.read_lease().await) };
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

/// Rules M22 and M23. A backup was restored, and the first leader after it did not run when the backup was made.
async fn a_follower_that_knows_a_later_lease_reports_it_and_the_leader_finds_it(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    submit(&*a.ledger, "waiting").await;
    let token = b.lead().await;
    assert_eq!(a.read_lease().await.floor, Epoch(0));
    let (before, known) = (a.read_lease().await, Epoch(token.epoch.0 + 7));
    let note = async |known| a.state.note_forgotten(&token, known).await;
    assert_eq!(note(known).await, Ok(Noted::Noted));
    let after = a.read_lease().await;
    assert_eq!((after.version, after.released, after.floor), (before.version, false, known));
    let first = moment(&b).await.expect("it is noted");
    assert_eq!(
        claim_one(&*b.ledger, &token).await,
        SignalClaim::Empty,
        "no signal is sent without a lookup from now on"
    );
    assert_eq!(note(Epoch(known.0 - 1)).await, Ok(Noted::Noted));
    assert_eq!(a.read_lease().await.floor, known, "the known epoch never shrinks");
    assert!(moment(&a).await.is_some_and(|again| again > first), "the latest counts");
    for seq in [1, 2] {
        assert_eq!(
            b.state.renew(&token, Seq(seq), token.timeline).await,
            Ok(Renewal::Renewed { timeline: token.timeline, resign: None, forgotten: true })
        );
    }
    assert_eq!(b.state.release(&token, Seq(3), "the store has forgotten").await, Ok(Release::Released));
    let seen = b.read_lease().await;
    let request = ClaimRequest { floor: seen.floor, ..b.request(&seen) };
    let Ok(Claim::Granted(next)) = b.state.claim(&request).await else { panic!("it is open") };
    assert_eq!(next.epoch, Epoch(known.0 + 1));
    let renewed = b.state.renew(&next, Seq(1), next.timeline).await;
    assert_eq!(
        renewed,
        Ok(Renewal::Renewed { timeline: next.timeline, resign: None, forgotten: false }),
        "the claim had read it"
    );
    assert_eq!(scene.neighbour().process("a").await.read_lease().await.floor, Epoch(0), "of this group");
}

/// The claim had no answer: its holder learns of it by a read, after the report, and has nothing to compare with.
async fn a_note_that_comes_before_the_first_renewal_is_found_by_it(scene: Scene) {
    let (a, b, c) = (scene.process("a").await, scene.process("b").await, scene.process("c").await);
    let token = b.lead().await;
    assert_eq!(a.state.note_forgotten(&token, token.epoch).await, Ok(Noted::Noted));
    for seq in [1, 2] {
        assert_eq!(
            c.state.renew(&token, Seq(seq), token.timeline).await,
            Ok(Renewal::Renewed { timeline: token.timeline, resign: None, forgotten: true }),
            "a store object that knows nothing of the claim"
        );
    }
}

async fn a_report_about_a_lease_that_has_changed_writes_nothing(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    let old = b.lead().await;
    let new = b.lead().await;
    assert_eq!(a.state.note_forgotten(&old, Epoch(9)).await, Ok(Noted::Superseded));
    assert_eq!(b.state.release(&new, Seq(1), "the test").await, Ok(Release::Released));
    assert_eq!(a.state.note_forgotten(&new, Epoch(9)).await, Ok(Noted::Superseded));
    assert_eq!((a.read_lease().await.floor, moment(&a).await), (Epoch(0), None));
}
