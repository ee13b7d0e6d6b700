//! Tests of the simulation itself: equal plans give equal runs, and a mistake is found, shrunk and replayed.
//!
//! `RUSTFLAGS="--cfg simulated --cfg tokio_unstable" CARGO_TARGET_DIR=target/sim cargo test --release -p sim`
#![cfg(simulated)]

use contract::Opening;
use contract::fake::FakeDatabase;
use contract::signal_ledger::{client, signal};
use domain::id::GroupId;
use domain::ledger::{Limits, Outcome};
use domain::ports::{
    Claim, ClaimRequest, InFlight, LeaseStore, Migrate, Recorded, Report, Resolution, SignalClaim,
    SignalLedger, StateStore,
};
use sim::fault::Kind;
use sim::judge::Recording;
use sim::plan::{Caution, Plan, Receiver, Submission, Wishes};
use sim::shrink::shrink;
use sim::world::play;
use std::time::Duration;

/// Short runs, because a debug build executes them.
const FAULTS: usize = 40;
/// Ten times the number that finds the rarest mistake.
const MISTAKE_SEEDS: u64 = 2_000;

fn wishes(caution: Caution) -> Wishes {
    Wishes { faults: FAULTS, instances: None, caution }
}

#[test]
fn the_same_seed_gives_the_same_run_on_any_thread_and_another_seed_another() {
    let careful = wishes(Caution::Careful);
    let first = play(&Plan::draw(7, &careful), Recording::Nothing);
    let again = std::thread::spawn(move || play(&Plan::draw(7, &careful), Recording::Nothing));
    assert_eq!(first, again.join().expect("a run does not panic"));
    assert_ne!(first.trace, play(&Plan::draw(8, &careful), Recording::Nothing).trace);
}

#[test]
fn keeping_the_events_does_not_change_the_run() {
    let plan = Plan::draw(3, &wishes(Caution::Careful));
    let (kept, silent) = (play(&plan, Recording::Everything), play(&plan, Recording::Nothing));
    assert_eq!(kept.trace, silent.trace);
    assert!(!kept.events.is_empty());
}

#[test]
fn careful_work_passes_and_faults_take_effect() {
    for seed in 0..10 {
        let outcome = play(&Plan::draw(seed, &wishes(Caution::Careful)), Recording::Nothing);
        assert_eq!(outcome.violations, [], "seed {seed}");
        assert!(
            outcome.faults.values().sum::<u64>() > FAULTS as u64 / 2,
            "seed {seed}: {:?}",
            outcome.faults
        );
        assert!(outcome.signals > 0 && outcome.elections > 0);
    }
}

/// The judge finds every mistake of a handler or an operator, and the shrunk schedule is small.
fn is_found_shrunk_and_replayed(mistake: Caution) {
    let twice = |plan: &Plan| play(plan, Recording::Nothing).duplicates > 0;
    let wishes = wishes(mistake);
    let mut plans = (0..MISTAKE_SEEDS).map(|seed| Plan::draw(seed, &wishes));
    let plan = plans.find(twice).expect("one of these seeds reveals it");

    let small = shrink(&plan);
    assert!(small.faults.len() < plan.faults.len() / 3, "{small}");
    let replayed: Plan = small.to_string().parse().expect("a written plan can be parsed");
    assert_eq!(replayed, small);
    let outcome = play(&replayed, Recording::Nothing);
    assert_eq!(outcome.violations, play(&small, Recording::Nothing).violations);
    assert!(outcome.duplicates > 0, "{:?}", outcome.violations);

    let careful = Plan { caution: Caution::Careful, ..small };
    assert_eq!(play(&careful, Recording::Nothing).violations, [], "the schedule alone breaks nothing");
}

#[test]
fn a_lookup_that_reports_not_yet_as_no_is_found() {
    is_found_shrunk_and_replayed(Caution::Blind);
}

#[test]
fn a_handler_that_treats_no_answer_as_no_is_found() {
    is_found_shrunk_and_replayed(Caution::SilenceIsNo);
}

#[test]
fn an_operator_who_does_not_wait_for_orders_in_flight_is_found() {
    is_found_shrunk_and_replayed(Caution::Hasty);
}

/// The judge of restores must be able to fail: without data directories, the next leader cannot notice a restore.
#[test]
fn a_restored_backup_that_no_leader_notices_is_found() {
    let noticed = "a restored backup is noticed at the next write of the lease";
    let overlooked = |plan: &Plan| {
        play(plan, Recording::Nothing).violations.iter().any(|broken| broken.invariant == noticed)
    };
    let mut plans = (0..MISTAKE_SEEDS).map(|seed| Plan::draw(seed, &wishes(Caution::NoMemory)));
    let plan = plans.find(overlooked).expect("one of these seeds reveals it");
    assert!(plan.faults.iter().any(|fault| fault.kind == Kind::DbRestoreStopped), "{plan}");
    let with_memory = Plan { caution: Caution::Careful, ..plan };
    assert_eq!(play(&with_memory, Recording::Nothing).violations, []);
}

#[test]
fn a_plan_that_breaks_nothing_is_not_shrunk() {
    let plan = Plan::draw(1, &Wishes { faults: 3, instances: Some(2), caution: Caution::Careful });
    assert_eq!(shrink(&plan), plan);
}

/// The judge of valid leases must be able to fail: the clocks of this run exceed the bound of the election.
#[test]
fn clocks_beyond_the_margin_are_found() {
    let two_believe = |seed| {
        let plan = Plan { clock_ppm: 300_000, ..Plan::draw(seed, &wishes(Caution::Careful)) };
        play(&plan, Recording::Nothing)
            .violations
            .iter()
            .any(|broken| broken.invariant == "at most one valid lease")
    };
    assert!((0..50).any(two_believe));
}

/// A late report or decision is about an attempt that is over: it must not affect a later attempt.
#[tokio::test]
async fn a_late_report_or_decision_does_not_affect_a_later_attempt() {
    let database = FakeDatabase::new();
    let group = GroupId::parse("g").expect("an id");
    let opening = Opening { ttl: Duration::from_secs(1), ..Opening::new(&group, "a") };
    let leader = database.process(&opening);
    leader.migrate(Migrate::Apply).await.expect("a schema");
    let observed = leader.observe().await.expect("the lease").version;
    let (holder, claim) = (opening.id.clone(), opening.nonce.claim(1));
    let request = ClaimRequest {
        observed,
        claim,
        holder,
        ttl: opening.ttl,
        floor: domain::lease::Epoch(0),
        forgotten: false,
        former: domain::ports::FormerTerm::Expired,
    };
    let Ok(Claim::Granted(token)) = leader.claim(&request).await else { panic!("the lease is open") };
    let actor = client();
    let new = signal("s");
    let id = new.id();
    leader.submit_one(&new, &actor).await.expect("it is accepted");
    let claims = async || match leader.claim_signals(&token, Limits::NONE, 1).await {
        Ok(SignalClaim::Claimed(signals)) => signals[0].attempt,
        other => panic!("{other:?}"),
    };
    let outcome = Outcome::Received;
    let report = Report { id: id.clone(), attempt: 1, outcome, note: None };
    let decision =
        Resolution { id, attempt: 1, outcome, actor: actor.clone(), reason: "never sent".to_owned() };

    assert_eq!(claims().await, 1, "claimed, and never sent");
    leader.take_over(&token, InFlight::Only(&[])).await.expect("in doubt");
    // Both are in flight more than once; the first copy is carried out.
    assert_eq!(leader.resolve(&decision).await, Ok(Recorded::Recorded));
    assert_eq!(claims().await, 2, "claimed and sent; the broker's answer is lost");
    assert_eq!(leader.resolve(&decision).await, Ok(Recorded::Refused), "it is being sent");
    leader.take_over(&token, InFlight::Only(&[])).await.expect("in doubt again");
    assert_eq!(leader.resolve(&decision).await, Ok(Recorded::Refused), "another attempt is in doubt");
    let reported = leader.record(&token, std::slice::from_ref(&report)).await;
    assert_eq!(reported, Ok(Some(vec![Recorded::Refused])), "another attempt is in doubt");
}

#[test]
fn a_plan_without_instruments_is_parsed() {
    let old = "seed 1\ninstances 2\nttl-ms 1000\nflight-ms 100\ncaution blind\nsignal 3000\nat 1 kill 0 for 1 draw 0";
    let plan: Plan = old.parse().expect("a plan");
    assert_eq!(
        (plan.receiver, plan.signals),
        (Receiver::Plain, vec![Submission { at_ms: 3_000, instrument: 0 }])
    );
}

#[test]
fn an_invalid_plan_is_refused_with_its_line() {
    for (text, kept) in [
        ("seed 1", "names its seed"),
        ("seed 1\ninstances 2\nttl-ms 1000\nat 1 meteor all for 1 draw 0", "meteor"),
        ("seed x", "not a number"),
        ("signal 1 of x", "not a number"),
        ("colour red", "colour"),
    ] {
        let error = text.parse::<Plan>().expect_err(text);
        assert!(error.contains(kept), "{error}");
    }
}
