//! Tests of every change of the leader, on both kinds of state store.

use crate::TTL;
use crate::group::{Group, THREE};
use crate::servers::Servers;
use crate::wait::{PATIENCE, nanos, now, until};
use contract::event::EventKind;
use std::time::Duration;
use testkit::process::Signal;

/// A lease whose end no test waits for.
const LONG_TTL: Duration = Duration::from_mins(1);
/// Possible difference of two readings of a clock, one after the other, if the process is interrupted in
/// between. Events are converted from one clock to another in this way.
const CLOCK_READING: Duration = Duration::from_millis(5);

/// Runs every case on both kinds of state store.
macro_rules! on_both {
    ($($case:ident),* $(,)?) => {
        mod on_the_embedded_store {
            $(#[test] fn $case() { super::$case(super::Group::embedded); })*
        }
        mod on_redis_and_postgresql {
            $(#[test] fn $case() {
                let servers = super::Servers::start();
                super::$case(|ttl| servers.group(ttl));
            })*
        }
    };
}

on_both!(
    a_cold_start_elects_one_and_a_killed_leader_is_replaced,
    a_killed_leader_is_replaced_before_its_lease_ends,
    a_step_down_hands_over_to_another,
    a_terminated_leader_hands_over_and_ends_well,
    a_stopped_leader_has_lost_when_it_wakes,
    a_killed_leader_is_not_shown_as_active,
    a_handover_does_not_wait_for_the_lease_to_end,
);

fn a_cold_start_elects_one_and_a_killed_leader_is_replaced(group: impl FnOnce(Duration) -> Group) {
    let mut group = group(TTL);
    let first = group.start_three();
    group.assert_undisturbed(&first);
    group.expect_only_leader(&first);
    group.process(&first.name).kill();
    let lease_end = group.deadline(&first.name);
    let next = group.wait_lead(first.epoch);
    assert_ne!(next.name, first.name);
    assert!(next.t >= lease_end, "{next:?} led before the lease of {first:?} ended at {lease_end}");
    group.expect_only_leader(&next);
    group.finish();
}

/// The kernel of the host reports the end of the process, and the lease is open at once.
fn a_killed_leader_is_replaced_before_its_lease_ends(group: impl FnOnce(Duration) -> Group) {
    let mut group = group(LONG_TTL).on_one_host();
    let first = group.start_three();
    let lease_end = group.deadline(&first.name);
    group.process(&first.name).kill();
    let next = group.wait_lead(first.epoch);
    assert_ne!(next.name, first.name);
    assert!(next.t < lease_end, "{next:?} waited for the end of the lease of {first:?} at {lease_end}");
    group.expect_only_leader(&next);
    let reason = format!("SELECT reason FROM coordinator_term WHERE epoch = {}", first.epoch);
    assert_eq!(group.database.text(&reason).as_deref(), Some("process ended"));
    group.finish();
}

fn a_step_down_hands_over_to_another(group: impl FnOnce(Duration) -> Group) {
    let mut group = group(TTL);
    let first = group.start_three();
    let said = group.step_down("kernel update");
    let next = group.wait_lead(first.epoch);
    let lines: Vec<&str> = said.stdout.lines().collect();
    let others: Vec<&str> = THREE.into_iter().filter(|name| *name != first.name).collect();
    let asked = format!("asked {} (epoch {}) to hand over; ", first.name, first.epoch);
    let candidates = lines[0].strip_prefix(&asked).and_then(|rest| rest.strip_suffix(" can take over"));
    let mut candidates = candidates.unwrap_or_default().split(", ");
    assert!(candidates.all(|candidate| others.contains(&candidate)), "{said:?}");
    let new_leader = format!("{} leads (epoch {}), ", next.name, next.epoch);
    let gap = lines[1].strip_prefix(&new_leader).and_then(|rest| rest.strip_suffix(" ms without a leader"));
    assert!(gap.is_some_and(|gap| gap.parse::<u64>().is_ok()), "{said:?}");
    assert_ne!(next.name, first.name);
    group.wait_event(&first.name, EventKind::Resign, first.epoch);
    group.wait_event(&first.name, EventKind::Resigned, first.epoch);
    // The time in which the old leader could have led again.
    group.wait_renewals(&next.name);
    assert_eq!(group.leads(), [first.clone(), next.clone()], "the old leader does not lead again");
    group.expect_only_leader(&next);
    let reason = format!("SELECT reason FROM coordinator_term WHERE epoch = {}", first.epoch);
    assert_eq!(group.database.text(&reason).as_deref(), Some("kernel update"));
    group.finish();
}

fn a_terminated_leader_hands_over_and_ends_well(group: impl FnOnce(Duration) -> Group) {
    let mut group = group(TTL);
    let first = group.start_three();
    group.process(&first.name).signal(Signal::TERM);
    let status = group.process(&first.name).wait_exit(PATIENCE);
    assert_eq!(status.code(), Some(0));
    let ends: Vec<EventKind> =
        group.events(&first.name).iter().map(|event| event.kind).rev().take(2).collect();
    assert_eq!(ends, [EventKind::Resigned, EventKind::Resign]);
    let next = group.wait_lead(first.epoch);
    assert_ne!(next.name, first.name);
    group.expect_only_leader(&next);
    let said = until("status answers", || {
        Some(group.command(&["status", "--json"])).filter(|said| said.code == Some(0))
    });
    let listed = said.json()["instances"].to_string();
    assert!(!listed.contains(&format!("\"id\":\"{}\"", first.name)), "it left the instance table: {listed}");
    group.finish();
}

/// No instance is left, and the instance table still says that the leader is active.
fn a_killed_leader_is_not_shown_as_active(group: impl FnOnce(Duration) -> Group) {
    let mut group = group(TTL);
    group.start("a");
    group.wait_active("a");
    let said = until("status shows the leader", || {
        Some(group.command(&["status", "--json"])).filter(|said| said.code == Some(0))
    });
    assert_eq!(said.json()["instances"][0]["state"], "active");
    group.process("a").kill();
    let said = until("status notices the missed renewal", || {
        Some(group.command(&["status", "--json"])).filter(|said| said.code == Some(1))
    });
    // Which of the two depends on the moment of the read.
    let reasons = ["a has missed a renewal of its lease", "0 instances lead; it should be exactly one"];
    assert!(reasons.iter().any(|reason| said.stderr.contains(reason)), "{said:?}");
    let shown = said.json();
    assert_eq!(shown["exactly_one_leads"], false);
    assert_eq!(
        (&shown["instances"][0]["state"], &shown["instances"][0]["last_reported"]),
        (&"stale".into(), &"active".into())
    );
    let said = until("the lease ends", || {
        Some(group.command(&["status"])).filter(|said| said.stderr.contains("0 instances lead"))
    });
    assert!(said.stdout.starts_with("No instance has led since "), "{said:?}");
    let why = group.command(&["why"]);
    assert_eq!(why.code, Some(0), "{why:?}");
    assert!(why.stdout.starts_with("No instance has led since "), "{why:?}");
    assert!(why.stdout.contains("Next: Start an instance: none can take over now."), "{why:?}");
    let history = group.command(&["history", "--json"]).json();
    assert_eq!(
        history[0]["reason"], "expired",
        "its lease has ended, though no instance has claimed it since"
    );
    group.finish();
}

fn a_stopped_leader_has_lost_when_it_wakes(group: impl FnOnce(Duration) -> Group) {
    let mut group = group(TTL);
    let first = group.start_three();
    group.wait_renewals(&first.name);
    group.freeze(&first.name);
    let next = group.wait_lead(first.epoch);
    assert_ne!(next.name, first.name);
    // Long enough to distinguish a `lost` at the waking from one at the deadline.
    group.wait_renewals(&next.name);
    let woken = now();
    group.process(&first.name).signal(Signal::CONT);
    assert_eq!(group.status_of(&first.name, "/leader"), Some(503));
    let lost = group.wait_event(&first.name, EventKind::Lost, first.epoch);
    let deadline = group.deadline(&first.name);
    assert!(deadline + nanos(CLOCK_READING) < woken, "it was stopped past its deadline");
    assert!(lost.t.abs_diff(deadline) < nanos(CLOCK_READING), "lost at {}, not {deadline}", lost.t);
    assert!(deadline <= next.t, "{next:?} led before the stopped leader's deadline {deadline}");
    group.wait_renewals(&next.name);
    assert_eq!(group.leads(), [first, next.clone()], "the woken leader does not lead again");
    group.expect_only_leader(&next);
    group.finish();
}

/// A released lease can be acquired at once: no instance waits until it has been unchanged for a TTL.
fn a_handover_does_not_wait_for_the_lease_to_end(group: impl FnOnce(Duration) -> Group) {
    let mut group = group(LONG_TTL);
    let first = group.start_three();
    let lease_end = group.deadline(&first.name);
    group.process(&first.name).signal(Signal::TERM);
    let next = group.wait_lead(first.epoch);
    assert!(next.t < lease_end, "{next:?} waited for the end of a lease that was released");
    group.finish();
}
