//! What the simulation promises of itself: equal runs are equal, and a mistake is found, shrunk and replayed.
//!
//! `RUSTFLAGS="--cfg simulated --cfg tokio_unstable" CARGO_TARGET_DIR=target/sim cargo test --release -p sim`
#![cfg(simulated)]

use domain::id::{GroupId, InstanceId, Nonce};
use domain::ledger::{NewSignal, Settlement, SignalId};
use domain::ports::{Claim, ClaimRequest, Migrate, Recorded, SignalClaim, SignalLedger, StateStore};
use sim::judge::Telling;
use sim::plan::{Caution, Plan, Wishes};
use sim::shrink::shrink;
use sim::world::play;
use std::time::Duration;
use testkit::contract::Opening;
use testkit::fake::FakeDatabase;

/// Short runs: a debug build plays them.
const FAULTS: usize = 40;

fn wishes(caution: Caution) -> Wishes {
    Wishes { faults: FAULTS, instances: None, caution }
}

#[test]
fn the_same_seed_gives_the_same_run_on_any_thread_and_another_seed_another() {
    let careful = wishes(Caution::Careful);
    let first = play(&Plan::draw(7, &careful), Telling::Nothing);
    let again = std::thread::spawn(move || play(&Plan::draw(7, &careful), Telling::Nothing));
    assert_eq!(first, again.join().expect("a run does not panic"));
    assert_ne!(first.trace, play(&Plan::draw(8, &careful), Telling::Nothing).trace);
}

#[test]
fn telling_the_story_does_not_change_it() {
    let plan = Plan::draw(3, &wishes(Caution::Careful));
    let (told, silent) = (play(&plan, Telling::Everything), play(&plan, Telling::Nothing));
    assert_eq!(told.trace, silent.trace);
    assert!(!told.story.is_empty());
}

#[test]
fn careful_work_passes_and_faults_take_effect() {
    for seed in 0..10 {
        let outcome = play(&Plan::draw(seed, &wishes(Caution::Careful)), Telling::Nothing);
        assert_eq!(outcome.violations, [], "seed {seed}");
        assert!(
            outcome.faults.values().sum::<u64>() > FAULTS as u64 / 2,
            "seed {seed}: {:?}",
            outcome.faults
        );
        assert!(outcome.signals > 0 && outcome.elections > 0);
    }
}

#[test]
fn sending_again_what_is_in_doubt_is_found_shrunk_and_replayed() {
    let fails = |plan: &Plan| !play(plan, Telling::Nothing).violations.is_empty();
    let failing = (0..50).map(|seed| Plan::draw(seed, &wishes(Caution::Blind))).find(fails);
    let plan = failing.expect("one of fifty seeds has an order on its way when its sender dies");

    let small = shrink(&plan);
    assert!(small.faults.len() < plan.faults.len() / 4, "{small}");
    let replayed: Plan = small.to_string().parse().expect("what was written can be read");
    assert_eq!(replayed, small);
    let outcome = play(&replayed, Telling::Nothing);
    assert_eq!(outcome.violations, play(&small, Telling::Nothing).violations);
    assert!(outcome.duplicates > 0, "{:?}", outcome.violations);

    let careful = Plan { caution: Caution::Careful, ..small };
    assert_eq!(play(&careful, Telling::Nothing).violations, [], "the schedule alone breaks nothing");
}

#[test]
fn a_plan_that_breaks_nothing_is_not_shrunk() {
    let plan = Plan::draw(1, &Wishes { faults: 3, instances: Some(2), caution: Caution::Careful });
    assert_eq!(shrink(&plan), plan);
}

/// The judge of beliefs is no good if it never finds anything: take away what the election relies on.
#[test]
fn clocks_that_the_margin_does_not_cover_are_found() {
    let two_believe = |seed| {
        let plan = Plan { clock_ppm: 300_000, ..Plan::draw(seed, &wishes(Caution::Careful)) };
        play(&plan, Telling::Nothing)
            .violations
            .iter()
            .any(|broken| broken.invariant == "at most one believer")
    };
    assert!((0..50).any(two_believe));
}

/// Why the dispatcher gives up its token when a resolution has no answer: the ledger cannot tell the late
/// resolution of an earlier doubt from one of the present doubt, only the token can.
#[tokio::test]
async fn a_late_resolution_under_the_same_token_puts_back_what_was_sent() {
    let database = FakeDatabase::new();
    let leader = database.process(&Opening {
        group: GroupId::parse("g").expect("an id"),
        id: InstanceId::parse("a").expect("an id"),
        nonce: Nonce::new(1),
        host: String::new(),
        ttl: Duration::from_secs(1),
        positions: "portfolio_positions".to_owned(),
        portfolio: "portfolio_state".to_owned(),
    });
    leader.migrate(Migrate::Apply).await.expect("a schema");
    let observed = leader.observe().await.expect("the row").version;
    let holder = InstanceId::parse("a").expect("an id");
    let request =
        ClaimRequest { observed, claim: Nonce::new(1).claim(1), holder, ttl: Duration::from_secs(1) };
    let Ok(Claim::Granted(token)) = leader.claim(&request).await else { panic!("the row is open") };
    let id = SignalId::parse("s").expect("an id");
    leader.submit(&NewSignal { id: id.clone(), body: "{}".to_owned() }).await.expect("it is taken");
    let claims = async || matches!(leader.claim_next(&token).await, Ok(SignalClaim::Claimed(_)));

    assert!(claims().await, "claimed, and never sent");
    leader.take_over(&token).await.expect("in doubt");
    // The first resolution is on its way and its answer is not waited for; the second is carried out.
    let second = leader.resolve(&token, &id, Settlement::Received).await;
    assert_eq!(second, Ok(Recorded::Recorded));
    assert!(claims().await, "claimed and sent; the broker's answer is lost");
    leader.take_over(&token).await.expect("in doubt again");
    let first = leader.resolve(&token, &id, Settlement::Received).await;
    assert_eq!(first, Ok(Recorded::Recorded), "the first arrives, and is taken for an answer to this doubt");
    assert!(claims().await, "claimed once more: it would be sent a second time");
}

#[test]
fn what_is_not_a_plan_is_refused_with_the_line() {
    for (text, told) in [
        ("seed 1", "names its seed"),
        ("seed 1\ninstances 2\nttl-ms 1000\nat 1 meteor all for 1 draw 0", "meteor"),
        ("seed x", "not a number"),
        ("colour red", "colour"),
    ] {
        let error = text.parse::<Plan>().expect_err(text);
        assert!(error.contains(told), "{error}");
    }
}
