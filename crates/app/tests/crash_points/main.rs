//! Tests that cut every wait of the leader's work in every way, with real processes on real stores: nothing
//! is sent twice, nothing is lost, and a cut leaves behind what [`table`] states. The table is generated into
//! docs/signals.md.
//!
//! - [`stage`], [`process`], [`request`]: helpers of the tests.
//! - [`cancellation`]: the same at every suspension inside of the adapters.
//!
//! Needs the binary that can be cut: `cargo test -p app --features crash-points --test crash_points`.

mod cancellation;
// It contains items that only other tests use.
#[allow(dead_code)]
#[path = "../e2e/database.rs"]
mod database;
mod process;
mod quick;
mod request;
mod stage;
// The document uses the rest.
#[allow(dead_code)]
mod table;
// It contains items that only other tests use.
#[allow(dead_code)]
#[path = "../e2e/wait.rs"]
mod wait;

use coordinator::crash_point::{CrashPoint, Cut};
use domain::ledger::Limits;
use domain::ports::SignalClaim;
use stage::{Instance, Servers, Stage};
use std::os::unix::process::ExitStatusExt;
use table::{Provoked, expectation, provoked};
use testkit::process::Signal;
use wait::{PATIENCE, block_on, until};

/// Signals that wait while requests are dropped. A dropped record uses one up.
const WAITING: usize = 12;

#[test]
fn killed_before_on_the_embedded_store() {
    at_every_point(|_| Stage::embedded(), |stage, point| killed(stage, point, Cut::KilledBefore));
}

#[test]
fn killed_after_on_the_embedded_store() {
    at_every_point(|_| Stage::embedded(), |stage, point| killed(stage, point, Cut::KilledAfter));
}

#[test]
fn dropped_on_the_embedded_store() {
    at_every_point(|_| Stage::embedded(), dropped);
}

#[test]
fn killed_before_on_redis_and_postgresql() {
    let servers = Servers::start();
    at_every_point(|name| servers.stage(name), |stage, point| killed(stage, point, Cut::KilledBefore));
}

#[test]
fn killed_after_on_redis_and_postgresql() {
    let servers = Servers::start();
    at_every_point(|name| servers.stage(name), |stage, point| killed(stage, point, Cut::KilledAfter));
}

#[test]
fn dropped_on_redis_and_postgresql() {
    let servers = Servers::start();
    at_every_point(|name| servers.stage(name), dropped);
}

#[test]
fn a_late_claim_is_found_on_the_embedded_store() {
    late_claim(&Stage::embedded());
}

#[test]
fn a_late_claim_is_found_on_redis_and_postgresql() {
    let servers = Servers::start();
    late_claim(&servers.stage("late"));
}

/// Points that are tested in parallel. Most of the time a run waits for a killed leader's lease to end; more
/// points would take the processor from a healthy leader on two cores.
const POINTS_AT_ONCE: usize = 5;

fn at_every_point(stage: impl Fn(&str) -> Stage + Sync, cut: impl Fn(&Stage, CrashPoint) + Sync) {
    for points in CrashPoint::ALL.chunks(POINTS_AT_ONCE) {
        std::thread::scope(|scope| {
            for &point in points {
                let (stage, cut) = (&stage, &cut);
                scope.spawn(move || cut(&stage(point.name()), point));
            }
        });
    }
}

/// The plan in the form of the variable.
fn plan(point: CrashPoint, cut: Cut) -> String {
    format!("{}:{}", point.name(), cut.name())
}

/// The signal that a client submits to an instance that is cut.
const POSTED: &str = "posted";

fn killed(stage: &Stage, point: CrashPoint, cut: Cut) {
    let former = stage.leave_behind();
    let mut doomed = Instance::start(&stage.cut_worker("doomed", &plan(point, cut)));
    let provoked = provoked(point, cut == Cut::KilledBefore);
    match provoked {
        Provoked::Leading => {}
        Provoked::Submission => {
            stage.wait_done(table::SIGNALS.len());
            assert_eq!(stage.post(&doomed, POSTED), None, "it dies before it answers");
        }
        Provoked::Stop => {
            stage.wait_done(table::SIGNALS.len());
            doomed.0.signal(Signal::TERM);
        }
    }
    let status = doomed.0.wait_exit(PATIENCE);
    let line = format!("crash point {}: {}\n", point.name(), cut.name());
    assert!(doomed.0.log().contains(&line), "ended with {status} elsewhere than at {line}");
    assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "{status}");
    let expected = expectation(point);
    stage.assert_stands(match cut {
        Cut::KilledBefore => &expected.before,
        Cut::KilledAfter => &expected.after,
        Cut::Dropped => panic!("a dropped request kills no process"),
    });
    let written = stage.states().contains_key(POSTED);

    let next = Instance::start(&stage.worker("next"));
    let mut signals = table::SIGNALS.len();
    if provoked == Provoked::Submission {
        assert_eq!(written, cut == Cut::KilledAfter, "{:?}", stage.states());
        next.wait_page();
        let expected = if written { 200 } else { 201 };
        assert_eq!(stage.post(&next, POSTED), Some(expected), "the client submits it again");
        signals += 1;
    }
    stage.wait_done(signals);
    stage.submit("later");
    stage.wait_done(signals + 1);
    stage.judge(&[former, doomed.0.record(), next.stop()]);
}

fn dropped(stage: &Stage, point: CrashPoint) {
    let former = stage.leave_behind();
    for n in 0..WAITING {
        stage.submit(&format!("waiting-{n}"));
    }
    let leader = Instance::start(&stage.cut_worker("leader", &plan(point, Cut::Dropped)));
    let mut signals = table::SIGNALS.len() + WAITING;
    if provoked(point, true) == Provoked::Submission {
        leader.wait_page();
        let mut answers = Vec::new();
        until("it is accepted", || {
            answers.extend(stage.post(&leader, POSTED));
            matches!(answers.last(), Some(200 | 201)).then_some(())
        });
        let (accepted, before) = answers.split_last().expect("it was accepted");
        assert!(!before.is_empty() && before.iter().all(|status| *status == 503), "{answers:?}");
        assert!([200, 201].contains(accepted));
        signals += 1;
    }
    let line = format!("crash point {}: dropped", point.name());
    until(&format!("{point:?} is dropped"), || leader.0.log().contains(&line).then_some(()));
    stage.wait_done(signals);
    stage.judge(&[former, leader.stop()]);
}

/// A claim that reaches the ledger after the take-over that followed its loss: it is claimed under the token
/// of the running leader, which did not receive the answer. The signal was never sent, so it is sent now.
fn late_claim(stage: &Stage) {
    let former = stage.leave_behind();
    let leader = Instance::start(&stage.worker("leader"));
    stage.wait_done(table::SIGNALS.len());
    let (ledger, token) = (stage.database.ledger(), stage.database.token());
    // The leader claims the same signals, so the test repeats until it has one of them.
    let mut submitted = 0;
    let late = until("a claim in the leader's name", || {
        submitted += 1;
        stage.submit(&format!("late-{submitted}"));
        match block_on(ledger.claim_signals(&token, Limits::NONE, 1)) {
            Ok(SignalClaim::Claimed(mut signals)) => signals.pop(),
            Ok(SignalClaim::Empty) => None,
            other => panic!("the token is the row's: {other:?}"),
        }
    });
    stage.wait_done(table::SIGNALS.len() + submitted);
    let found = block_on(ledger.find(&late.id)).expect("the database answers").expect("it is there");
    assert_eq!(
        found.attempt,
        late.attempt + 1,
        "the late claim was released, and the signal was claimed again"
    );
    stage.judge(&[former, leader.stop()]);
}
