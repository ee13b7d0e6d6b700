//! The settings in effect that all instances must agree on, and the instances whose value differs.

use super::seen::Seen;
use super::tree::{Node, el, of_class};
use super::words::{Level, cell, differs, dim, head, row, short_name, table};
use domain::member::MemberSeen;
use domain::overview;
use std::collections::BTreeMap;

/// The table.
pub(crate) fn section(seen: &Seen) -> Vec<Node> {
    let Some((members, _)) = seen.facts.members.last() else {
        return vec![of_class("p", "empty").with("The instance table has not been read yet.").into()];
    };
    let is_self = |line: &&MemberSeen| Some(&line.member.id) == seen.instance();
    let own: BTreeMap<&str, &str> =
        members.iter().find(is_self).into_iter().flat_map(|line| line.member.settings.iter()).collect();
    let published = own.iter().map(|(name, value)| {
        let others = others(name, value, members, seen);
        let others = if others.is_empty() {
            dim("the same").into()
        } else {
            differs(Level::Warning, vec!["differs".into()], &others.join(", ")).into()
        };
        line(name, shown(value), others)
    });
    let mut rows: Vec<_> = published.collect();
    if let Some(report) = &seen.report {
        let snapshot = &report.snapshot;
        let local = [
            ("value of a signal", overview::rupees(snapshot.signal_value)),
            ("heartbeat", format!("{} s", seen.facts.heartbeat.as_secs_f64())),
            ("metrics window", format!("{} syncs", snapshot.window.capacity)),
        ];
        rows.extend(local.map(|(name, value)| line(name, value, dim("not compared").into())));
    }
    vec![table("settings", &["Setting", "This instance", "Other instances"], rows).into()]
}

/// `desk-3: 12s` for each instance with another value.
fn others(name: &str, value: &str, members: &[MemberSeen], seen: &Seen) -> Vec<String> {
    let fresh = members.iter().filter(|line| seen.facts.is_recent(line.heartbeat_age));
    fresh
        .filter_map(|line| {
            let (_, other) = line.member.settings.iter().find(|(own, _)| *own == name)?;
            (other != value).then(|| format!("{}: {}", short_name(&line.member.id), shown(other)))
        })
        .collect()
}

/// A setting that can hold credentials is published as a hash of 16 digits.
fn shown(value: &str) -> String {
    let is_hash = value.len() == 16 && value.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hash { format!("hidden (hash {})", &value[..8]) } else { value.to_owned() }
}

fn line(name: &str, value: String, others: Node) -> super::tree::Element {
    row("")
        .with(head("Setting", vec![el("code").with(name).into()]))
        .with(cell("This instance", vec![value.into()]))
        .with(cell("Other instances", vec![others]))
}
