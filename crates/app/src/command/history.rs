//! `coordinator history`: the terms of the leaders, and when the state store has forgotten.

use super::group::Group;
use super::print_json;
use super::table::{date, table, visible};
use crate::command::status::Form;
use crate::failure::Failure;
use crate::output::line;
use adapter_http::TermJson;
use coordinator::clock;
use domain::decision::Decision;
use domain::member::Term;
use domain::overview::{Gap, age};

/// Text for the moment at which the loss was found.
const STORE_FORGOT: &str = "the store forgot: a standby was promoted or a backup restored";

/// Text in place of the decisions of operators.
const UNREAD: &str = "\nThe decisions of operators (remove, recovery acknowledge) could not be read.";

/// Prints the latest `limit` terms, newest first.
pub async fn history(group: &dyn Group, form: Form, limit: u32) -> Result<(), Failure> {
    let answer = group.history(limit).await;
    let decisions = group.decisions(limit).await;
    group.close().await;
    let (terms, forgot_ms) = answer?;
    match form {
        Form::Json => print_json(&terms.iter().map(TermJson::from).collect::<Vec<_>>()),
        Form::Table => {
            let forgot_ms = forgot_ms.filter(|at_ms| is_among(*at_ms, &terms, limit));
            line(render(&terms, forgot_ms, clock::calendar_ms()))?;
            match decisions {
                Some(decisions) if decisions.is_empty() => Ok(()),
                Some(decisions) => line(format_args!("\n{}", decided(&decisions))),
                None => line(UNREAD),
            }
        }
    }
}

/// The decisions of operators that concern no signal, newest first.
fn decided(decisions: &[Decision]) -> String {
    let row = |one: &Decision| {
        let by = format!("{} ({})", visible(&one.actor.who), visible(&one.actor.origin));
        vec![date(one.at_ms), by, one.subject.to_string(), visible(&one.reason)]
    };
    let rows: Vec<Vec<String>> = decisions.iter().map(row).collect();
    table(&["AT (UTC)", "OPERATOR", "DECISION", "REASON"], &rows)
}

/// Whether to show the moment. If `limit` leaves older terms out, it may belong among these.
fn is_among(at_ms: i64, terms: &[Term], limit: u32) -> bool {
    let complete = u32::try_from(terms.len()).is_ok_and(|len| len < limit);
    complete || terms.last().is_some_and(|oldest| oldest.from_ms <= at_ms)
}

/// The moment at which the store was found to have forgotten is a line between the terms. The claim that
/// finds it begins its term within the same second, so that term is above the line.
fn render(terms: &[Term], forgot_ms: Option<i64>, now_ms: i64) -> String {
    let gaps = Gap::between(terms);
    let mut rows: Vec<Vec<String>> = terms
        .iter()
        .map(|term| {
            vec![
                term.epoch.to_string(),
                term.timeline.0.to_string(),
                term.holder.to_string(),
                visible(&term.host),
                date(term.from_ms),
                term.to_ms.map_or_else(|| "now".to_owned(), date),
                visible(term.reason.as_deref().unwrap_or_default()),
            ]
        })
        .collect();
    if let Some(at_ms) = forgot_ms {
        let second = |ms: i64| ms.div_euclid(1_000);
        let after = terms.iter().take_while(|term| second(term.from_ms) >= second(at_ms)).count();
        let none = String::new;
        rows.insert(
            after,
            vec![none(), none(), none(), none(), date(at_ms), none(), STORE_FORGOT.to_owned()],
        );
    }
    for gap in &gaps {
        let epoch = gap.after.to_string();
        let Some(before) = rows.iter().position(|row| row[0] == epoch) else { continue };
        let none = String::new;
        let to = gap.to_ms.map_or_else(|| "now".to_owned(), date);
        let lasted = format!("no leader for {}", age(gap.lasted(now_ms)));
        rows.insert(before, vec![none(), none(), none(), none(), date(gap.from_ms), to, lasted]);
    }
    table(&["EPOCH", "TIMELINE", "LEADER", "HOST", "FROM (UTC)", "TO", "REASON"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::id::InstanceId;
    use domain::lease::{Epoch, Timeline};

    fn term(epoch: u64, from_ms: i64) -> Term {
        Term {
            timeline: Timeline(1),
            epoch: Epoch(epoch),
            holder: InstanceId::parse("a").expect("an id"),
            host: "host".to_owned(),
            from_ms,
            to_ms: None,
            reason: None,
        }
    }

    /// The line of the table with the moment; the first line is the header.
    fn line_of(forgot_ms: Option<i64>) -> Option<usize> {
        let table = render(&[term(3, 20_500), term(2, 10_000), term(1, 0)], forgot_ms, 30_000);
        table.lines().position(|line| line.contains(STORE_FORGOT))
    }

    #[test]
    fn a_moment_before_the_oldest_term_is_shown_only_when_no_term_is_left_out() {
        let terms = [term(3, 20_500), term(2, 10_000)];
        for (at_ms, limit, expected) in
            [(10_000, 2, true), (9_999, 2, false), (9_999, 3, true), (30_000, 2, true)]
        {
            assert_eq!(is_among(at_ms, &terms, limit), expected, "{at_ms} with a limit of {limit}");
        }
        assert!(is_among(0, &[], 20), "no instance has led since");
    }

    #[test]
    fn the_time_without_a_leader_is_a_line_between_the_terms() {
        let ended = Term { to_ms: Some(8_000), reason: Some("expired".to_owned()), ..term(1, 0) };
        let table = render(&[term(2, 20_000), ended], None, 30_000);
        let lines: Vec<&str> = table.lines().collect();
        assert!(lines[1].starts_with('2') && lines[2].contains("no leader for 12 s"), "{table}");
        assert!(lines[3].starts_with('1'), "{table}");
    }

    #[test]
    fn the_moment_is_between_the_terms_and_below_the_one_that_found_it() {
        for (forgot_ms, expected) in [(30_000, 1), (20_501, 2), (15_000, 2), (10_000, 3), (500, 4), (-1, 4)] {
            assert_eq!(line_of(Some(forgot_ms)), Some(expected), "{forgot_ms}");
        }
        assert_eq!(line_of(None), None);
    }
}
