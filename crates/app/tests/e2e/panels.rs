//! Tests of dashboards on data that a real Prometheus has scraped: ours, and the users' existing one with its
//! queries unchanged. Every panel has data.

use crate::TTL;
use crate::group::Group;
use crate::monitoring::{JOB, Monitoring};
use crate::servers::Servers;
use crate::signals::accepted;
use crate::wait::until;
use crate::watched::Watched;
use serde_json::Value;
use testkit::broker::{Conduct, HttpBroker, Order};

const OURS: &str = include_str!("../../../../docker/grafana/dashboards/coordinator.json");
/// The dashboard of the source page, unchanged.
const SOURCE: &str = include_str!("testdata/source-dashboard.json");

/// Instrument whose orders are executed and never answered.
const DOUBTFUL: &str = "NIFTY";
/// Instrument whose orders the handler reports as not executed.
const REFUSED: &str = "GOLD";
/// As after a failover or a restore in the previous second: signals are dated in whole seconds.
const FORGOT: &str = "UPDATE coordinator_lease SET forgot_ms = (floor(extract(epoch FROM clock_timestamp()))::bigint - 1) * 1000";

#[test]
fn every_panel_has_data() {
    let conduct = |order: &Order| match order.instrument.as_str() {
        DOUBTFUL => Conduct::ExecutesAndCuts,
        REFUSED => Conduct::Refuses(503, r#"{"outcome":"not_executed"}"#.to_owned()),
        _ => Conduct::done(),
    };
    let broker = HttpBroker::with(conduct, |_| false);
    let servers = Servers::start();
    let mut group = servers.group(TTL);
    group.set("COORDINATOR_SIGNALS_HANDLER", &broker.url());
    // One instance is configured differently.
    let launch = |group: &Group, name: &str| {
        let days = if name == "c" { "30" } else { "90" };
        group.launch(name).environment("COORDINATOR_SIGNALS_RETENTION_DAYS", days)
    };
    let (mut watched, lead) = Watched::of(servers, group, launch, &[]);
    // This comes first, because a signal that waits while the store forgets is looked up before it is sent,
    // and then the handler refuses nothing. The leader notices the loss, and the next term sends.
    watched.group.database.execute(FORGOT);
    let lead = watched.group.wait_lead(lead.epoch);
    // One signal is done, one in doubt, one waits for it, and one is not executed, so that every metric that
    // is exported only at times has a value now.
    for (id, instrument) in [("s-1", "BANKNIFTY"), ("s-2", DOUBTFUL), ("s-3", DOUBTFUL), ("s-4", REFUSED)] {
        accepted(&mut watched.group, &lead.name, id, instrument);
    }
    until("the handler has refused a signal", || {
        watched.group.metric(&lead.name, "coordinator_handler_not_executing_seconds").map(drop)
    });
    let source: Value = serde_json::from_str(SOURCE).expect("JSON");
    assert_eq!(filled(&source["dashboard"], &watched.monitoring), 5);
    let ours: Value = serde_json::from_str(OURS).expect("JSON");
    assert!(filled(&ours, &watched.monitoring) > 9, "and the nine that are drawn on the source page");
    watched.group.finish();
}

/// Waits until each panel with queries has data; returns their number.
fn filled(dashboard: &Value, monitoring: &Monitoring) -> usize {
    let panels = dashboard["panels"].as_array().expect("panels");
    let nested = panels.iter().flat_map(|panel| panel["panels"].as_array().into_iter().flatten());
    let with_queries = panels.iter().chain(nested).filter(|panel| panel["targets"].is_array());
    with_queries
        .map(|panel| {
            let queries: Vec<String> = panel["targets"].as_array().into_iter().flatten().map(query).collect();
            let has_data = |query: &String| {
                let found = monitoring.query(query);
                found.is_some_and(|series| series.as_array().is_some_and(|series| !series.is_empty()))
            };
            let what = format!("{} has data: {queries:#?}", panel["title"]);
            until(&what, || queries.iter().any(has_data).then_some(()));
        })
        .count()
}

/// The query with the values that Grafana inserts.
fn query(target: &Value) -> String {
    let filled = [
        ("$job", JOB),
        ("${group}", ".*"),
        ("$instance", ".*"),
        ("$__range", "1h"),
        ("$__rate_interval", "1m"),
        ("$__interval", "30s"),
    ];
    let text = target["expr"].as_str().expect("a query").to_owned();
    filled.iter().fold(text, |text, (variable, value)| text.replace(variable, value))
}
