//! The alerts of Prometheus: [`monitoring::rules`] as the files in `docker/prometheus/rules`, and the rules for each
//! of them.
//!
//! `cargo xtask codegen` writes the files, `cargo test` compares. Every group has two: its rules, and promtool's unit
//! tests of them, made from the [cases](case::Case). A test in `adapter-otel` runs promtool on both, next to the text
//! that they are about. All alerts together are a [page], docs/alerts.md.

mod case;
#[path = "../../../domain/tests/generated/mod.rs"]
mod generated;
mod heartbeat;
mod leadership;
mod monitoring;
mod page;
mod recovery;
mod signals;
mod sync;
mod yaml;

use ::monitoring::rules::{Component, ExportedRule, GROUPS, RUNBOOKS, Recording, Severity};
use case::Case;
use domain::alert::RULES;
use domain::catalog::CATALOG;
use generated::{assert_fresh, root};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

const RULES_DIRECTORY: &str = "docker/prometheus/rules";
/// The address under which the runbooks are served; `cargo xtask codegen --runbook-base URL` writes it.
const RUNBOOK_BASE: &str = "docker/runbook-base";
const CONTRACT: &str = include_str!("../../../domain/testdata/metric-contract.json");

/// The cases of a group.
fn cases(group: &str) -> Vec<Case> {
    match group {
        "heartbeat" => heartbeat::cases(),
        "leadership" => leadership::cases(),
        "monitoring" => monitoring::cases(),
        "recovery" => recovery::cases(),
        "signals" => signals::cases(),
        "sync" => sync::cases(),
        unknown => panic!("the group {unknown} has no cases"),
    }
}

fn rules() -> impl Iterator<Item = &'static ExportedRule> {
    GROUPS.iter().flat_map(|group| group.rules)
}

/// The address under which the runbooks are served, without a slash at its end.
///
/// # Panics
/// If docker/runbook-base cannot be read.
pub fn runbook_base() -> String {
    let text = std::fs::read_to_string(root().join(RUNBOOK_BASE)).expect("docker/runbook-base");
    text.trim().to_owned()
}

/// False for the watchdog, which always fires: its absence is the alarm.
fn is_about_a_problem(rule: &ExportedRule) -> bool {
    rule.severity != Severity::None
}

fn recordings() -> impl Iterator<Item = &'static Recording> {
    GROUPS.iter().flat_map(|group| group.records)
}

#[test]
fn the_files_match_the_tables() {
    let files = GROUPS.iter().flat_map(|group| {
        [
            (format!("{RULES_DIRECTORY}/{}.yml", group.name), yaml::rules(group)),
            (format!("{RULES_DIRECTORY}/{}_test.yml", group.name), yaml::tests(group, &cases(group.name))),
        ]
    });
    assert_fresh(files.chain([("docs/alerts.md".to_owned(), page::alerts())]));
}

#[test]
fn every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_is_quiet() {
    for group in &GROUPS {
        let cases = cases(group.name);
        let checks = || cases.iter().flat_map(|case| &case.checks);
        for rule in group.rules {
            let about = || checks().filter(|check| check.alert == rule.alert);
            assert!(about().any(|check| !check.fires.is_empty()), "{} never fires", rule.alert);
            let quiet = about().any(|check| check.fires.is_empty());
            assert_eq!(quiet, is_about_a_problem(rule), "whether {} is ever quiet", rule.alert);
        }
        for check in checks() {
            let known = group.rules.iter().any(|rule| rule.alert == check.alert);
            assert!(known, "{} is not in the group {}", check.alert, group.name);
        }
    }
}

#[test]
fn one_case_of_every_group_is_a_healthy_system_in_which_nothing_fires() {
    for group in &GROUPS {
        let about_problems = group.rules.iter().filter(|rule| is_about_a_problem(rule));
        let all: BTreeSet<_> = about_problems.map(|rule| rule.alert).collect();
        let healthy = cases(group.name).into_iter().any(|case| {
            let checks = case.checks.iter().filter(|check| all.contains(check.alert));
            checks.clone().all(|check| check.fires.is_empty())
                && checks.map(|check| check.alert).collect::<BTreeSet<_>>() == all
        });
        assert!(healthy, "the group {} has no healthy system", group.name);
    }
}

/// Slack, a telephone and a browser open only an address with a scheme and a host.
#[test]
fn the_address_of_every_runbook_is_absolute_and_ends_with_its_page() {
    let base = runbook_base();
    let (scheme, rest) = base.split_once("://").expect("a scheme");
    assert!(matches!(scheme, "http" | "https") && !rest.is_empty() && !base.ends_with('/'), "{base}");
    for rule in rules() {
        let url = rule.runbook_url(&base);
        assert_eq!(url.strip_prefix(&format!("{base}/")), Some(rule.page().as_str()));
    }
}

/// A page has the impact in money, the steps, and when to escalate.
#[test]
fn every_alert_has_a_page_that_is_about_it() {
    for (rule, (path, page)) in rules().zip(pages()) {
        assert!(page.starts_with(&format!("# {}\n", rule.alert)), "the title of {}", path.display());
        for heading in ["\n## What it means in money\n", "\n## Steps\n", "\n## When to escalate\n"] {
            assert!(page.contains(heading), "{} has no heading{heading}", path.display());
        }
    }
}

#[test]
fn every_page_is_about_an_existing_alert() {
    let known: BTreeSet<_> = rules().map(|rule| root().join(rule.runbook())).collect();
    let pages = std::fs::read_dir(root().join(RUNBOOKS)).expect("the pages");
    let pages: BTreeSet<_> = pages.map(|page| page.expect("an entry").path()).collect();
    assert_eq!(pages.difference(&known).collect::<Vec<_>>(), Vec::<&PathBuf>::new());
}

/// An operator copies commands in a hurry: they must be ours, with their required arguments.
#[test]
fn the_commands_on_the_pages_are_ours() {
    for (path, page) in pages() {
        let commands: Vec<_> = blocks(&page, "sh").collect();
        assert!(!commands.is_empty(), "{} has no command", path.display());
        for command in commands.iter().flat_map(|block| block.lines().map(str::trim)) {
            assert!(command.starts_with("coordinator "), "{}: {command}", path.display());
            let acts = ["resolve", "acknowledge", "pause", "resume", "step-down", "remove "]
                .iter()
                .any(|act| command.contains(act));
            assert_eq!(acts, command.contains(" --reason "), "{}: {command}", path.display());
        }
    }
}

fn pages() -> impl Iterator<Item = (PathBuf, String)> {
    rules().map(|rule| root().join(rule.runbook())).map(|path| {
        let page = std::fs::read_to_string(&path);
        let page = page.unwrap_or_else(|error| panic!("no page {}: {error}", path.display()));
        (path, page)
    })
}

/// The fenced blocks of that language.
fn blocks<'a>(page: &'a str, language: &str) -> impl Iterator<Item = &'a str> {
    let begin = format!("```{language}\n");
    let after: Vec<_> = page.split(begin.as_str()).skip(1).collect();
    after.into_iter().map(|block| block.split("```").next().expect("a first part").trim())
}

#[test]
fn names_are_unique() {
    let names: BTreeSet<_> = rules().map(|rule| rule.alert).collect();
    assert_eq!(names.len(), rules().count());
}

/// The worse of two alerts silences the other by the condition that they share, so their severities must differ.
#[test]
fn alerts_of_one_condition_differ_in_severity() {
    let mut seen: BTreeMap<_, Vec<Severity>> = BTreeMap::new();
    for rule in rules() {
        let before = seen.entry(rule.condition).or_default();
        assert!(!before.contains(&rule.severity), "{} repeats its condition", rule.alert);
        before.push(rule.severity);
    }
}

/// The in-process rules and those of Prometheus use the same name for the same condition.
#[test]
fn every_rule_in_process_about_signals_is_exported() {
    for rule in RULES.iter().filter(|rule| rule.name.starts_with("signals_")) {
        assert!(rules().any(|exported| exported.condition == rule.name), "{}", rule.name);
    }
}

/// In queries, texts, pages and cases.
#[test]
fn every_named_metric_is_in_the_catalog() {
    let known: BTreeSet<_> = CATALOG.iter().map(|metric| metric.name).collect();
    let mut texts: Vec<String> = rules().map(|rule| (rule.expr)()).collect();
    texts.extend(recordings().map(|recording| (recording.expr)()));
    texts.extend(rules().flat_map(|rule| rule.annotations("")).map(|(_, text)| text));
    texts
        .extend(pages().flat_map(|(_, page)| blocks(&page, "promql").map(str::to_owned).collect::<Vec<_>>()));
    let cases = GROUPS.iter().flat_map(|group| cases(group.name));
    texts.extend(cases.flat_map(|case| case.series).map(|series| series.name));
    for recording in recordings() {
        for text in &mut texts {
            *text = text.replace(recording.record, "");
        }
    }
    for word in texts.iter().flat_map(|text| text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')) {
        let ours = ["coordinator_", "portfolio_manager_", "process_"];
        assert!(known.contains(word) || !ours.iter().any(|ours| word.starts_with(ours)), "{word}");
    }
}

/// Dashboards query them by name.
#[test]
fn the_recorded_series_are_those_of_the_contract() {
    let contract: BTreeMap<String, serde_json::Value> = serde_json::from_str(CONTRACT).expect("JSON");
    let wanted = contract.into_iter().filter(|(_, metric)| metric["type"] == "recording rule");
    let recorded: BTreeSet<_> = recordings().map(|recording| recording.record.to_owned()).collect();
    let wanted: BTreeSet<_> = wanted.map(|(name, _)| name).collect();
    assert_eq!(wanted.difference(&recorded).collect::<Vec<_>>(), Vec::<&String>::new());
}

/// One alert for a group, not one for each of its instances.
#[test]
fn alerts_about_signals_are_about_a_group() {
    for rule in rules().filter(|rule| rule.component == Component::Signals) {
        let expr = (rule.expr)();
        assert!(expr.starts_with("max by (job, group) ("), "{}: {expr}", rule.alert);
        assert!(rule.summary.starts_with("{{ $labels.job }}: "), "{}", rule.alert);
    }
}

#[test]
fn texts_are_sentences() {
    for rule in rules() {
        assert!(!rule.summary.ends_with('.'), "{}", rule.alert);
        for text in [rule.description, rule.impact] {
            assert!(text.ends_with('.') && !text.contains("  "), "{}: {text}", rule.alert);
        }
    }
}
