//! Tests of stores that are unreachable or refuse the process: it waits, says why, and continues when it can.

use crate::TTL;
use crate::database::Database;
use crate::group::Group;
use crate::wait::{block_on, now, until};
use testkit::backend::{self, Postgres};

/// Must not appear anywhere.
const WRONG_PASSWORD: &str = "canary-41c9";

fn group(postgres: &Postgres, url: &str) -> Group {
    Group::new(TTL, |_| Database::Postgres(postgres.url()), &["--postgres", url])
}

/// The process is alive and not ready, and says why.
fn expect_waiting(group: &mut Group, why: &str) {
    until(&format!("it says {why:?}"), || {
        let ready = group.process("a").get("/readyz").ok()?;
        assert_eq!(ready.status, 503, "{ready:?}");
        ready.json()["detail"].as_str().is_some_and(|detail| detail.contains(why)).then_some(())
    });
    assert_eq!(group.status_of("a", "/livez"), Some(200));
    assert_eq!(group.status_of("a", "/leader"), Some(503));
    for path in ["/coordinator/metrics", "/metrics"] {
        let metrics = group.process("a").get(path).expect("it listens");
        assert_eq!(metrics.status, 503, "{metrics:?}");
        assert_eq!(metrics.json(), serde_json::json!({ "error": "Coordinator not initialized" }));
    }
    assert_eq!(group.leads(), []);
}

#[test]
fn an_unreachable_postgresql_is_waited_for() {
    let postgres = backend::postgres();
    postgres.stop();
    let mut group = group(&postgres, &postgres.url());
    group.start("a");
    expect_waiting(&mut group, "waiting for the state store");
    let said = group.command(&["status"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stderr.contains("the state store"), "{said:?}");
    postgres.start();
    group.wait_active("a");
    group.wait_ready("a");
    group.finish();
}

#[test]
fn a_wrong_password_is_reported_and_never_shown() {
    let postgres = backend::postgres();
    let url = postgres.url();
    let wrong = url.replace(":testkit@", &format!(":{WRONG_PASSWORD}@"));
    assert_ne!(wrong, url);
    let mut group = group(&postgres, &wrong);
    group.start("a");
    expect_waiting(&mut group, "password");
    let mut said = vec![group.process("a").log()];
    for path in ["/", "/readyz", "/status", "/history", "/leader", "/coordinator/metrics", "/metrics"] {
        said.push(group.process("a").get(path).expect("it listens").body);
    }
    for command in [
        &["status"][..],
        &["history"],
        &["step-down", "--reason", "x"],
        &["recovery", "check"],
        &["migrate"],
        &["config", "check"],
    ] {
        said.push(format!("{:?}", group.command(command)));
    }

    // The operator changes the password to the wrong one, which makes it valid.
    block_on(backend::execute(&url, &format!("ALTER USER postgres PASSWORD '{WRONG_PASSWORD}'")))
        .expect("no constraint forbids it");
    group.database = Database::Postgres(wrong);
    group.wait_active("a");
    said.push(group.process("a").log());
    for path in ["/", "/status", "/coordinator/metrics", "/metrics"] {
        said.push(group.process("a").get(path).expect("it listens").body);
    }
    for text in said {
        assert!(!text.contains(WRONG_PASSWORD), "{text}");
    }
    group.finish();
}

#[test]
fn a_standby_as_the_only_host_never_leads() {
    let primary = backend::native_postgres();
    let standby = primary.standby();
    let mut group = group(&standby, &standby.url());
    group.start("a");
    expect_waiting(&mut group, "standby");
    // An instance leads only after the standby has become a primary.
    let promoted = now();
    block_on(standby.promote());
    let lead = group.wait_lead(0);
    assert!(lead.t >= promoted, "{lead:?}");
    group.wait_active("a");
    group.finish();
}
