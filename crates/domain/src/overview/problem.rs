//! The present problems of a group, each with its money, its age, and what the operator should do.

use super::last_known::{LastKnown, mark};
use super::phrase::{before, since};
use super::{Facts, InstanceState, InstanceView, LeaderView, Phrase, age, stores};
use crate::id::InstanceId;
use crate::ledger::Totals;
use crate::member::Health;
use crate::settings::SharedSettings;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;
use rust_decimal::Decimal;

/// A group without a leader for this long is critical; a failover takes less.
const NO_LEADER_CRITICAL: Duration = Duration::from_mins(2);
/// A signal that waits for longer than this is a problem; the alert rule `signals_waiting` uses the same limits.
const WAITING_WARNING: Duration = Duration::from_mins(1);
const WAITING_CRITICAL: Duration = Duration::from_mins(5);

/// The money that a problem costs or may cost.
#[derive(Debug, Clone, PartialEq)]
pub enum Money {
    /// None now.
    None,
    /// Orders of this worth may have been executed, in rupees.
    AtRisk(Decimal),
    /// Signals of this worth wait, in rupees.
    Waits(Decimal),
    /// It cannot be read now; the last known amount, if there is one, in rupees.
    Unknown(Option<Decimal>),
}

impl Money {
    fn amount(&self) -> Decimal {
        match self {
            Self::None => Decimal::ZERO,
            Self::AtRisk(amount) | Self::Waits(amount) => *amount,
            Self::Unknown(last) => last.unwrap_or(Decimal::ZERO),
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// The severity.
    pub level: Health,
    /// The name of the alert about it, which also identifies the runbook.
    pub alert: &'static str,
    /// The problem, in a few words.
    pub title: Phrase,
    /// The meaning of the problem for the operator.
    pub meaning: Phrase,
    /// What the operator should do next.
    pub next: String,
    /// A command for it.
    pub command: Option<String>,
    /// The money that it costs or may cost.
    pub money: Money,
    /// The start of the problem, in Unix milliseconds; `None` if it is not known.
    pub since_ms: Option<i64>,
}

pub(super) fn all(facts: &Facts, leader: &LeaderView, instances: &[InstanceView]) -> Vec<Problem> {
    let mut problems = Vec::new();
    problems.extend(stores::state_store(facts, leader));
    problems.extend(no_leader(facts, leader, instances));
    signals(facts, &mut problems);
    problems.extend(stores::redis(facts, leader));
    problems.extend(stores::forgot(facts));
    match LastKnown::of(facts) {
        None => problems.extend(of_instances(facts, instances)),
        Some(last) => {
            let known = of_instances(&last.facts, &last.instances);
            problems.extend(known.into_iter().map(|problem| last.mark(problem)));
        }
    }
    // A stable sort: equal ones stay in the order above.
    let oldest_first = |problem: &Problem| problem.since_ms.unwrap_or(i64::MAX);
    problems.sort_by(|a, b| {
        let by_money = b.money.amount().cmp(&a.money.amount());
        b.level.cmp(&a.level).then(by_money).then(oldest_first(a).cmp(&oldest_first(b)))
    });
    problems
}

/// The problems that the instance table shows.
fn of_instances(facts: &Facts, instances: &[InstanceView]) -> Vec<Problem> {
    let mut problems = Vec::from_iter(halted(facts, instances));
    for instance in instances {
        problems.extend(silent(instance, facts));
        problems.extend(unable(instance));
    }
    problems.extend(settings(facts));
    problems.extend(versions(instances));
    problems
}

fn no_leader(facts: &Facts, leader: &LeaderView, instances: &[InstanceView]) -> Option<Problem> {
    let waits = waits(facts);
    let stands_by = |view: &InstanceView| view.state == InstanceState::Standby && view.cannot_lead.is_none();
    // Without the instance table it is unknown whether an instance can take over.
    let unable = facts.members.current().is_some() && !instances.iter().any(stands_by);
    let next = match leader {
        LeaderView::Leads { .. } => {
            "Wait until its crash recovery has ended. If that takes minutes, follow the runbook."
        }
        _ if unable => "Start an instance: none can take over now.",
        _ => "Wait one LEADER_TTL (10 s by default). If no instance leads then, follow the runbook.",
    };
    let problem = |level, title, meaning, since_ms| Problem {
        level,
        alert: "NoLeader",
        title,
        meaning,
        next: next.into(),
        command: Some("coordinator status --watch".into()),
        money: waits.clone(),
        since_ms,
    };
    match leader {
        LeaderView::Vacant { since_ms, last, released } => {
            let long = since_ms.is_some_and(|since_ms| since(since_ms, facts.now_ms) >= NO_LEADER_CRITICAL);
            let level = if long || unable { Health::Critical } else { Health::Warning };
            let meaning = match last {
                None => Phrase::of("No instance has led yet."),
                Some((id, epoch)) if *released => Phrase::of(format!(
                    "{id} (epoch {epoch}) released the lease. Signals wait, and are missed when they expire."
                )),
                Some((id, epoch)) => Phrase::of(format!(
                    "{id} (epoch {epoch}) did not renew its lease, and the lease ended. Signals wait, and are missed when they expire."
                )),
            };
            Some(problem(level, Phrase::of("No instance leads"), meaning, *since_ms))
        }
        LeaderView::Overdue { id, renewed_ms, ends_ms, .. } => {
            let meaning = Phrase::of(format!("{id} renewed its lease last at "))
                .time(*renewed_ms)
                .text(". If it does not renew it by ")
                .time(*ends_ms)
                .text(", another instance takes over.");
            Some(problem(
                Health::Warning,
                Phrase::of(format!("{id} has missed a renewal of its lease")),
                meaning,
                Some(*renewed_ms),
            ))
        }
        LeaderView::Leads { id, epoch, since_ms } if recovers(id, instances) => {
            let long = since(*since_ms, facts.now_ms) >= NO_LEADER_CRITICAL;
            let level = if long { Health::Critical } else { Health::Warning };
            let meaning = Phrase::of(format!(
                "{id} holds the lease (epoch {epoch}) and checks the portfolio. Signals wait, and are missed when they expire."
            ));
            Some(problem(level, Phrase::of("No instance is active yet"), meaning, Some(*since_ms)))
        }
        LeaderView::Leads { .. } | LeaderView::Unknown { .. } => None,
    }
}

fn recovers(leader: &InstanceId, instances: &[InstanceView]) -> bool {
    instances.iter().any(|view| view.id == *leader && view.state == InstanceState::Recovering)
}

fn halted(facts: &Facts, instances: &[InstanceView]) -> Option<Problem> {
    let view = instances.iter().find(|view| view.state == InstanceState::Halted)?;
    Some(Problem {
        level: Health::Critical,
        alert: "RecoveryFailed",
        title: Phrase::of("Trading is halted: crash recovery failed"),
        meaning: Phrase::of(format!(
            "{} leads (epoch {}) and sends nothing, because the portfolio cannot be trusted. Every other instance would \
             find the same.",
            view.id, view.epoch
        )),
        next: "Read what is wrong with the portfolio and correct it. The leader checks again every 30 s."
            .into(),
        command: Some("coordinator recovery check".into()),
        money: waits(facts),
        since_ms: None,
    })
}

fn signals(facts: &Facts, problems: &mut Vec<Problem>) {
    let value = facts.signal_value;
    let Some((totals, read_ms)) = facts.totals.last() else {
        problems.extend(facts.totals.away_since_ms().map(|since_ms| uncounted(facts, since_ms)));
        return;
    };
    if let Some(since_ms) = facts.totals.away_since_ms() {
        problems.push(Problem {
            level: Health::Warning,
            alert: "SignalLedgerUncounted",
            title: Phrase::of("The signals cannot be counted"),
            meaning: Phrase::of(format!(
                "Last count: {} in doubt, {} claimed or sent, {} waiting, at ",
                totals.in_doubt,
                totals.claimed.saturating_add(totals.sent),
                totals.received
            ))
            .time(read_ms)
            .text(". What has changed since is unknown."),
            next: format!("Check {}.", facts.state_store),
            command: None,
            money: Money::Unknown(Some(exposed(totals, value))),
            since_ms: Some(since_ms),
        });
    }
    // Signals that were in doubt at the last count stay in doubt until an operator or a lookup resolves them.
    if totals.in_doubt > 0 {
        problems.push(in_doubt(totals, facts, read_ms));
    }
    if let Some(paused) = &totals.paused {
        problems.push(Problem {
            level: Health::Warning,
            alert: "SignalsPaused",
            title: Phrase::of("The kill switch is on"),
            meaning: Phrase::of(format!(
                "{} turned it on: \u{201c}{}\u{201d}. Signals are accepted and kept; {} waiting.",
                paused.who,
                paused.reason,
                count(totals.received, "signal")
            )),
            next: "Turn it off when the reason is gone.".into(),
            command: Some("coordinator signals resume --reason REASON".into()),
            money: waiting(totals, value),
            since_ms: Some(paused.since_ms),
        });
    }
    problems.extend(late(totals, facts, read_ms));
    if totals.expired_last_day > 0 {
        problems.push(Problem {
            level: Health::Critical,
            alert: "SignalExpired",
            title: Phrase::of(format!(
                "{} expired in the last 24 hours",
                count(totals.expired_last_day.into(), "signal")
            )),
            meaning: Phrase::of("Each is a trade that was missed."),
            next: "Find out why each was not sent in time, decide with the trader what to do, and acknowledge it.".into(),
            command: Some("coordinator signals list --state expired".into()),
            money: Money::None,
            since_ms: None,
        });
    }
}

/// The ledger was never read: signals may be in doubt, or none can be sent.
fn uncounted(facts: &Facts, since_ms: i64) -> Problem {
    Problem {
        level: Health::Critical,
        alert: "SignalLedgerUncounted",
        title: Phrase::of("The signals cannot be read"),
        meaning: Phrase::of("It is unknown whether signals are sent, wait or are in doubt."),
        next: format!("Check {} and its tables.", facts.state_store),
        command: Some("coordinator migrate --check".into()),
        money: Money::Unknown(None),
        since_ms: Some(since_ms),
    }
}

fn in_doubt(totals: &Totals, facts: &Facts, read_ms: i64) -> Problem {
    Problem {
        level: Health::Critical,
        alert: "SignalsInDoubt",
        title: Phrase::of(in_doubt_words(totals.in_doubt)),
        meaning: Phrase::of(
            "Each order may be at the broker, or not. Later signals of the same instruments wait.",
        ),
        next: "Look up each order at the broker, then resolve each signal.".into(),
        command: Some("coordinator signals list --state in_doubt".into()),
        money: Money::AtRisk(facts.signal_value.saturating_mul(totals.in_doubt.into())),
        since_ms: totals.oldest_in_doubt.map(|oldest| before(read_ms, oldest)),
    }
}

fn late(totals: &Totals, facts: &Facts, read_ms: i64) -> Option<Problem> {
    let since_ms = before(read_ms, totals.oldest_received?);
    // How long a signal has waited by now is unknown while the ledger does not answer.
    let unknown_since_ms = facts.totals.away_since_ms();
    let waited = since(since_ms, unknown_since_ms.map_or(facts.now_ms, |_| read_ms));
    if totals.paused.is_some() || waited <= WAITING_WARNING {
        return None;
    }
    let critical = waited > WAITING_CRITICAL;
    let received = count(totals.received, "signal");
    let title = match unknown_since_ms {
        None => Phrase::of(format!("{received} waiting; the oldest for ")).age(since_ms),
        Some(_) => {
            Phrase::of(format!("{received} waited at the last count; the oldest since ")).time(since_ms)
        }
    };
    let problem = Problem {
        level: if critical { Health::Critical } else { Health::Warning },
        alert: if critical { "SignalsWaitingLong" } else { "SignalsWaiting" },
        title,
        meaning: Phrase::of(
            "A leader sends a signal within seconds. The price that it was meant for may be gone.",
        ),
        next: "Read why the oldest waits.".into(),
        command: Some("coordinator signals list --state received".into()),
        money: waits(facts),
        since_ms: Some(since_ms),
    };
    Some(match unknown_since_ms {
        None => problem,
        Some(unknown_since_ms) => mark(problem, read_ms, unknown_since_ms),
    })
}

fn silent(instance: &InstanceView, facts: &Facts) -> Option<Problem> {
    let since_ms = before(facts.now_ms, instance.heartbeat_age);
    let (level, alert) = match instance.state {
        InstanceState::Gone => (Health::Critical, "StaleHeartbeat"),
        InstanceState::Stale if !facts.is_recent(instance.heartbeat_age) => {
            (Health::Warning, "DelayedHeartbeat")
        }
        _ => return None,
    };
    Some(Problem {
        level,
        alert,
        title: Phrase::of(format!("{} sends no heartbeat", instance.id)),
        meaning: Phrase::of(format!("It was {}. One instance fewer can take over.", instance.said)),
        next: format!("Check its process and its network on the host {}.", instance.host),
        command: None,
        money: Money::None,
        since_ms: Some(since_ms),
    })
}

fn unable(instance: &InstanceView) -> Option<Problem> {
    let why = instance.cannot_lead.as_ref()?;
    if matches!(instance.state, InstanceState::Gone | InstanceState::Unknown) {
        return None;
    }
    Some(Problem {
        level: Health::Warning,
        alert: "NoLeader",
        title: Phrase::of(format!("{} cannot lead", instance.id)),
        meaning: Phrase::of(why.clone()),
        next: "Correct it before this instance is needed. It can lead again at its next heartbeat.".into(),
        command: None,
        money: Money::None,
        since_ms: None,
    })
}

fn settings(facts: &Facts) -> Option<Problem> {
    let members = facts.members.current()?;
    let fresh = members.iter().filter(|seen| facts.is_recent(seen.heartbeat_age));
    let published: Vec<(InstanceId, SharedSettings)> =
        fresh.map(|seen| (seen.member.id.clone(), seen.member.settings.clone())).collect();
    let differing = SharedSettings::differing(&published);
    let names: Vec<&str> = differing.iter().map(|one| one.setting.as_str()).collect();
    let values = differing.first()?.values.iter().map(|(value, of)| {
        let ids: Vec<String> = of.iter().map(ToString::to_string).collect();
        format!("{value} on {}", ids.join(", "))
    });
    let values: Vec<String> = values.collect();
    Some(Problem {
        level: Health::Warning,
        alert: "SettingsDiffer",
        title: Phrase::of(format!("Instances have different values of {}", names.join(", "))),
        meaning: Phrase::of(format!("{}: {}.", names[0], values.join("; "))),
        next: "Give all instances the same settings.".into(),
        command: Some("coordinator config check".into()),
        money: Money::None,
        since_ms: None,
    })
}

fn versions(instances: &[InstanceView]) -> Option<Problem> {
    let mut by_version: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for view in
        instances.iter().filter(|view| !matches!(view.state, InstanceState::Gone | InstanceState::Unknown))
    {
        by_version.entry(&view.version).or_default().push(view.id.as_str());
    }
    if by_version.len() < 2 {
        return None;
    }
    let each: Vec<String> =
        by_version.iter().map(|(version, ids)| format!("{} on {}", version, ids.join(", "))).collect();
    Some(Problem {
        level: Health::Ok,
        alert: "SettingsDiffer",
        title: Phrase::of("Instances run different versions"),
        meaning: Phrase::of(format!("{}. This is safe during an upgrade.", each.join("; "))),
        next: "Finish the upgrade.".into(),
        command: None,
        money: Money::None,
        since_ms: None,
    })
}

/// `1 signal is in doubt`, `2 signals are in doubt`.
pub(super) fn in_doubt_words(n: u64) -> String {
    format!("{} {} in doubt", count(n, "signal"), if n == 1 { "is" } else { "are" })
}

pub(super) fn exposed(totals: &Totals, value: Decimal) -> Decimal {
    let open = totals.claimed.saturating_add(totals.sent).saturating_add(totals.in_doubt);
    value.saturating_mul(open.into())
}

fn waits(facts: &Facts) -> Money {
    let value = facts.signal_value;
    match (facts.totals.current(), facts.totals.last()) {
        (Some(totals), _) => waiting(totals, value),
        (None, Some((last, _))) => Money::Unknown(Some(value.saturating_mul(last.received.into()))),
        (None, None) => Money::Unknown(None),
    }
}

fn waiting(totals: &Totals, value: Decimal) -> Money {
    if totals.received == 0 {
        Money::None
    } else {
        Money::Waits(value.saturating_mul(totals.received.into()))
    }
}

fn count(n: u64, of: &str) -> String {
    format!("{n} {of}{}", if n == 1 { "" } else { "s" })
}

impl Problem {
    /// The age of the problem at `now_ms` (Unix milliseconds), in words; `None` if its start is not known.
    pub fn lasted(&self, now_ms: i64) -> Option<String> {
        self.since_ms.map(|since_ms| age(since(since_ms, now_ms)))
    }
}
