//! `coordinator why`: the present state in sentences, what is wrong, and what to do. The operator's page shows the same
//! sentences, because both render [`Overview`].

use super::group::Group;
use super::print_json;
use super::table::{date, visible};
use crate::command::status::Form;
use crate::failure::Failure;
use crate::output::line;
use adapter_http::SignalJson;
use domain::id::InstanceId;
use domain::ledger::{Signal, StateName};
use domain::member::Health;
use domain::overview::{Facts, Money, Overview, Phrase, Problem, rupees};
use domain::ports::ListQuery;
use serde::Serialize;

/// Most signals in doubt that are shown with their reason.
const IN_DOUBT_SHOWN: u32 = 10;

#[derive(Serialize)]
struct WhyJson<'a> {
    level: &'static str,
    sentence: String,
    problems: Vec<ProblemJson<'a>>,
    /// The latest signals in doubt, each with the reason in `note`.
    in_doubt: Vec<SignalJson<'a>>,
}

#[derive(Serialize)]
struct ProblemJson<'a> {
    level: &'static str,
    alert: &'static str,
    title: String,
    meaning: String,
    next: &'a str,
    command: Option<&'a str>,
    money: Option<String>,
    since_ms: Option<i64>,
}

/// Prints the present state, also while the state store does not answer.
pub async fn why(group: &dyn Group, form: Form) -> Result<(), Failure> {
    let read = group.facts().await;
    let in_doubt = in_doubt(group, &read.facts).await;
    group.close().await;
    let (overview, now_ms) = (Overview::of(&read.facts), read.facts.now_ms);
    match form {
        Form::Json => print_json(&WhyJson {
            level: own_alerts(&overview, &read.facts).map_or(overview.level, |(_, level)| level).as_str(),
            sentence: in_words(&overview.sentence, now_ms),
            problems: overview.problems.iter().map(|problem| json(problem, now_ms)).collect(),
            in_doubt: in_doubt.iter().map(SignalJson::from).collect(),
        }),
        Form::Table => {
            let causes: Vec<String> = read.failures.iter().map(|failure| visible(&failure.message)).collect();
            let mut text = render(&overview, &causes, now_ms);
            if let Some((id, level)) = own_alerts(&overview, &read.facts) {
                text.push_str(&reports(id, level));
            }
            text.push_str(&doubts(&in_doubt));
            line(text)
        }
    }
}

/// The instance with the worst alert, if that is worse than every problem of the group.
fn own_alerts<'a>(overview: &Overview, facts: &'a Facts) -> Option<(&'a InstanceId, Health)> {
    facts.alerts_above(overview.level).max_by_key(|(_, level)| *level)
}

fn reports(id: &InstanceId, level: Health) -> String {
    let level = level.as_str();
    format!(
        "\n\n{level}  {id} reports an alert that only it evaluates\n  Next: `coordinator status` names it."
    )
}

/// The latest signals in doubt; none if the ledger does not answer, which the facts show.
async fn in_doubt(group: &dyn Group, facts: &Facts) -> Vec<Signal> {
    if facts.totals.current().is_none_or(|totals| totals.in_doubt == 0) {
        return Vec::new();
    }
    let state = Some(StateName::InDoubt);
    let query = ListQuery { state, instrument: None, before: None, limit: IN_DOUBT_SHOWN };
    group.list(&query).await.unwrap_or_default()
}

/// Why each signal is in doubt.
fn doubts(signals: &[Signal]) -> String {
    let why = |signal: &Signal| {
        let note = visible(signal.note.as_deref().unwrap_or("no reason was recorded"));
        let instrument = visible(signal.instruction.instrument.as_str());
        format!("\n\n{} ({instrument}, attempt {}) is in doubt: {note}", signal.id, signal.attempt)
    };
    signals.iter().map(why).collect()
}

fn json(problem: &Problem, now_ms: i64) -> ProblemJson<'_> {
    ProblemJson {
        level: problem.level.as_str(),
        alert: problem.alert,
        title: in_words(&problem.title, now_ms),
        meaning: in_words(&problem.meaning, now_ms),
        next: &problem.next,
        command: problem.command.as_deref(),
        money: money(&problem.money),
        since_ms: problem.since_ms,
    }
}

/// The sentence, the causes that only this command saw, and a paragraph for each problem.
fn render(overview: &Overview, causes: &[String], now_ms: i64) -> String {
    let mut text = in_words(&overview.sentence, now_ms);
    for cause in causes {
        text.push_str("\n  ");
        text.push_str(cause);
    }
    for problem in &overview.problems {
        text.push_str("\n\n");
        text.push_str(&paragraph(problem, now_ms));
    }
    text
}

fn paragraph(problem: &Problem, now_ms: i64) -> String {
    let mut facts = vec![in_words(&problem.title, now_ms)];
    facts.extend(money(&problem.money));
    facts.extend(problem.lasted(now_ms).map(|lasted| format!("for {lasted}")));
    let level = match problem.level {
        Health::Ok => "NOTE",
        level => level.as_str(),
    };
    let mut lines = vec![
        format!("{level}  {}", facts.join(" · ")),
        format!("  {}", in_words(&problem.meaning, now_ms)),
        format!("  Next: {}", problem.next),
    ];
    lines.extend(problem.command.as_ref().map(|command| format!("  $ {command}")));
    lines.push(format!("  Runbook: {}", problem.alert));
    lines.join("\n")
}

fn money(money: &Money) -> Option<String> {
    match money {
        Money::None => None,
        Money::AtRisk(amount) => Some(format!("{} at risk", rupees(*amount))),
        Money::Waits(amount) => Some(format!("{} waits", rupees(*amount))),
        Money::Unknown(Some(last)) => Some(format!("amount unknown, last known {}", rupees(*last))),
        Money::Unknown(None) => Some("amount unknown".to_owned()),
    }
}

/// Reasons and ids come from clients and operators, so nothing in them may move the cursor.
fn in_words(phrase: &Phrase, now_ms: i64) -> String {
    visible(&phrase.render(now_ms, |at_ms| format!("{} UTC", date(at_ms))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_700_000_000_000;

    #[test]
    fn a_problem_has_its_money_its_age_and_the_next_step() {
        let problem = Problem {
            level: Health::Critical,
            alert: "SignalsInDoubt",
            title: Phrase::of("2 signals are in doubt"),
            meaning: Phrase::of("Each order may be at the broker, or not."),
            next: "Look up each order at the broker, then resolve each signal.".into(),
            command: Some("coordinator signals list --state in_doubt".into()),
            money: Money::AtRisk(200_000.into()),
            since_ms: Some(NOW_MS - 259_000),
        };
        assert_eq!(
            paragraph(&problem, NOW_MS),
            "CRITICAL  2 signals are in doubt · ₹2,00,000 (2 lakh) at risk · for 4 min 19 s\n  \
             Each order may be at the broker, or not.\n  \
             Next: Look up each order at the broker, then resolve each signal.\n  \
             $ coordinator signals list --state in_doubt\n  \
             Runbook: SignalsInDoubt"
        );
    }

    #[test]
    fn a_foreign_text_moves_no_cursor() {
        let phrase = Phrase::of("asha\u{1b}[2J turned it on at ").time(NOW_MS);
        assert_eq!(in_words(&phrase, NOW_MS), "asha\\u{1b}[2J turned it on at 2023-11-14 22:13:20 UTC");
    }
}
