//! Cases of every path over a real socket, with a backend made of plain values.

use crate::client::{get, request};
use crate::fake::{self, Fake, Server};
use domain::decision::{Decision, Subject};
use domain::ledger::Actor;
use domain::member::LeaseSeen;
use domain::recovery::RecoveryCode;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

#[tokio::test]
async fn the_process_is_alive_whatever_the_backend_says() {
    let server =
        Server::start(Fake { snapshot: None, ready: Err("no store".to_owned()), ..Fake::default() }).await;
    let answer = server.ask(&get("/livez")).await;
    assert_eq!((answer.status, answer.json()), (200, json!({ "status": "alive" })));
}

#[tokio::test]
async fn readiness_is_the_ability_to_take_over() {
    let standby = Server::start(Fake::default()).await;
    assert_eq!(standby.ask(&get("/readyz")).await.status, 200);
    let leader = Server::start(Fake { leader: fake::leading("a-1"), ..Fake::default() }).await;
    assert_eq!(leader.ask(&get("/readyz")).await.status, 200);
    let cut_off =
        Server::start(Fake { ready: Err("the state store is silent".to_owned()), ..Fake::default() }).await;
    let answer = cut_off.ask(&get("/readyz")).await;
    assert_eq!(answer.problem(503)["detail"], "the state store is silent");
    assert!(answer.header("retry-after").is_some());
}

#[tokio::test]
async fn only_the_active_leader_says_so_and_the_others_name_it() {
    let active = Server::start(Fake { leader: fake::leading("a-1"), ..Fake::default() }).await;
    let answer = active.ask(&get("/leader")).await;
    let expected = json!({
        "active": true, "leader": "a-1", "address": "http://127.0.0.1:5001", "epoch": 7, "timeline": 1,
        "claim": "00000000-0000-0000-0000-000000000005", "valid_for_ms": 6400
    });
    assert_eq!((answer.status, answer.json()), (200, expected));
    assert_eq!(answer.header("coordinator-leader"), Some("a-1"));

    let mut view = fake::leading("a-1");
    (view.active, view.held) = (false, None);
    let standby = Server::start(Fake { leader: view, ..Fake::default() }).await;
    let answer = standby.ask(&get("/leader")).await;
    let body = answer.problem(503);
    assert_eq!((&body["active"], &body["leader"], &body["epoch"]), (&json!(false), &json!("a-1"), &json!(7)));
    assert_eq!(body["address"], "http://127.0.0.1:5001");
    assert_eq!(answer.header("coordinator-leader"), Some("a-1"));
    assert_eq!(answer.header("coordinator-leader-address"), Some("http://127.0.0.1:5001"));

    let nobody = Server::start(Fake::default()).await;
    let answer = nobody.ask(&get("/leader")).await;
    assert_eq!(answer.problem(503)["leader"], Value::Null);
    assert_eq!(answer.header("coordinator-leader"), None);
}

#[tokio::test]
async fn the_status_lists_the_instances_and_the_leader_in_both_stores() {
    let server = Server::start(Fake::default()).await;
    let answer = server.ask(&get("/status")).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    let expected = json!({
        "this_instance": "a-1", "state": "standby", "is_leader": false, "leader_db": "b-2",
        "leader_redis": null, "redis": "unreachable", "epoch": 7, "fallback": true, "alerts": answer.json()["alerts"], "signals": null,
        "store_forgot_at": null, "read_at": "2023-11-14T22:13:31.000+00:00", "away_since": null,
        "state_store": "PostgreSQL", "state_store_fault": null, "heartbeat_ms": 10_000,
        "lease": {
            "holder": "b-2", "epoch": 7, "released": false, "ttl_ms": 10_000, "renewed_age_ms": 1_000,
            "since": "2023-11-14T22:13:20.000+00:00", "store_forgot_at": null,
        },
        "instances": [{
            "id": "b-2", "nonce": "00000000000000000000000b", "host": "host", "address": "http://127.0.0.1:5001",
            "state": "active", "last_reported": "active", "epoch": 7, "fallback": false, "alerts": "WARNING", "version": "1.2.3",
            "started": "2023-11-14T22:13:20.000+00:00", "cannot_lead": null, "heartbeat_age_ms": 1250, "settings": "",
            "sync_p95_ms": null,
        }],
    });
    assert_eq!(answer.json(), expected);
}

/// A killed leader wrote `active` into the instance table, and its lease has ended since.
#[tokio::test]
async fn an_instance_whose_lease_has_ended_is_not_active() {
    for (renewed_s, state) in [(6, "active"), (7, "stale"), (10, "stale"), (600, "stale")] {
        let lease = LeaseSeen { renewed_age: Duration::from_secs(renewed_s), ..fake::lease("b-2") };
        let server = Server::start(Fake { lease, ..Fake::default() }).await;
        let instance = server.ask(&get("/status")).await.json()["instances"][0].clone();
        assert_eq!((&instance["state"], &instance["last_reported"]), (&json!(state), &json!("active")));
    }
}

#[tokio::test]
async fn the_ledger_is_shown_once_it_was_counted() {
    let snapshot = Some(fake::counted_snapshot());
    let server = Server::start(Fake { snapshot, ..Fake::default() }).await;
    let expected = json!({
        "received": 4, "claimed": 1, "sent": 2, "in_doubt": 3, "oldest_received_ms": 1500,
        "oldest_in_doubt_ms": 90_000, "expired_last_day": 5, "sent_last_minute": 6, "limit_per_minute": 10,
        "sent_last_day": 7, "limit_per_day": null,
        "paused": { "reason": "<b>fat finger</b>", "who": "asha", "since": "2023-11-14T22:13:20.000+00:00" },
        "signal_value_rupees": "100000", "exposure_rupees": "600000",
    });
    assert_eq!(server.ask(&get("/status")).await.json()["signals"], expected);
}

#[tokio::test]
async fn the_history_has_a_limit() {
    let server = Server::start(Fake::default()).await;
    let answer = server.ask(&get("/history")).await;
    let expected = json!({ "terms": [
        { "timeline": 1, "epoch": 50, "holder": "a-1", "host": "host", "from": "2023-11-14T22:13:20.000+00:00",
          "to": null, "reason": null },
        { "timeline": 1, "epoch": 49, "holder": "b-2", "host": "host", "from": "2023-11-14T22:13:10.000+00:00",
          "to": "2023-11-14T22:13:20.000+00:00", "reason": "expired" },
    ], "without_leader": [], "decisions": [], "store_forgot_at": null, "read_at": "2023-11-14T22:13:31.000+00:00", "away_since": null });
    let mut head = answer.json();
    let terms = head["terms"].as_array_mut().expect("a list");
    assert_eq!(terms.len(), 50, "the fake returns as many terms as requested");
    terms.truncate(2);
    assert_eq!(head, expected);

    for (limit, terms) in [("1", 1), ("1000", 1000)] {
        let answer = server.ask(&get(&format!("/history?limit={limit}"))).await;
        assert_eq!(answer.json()["terms"].as_array().map(Vec::len), Some(terms));
    }
    for query in ["limit=0", "limit=1001", "limit=-1", "limit=many", "limit=", "limit=1&limit=2", "last=1"] {
        let answer = server.ask(&get(&format!("/history?{query}"))).await;
        let body = answer.problem(400);
        assert!(body["detail"].as_str().is_some_and(|detail| detail.contains("from 1 to 1000")), "{query}");
    }
}

#[tokio::test]
async fn a_store_that_forgot_is_in_the_status_and_the_history() {
    let mut snapshot = fake::counted_snapshot();
    snapshot.store_forgot_ms = Some(1_700_000_000_250);
    let server = Server::start(Fake { snapshot: Some(snapshot), ..Fake::default() }).await;
    for path in ["/status", "/history"] {
        let answer = server.ask(&get(path)).await;
        assert_eq!(answer.json()["store_forgot_at"], "2023-11-14T22:13:20.250+00:00", "{path}");
    }
}

#[tokio::test]
async fn a_silent_store_is_503_and_a_corrupt_one_500() {
    use domain::ports::StoreError::{Corrupt, Unavailable, Unknown};
    for (error, status) in [
        (Unavailable("refused".to_owned()), 503),
        (Unknown("timeout".to_owned()), 503),
        (Corrupt("negative epoch".to_owned()), 500),
    ] {
        let server = Server::start(Fake { store: Err(error.clone()), ..Fake::default() }).await;
        for path in ["/status", "/history"] {
            let body = server.ask(&get(path)).await.problem(status);
            assert_eq!(body["detail"], error.to_string());
        }
    }
}

/// The state store answered at 22:13:22 and does not since 22:13:23.
#[tokio::test]
async fn while_the_store_is_away_the_last_answers_remain_and_their_state_is_unknown() {
    let error = domain::ports::StoreError::Unknown("timeout".to_owned());
    let server = Server::start(fake::away(error, 3, crate::ledger::Ledger::default()).await).await;
    let status = server.ask(&get("/status")).await.json();
    let instance = &status["instances"][0];
    assert_eq!((&instance["id"], &instance["state"]), (&json!("b-2"), &json!("unknown")));
    assert_eq!(
        (&instance["last_reported"], &instance["heartbeat_age_ms"]),
        (&json!("active"), &json!(10_250))
    );
    let history = server.ask(&get("/history?limit=2")).await.json();
    assert_eq!(history["terms"].as_array().map(Vec::len), Some(2));
    let signals = server.ask(&get("/signals")).await.json();
    assert_eq!(signals["signals"], json!([]));
    for answer in [&status, &history, &signals] {
        assert_eq!(answer["read_at"], "2023-11-14T22:13:22.000+00:00", "{answer}");
        assert_eq!(answer["away_since"], "2023-11-14T22:13:23.000+00:00", "{answer}");
    }
}

#[tokio::test]
async fn a_damaged_store_is_reported_although_there_is_an_earlier_answer() {
    let error = domain::ports::StoreError::Corrupt("negative epoch".to_owned());
    let backend = fake::away(error, 3, crate::ledger::Ledger::default()).await;
    let answers = (fake::lease("b-2"), vec![fake::member("b-2")], Vec::new());
    backend.last.send_modify(|last| Arc::make_mut(last).state_store_answered(answers, 1_700_000_000_000));
    let server = Server::start(backend).await;
    for path in ["/status", "/history"] {
        let problem = server.ask(&get(path)).await.problem(500);
        assert_eq!(problem["state_store_fault"], "negative epoch", "{path}");
    }
}

#[tokio::test]
async fn the_status_has_the_fault_of_the_tables_while_the_store_does_not_answer() {
    let error = domain::ports::StoreError::Unknown("timeout".to_owned());
    let backend = fake::away(error, 3, crate::ledger::Ledger::default()).await;
    backend.last.send_modify(|last| {
        Arc::make_mut(last).facts.state_store_fault = Some("coordinator_lease does not exist".into());
    });
    let server = Server::start(backend).await;
    let status = server.ask(&get("/status")).await.json();
    assert_eq!(status["state_store_fault"], "coordinator_lease does not exist");
    let sound = Server::start(Fake::default()).await.ask(&get("/status")).await.json();
    assert_eq!(sound.get("state_store_fault"), Some(&json!(null)));
}

#[tokio::test]
async fn the_history_has_the_decisions_of_operators() {
    let actor = Actor { who: "asha".to_owned(), origin: "command line on desk".to_owned() };
    let decision = |subject, reason: &str| Decision {
        at_ms: 1_700_000_000_250,
        actor: actor.clone(),
        subject,
        reason: reason.to_owned(),
    };
    let decisions = vec![
        decision(Subject::RecoveryAcknowledged { verdict: Some(RecoveryCode::DataCorrupt) }, "known"),
        decision(
            Subject::InstanceRemoved { id: fake::id("c-3"), started_ms: 1_700_000_000_000 },
            "shut down",
        ),
    ];
    let server = Server::start(Fake { decisions: Ok(decisions), ..Fake::default() }).await;
    let shown = server.ask(&get("/history")).await.json()["decisions"].clone();
    let expected = json!([
        { "at": "2023-11-14T22:13:20.250+00:00", "who": "asha", "from": "command line on desk",
          "decision": "recovery_acknowledged", "instance": null, "started": null, "error_code": "DATA_CORRUPT",
          "reason": "known" },
        { "at": "2023-11-14T22:13:20.250+00:00", "who": "asha", "from": "command line on desk",
          "decision": "instance_removed", "instance": "c-3", "started": "2023-11-14T22:13:20.000+00:00",
          "error_code": null, "reason": "shut down" },
    ]);
    assert_eq!(shown, expected);
    let old = domain::ports::StoreError::Corrupt("no such table".to_owned());
    let server = Server::start(Fake { decisions: Err(old), ..Fake::default() }).await;
    let history = server.ask(&get("/history?limit=2")).await.json();
    assert_eq!((&history["decisions"], history["terms"].as_array().map(Vec::len)), (&json!(null), Some(2)));
}

#[tokio::test]
async fn metrics_are_prometheus_text() {
    let server = Server::start(Fake::default()).await;
    let answer = server.ask(&get("/metrics")).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, fake::EXPOSITION));
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
}

#[tokio::test]
async fn the_accept_header_chooses_between_text_and_json() {
    let server = Server::start(Fake::default()).await;
    let scraper = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
    for (accept, kind) in [
        (scraper, "text/plain; version=0.0.4; charset=utf-8"),
        ("text/plain", "text/plain; version=0.0.4; charset=utf-8"),
        ("*/*", "application/json"),
        ("application/json, text/plain;q=0.9", "application/json"),
    ] {
        let answer = server.ask(&request("GET", "/coordinator/metrics", &[("Accept", accept)])).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(kind)), "{accept}");
        assert_eq!(answer.header("vary"), Some("accept"));
    }
    let answer = server.ask(&get("/coordinator/metrics")).await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn the_json_has_exactly_the_keys_of_the_contract() {
    let server = Server::start(Fake::default()).await;
    let body = server.ask(&get("/coordinator/metrics")).await.json();
    let keys = |value: &Value| -> Vec<String> {
        let mut keys: Vec<_> = value.as_object().expect("an object").keys().cloned().collect();
        keys.sort();
        keys
    };
    let mut expected = [
        "db_sync_success",
        "db_sync_failure",
        "db_sync_total",
        "db_sync_failure_rate",
        "db_sync_avg_latency_ms",
        "db_sync_min_latency_ms",
        "db_sync_max_latency_ms",
        "db_sync_p50_latency_ms",
        "db_sync_p95_latency_ms",
        "db_sync_p99_latency_ms",
        "db_sync_latency_samples",
        "leadership_changes",
        "current_leader_redis",
        "current_leader_db",
        "this_instance",
        "is_leader",
        "heartbeat_running",
        "fallback_mode",
        "last_heartbeat",
        "recovery",
        "alerts",
        "overall_alert_status",
    ];
    expected.sort_unstable();
    assert_eq!(keys(&body), expected);
    let recovery =
        ["error_code", "failure_count", "last_recovery", "positions_recovered", "success_count", "time_ms"];
    assert_eq!(keys(&body["recovery"]), recovery);

    let alerts = &body["alerts"];
    for name in ["db_sync_failure_rate", "leadership_changes", "heartbeat_staleness"] {
        let fields = ["message", "status", "threshold_critical", "threshold_warning", "value"];
        assert_eq!(keys(&alerts[name]), fields, "{name}");
    }
    assert_eq!(keys(alerts).len(), domain::alert::RULES.len() + 1);
    assert_eq!(alerts["db_sync_failure_rate"]["threshold_critical"], 0.1);
    assert_eq!(alerts["overall_status"], body["overall_alert_status"]);
}

#[tokio::test]
async fn the_json_says_what_the_snapshot_says() {
    let server = Server::start(Fake::default()).await;
    let body = server.ask(&get("/coordinator/metrics")).await.json();
    // Four syncs of 10, 20, 30 and 40 ms, the last of which failed; one recovery of 12.5 ms with 3 positions.
    assert_eq!([&body["db_sync_success"], &body["db_sync_failure"], &body["db_sync_total"]], [3, 1, 4]);
    assert_eq!(body["db_sync_failure_rate"], 0.25);
    let latencies =
        ["avg", "min", "max", "p50", "p95", "p99"].map(|kind| &body[format!("db_sync_{kind}_latency_ms")]);
    // Four heartbeats are too few for a high percentile.
    assert_eq!(latencies, [25.0, 10.0, 40.0, 25.0, 0.0, 0.0]);
    assert_eq!(body["db_sync_latency_samples"], 4);
    assert_eq!((&body["current_leader_db"], &body["current_leader_redis"]), (&json!("b-2"), &Value::Null));
    assert_eq!((&body["this_instance"], &body["is_leader"]), (&json!("a-1"), &json!(false)));
    assert_eq!((&body["heartbeat_running"], &body["fallback_mode"]), (&json!(true), &json!(true)));
    assert_eq!(body["last_heartbeat"], "2023-11-14T22:13:30.250+00:00");
    let recovery = json!({ "time_ms": 12.5, "success_count": 1, "failure_count": 0, "error_code": null,
                           "positions_recovered": 3, "last_recovery": "2023-11-14T22:13:25.000+00:00" });
    assert_eq!(body["recovery"], recovery);
}

#[tokio::test]
async fn without_a_sample_latencies_are_zero_and_the_unknown_is_null() {
    let server = Server::start(Fake { snapshot: Some(fake::empty_snapshot()), ..Fake::default() }).await;
    let answer = server.ask(&get("/coordinator/metrics")).await;
    assert!(answer.body.contains("\"db_sync_p95_latency_ms\":0.0,"), "{}", answer.body);
    let body = answer.json();
    assert_eq!((&body["db_sync_failure_rate"], &body["last_heartbeat"]), (&json!(0.0), &Value::Null));
    assert_eq!(
        (&body["recovery"]["time_ms"], &body["recovery"]["last_recovery"]),
        (&Value::Null, &Value::Null)
    );
}

#[tokio::test]
async fn before_start_up_is_done_the_metrics_are_not_there() {
    let server = Server::start(Fake { snapshot: None, ..Fake::default() }).await;
    for path in ["/metrics", "/coordinator/metrics"] {
        let answer = server.ask(&get(path)).await;
        assert_eq!((answer.status, answer.header("content-type")), (503, Some("application/json")));
        assert_eq!(answer.body, "{\"error\":\"Coordinator not initialized\"}");
    }
    server.ask(&get("/status")).await.problem(503);
    assert!(server.ask(&get("/")).await.body.contains("This instance is starting."));
}

#[tokio::test]
async fn a_failed_metrics_provider_is_500_and_never_an_empty_200() {
    for exposition in [Err("the registry is gone".to_owned()), Ok(String::new()), Ok("\n".to_owned())] {
        let server = Server::start(Fake { exposition, ..Fake::default() }).await;
        server.ask(&get("/metrics")).await.problem(500);
        let text = request("GET", "/coordinator/metrics", &[("Accept", "text/plain")]);
        server.ask(&text).await.problem(500);
    }
}

#[tokio::test]
async fn a_panic_is_500_and_the_next_request_is_answered() {
    let server = Server::start(Fake { panics: true, ..Fake::default() }).await;
    server.ask(&get("/metrics")).await.problem(500);
    assert_eq!(server.ask(&get("/livez")).await.status, 200);
}

#[tokio::test]
async fn hostile_texts_of_other_processes_cannot_leave_their_strings() {
    let mut member = fake::member("b-2");
    member.member.host = "\"},{\"id\":\"x\u{0}\n".to_owned();
    member.member.id = domain::id::InstanceId::from_stored("<b>\"\n");
    let server = Server::start(Fake { members: vec![member], ..Fake::default() }).await;
    let answer = server.ask(&get("/status")).await;
    assert!(!answer.body.contains('\n'), "{}", answer.body);
    let instances = &answer.json()["instances"];
    assert_eq!(instances.as_array().map(Vec::len), Some(1));
    assert_eq!(
        (&instances[0]["host"], &instances[0]["id"]),
        (&json!("\"},{\"id\":\"x\u{0}\n"), &json!("?b???"))
    );
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems_too() {
    let server = Server::start(Fake::default()).await;
    for path in ["/nothing", "/metrics/", "//", "/%00", "/leader/x"] {
        server.ask(&get(path)).await.problem(404);
    }
    for path in
        ["/", "/livez", "/readyz", "/leader", "/status", "/history", "/metrics", "/coordinator/metrics"]
    {
        for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
            let answer = server.ask(&request(method, path, &[])).await;
            answer.problem(405);
            assert_eq!(answer.header("allow"), Some("GET,HEAD"), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn the_paths_of_signals_support_only_their_methods() {
    let server = Server::start(Fake::default()).await;
    for (method, path, allow) in [
        ("PUT", "/signals", "GET,HEAD,POST"),
        ("DELETE", "/signals", "GET,HEAD,POST"),
        ("POST", "/signals/x", "GET,HEAD"),
        ("DELETE", "/signals/x", "GET,HEAD"),
        ("PUT", "/signals/claim", "POST,GET,HEAD"),
        ("GET", "/signals/x/result", "POST"),
        ("GET", "/signals/x/resolve", "POST"),
        ("PUT", "/signals/pause", "GET,HEAD,POST"),
    ] {
        let answer = server.ask(&request(method, path, &[])).await;
        answer.problem(405);
        assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
    }
    for path in ["/signals/", "/signals/x/", "/signals/x/decide", "/signals/x/result/y"] {
        server.ask(&get(path)).await.problem(404);
    }
}

#[tokio::test]
async fn head_answers_as_get_without_a_body() {
    let server = Server::start(Fake::default()).await;
    for path in
        ["/", "/livez", "/readyz", "/leader", "/status", "/history", "/metrics", "/coordinator/metrics"]
    {
        let got = server.ask(&get(path)).await;
        let head = server.ask(&request("HEAD", path, &[])).await;
        assert_eq!((head.status, head.body.as_str()), (got.status, ""), "{path}");
        for name in ["content-type", "content-length", "cache-control", "x-content-type-options"] {
            assert!(got.header(name).is_some(), "{path} {name}");
            assert_eq!(head.header(name), got.header(name), "{path} {name}");
        }
    }
}

/// Also before the start is done: an alert about an instance that does not start links here.
#[tokio::test]
async fn the_link_of_every_alert_leads_to_a_page_about_it() {
    let server = Server::start(Fake { snapshot: None, ..Fake::default() }).await;
    let list = server.ask(&get("/runbooks")).await;
    assert_eq!((list.status, list.header("content-type")), (200, Some("text/html; charset=utf-8")));
    for rule in monitoring::rules::GROUPS.iter().flat_map(|group| group.rules) {
        let path = rule.runbook_url("/runbooks");
        assert!(list.body.contains(&format!("<a href=\"{path}\">{}</a>", rule.alert)), "{path}");
        let page = server.ask(&get(&path)).await;
        assert_eq!(
            (page.status, page.header("content-security-policy")),
            (200, Some("default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"))
        );
        assert!(page.body.contains(&format!("<h1>{}</h1>", rule.alert)), "{path}");
    }
    assert_eq!(server.ask(&get("/runbooks/SignalsInDoubt")).await.status, 200);
    let style = server.ask(&get("/runbooks/style.css")).await;
    assert_eq!((style.status, style.header("content-type")), (200, Some("text/css; charset=utf-8")));
    for unknown in ["/runbooks/no-such-alert", "/runbooks/..%2Fsecrets", "/runbooks/%3Cscript%3E"] {
        let answer = server.ask(&get(unknown)).await;
        assert!(!answer.body.contains("<script>"), "{}", answer.body);
        assert_eq!(answer.problem(404)["detail"], "there is no such runbook; /runbooks lists them");
    }
}
