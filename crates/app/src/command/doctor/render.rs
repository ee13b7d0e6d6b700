//! The findings as text for a terminal of 80 columns. Each line that begins a finding has a sign and a word, so that it
//! reads without colour.

use crate::command::table::visible;
use domain::doctor::{Area, Finding, Verdict, worst};
use std::fmt::Write as _;

/// Longest line in characters.
const WIDTH: usize = 80;
/// Indentation of the lines below a finding.
const INDENT: usize = 4;
/// Width of the labels there.
const LABEL: usize = 8;

/// All findings, and the verdict in the last line.
pub fn report(findings: &[Finding]) -> String {
    let mut text = String::new();
    for area in Area::ALL {
        let mut of_area = findings.iter().filter(|finding| finding.check.area() == area).peekable();
        if of_area.peek().is_none() {
            continue;
        }
        writeln!(text, "{}", area.title()).expect("a String takes everything");
        for finding in of_area {
            text.push_str(&paragraph(finding));
        }
        text.push('\n');
    }
    text.push_str(&summary(findings));
    text
}

fn paragraph(finding: &Finding) -> String {
    let (sign, word, name) = (finding.verdict.sign(), finding.verdict.as_str(), finding.check.name());
    let head = format!("  {sign} {word:<8}{name:<28}");
    let found = visible(&finding.found);
    if finding.verdict == Verdict::Ok {
        return wrapped(&head, INDENT + LABEL, &found);
    }
    let label =
        |label: &str, words: &str| wrapped(&format!("{:INDENT$}{label:<LABEL$}", ""), INDENT + LABEL, words);
    let mut text = format!("{}\n", head.trim_end());
    // A warning says what is limited; everything else, which guarantee is at stake.
    text.push_str(&label("for", finding.check.guarantee()));
    text.push_str(&label("found", &found));
    if let Some(change) = &finding.change {
        text.push_str(&label("change", &visible(change)));
    }
    text
}

/// `words` behind `head`; further lines are indented. A word that is longer than a line has its own.
fn wrapped(head: &str, indent: usize, words: &str) -> String {
    let (mut text, mut line, mut empty) = (String::new(), head.to_owned(), true);
    for word in words.split_whitespace() {
        let space = usize::from(!empty);
        if !empty && line.chars().count() + space + word.chars().count() > WIDTH {
            text.push_str(line.trim_end());
            text.push('\n');
            line = " ".repeat(indent);
        } else if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    text.push_str(line.trim_end());
    text.push('\n');
    text
}

fn summary(findings: &[Finding]) -> String {
    let count = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    let of =
        |number: usize, one: &str, many: &str| format!("{number} {}", if number == 1 { one } else { many });
    let numbers = [
        of(count(Verdict::Failed), "guarantee does not hold", "guarantees do not hold"),
        of(count(Verdict::Unknown), "could not be checked", "could not be checked"),
        of(count(Verdict::Warning), "warning", "warnings"),
        format!("{} ok", count(Verdict::Ok)),
    ];
    let worst = worst(findings);
    format!("{} {}: {}", worst.sign(), worst.as_str(), numbers.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::doctor::Check;

    fn finding(verdict: Verdict, found: &str, change: Option<&str>) -> Finding {
        Finding {
            check: Check::PostgresFsync,
            verdict,
            found: found.to_owned(),
            change: change.map(str::to_owned),
        }
    }

    #[test]
    fn a_report_fits_80_columns_and_ends_with_the_verdict() {
        let long = "word ".repeat(60);
        let findings = [
            finding(Verdict::Failed, "fsync = off", Some("ALTER SYSTEM SET fsync = on;")),
            finding(Verdict::Unknown, &long, Some(&long)),
            finding(Verdict::Ok, &long, None),
        ];
        let text = report(&findings);
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert!(text.lines().all(|line| !line.ends_with(' ')), "{text}");
        assert!(
            text.starts_with(
                "PostgreSQL\n  ✗ failed  postgres.fsync\n    for     An acknowledged claim or signal survives a crash of \
                 the server.\n    found   fsync = off\n    change  ALTER SYSTEM SET fsync = on;\n  ? unknown "
            ),
            "{text}"
        );
        let last = text.lines().last();
        assert_eq!(
            last,
            Some("✗ failed: 1 guarantee does not hold, 1 could not be checked, 0 warnings, 1 ok")
        );
    }

    #[test]
    fn no_answer_of_a_server_moves_the_cursor() {
        let text = report(&[finding(Verdict::Ok, "\u{1b}[2J", None)]);
        assert!(text.contains("\\u{1b}[2J") && !text.contains('\u{1b}'), "{text}");
    }
}
