//! Every wait of the leader's work is cut in every way, with real processes on real stores: nothing is sent twice,
//! nothing is lost, and what a cut leaves behind is what [`table`] says. The table is printed into
//! docs/crash-points.md.
//!
//! - [`stage`], [`process`], [`request`]: what the tests are written with.
//! - [`cancellation`]: the same question one level below, at every suspension inside of the adapters.
//!
//! Needs the binary that can be cut: `cargo test -p app --features crash-points --test crash_points`.

mod cancellation;
// The part that cuts is the binary's.
#[allow(dead_code, unused_imports)]
#[path = "../../src/crash_point.rs"]
mod crash_point;
// It has what other tests need.
#[allow(dead_code)]
#[path = "../e2e/database.rs"]
mod database;
mod process;
mod request;
mod stage;
// The document has the rest.
#[allow(dead_code)]
mod table;
// It has what other tests need.
#[allow(dead_code)]
#[path = "../e2e/wait.rs"]
mod wait;

use crash_point::{CrashPoint, Cut};
use stage::{Instance, Servers, Stage};
use std::os::unix::process::ExitStatusExt;
use table::{expectation, provoked_by};
use testkit::process::Signal;
use wait::{PATIENCE, until};

/// Signals that wait while requests are dropped: a dropped settlement uses one up.
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

/// All points beside each other: most of the time a run waits for a killed leader's lease to end.
fn at_every_point(stage: impl Fn(&str) -> Stage + Sync, cut: impl Fn(&Stage, CrashPoint) + Sync) {
    std::thread::scope(|scope| {
        for &point in CrashPoint::ALL {
            let (stage, cut) = (&stage, &cut);
            scope.spawn(move || cut(&stage(point.name()), point));
        }
    });
}

/// As the variable has it, with what makes the leader come by.
fn plan(point: CrashPoint, cut: Cut) -> String {
    let parts = provoked_by(point).into_iter().chain([(point, cut)]);
    parts.map(|(point, cut)| format!("{}:{}", point.name(), cut.name())).collect::<Vec<_>>().join(",")
}

fn killed(stage: &Stage, point: CrashPoint, cut: Cut) {
    let former = stage.leave_behind();
    let mut doomed = Instance::start(&stage.cut_worker("doomed", &plan(point, cut)));
    let status = doomed.0.wait_exit(PATIENCE);
    let told = format!("crash point {}: {}\n", point.name(), cut.name());
    assert!(doomed.0.log().contains(&told), "ended with {status} elsewhere than at {told}");
    assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "{status}");
    let expected = expectation(point);
    stage.assert_stands(match cut {
        Cut::KilledBefore => &expected.before,
        Cut::KilledAfter => &expected.after,
        Cut::Dropped => panic!("a dropped request kills nobody"),
    });

    let next = Instance::start(&stage.worker("next"));
    stage.wait_done(table::SIGNALS.len());
    stage.submit("later");
    stage.wait_done(table::SIGNALS.len() + 1);
    stage.judge(&[former, doomed.0.record(), next.stop()]);
}

fn dropped(stage: &Stage, point: CrashPoint) {
    let former = stage.leave_behind();
    for n in 0..WAITING {
        stage.submit(&format!("waiting-{n}"));
    }
    let leader = Instance::start(&stage.cut_worker("leader", &plan(point, Cut::Dropped)));
    let told = format!("crash point {}: dropped", point.name());
    until(&format!("{point:?} is dropped"), || leader.0.log().contains(&told).then_some(()));
    stage.wait_done(table::SIGNALS.len() + WAITING);
    stage.judge(&[former, leader.stop()]);
}

/// What a claim leaves that reaches the ledger after the take-over that followed its loss: claimed under the token of
/// the leader that runs, which was never told.
fn late_claim(stage: &Stage) {
    let former = stage.leave_behind();
    let leader = Instance::start(&stage.worker("leader"));
    stage.wait_done(table::SIGNALS.len());
    let token = stage.database.token();
    stage.database.execute(&format!(
        "INSERT INTO coordinator_signal (group_id, id, body, state, tl, epoch, claim, received_at)
         VALUES ('default', 'late', '{{}}', 'claimed', {}, {}, '{}', CURRENT_TIMESTAMP)",
        token.timeline.0, token.epoch, token.claim
    ));
    stage.wait_done(table::SIGNALS.len() + 1);
    stage.judge(&[former, leader.stop()]);
}
