//! Runbook tests with signals that no service claims, that must not be sent, or that cannot be counted.

use crate::TTL;
use crate::group::{Group, THREE};
use crate::servers::Servers;
use crate::signals::{accepted, post, submission};
use crate::wait::until;
use crate::watched::Watched;
use serde_json::json;

pub const UNCLAIMED: [&str; 7] = [
    "SubmissionRefused",
    "SignalLimitReached",
    "SignalsClaimedLong",
    "SignalsPaused",
    "SignalsWaiting",
    "SignalsWaitingLong",
    "SignalExpired",
];
pub const UNCOUNTED: [&str; 1] = ["SignalLedgerUncounted"];

/// Moves all claims so far out of the limits' windows.
const LONG_AGO: &str = "UPDATE coordinator_signal SET claimed_at = claimed_at - interval '1 hour'";
/// Longer than any alert allows.
const WAITED: &str = "UPDATE coordinator_signal SET received_at = received_at - interval '6 minutes'";

/// A service claims signals, at most one a minute, and not always.
#[test]
fn signals_that_are_held_up() {
    let (mut watched, _) = Watched::with(&[("COORDINATOR_SIGNALS_MAX_PER_MINUTE", "1")], &[]);
    accepted(&mut watched.group, "a", "s-1", "s-1");
    accepted(&mut watched.group, "a", "s-2", "s-2");
    let mut unfilled = submission("s-0", "s-0");
    unfilled["instrument"] = json!("{{ticker}}");
    assert_eq!(post(&mut watched.group, "a", &unfilled).status, 422);
    watched.follow("SubmissionRefused");
    claim(&mut watched, "s-1");
    watched.follow_with("SignalLimitReached", |watched, step| {
        if step == 4 {
            watched.group.database.execute(LONG_AGO);
            claim(watched, "s-2");
        }
    });
    watched.over("SignalLimitReached");

    watched.follow("SignalsClaimedLong");
    watched.over("SignalsClaimedLong");
    for id in ["s-1", "s-2"] {
        watched.group.carry_out(&["signals", "resolve", id, "--executed", "--reason", "the broker has it"]);
    }
    watched.group.database.execute(LONG_AGO);

    watched.group.carry_out(&["signals", "pause", "--reason", "broker outage"]);
    watched.follow("SignalsPaused");
    watched.over("SignalsPaused");

    accepted(&mut watched.group, "a", "s-3", "s-3");
    watched.group.database.execute(WAITED);
    watched.follow("SignalsWaiting");
    watched.follow_with("SignalsWaitingLong", |watched, step| {
        if step == 4 {
            claim(watched, "s-3");
        }
    });
    watched.over("SignalsWaiting");
    watched.over("SignalsWaitingLong");

    let mut late = submission("s-4", "s-4");
    late["expires_at"] = json!("2020-01-01T00:00:00Z");
    assert_eq!(post(&mut watched.group, "a", &late).status, 201);
    // The page acknowledges it.
    watched.follow("SignalExpired");
    watched.over("SignalExpired");
    watched.finish(&UNCLAIMED);
}

/// Claims as a service does, from the leader.
fn claim(watched: &mut Watched, id: &str) {
    until(&format!("{id} is claimed"), || {
        THREE.into_iter().find(|name| {
            let ask = json!({"max": 1});
            let answer = watched.group.process(name).post("/signals/claim", &[], &ask);
            answer.is_ok_and(|answer| answer.status == 200 && answer.json()["signals"][0]["id"] == id)
        })
    });
}

/// The first leader's role in the database may not read the ledger.
#[test]
fn signals_that_the_leader_cannot_count() {
    let servers = Servers::start();
    let group = servers.group(TTL);
    group.carry_out(&["migrate"]);
    group.database.execute(include_str!("../../../../adapter-postgres/sql/roles.sql"));
    group.database.execute("CREATE ROLE desk LOGIN PASSWORD 'desk' IN ROLE coordinator_app");
    let (_, place) = servers.url.rsplit_once('@').expect("a URL with a user");
    let restricted = format!("postgres://desk:desk@{place}");
    let launch = |group: &Group, name: &str| match name {
        "a" => group.launch_through(name, &restricted),
        _ => group.launch(name),
    };
    let (mut watched, lead) = Watched::of(servers, group, launch, &[]);
    assert_eq!(lead.name, "a");
    watched.group.database.execute("REVOKE SELECT ON coordinator_signal FROM coordinator_app");
    watched.follow("SignalLedgerUncounted");
    watched.over("SignalLedgerUncounted");
    watched.finish(&UNCOUNTED);
}
