//! What is wrong now, the worst first: each problem with its meaning, the next step, its money and its age.

use super::seen::{RECOVERY_FAILED, Seen, rules_about};
use super::tree::{Element, Node, el, of_class};
use super::words::{Level, command, rupees, sentence, short_name, status, unbroken};
use domain::alert::Alert;
use domain::id::InstanceId;
use domain::member::Health;
use domain::overview::{Money, Problem};
use monitoring::rules::{ExportedRule, Severity};
use rust_decimal::Decimal;

/// The list; nothing if nothing is wrong.
pub(crate) fn section(seen: &Seen) -> Vec<Node> {
    let mut items: Vec<(Level, Element)> =
        seen.overview.problems.iter().map(|problem| (level(problem), of_problem(problem, seen))).collect();
    items.extend(seen.own_alerts().into_iter().map(|alert| (alert.status.into(), of_alert(alert, seen))));
    items.extend(seen.others_alerts().map(|(id, health)| (health.into(), of_other(id, health, seen))));
    // A stable sort: the overview has sorted its problems by money and age.
    items.sort_by_key(|(level, _)| match level {
        Level::Critical => 0,
        Level::Unknown => 1,
        Level::Warning => 2,
        Level::Ok => 3,
    });
    if items.is_empty() {
        return Vec::new();
    }
    let heading = el("h2").attr("id", "h-wrong").attr("tabindex", "-1").with("Wrong now, worst first");
    vec![heading.into(), el("ol").attr("role", "list").all(items.into_iter().map(|(_, item)| item)).into()]
}

/// A note, such as an upgrade in progress, has no severity. What cannot be counted is unknown.
fn level(problem: &Problem) -> Level {
    match problem.level {
        Health::Warning
            if matches!(problem.money, Money::Unknown(_)) && problem.alert == "SignalLedgerUncounted" =>
        {
            Level::Unknown
        }
        level => level.into(),
    }
}

fn of_problem(problem: &Problem, seen: &Seen) -> Element {
    let costs = matches!(&problem.money, Money::AtRisk(amount) if *amount > Decimal::ZERO);
    let shown = match problem.alert {
        "SignalsInDoubt" => Some("in_doubt"),
        "SignalsWaiting" | "SignalsWaitingLong" | "SignalsPaused" => Some("received"),
        "SignalExpired" => Some("expired"),
        _ => None,
    };
    let show = shown
        .filter(|_| seen.signals == crate::pages::SignalPages::Served)
        .map(|state| el("a").href(format!("?state={state}#signals")).with("Show the signals"));
    let do_ = of_class("p", "do")
        .maybe(problem.command.as_deref().map(command))
        .with(runbook(problem.alert, seen))
        .maybe(show);
    item(Item {
        level: level(problem),
        alert: problem.alert,
        costs,
        what: el("div")
            .with(el("h3").all(sentence(&problem.title)))
            .with(el("p").all(sentence(&problem.meaning)))
            .with(next(&problem.next))
            .with(do_),
        stake: money(&problem.money),
        since_ms: problem.since_ms,
    })
}

/// An alert that only this instance evaluates.
fn of_alert(alert: &Alert, seen: &Seen) -> Element {
    let rule = exported(alert);
    // Prometheus has a rule for each reason of a failed recovery, and one runbook about all of them.
    let other = if alert.name == "recovery_failed" { RECOVERY_FAILED } else { "OverallStatusCritical" };
    let name = rule.map_or(other, |rule| rule.alert);
    let id = seen.instance().map_or_else(String::new, short_name);
    item(Item {
        level: alert.status.into(),
        alert: name,
        costs: false,
        what: el("div")
            .with(el("h3").all(unbroken(&format!("{id}: {}", alert.message))))
            .maybe(rule.map(|rule| el("p").with(rule.description)))
            .maybe(rule.map(|rule| el("p").with(rule.impact)))
            .with(next("Follow the runbook."))
            .with(of_class("p", "do").with(runbook(name, seen))),
        stake: money(&Money::None),
        since_ms: None,
    })
}

fn of_other(id: &InstanceId, health: Health, seen: &Seen) -> Element {
    let views = &seen.overview.instances;
    let address =
        views.iter().find(|view| view.id == *id).map(|view| view.address.clone()).unwrap_or_default();
    let severity = if health == Health::Critical { "critical alert" } else { "warning" };
    item(Item {
        level: health.into(),
        alert: "OverallStatusCritical",
        costs: false,
        what: el("div")
            .with(el("h3").all(unbroken(&format!("{} reports a {severity}", short_name(id)))))
            .with(el("p").with("Only its own page names the alert."))
            .with(next("Open its page and follow the runbook there."))
            .with(of_class("p", "do").with(el("a").href(address.clone()).with(address))),
        stake: money(&Money::None),
        since_ms: None,
    })
}

/// The rule of Prometheus about the same condition, which has the texts and the name of the runbook.
fn exported(alert: &Alert) -> Option<&'static ExportedRule> {
    let severity = if alert.status == Health::Critical { Severity::Critical } else { Severity::Warning };
    let about = || rules_about(alert.name);
    about().find(|rule| rule.severity == severity).or_else(|| about().next())
}

struct Item {
    level: Level,
    alert: &'static str,
    /// Money is at risk now.
    costs: bool,
    what: Element,
    stake: Vec<Node>,
    since_ms: Option<i64>,
}

fn item(item: Item) -> Element {
    let Item { level, alert, costs, what, stake, since_ms } = item;
    let since: Vec<Node> = match since_ms {
        Some(since_ms) => vec![
            el("b").with(Node::Age(since_ms)).into(),
            el("small").with("since ").with(Node::Time(since_ms)).into(),
        ],
        None => Vec::new(),
    };
    let word = if level == Level::Ok { "Note" } else { level.word() };
    let class = format!("problem {}{}", level.name(), if costs { " money" } else { "" });
    of_class("li", class)
        .attr("data-alert", alert)
        .attr("data-level", level.name())
        .with(of_class("div", "sev").with(status(level, word)))
        .with(what.attr("class", "what"))
        .with(of_class("div", "stake").all(stake))
        .with(of_class("div", "since").all(since))
}

fn next(step: &str) -> Element {
    of_class("p", "next").with(el("b").with("Next: ")).all(unbroken(step))
}

fn runbook(alert: &str, seen: &Seen) -> Element {
    el("a").href(format!("{}/runbooks/{alert}", seen.prefix)).with(format!("Runbook: {alert}"))
}

fn money(money: &Money) -> Vec<Node> {
    let amount = |amount: Decimal, what: &str| {
        vec![el("b").with(rupees(amount)).into(), el("small").with(what).into()]
    };
    match money {
        Money::None => {
            vec![of_class("b", "none").with("No money").into(), el("small").with("at stake now").into()]
        }
        Money::AtRisk(at_risk) => amount(*at_risk, "at risk"),
        Money::Waits(waits) => amount(*waits, "waits"),
        Money::Unknown(last) => {
            let last = last
                .map_or_else(|| "never counted".to_owned(), |last| format!("last known {}", rupees(last)));
            vec![el("b").with("Amount unknown").into(), el("small").with(last).into()]
        }
    }
}
