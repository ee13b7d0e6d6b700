//! Signals that nobody comes for, that must not be sent, or that nobody can count.

use crate::TTL;
use crate::command::BINARY;
use crate::servers::Servers;
use crate::wait::until;
use crate::watched::Watched;
use serde_json::json;
use testkit::process::Launch;

pub const UNCLAIMED: [&str; 6] = [
    "SignalLimitReached",
    "SignalsClaimedLong",
    "SignalsPaused",
    "SignalsWaiting",
    "SignalsWaitingLong",
    "SignalExpired",
];
pub const UNCOUNTED: [&str; 1] = ["SignalLedgerUncounted"];

/// Of all that was claimed until now, in the eyes of the limits.
const LONG_AGO: &str = "UPDATE coordinator_signal SET claimed_at = claimed_at - interval '1 hour'";
/// Longer than what any alert allows.
const WAITED: &str = "UPDATE coordinator_signal SET received_at = received_at - interval '6 minutes'";

/// A service claims signals, one a minute at most, and not always.
#[test]
fn signals_that_are_held_up() {
    let (mut watched, _) = Watched::with(&[("COORDINATOR_SIGNALS_MAX_PER_MINUTE", "1")], &[]);
    submit(&mut watched, "s-1", &json!({}));
    submit(&mut watched, "s-2", &json!({}));
    claim(&mut watched, "s-1");
    watched.follow_with("SignalLimitReached", |watched, step| {
        if step == 4 {
            // They were meant.
            resume(watched);
            watched.group.database.execute(LONG_AGO);
            claim(watched, "s-2");
        }
    });
    watched.over("SignalLimitReached");

    watched.follow("SignalsClaimedLong");
    watched.over("SignalsClaimedLong");
    for id in ["s-1", "s-2"] {
        let decide = ["signals", "resolve", id, "--executed", "--reason", "the broker has it"];
        let said = watched.group.command(&decide);
        assert_eq!(said.code, Some(0), "{said:?}");
    }
    watched.group.database.execute(LONG_AGO);

    let said = watched.group.command(&["signals", "pause", "--reason", "the broker has trouble"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    watched.follow("SignalsPaused");
    watched.over("SignalsPaused");

    submit(&mut watched, "s-3", &json!({}));
    watched.group.database.execute(WAITED);
    watched.follow("SignalsWaiting");
    watched.follow_with("SignalsWaitingLong", |watched, step| {
        if step == 4 {
            claim(watched, "s-3");
        }
    });
    watched.over("SignalsWaiting");
    watched.over("SignalsWaitingLong");

    submit(&mut watched, "s-4", &json!({"expires_at": "2020-01-01T00:00:00Z"}));
    watched.follow("SignalExpired");
    watched.finish(&UNCLAIMED);
}

fn submit(watched: &mut Watched, id: &str, further: &serde_json::Value) {
    let now_s = coordinator::clock::calendar_ms() / 1_000;
    let mut signal = json!({
        "id": id, "instrument": id, "signal_type": "ENTRY", "position": id, "timestamp": now_s,
    });
    for (name, value) in further.as_object().into_iter().flatten() {
        signal[name] = value.clone();
    }
    let answer = watched.group.process("a").post("/signals", &[], &signal).expect("an answer");
    assert_eq!(answer.status, 201, "{answer:?}");
}

/// As a service does, of whoever leads.
fn claim(watched: &mut Watched, id: &str) {
    until(&format!("{id} is claimed"), || {
        ["a", "b", "c"].into_iter().find(|name| {
            let ask = json!({"max": 1});
            let answer = watched.group.process(name).post("/signals/claim", &[], &ask);
            answer.is_ok_and(|answer| answer.status == 200 && answer.json()["signals"][0]["id"] == id)
        })
    });
}

fn resume(watched: &Watched) {
    let said = watched.group.command(&["signals", "resume", "--reason", "they were meant"]);
    assert_eq!(said.code, Some(0), "{said:?}");
}

/// The first leader's role in the database may not read the ledger.
#[test]
fn signals_that_the_leader_cannot_count() {
    let servers = Servers::start();
    let group = servers.group(TTL);
    assert_eq!(group.command(&["migrate"]).code, Some(0));
    group.database.execute(include_str!("../../../../adapter-postgres/sql/roles.sql"));
    group.database.execute("CREATE ROLE desk LOGIN PASSWORD 'desk' IN ROLE coordinator_app");
    let (_, place) = servers.url.rsplit_once('@').expect("a URL with a user");
    let restricted = format!("postgres://desk:desk@{place}");
    let redis = servers.redis.url();
    let (mut watched, lead) = Watched::of(
        servers,
        group,
        |group, name| {
            if name != "a" {
                return group.launch(name);
            }
            let ttl = format!("{}ms", TTL.as_millis());
            let own = ["--leader-ttl", &ttl, "--redis", &redis, "--postgres", &restricted];
            own.into_iter().fold(Launch::new(BINARY, name), Launch::argument)
        },
        &[],
    );
    assert_eq!(lead.name, "a");
    watched.group.database.execute("REVOKE SELECT ON coordinator_signal FROM coordinator_app");
    watched.follow("SignalLedgerUncounted");
    watched.over("SignalLedgerUncounted");
    watched.finish(&UNCOUNTED);
}
