//! The last crash recovery of this instance. Only the instance that ran it knows its result.

use super::seen::Seen;
use super::tree::{Element, Node, el};
use super::words::{Level, dim, name, status};
use domain::decision::Decision;
use domain::metrics::{LastRecovery, unit};

/// The list of names and values.
pub(crate) fn section(seen: &Seen) -> Vec<Node> {
    let Some(report) = &seen.report else {
        return vec![line("Last recovery", vec![dim("this instance is starting").into()])];
    };
    let snapshot = &report.snapshot;
    let mut lines = match &snapshot.last_recovery {
        Some(last) => passed_or_failed(last),
        None => vec![line("Last recovery", vec![dim("none since this instance started").into()])],
    };
    lines.extend(
        snapshot.recovery_findings.iter().map(|finding| line("Finding", vec![finding.as_str().into()])),
    );
    if let Some(positions) = snapshot.positions_recovered {
        let range = el("small").with(" validated for up to 50 positions");
        lines.push(line("Open positions", vec![positions.to_string().into(), range.into()]));
    }
    let counts = &snapshot.counters;
    let counted = format!("{} passed, {} failed", counts.recoveries_succeeded, counts.recoveries_failed);
    lines.push(line("Since this instance started", vec![counted.into()]));
    lines.extend(snapshot.recovery_acknowledged().map(acknowledged));
    lines.extend(leader(seen));
    lines
}

fn passed_or_failed(last: &LastRecovery) -> Vec<Node> {
    let result = match last.outcome {
        Ok(_) => status(Level::Ok, "Passed"),
        Err(code) => status(Level::Critical, &format!("Failed: {}", code.as_str())),
    };
    let took = format!("{:.1} ms ", unit::millis(last.took));
    let limits = el("small").with("warning above 500 ms, critical above 2,000 ms");
    vec![
        line("Last recovery", vec![result.into()]),
        line("Ended", vec![Node::Age(last.at_ms), " ago".into()]),
        line("Took", vec![took.into(), limits.into()]),
    ]
}

/// The operator who took responsibility for the failed recoveries.
fn acknowledged(decision: &Decision) -> Node {
    let by = format!(" ago by {} ({}): {}", decision.actor.who, decision.actor.origin, decision.reason);
    line("Failures acknowledged", vec![Node::Age(decision.at_ms), by.into()])
}

/// The page of the leader, if this instance does not lead: its recovery is the one that counts.
fn leader(seen: &Seen) -> Option<Node> {
    let (id, _) = seen.overview.leader.holder()?;
    if seen.instance() == Some(id) {
        return None;
    }
    let view = seen.overview.instances.iter().find(|view| view.id == *id)?;
    let link: Element = el("a").href(format!("{}#h-recovery", view.address)).with("page of ").with(name(id));
    Some(line("The leader's recovery", vec!["on the ".into(), link.into()]))
}

fn line(name: &str, value: Vec<Node>) -> Node {
    el("div").with(el("dt").with(name)).with(el("dd").all(value)).into()
}
