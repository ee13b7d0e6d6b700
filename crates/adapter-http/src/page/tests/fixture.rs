//! A group of three instances at one moment, with PostgreSQL and Redis, in any state.

use crate::page::seen::Seen;
use crate::pages::SignalPages;
use domain::alert::Report;
use domain::id::{InstanceId, Nonce};
use domain::lease::{Epoch, Timeline};
use domain::ledger::{Instruction, Label, Signal, SignalId, SignalState, Totals};
use domain::member::{Health, LeaseSeen, Member, MemberSeen, MemberState, Term};
use domain::metrics::{Fact, Metrics, MetricsConfig, SignalsConfig, SyncResult, View};
use domain::overview::{Facts, Known, LastAnswers, Overview, Samples};
use domain::settings::SharedSettings;
use domain::time::Time;
use std::sync::Arc;
use std::time::Duration;

/// Time between two heartbeats of an instance.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// 2026-11-30 05:17:21 UTC.
pub(super) const NOW_MS: i64 = 1_796_015_841_000;

pub(super) fn ago(seconds: i64) -> i64 {
    NOW_MS - seconds * 1_000
}

pub(super) fn id(text: &str) -> InstanceId {
    InstanceId::parse(text).expect("an id")
}

pub(super) fn member(name: &str, state: MemberState, silent_s: u64) -> MemberSeen {
    let member = Member {
        id: id(name),
        nonce: Nonce::new(1),
        host: format!("{name}.lan"),
        address: format!("http://{name}.lan:5000"),
        state,
        epoch: Epoch(41),
        fallback: false,
        alerts: Health::Ok,
        version: "0.2.0".to_owned(),
        started_ms: 0,
        settings: SharedSettings::default().with("leader_ttl", "10s"),
        cannot_lead: None,
        sync_p95: Some(Duration::from_micros(3_240)),
    };
    MemberSeen { member, heartbeat_age: Duration::from_secs(silent_s) }
}

pub(super) fn lease(holder: &str, epoch: u64, since_s: i64, renewed_s: u64) -> LeaseSeen {
    LeaseSeen {
        holder: Some(id(holder)),
        epoch: Epoch(epoch),
        released: false,
        ttl: Duration::from_secs(10),
        renewed_age: Duration::from_secs(renewed_s),
        since_ms: Some(ago(since_s)),
        forgot_ms: None,
    }
}

pub(super) fn term(epoch: u64, holder: &str, from_s: i64, end: Option<(i64, &str)>) -> Term {
    Term {
        timeline: Timeline(1),
        epoch: Epoch(epoch),
        holder: id(holder),
        host: format!("{holder}.lan"),
        from_ms: ago(from_s),
        to_ms: end.map(|(to_s, _)| ago(to_s)),
        reason: end.map(|(_, reason)| reason.to_owned()),
    }
}

pub(super) fn signal(name: &str, arrival: u64, state: SignalState, received_s: i64) -> Signal {
    let label = |text: &str| Label::parse(text).expect("a label");
    Signal {
        id: SignalId::parse(name).expect("an id"),
        instruction: Instruction {
            instrument: label("NIFTY"),
            signal_type: label("BASE_ENTRY"),
            position: label("Long_1"),
            timestamp_s: ago(received_s) / 1_000,
            payload: "{\"price\":24310.50}".to_owned(),
            expires_ms: None,
        },
        arrival,
        state,
        attempt: 1,
        received_ms: ago(received_s),
        claimed_ms: None,
        settled_ms: None,
        note: Some("order 4711 at the broker".to_owned()),
    }
}

/// The group; `change` makes it another one than the healthy one.
pub(super) fn group(change: impl FnOnce(&mut LastAnswers)) -> Seen {
    seen(change, |_| ())
}

/// The same, with further facts about the instance that shows the page: `desk-1`.
pub(super) fn seen(change: impl FnOnce(&mut LastAnswers), measure: impl FnOnce(&mut Metrics)) -> Seen {
    let members = vec![
        member("desk-1", MemberState::Standby, 2),
        member("desk-2", MemberState::Active, 4),
        member("desk-3", MemberState::Standby, 7),
    ];
    let mut last = LastAnswers::none(Facts {
        now_ms: NOW_MS,
        state_store: "PostgreSQL".to_owned(),
        state_store_fault: None,
        heartbeat: HEARTBEAT,
        lease: Known::default(),
        members: Known::default(),
        ticket: Some(Known::read(Some(id("desk-2")), NOW_MS)),
        totals: Known::read(Totals::default(), NOW_MS),
        signal_value: domain::metrics::SIGNAL_VALUE_DEFAULT,
    });
    let terms = vec![
        term(41, "desk-2", 9_196, None),
        term(40, "desk-1", 139_968, Some((9_206, "expired"))),
        term(39, "desk-3", 354_240, Some((139_968, "kernel update"))),
    ];
    last.state_store_answered((lease("desk-2", 41, 9_196, 1), members, terms), NOW_MS);
    last.signals.answered([signal("8a34320f1aeb1b50", 14, SignalState::Done, 5_820)].into(), NOW_MS);
    change(&mut last);
    of(last, measure)
}

/// The sync of the heartbeat with that number.
pub(super) fn sync(number: u32, took: Duration) -> Fact {
    Fact::Sync { result: SyncResult::Succeeded, took, at: Time::ZERO + HEARTBEAT * number }
}

fn of(last: LastAnswers, measure: impl FnOnce(&mut Metrics)) -> Seen {
    let mut metrics = Metrics::new(MetricsConfig {
        window: 100,
        started_ms: ago(259_200),
        instance: id("desk-1"),
        version: "0.2.0".to_owned(),
        signals: SignalsConfig::default(),
        heartbeat: HEARTBEAT,
    });
    for n in 0..100 {
        metrics.record(sync(n, Duration::from_millis([2, 3, 5][n as usize % 3])));
    }
    metrics.record(Fact::Heartbeat { at_ms: ago(2) });
    if let Some((totals, at_ms)) = last.facts.totals.last() {
        metrics.record(Fact::Ledger { totals: totals.clone(), at_ms });
    }
    if let Some(at_ms) = last.facts.totals.away_since_ms() {
        metrics.record(Fact::LedgerUnknown { at_ms });
    }
    measure(&mut metrics);
    let view = View {
        state: MemberState::Standby,
        is_leader: false,
        leader_db: Some(id("desk-2")),
        leader_redis: Some(id("desk-2")),
        fallback: false,
        heartbeat_running: true,
        lease_left: None,
        ttl: Duration::from_secs(10),
        epoch: Some(Epoch(41)),
        disagreement: None,
        state_store_answers: last.facts.lease.current().is_some(),
        uses_redis: true,
    };
    let report = Report::of(metrics.snapshot(view, NOW_MS));
    let mut samples = Samples::default();
    samples.record(&report.snapshot, &last.facts.members);
    let facts = last.facts_at(NOW_MS);
    Seen {
        now_ms: NOW_MS,
        overview: Overview::of(&facts),
        report: Some(report),
        last: Arc::new(last),
        samples: Arc::new(samples),
        facts,
        signals: SignalPages::Served,
        prefix: String::new(),
    }
}
