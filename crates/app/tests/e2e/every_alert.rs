//! Every alert fires and resolves on a real Prometheus and Alertmanager, with the shipped rules and routes.
//!
//! A scrape target serves the metrics that a real instance exported, once for each alert as a separate group. In each
//! group one fault changes the metrics, as an instance with that fault exports them, until the alert has reached the
//! receiver; then they are healthy again. The tests of the runbooks raise most conditions with the fault itself; this test
//! is the one that sees the notification of each alert, and its end. docs/alerts.md lists both.

use crate::TTL;
use crate::group::Group;
use crate::monitoring::{Monitoring, NotifiedOf};
use crate::wait::until;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::spawn;

/// An hour is two minutes, and a scrape happens every second.
const FASTER: u64 = 30;
/// Always fires, so it cannot resolve: its absence is the alarm.
const WATCHDOG: &str = "Watchdog";
/// Evaluations without a leader after which the slow burn fires by the window of six hours, and not yet by a longer one.
const MISSED_FOR_SLOW_BURN: f64 = 5.0;

/// Metrics that differ from those of the healthy instance; `None`: not exported.
type Changes = Vec<(&'static str, Option<f64>)>;

/// A fault: what the instance exports while it lasts and after it. The argument is the unix time in seconds.
struct Fault {
    alert: &'static str,
    during: fn(f64) -> Changes,
    after: fn(f64) -> Changes,
}

fn fault(alert: &'static str, during: fn(f64) -> Changes) -> Fault {
    Fault { alert, during, after: |_| Vec::new() }
}

/// A fault that a restart or time heals: `after` is not the state before it.
fn healed(alert: &'static str, during: fn(f64) -> Changes, after: fn(f64) -> Changes) -> Fault {
    Fault { alert, during, after }
}

macro_rules! exports {
    ($($metric:expr => $value:expr),+) => { |_| vec![$(($metric, Some($value))),+] };
}

const IS_LEADER: &str = "portfolio_manager_is_leader";
const FAILURES: &str = "portfolio_manager_recovery_failure_count";
const CODE: &str = "portfolio_manager_recovery_error_code";
const RECOVERED: &str = "portfolio_manager_last_recovery_timestamp";
const HEARTBEAT: &str = "portfolio_manager_last_heartbeat_timestamp";
const STARTED: &str = "process_start_time_seconds";
const SYNCS: &str = "portfolio_manager_db_sync_total";
const RATE: &str = "portfolio_manager_db_sync_failure_rate";
/// Heartbeats that are missing until rates and latencies are judged.
const MISSING: &str = "coordinator_db_sync_heartbeats_missing";
const EPOCH: &str = "portfolio_manager_leader_epoch";
const FORGOT: &str = "coordinator_store_forgot_timestamp_seconds";
const COUNTED: &str = "coordinator_signals_counted_timestamp_seconds";
const WAITING: &str = "coordinator_signals_oldest_waiting_seconds";
/// The metrics are not served at all; the page is an error.
const DOWN: &str = "down";
/// The page is served and has no metric of ours.
const EMPTY: &str = "empty";

fn leadership() -> Vec<Fault> {
    vec![
        fault("NoLeader", exports!(IS_LEADER => 0.0)),
        fault("MultipleLeaders", exports!("second member leads" => 1.0)),
        fault(
            "SplitBrainDetected",
            exports!("portfolio_manager_current_leader_redis" => 70.0, "portfolio_manager_current_leader_db" => 90.0),
        ),
        fault("SplitBrainEpisode", exports!("portfolio_manager_split_brain_detected_total" => 1.0)),
        healed("ExcessiveLeadershipFlapping", exports!(EPOCH => 111.0), exports!(EPOCH => 111.0)),
        healed("LeadershipFlapping", exports!(EPOCH => 105.0), exports!(EPOCH => 105.0)),
        fault("TicketFault", exports!("coordinator_ticket_faults_total" => 1.0)),
        healed("StoreForgot", |now| vec![(FORGOT, Some(now))], |now| vec![(FORGOT, Some(now - 90_000.0))]),
        fault("LeaderSLOFastBurn", exports!(IS_LEADER => 0.0)),
        fault("LeaderSLOSlowBurn", exports!(IS_LEADER => 0.0)),
    ]
}

fn heartbeat_and_sync() -> Vec<Fault> {
    vec![
        fault("StaleHeartbeat", |now| vec![(HEARTBEAT, Some(now - 90.0))]),
        fault("DelayedHeartbeat", |now| vec![(HEARTBEAT, Some(now - 45.0))]),
        fault("LeaderHeartbeatStopped", exports!("portfolio_manager_heartbeat_running" => 0.0)),
        fault(
            "SettingsDiffer",
            exports!("coordinator_settings_differ{setting=\"signals.handler\",instances=\"a (1), b (2)\"}" => 1.0),
        ),
        fault("ClockSkew", |now| vec![(HEARTBEAT, Some(now + 60.0))]),
        fault("HighDBSyncFailureRate", exports!(RATE => 0.2)),
        fault("ElevatedDBSyncFailureRate", exports!(RATE => 0.07)),
        fault("HighDBSyncLatencyP95", exports!("portfolio_manager_db_sync_p95_latency_ms" => 150.0)),
        fault("CriticalDBSyncLatencyP99", exports!("portfolio_manager_db_sync_p99_latency_ms" => 600.0)),
        fault("DBSyncStalled", exports!(SYNCS => 5_000.0)),
        fault("FallbackModeActive", exports!("portfolio_manager_fallback_mode" => 1.0)),
    ]
}

fn recovery() -> Vec<Fault> {
    vec![
        healed("RecoveryFailed", exports!(FAILURES => 1.0, CODE => 1.0), exports!(FAILURES => 1.0)),
        healed("RecoveryDataCorrupt", exports!(FAILURES => 1.0, CODE => 2.0), exports!(FAILURES => 1.0)),
        healed("RecoveryValidationFailed", exports!(FAILURES => 1.0, CODE => 3.0), exports!(FAILURES => 1.0)),
        healed("RecoveryFailures", exports!(FAILURES => 1.0, CODE => 1.0), |now| {
            vec![(FAILURES, Some(1.0)), (RECOVERED, Some(now - 3_700.0))]
        }),
        // The process started within the hour; a new one has counted no failure.
        fault("RepeatedRecoveryFailures", |now| {
            vec![(FAILURES, Some(2.0)), (CODE, Some(1.0)), (STARTED, Some(now - 600.0))]
        }),
        healed(
            "SlowRecovery",
            |now| vec![("portfolio_manager_recovery_time_ms", Some(600.0)), (RECOVERED, Some(now))],
            |now| vec![("portfolio_manager_recovery_time_ms", Some(600.0)), (RECOVERED, Some(now - 1_000.0))],
        ),
        healed(
            "CriticalRecoveryTime",
            |now| vec![("portfolio_manager_recovery_time_ms", Some(2_500.0)), (RECOVERED, Some(now))],
            |now| {
                vec![("portfolio_manager_recovery_time_ms", Some(2_500.0)), (RECOVERED, Some(now - 1_000.0))]
            },
        ),
        fault("PositionsBeyondValidatedRange", exports!("portfolio_manager_positions_recovered" => 51.0)),
    ]
}

fn signals() -> Vec<Fault> {
    vec![
        fault("SignalsInDoubt", exports!("coordinator_signals{state=\"in_doubt\"}" => 1.0)),
        fault("SignalsWaiting", exports!(WAITING => 100.0)),
        fault("SignalsWaitingLong", exports!(WAITING => 400.0)),
        fault("SignalsClaimedLong", exports!("coordinator_signals{state=\"claimed\"}" => 1.0)),
        fault("SignalsPaused", exports!("coordinator_signals_paused" => 1.0)),
        fault(
            "SignalLimitReached",
            exports!(
                "coordinator_signals_limit_per_minute" => 1.0,
                "coordinator_signals_sent_last_minute" => 1.0,
                "coordinator_signals{state=\"received\"}" => 1.0
            ),
        ),
        fault("SignalExpired", exports!("coordinator_signals_expired_last_day" => 1.0)),
        fault(
            "SubmissionRefused",
            exports!("coordinator_signals_refused_total{reason=\"malformed\"}" => 1.0),
        ),
        fault("HandlerNotExecuting", exports!("coordinator_handler_not_executing_seconds" => 100.0)),
        fault("FencedWrite", exports!("coordinator_fenced_writes_total" => 1.0)),
        // The last known counts stay, with their old time.
        fault("SignalLedgerUncounted", |now| vec![(COUNTED, Some(now - 1_000.0))]),
    ]
}

fn monitoring() -> Vec<Fault> {
    vec![
        fault("OverallStatusCritical", exports!("portfolio_manager_overall_alert_status" => 2.0)),
        fault("InstanceDown", exports!(DOWN => 1.0)),
        // A new process at every scrape.
        fault("InstanceRestarting", |now| vec![(STARTED, Some(now))]),
        fault("CoordinatorMetricsAbsent", exports!(EMPTY => 1.0)),
    ]
}

fn faults() -> Vec<Fault> {
    [leadership(), heartbeat_and_sync(), recovery(), signals(), monitoring()].into_iter().flatten().collect()
}

#[test]
fn every_alert_fires_and_resolves() {
    let target = Target::start(recorded());
    let configs: String = faults().iter().map(|fault| target.config(fault.alert)).collect();
    let monitoring = Monitoring::start_by(FASTER, &configs);
    let all = faults().len();
    until("every group is scraped", || {
        let up = monitoring.query("count(count by (group) (portfolio_manager_is_leader))")?;
        (up[0]["value"][1].as_str()? == all.to_string()).then_some(())
    });
    // Counters and the epoch grow from what was scraped before.
    until("no alert but the watchdog fires", || {
        let firing = monitoring.query("count(ALERTS{alertname!=\"Watchdog\"})")?;
        firing.as_array()?.is_empty().then_some(())
    });
    target.set_all(Phase::Fault);
    let of_its_group = |alert: &str| (alert.to_owned(), alert.to_owned());
    burn_slowly(&target, &monitoring);
    for Fault { alert, .. } in faults() {
        until(&format!("{alert} fires"), || {
            monitoring.notified_of().ever.contains(&of_its_group(alert)).then_some(())
        });
        target.set(alert, Phase::After);
    }
    for Fault { alert, .. } in faults() {
        until(&format!("{alert} is resolved"), || {
            (!monitoring.notified_of().firing.contains(&of_its_group(alert))).then_some(())
        });
    }
    let NotifiedOf { firing, .. } = monitoring.notified_of();
    assert!(firing.contains(&(WATCHDOG.to_owned(), String::new())), "{firing:?}");
}

/// Ends the fault of the slow burn as soon as it has missed enough, in short faults, so that a busy machine does not miss
/// so much that the windows of days fire as well.
fn burn_slowly(target: &Target, monitoring: &Monitoring) {
    const SLOW: &str = "LeaderSLOSlowBurn";
    let number =
        |query: &str| -> Option<f64> { monitoring.query(query)?[0]["value"][1].as_str()?.parse().ok() };
    let missed = || {
        number(&format!(
            "sum(sum_over_time((job:portfolio_manager_leaders:count{{group=\"{SLOW}\"}} != bool 1)[5m:1s]))"
        ))
    };
    let leaders = || number(&format!("sum(job:portfolio_manager_leaders:count{{group=\"{SLOW}\"}})"));
    loop {
        let before = until("the misses are counted", missed);
        target.set(SLOW, Phase::Fault);
        until("an evaluation misses the leader", || (missed()? > before).then_some(()));
        target.set(SLOW, Phase::After);
        until("it leads again", || (leaders()? > 0.0).then_some(()));
        if until("the misses are counted", missed) >= MISSED_FOR_SLOW_BURN {
            return;
        }
    }
}

/// A new rule needs a fault here.
#[test]
fn every_rule_has_a_fault() {
    let mut known: Vec<&str> = faults().iter().map(|fault| fault.alert).collect();
    known.push(WATCHDOG);
    known.sort_unstable();
    let mut all: Vec<&str> = crate::follow::rules().map(|rule| rule.alert).collect();
    all.sort_unstable();
    assert_eq!(known, all);
}

/// The metrics of a real leader, as it exported them: each series with its value. It has run long enough that its rates and
/// latencies are judged.
fn recorded() -> BTreeMap<String, f64> {
    let mut group = Group::embedded(TTL);
    group.start("a");
    group.wait_active("a");
    let text = until("the signals are counted", || {
        let answer = group.process("a").get("/metrics").ok()?;
        answer.body.contains("coordinator_signals_paused").then_some(answer.body)
    });
    group.finish();
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let series = lines.filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        Some((series.to_owned(), value.parse().ok()?))
    });
    let mut series: BTreeMap<String, f64> = series.collect();
    let missing = series.insert(MISSING.to_owned(), 0.0);
    assert!(missing.is_some(), "{MISSING} is exported");
    series
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Healthy,
    Fault,
    After,
}

/// A server with a page of metrics for each group.
#[derive(Clone)]
struct Target {
    address: String,
    recorded: Arc<BTreeMap<String, f64>>,
    phases: Arc<Mutex<BTreeMap<&'static str, Phase>>>,
    started_s: f64,
}

impl Target {
    /// Every group is healthy; serves until the process ends.
    fn start(recorded: BTreeMap<String, f64>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let target = Self {
            address: listener.local_addr().expect("a bound socket has an address").to_string(),
            recorded: Arc::new(recorded),
            phases: Arc::new(Mutex::new(
                faults().iter().map(|fault| (fault.alert, Phase::Healthy)).collect(),
            )),
            started_s: now_s(),
        };
        let serving = target.clone();
        spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = serving.clone();
                // A scraper that disconnected connects again.
                spawn(move || serving.serve(stream));
            }
        });
        target
    }

    /// The entry of a group in `static_configs`: the instance, and the second one of the group with two leaders.
    fn config(&self, alert: &str) -> String {
        let members = if alert == "MultipleLeaders" { &["a", "b"][..] } else { &["a"] };
        let mut config = String::new();
        for member in members {
            let _ = write!(
                config,
                "      - targets:\n          - {}\n        labels:\n          group: {alert}\n          \
                 instance: {alert}-{member}\n          __metrics_path__: /{alert}/{member}\n",
                self.address
            );
        }
        config
    }

    fn set(&self, alert: &'static str, phase: Phase) {
        self.phases.lock().unwrap_or_else(PoisonError::into_inner).insert(alert, phase);
    }

    fn set_all(&self, phase: Phase) {
        for fault in faults() {
            self.set(fault.alert, phase);
        }
    }

    /// The page of a group; `None`: an error.
    fn page(&self, alert: &str, member: &str) -> Option<String> {
        let now = now_s();
        let fault = faults().into_iter().find(|fault| fault.alert == alert)?;
        let phase = *self.phases.lock().unwrap_or_else(PoisonError::into_inner).get(alert)?;
        let changes = match phase {
            Phase::Healthy => Vec::new(),
            Phase::Fault => (fault.during)(now),
            Phase::After => (fault.after)(now),
        };
        let mut series = (*self.recorded).clone();
        // It has run for long, writes its heartbeats, counts its signals, syncs, and has led since the epoch 100.
        for (name, value) in [
            (HEARTBEAT, now),
            (COUNTED, now),
            (STARTED, self.started_s - 90_000.0),
            (SYNCS, 1_000.0 + now - self.started_s),
            (EPOCH, 100.0),
        ] {
            series.insert(name.to_owned(), value);
        }
        if member == "b" {
            series.insert(IS_LEADER.to_owned(), 0.0);
        }
        for (name, value) in changes {
            match (name, value) {
                (DOWN, _) => return None,
                (EMPTY, _) => return Some("# no metrics\n".to_owned()),
                ("second member leads", _) => drop(series.insert(IS_LEADER.to_owned(), 1.0)),
                (name, Some(value)) => drop(series.insert(name.to_owned(), value)),
                (name, None) => drop(series.remove(name)),
            }
        }
        let lines: Vec<String> = series.iter().map(|(series, value)| format!("{series} {value}\n")).collect();
        Some(lines.concat())
    }

    fn serve(&self, mut stream: TcpStream) {
        let mut request = Vec::new();
        let mut part = [0; 1024];
        loop {
            while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                match stream.read(&mut part) {
                    Ok(0) | Err(_) => return,
                    Ok(read) => request.extend(&part[..read]),
                }
            }
            let head = String::from_utf8_lossy(&request).into_owned();
            request.clear();
            let path = head.split(' ').nth(1).unwrap_or_default();
            let (alert, member) = path.trim_start_matches('/').split_once('/').unwrap_or_default();
            let (status, body) = match self.page(alert, member) {
                Some(page) => ("200 OK", page),
                None => ("503 Service Unavailable", String::new()),
            };
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {length}"
            );
            if write!(stream, "{head}\r\n\r\n{body}").is_err() {
                return;
            }
        }
    }
}

/// The unix time with fractions.
fn now_s() -> f64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("after 1970").as_secs_f64()
}
