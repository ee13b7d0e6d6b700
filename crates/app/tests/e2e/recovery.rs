//! Tests of crash recovery: an invalid portfolio halts the leader; after its repair, the leader becomes
//! active.

use crate::TTL;
use crate::command::Said;
use crate::database::Database;
use crate::group::Group;
use crate::servers::Servers;
use crate::wait::{block_on, until};
use contract::PATIENCE;
use contract::event::EventKind;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use testkit::backend;
use testkit::broker::{Conduct, HttpBroker, Order};

/// The contract's code, and what the pages and the command must show about it.
struct Verdict<'a> {
    code: i32,
    name: &'static str,
    /// Texts that the finding must contain.
    texts: &'a [&'a str],
}

const ERROR_CODE: &str = "portfolio_manager_recovery_error_code";

#[test]
fn a_null_halts_the_leader_until_it_is_put_right() {
    let mut group = Group::embedded(TTL);
    assert_eq!(group.command(&["migrate"]).code, Some(0));
    group.database.execute(
        "INSERT INTO portfolio_positions VALUES ('P-1', 'NIFTY', 'open', NULL, '100', '10.50', '5');
         UPDATE portfolio_state SET total_risk_amount = '10.50', margin_used = '5'",
    );
    let texts = ["position \"P-1\"", "quantity", "NULL"];
    halts(&mut group, &Verdict { code: 2, name: "DATA_CORRUPT", texts: &texts });
    group.database.execute("UPDATE portfolio_positions SET quantity = '50'");
    // The leader checks again automatically, in the same term.
    group.wait_active("a");
    assert_eq!(group.metric("a", ERROR_CODE), Some(0.0));
    assert_eq!(group.json("a", "/status")["state"], "active");
    group.wait_ready("a");
    assert_eq!(group.leads().len(), 1);
    assert_eq!(group.command(&["recovery", "check"]).code, Some(0));
    group.finish();
}

#[test]
fn a_failed_recovery_is_posted_until_it_has_arrived() {
    let refused = AtomicBool::new(false);
    let once = move |_: &Order| {
        let again = refused.swap(true, Relaxed);
        if again { Conduct::done() } else { Conduct::Refuses(503, String::new()) }
    };
    let receiver = HttpBroker::with(once, |_| false);
    let mut group = Group::embedded(TTL);
    assert_eq!(group.command(&["migrate"]).code, Some(0));
    two_positions(&group.database, "100000.02");
    let launch = group.launch("a").environment("COORDINATOR_ALERTS_WEBHOOK", &receiver.url());
    group.start_as("a", &launch);
    let posted = receiver.wait_orders(1, PATIENCE).body;
    let labels = &posted[0]["labels"];
    assert_eq!(labels["alertname"], "RecoveryValidationFailed", "{posted}");
    assert_eq!((labels["severity"].as_str(), labels["instance_id"].as_str()), (Some("critical"), Some("a")));
    assert_eq!(posted.as_array().map(Vec::len), Some(1), "{posted}");
    group.finish();
}

#[test]
fn a_nan_halts_the_leader() {
    let servers = Servers::start();
    let mut group = servers.group(TTL);
    assert_eq!(group.command(&["migrate"]).code, Some(0));
    group.database.execute(
        "INSERT INTO portfolio_positions VALUES ('P-9', 'NIFTY', 'open', 50, 100, 'NaN', 5);
         UPDATE portfolio_state SET total_risk_amount = 10, margin_used = 5",
    );
    let texts = ["position \"P-9\"", "risk_amount", "NaN"];
    halts(&mut group, &Verdict { code: 2, name: "DATA_CORRUPT", texts: &texts });
    group.finish();
}

#[test]
fn sums_that_are_two_paise_off_halt_the_leader() {
    let mut group = Group::embedded(TTL);
    assert_eq!(group.command(&["migrate"]).code, Some(0));
    two_positions(&group.database, "100000.02");
    let texts = ["sum to 100000,", "total_risk_amount is 100000.02", "differ by 0.02"];
    halts(&mut group, &Verdict { code: 3, name: "VALIDATION_FAILED", texts: &texts });
    group.finish();
}

#[test]
fn sums_that_are_one_paisa_off_pass() {
    for total in ["100000.01", "99999.99"] {
        let mut group = Group::embedded(TTL);
        assert_eq!(group.command(&["migrate"]).code, Some(0));
        two_positions(&group.database, total);
        let said = group.command(&["recovery", "check"]);
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(said.stdout.contains("positions          2"), "{said:?}");
        group.start("a");
        group.wait_active("a");
        assert_eq!(group.metric("a", ERROR_CODE), Some(0.0));
        assert_eq!(group.metric("a", "portfolio_manager_positions_recovered"), Some(2.0));
        group.finish();
    }
}

#[test]
fn views_over_the_teams_own_tables_are_read() {
    let servers = Servers::start();
    block_on(backend::execute(
        &servers.url,
        "CREATE SCHEMA desk;
         CREATE TABLE desk.trades (no int, symbol text, lots int, price numeric, at_risk numeric, blocked numeric);
         INSERT INTO desk.trades VALUES (1, 'NIFTY', 2, 101.5, 1000.25, 300), (2, 'BANKNIFTY', 1, 88, 500, 200);
         CREATE VIEW desk.open_positions AS
             SELECT 'T-' || no AS position_id, symbol AS instrument, 'open' AS status, lots AS quantity,
                    price AS entry_price, at_risk AS risk_amount, blocked AS margin_used FROM desk.trades;
         CREATE VIEW desk.totals AS
             SELECT sum(at_risk) AS total_risk_amount, sum(blocked) AS margin_used FROM desk.trades",
    ))
    .expect("no constraint forbids it");
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("coordinator.toml");
    let text = "[recovery]\npositions = \"desk.open_positions\"\nportfolio = \"desk.totals\"\n";
    std::fs::write(&file, text).expect("written");
    let file = file.to_str().expect("the directory's name is text");
    let database = Database::Postgres(servers.url.clone());
    let mut group = Group::new(TTL, |_| database, &["--postgres", &servers.url, "--config", file]);
    group.start("a");
    group.wait_active("a");
    assert_eq!(group.metric("a", "portfolio_manager_positions_recovered"), Some(2.0));
    let said = group.command(&["recovery", "check"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.stdout.contains("total_risk_amount  1500.25"), "{said:?}");
    let ours = "SELECT to_regclass('portfolio_positions')::text";
    assert_eq!(group.database.text(ours), None, "nothing is created that was not asked for");

    block_on(backend::execute(&servers.url, "UPDATE desk.trades SET lots = 0 WHERE no = 2"))
        .expect("no constraint forbids it");
    let said = group.command(&["recovery", "check"]);
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.stdout.contains("position \"T-2\"") && said.stdout.contains("quantity"), "{said:?}");
    group.finish();
}

/// Sums of 100000.00 at risk and 900 of margin.
fn two_positions(database: &Database, total_risk: &str) {
    database.execute(&format!(
        "INSERT INTO portfolio_positions VALUES
             ('P-1', 'NIFTY', 'open', '50', '100', '60000.00', '500'),
             ('P-2', 'NIFTY', 'partial', '25', '100', '40000.00', '400');
         UPDATE portfolio_state SET total_risk_amount = '{total_risk}', margin_used = '900'"
    ));
}

/// The command reports the fault before; then a leader is elected and halted, and every page shows it.
#[track_caller]
fn halts(group: &mut Group, verdict: &Verdict) {
    assert_reported(&group.command(&["recovery", "check"]), verdict);
    group.start("a");
    let lead = group.wait_lead(0);
    until("the leader is halted", || (group.json("a", "/status")["state"] == "halted").then_some(()));
    let in_the_table = || group.database.text("SELECT status FROM coordinator_member WHERE id = 'a'");
    until("the instance table says so", || (in_the_table().as_deref() == Some("halted")).then_some(()));
    assert_eq!(group.metric("a", ERROR_CODE), Some(f64::from(verdict.code)));
    assert_eq!(group.json("a", "/coordinator/metrics")["recovery"]["error_code"], verdict.name);
    assert_eq!(group.status_of("a", "/leader"), Some(503), "it must not act");
    assert_eq!(group.status_of("a", "/livez"), Some(200));
    let ready = group.process("a").get("/readyz").expect("it listens");
    assert!(ready.status == 503 && ready.body.contains(verdict.name), "{ready:?}");
    // It remains the leader, because the other instances would fail in the same way.
    group.wait_renewals("a");
    assert_eq!(group.leads(), [lead]);
    assert!(!group.events("a").iter().any(|event| event.kind == EventKind::Resign));
    assert_reported(&group.command(&["recovery", "check"]), verdict);
}

#[track_caller]
fn assert_reported(said: &Said, verdict: &Verdict) {
    assert_eq!(said.code, Some(verdict.code), "{said:?}");
    for part in verdict.texts.iter().chain([&verdict.name]) {
        assert!(said.stdout.contains(part), "nothing about {part:?} in {said:?}");
    }
}

/// Positions are checked while they are read, on both stores.
#[test]
fn a_hundred_thousand_positions_need_no_more_memory_than_none() {
    let servers = Servers::start();
    for embedded in [true, false] {
        let group = || if embedded { Group::embedded(TTL) } else { servers.group(TTL) };
        let few = peak_kb(group(), 0);
        let many = peak_kb(group(), 100_000);
        assert!(many < few + PEAK_MORE_KB, "embedded {embedded}: {few} kB without, {many} kB with positions");
    }
}

/// Pages, buffers and variation; the rows as values would be 50 MB.
const PEAK_MORE_KB: u64 = 16 * 1_024;

/// The peak of a leader's resident memory after it has checked that number of positions.
fn peak_kb(mut group: Group, positions: u32) -> u64 {
    assert_eq!(group.command(&["migrate"]).code, Some(0));
    group.database.execute(&format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {positions})
         INSERT INTO portfolio_positions
             SELECT 'P-' || i, 'NIFTY', 'open', 1, 100.25, 1, 2 FROM n WHERE i <= {positions};
         UPDATE portfolio_state SET total_risk_amount = '{positions}', margin_used = '{}'",
        2 * positions
    ));
    group.start("a");
    group.wait_active("a");
    let recovered = group.metric("a", "portfolio_manager_positions_recovered");
    assert_eq!(recovered, Some(f64::from(positions)));
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", group.process("a").pid())).expect("it lives");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the kernel's peak");
    let peak = peak.trim().trim_end_matches(" kB").parse().expect("a number of kB");
    group.database.execute("DELETE FROM portfolio_positions; UPDATE portfolio_state SET total_risk_amount = '0', margin_used = '0'");
    group.finish();
    peak
}
