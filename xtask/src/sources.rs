//! Checks the text of source files: their length, and marks that need a reason next to them.

use crate::report::{Findings, listed};
use crate::workspace::{SourceFile, Workspace};

/// A longer file has two subjects.
const LINES_MAX: usize = 500;
/// The aim. Longer files are listed, so that the next editor considers a split.
const LINES_AIM: usize = 300;

/// Fails above [`LINES_MAX`] lines and names the files above [`LINES_AIM`].
pub fn lengths(workspace: &Workspace) -> Findings {
    let mut problems = Vec::new();
    let mut above_aim = Vec::new();
    for file in workspace.files(&["rs"]).map_err(|problem| vec![problem])? {
        let lines = file.text.lines().count();
        if lines > LINES_MAX {
            problems.push(format!("{}: {lines} lines, {LINES_MAX} is the most", file.path));
        } else if lines > LINES_AIM {
            above_aim.push(format!("{} ({lines})", file.path));
        }
    }
    let remark = match above_aim.as_slice() {
        [] => String::new(),
        files => format!("above the aim of {LINES_AIM} lines: {}", files.join(", ")),
    };
    listed(problems, remark)
}

/// Marks that the source must not contain, or not without a reason.
struct Mark {
    /// Assembled from halves where this file would find itself.
    text: &'static str,
    place: Place,
    pardon: Pardon,
    says: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Anywhere,
    /// Tests and the crates for them: there, a wait must have a reason.
    Tests,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pardon {
    Never,
    /// A comment on the line or the line above, or `reason = "..."` within the attribute.
    Reason,
}

const MARKS: [Mark; 8] = [
    Mark {
        text: concat!("TO", "DO"),
        place: Place::Anywhere,
        pardon: Pardon::Never,
        says: "nothing is left for later in the source",
    },
    Mark {
        text: concat!("FIX", "ME"),
        place: Place::Anywhere,
        pardon: Pardon::Never,
        says: "nothing is left for later in the source",
    },
    Mark {
        text: concat!("to", "do!("),
        place: Place::Anywhere,
        pardon: Pardon::Never,
        says: "no stub ships",
    },
    Mark {
        text: concat!("unimple", "mented!("),
        place: Place::Anywhere,
        pardon: Pardon::Never,
        says: "no stub ships",
    },
    Mark {
        text: concat!("#[ig", "nore"),
        place: Place::Anywhere,
        pardon: Pardon::Reason,
        says: "a test that does not run needs a reason",
    },
    Mark {
        text: concat!("#[al", "low("),
        place: Place::Anywhere,
        pardon: Pardon::Reason,
        says: "a lint exception needs a reason",
    },
    Mark {
        text: concat!("#[ex", "pect("),
        place: Place::Anywhere,
        pardon: Pardon::Reason,
        says: "a lint exception needs a reason",
    },
    Mark {
        text: concat!("sl", "eep("),
        place: Place::Tests,
        pardon: Pardon::Reason,
        says: "a test that waits for time to pass needs a reason; wait for the event instead",
    },
];

/// Lines of an attribute within which its reason may follow.
const ATTRIBUTE_LINES_MAX: usize = 6;

/// Finds [`MARKS`] in all Rust files.
pub fn marks(workspace: &Workspace) -> Findings {
    let files = workspace.files(&["rs"]).map_err(|problem| vec![problem])?;
    let marks = files.iter().flat_map(marks_in);
    let uncut = files.iter().filter(|file| file.path == CUT_FILE).flat_map(uncut_waits);
    listed(marks.chain(uncut).collect(), format!("{} files", files.len()))
}

fn marks_in(file: &SourceFile) -> Vec<String> {
    let lines: Vec<&str> = file.text.lines().collect();
    let tests_from = first_line_of_tests(file, &lines);
    let mut problems = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        for mark in &MARKS {
            let here = match mark.place {
                Place::Anywhere => true,
                Place::Tests => index >= tests_from,
            };
            let pardoned = match mark.pardon {
                Pardon::Never => false,
                Pardon::Reason => has_reason(&lines, index),
            };
            if here && !pardoned && has_word(line, mark.text) {
                problems.push(format!("{}:{}: `{}`: {}", file.path, index + 1, mark.text, mark.says));
            }
        }
    }
    problems
}

/// All lines from here on are test code; past the end if the file has none.
fn first_line_of_tests(file: &SourceFile, lines: &[&str]) -> usize {
    let all = file.path.contains("/tests/") || file.path.ends_with("/tests.rs");
    if all || ["crates/contract/", "crates/testkit/"].iter().any(|tests| file.path.starts_with(tests)) {
        return 0;
    }
    lines.iter().position(|line| line.trim() == "#[cfg(test)]").unwrap_or(lines.len())
}

/// Whether `word` is in the line and is not the end of a longer name.
fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let joins = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        // A mark that ends in its bracket is complete, whatever follows.
        !joins(before) && (word.ends_with('(') || !joins(after))
    })
}

/// A comment on the line, a comment above it, or a reason inside the attribute that begins on the line.
fn has_reason(lines: &[&str], index: usize) -> bool {
    let above = index.checked_sub(1).map_or("", |above| lines[above].trim());
    lines[index].contains("// ") || above.starts_with("//") || attribute_has_reason(&lines[index..])
}

fn attribute_has_reason(lines: &[&str]) -> bool {
    let [first, ..] = lines else { return false };
    if !first.trim().starts_with("#[") {
        return false;
    }
    let end =
        lines.iter().take(ATTRIBUTE_LINES_MAX).position(|line| line.trim_end().ends_with(']')).unwrap_or(0);
    lines[..=end].iter().any(|line| line.contains("reason = ") || line.contains(concat!("ig", "nore = \"")))
}

/// The leader's work, in which a test can cut every wait (see `crates/coordinator/src/crash_point.rs`).
const CUT_FILE: &str = "crates/coordinator/src/ledger/dispatch.rs";
/// The end of a wait in that file.
const WAIT: &str = ".await";
/// Waits in the form of a name, which a test could not cut.
const HIDDEN_WAITS: [&str; 5] = ["select!", "join!", "poll_fn(", ".poll(", "spawn("];

/// Checks that every `.await` is that of an `at(CrashPoint::NAME, ..)`, or of a function of this file that is
/// called on `self`, whose own waits are checked too. Every name is used once, because only the first of two
/// places would be cut. The compiler checks that the test has an expectation for every name.
fn uncut_waits(file: &SourceFile) -> Vec<String> {
    let code: Vec<&str> =
        file.text.lines().map(|line| line.split_once("//").map_or(line, |(code, _)| code)).collect();
    let code = code.join("\n");
    let tell = |at: usize, what: &str| {
        let number = code[..at].matches('\n').count() + 1;
        format!("{}:{number}: {what}", file.path)
    };
    let mut problems = Vec::new();
    let mut names = Vec::new();
    for (at, _) in code.match_indices(WAIT) {
        match crash_point(&code[..at]) {
            None if is_own_call(&code[..at], &code) => {}
            None => problems.push(tell(at, "this wait has no crash point: `at(CrashPoint::NAME, ..).await`")),
            Some(name) if names.contains(&name) => {
                problems.push(tell(at, &format!("`{name}` has a place already: a wait needs its own")));
            }
            Some(name) => names.push(name),
        }
    }
    for hidden in HIDDEN_WAITS {
        let found = code.match_indices(hidden);
        problems.extend(found.map(|(at, _)| tell(at, &format!("`{hidden}` waits where nothing can be cut"))));
    }
    problems
}

/// The name of the crash point whose call is the last expression of `code`.
fn crash_point(code: &str) -> Option<&str> {
    let (before, arguments) = last_call(code)?;
    let argument = arguments.trim_start().strip_prefix("CrashPoint::")?;
    let before = before.strip_suffix("at")?;
    let longer = before.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | ':'));
    (!longer).then(|| argument.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default())
}

/// Whether the last expression of `code` is `self.NAME(..)`, with NAME an async function of the file `all`.
fn is_own_call(code: &str, all: &str) -> bool {
    let Some((before, _)) = last_call(code) else { return false };
    let own = before.rsplit_once("self.").map(|(_, name)| name).unwrap_or_default();
    let is_name = !own.is_empty() && own.chars().all(|c| c.is_alphanumeric() || c == '_');
    is_name && all.contains(&format!("async fn {own}("))
}

/// The text before the parentheses that end `code`, and the text in them.
fn last_call(code: &str) -> Option<(&str, &str)> {
    let call = code.trim_end().strip_suffix(')')?;
    let mut depth = 1;
    let open = call.rfind(|c| {
        depth += match c {
            ')' => 1,
            '(' => -1,
            _ => 0,
        };
        depth == 0
    })?;
    Some((&call[..open], &call[open + 1..]))
}

/// Words in the domain that would require std.
pub fn std_in_domain(workspace: &Workspace) -> Result<Vec<String>, String> {
    let files = workspace.files(&["rs"])?;
    let domain: Vec<_> = files.iter().filter(|file| file.path.starts_with("crates/domain/src/")).collect();
    let mut problems = Vec::new();
    let root = domain.iter().find(|file| file.path == "crates/domain/src/lib.rs");
    if !root.is_some_and(|root| root.text.lines().any(|line| line == "#![no_std]")) {
        problems.push("crates/domain/src/lib.rs: the line #![no_std] is missing".to_owned());
    }
    for file in domain {
        let named = file.text.lines().zip(1..).filter(|(line, _)| line.contains("extern crate std"));
        problems.extend(named.map(|(_, number)| format!("{}:{number}: `extern crate std`", file.path)));
    }
    Ok(problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> usize {
        marks_in(&SourceFile { path: path.to_owned(), text: text.to_owned() }).len()
    }

    #[test]
    fn unfinished_work_is_never_pardoned() {
        assert_eq!(found("crates/x/src/a.rs", concat!("// reason\n// TO", "DO later")), 1);
        assert_eq!(found("crates/x/src/a.rs", concat!("// reason\nto", "do!()")), 1);
        assert_eq!(found("crates/x/src/a.rs", "mastodons"), 0);
    }

    #[test]
    fn waiting_is_judged_in_tests_only() {
        let waits = concat!("thread::sl", "eep(second);");
        assert_eq!(found("crates/x/src/a.rs", waits), 0);
        assert_eq!(found("crates/x/tests/a.rs", waits), 1);
        assert_eq!(found("crates/testkit/src/proxy.rs", waits), 1);
        assert_eq!(found("crates/contract/src/lib.rs", waits), 1);
        assert_eq!(
            found("crates/x/src/a.rs", &format!("{waits}\n#[cfg(test)]\nmod tests {{\n{waits}\n}}")),
            1
        );
        assert_eq!(found("crates/x/tests/a.rs", concat!("select pg_sl", "eep(1)")), 0);
    }

    #[test]
    fn a_reason_pardons_on_the_line_or_the_line_above() {
        let waits = concat!("thread::sl", "eep(second);");
        assert_eq!(found("crates/x/tests/a.rs", &format!("{waits} // the delay under test")), 0);
        assert_eq!(found("crates/x/tests/a.rs", &format!("// the delay under test\n{waits}")), 0);
        assert_eq!(found("crates/x/tests/a.rs", &format!("// the delay under test\n\n{waits}")), 1);
    }

    #[test]
    fn an_attribute_may_carry_its_reason() {
        let attribute = |rest: &str| format!("{}{rest}\nfn f() {{}}", concat!("#[ex", "pect("));
        assert_eq!(found("crates/x/src/a.rs", &attribute("lint, reason = \"why\")]")), 0);
        assert_eq!(found("crates/x/src/a.rs", &attribute("\n lint,\n reason = \"why\"\n)]")), 0);
        assert_eq!(found("crates/x/src/a.rs", &attribute("lint)]\n#[other(reason = \"no\")]")), 1);
        assert_eq!(found("crates/x/src/a.rs", concat!("#[ig", "nore = \"why\"]")), 0);
        assert_eq!(found("crates/x/src/a.rs", concat!("#[ig", "nore]")), 1);
    }
    fn uncut(text: &str) -> Vec<String> {
        uncut_waits(&SourceFile { path: "d.rs".to_owned(), text: text.to_owned() })
    }

    #[test]
    fn a_wait_has_a_crash_point_of_its_own() {
        assert_eq!(uncut("let a = at(CrashPoint::Claim, ledger.claim_next(&token)).await?;"), [""; 0]);
        assert_eq!(uncut("at(\n    CrashPoint::Claim,\n    f(g(), (1, 2)),\n)\n.await"), [""; 0]);
        assert_eq!(uncut("// told.await\nlet s = at(CrashPoint::A, f()).await; // f().await"), [""; 0]);
        for bare in [
            "ledger.claim_next(&token).await?;",
            "future.await",
            "f(at(CrashPoint::Claim, g())).await",
            "at(CrashPoint::Claim, g()).map(h()).await",
            "cat(CrashPoint::Claim, g()).await",
            "x.at(CrashPoint::Claim, g()).await",
            "at(point, g()).await",
            "at(CrashPoint::Claim, async { g().await })",
            "select! { a = f() => {} }",
        ] {
            assert_eq!(uncut(bare).len(), 1, "{bare}");
        }
    }

    #[test]
    fn a_crash_point_has_one_place() {
        let own = "async fn step(&mut self) {}\nself.step(f(1)).await";
        assert_eq!(uncut(own), [""; 0]);
        for not_ours in [
            "self.step().await",
            "async fn step() {}\nother.step().await",
            "async fn step() {}\nself.a.step().await",
        ] {
            assert_eq!(uncut(not_ours).len(), 1, "{not_ours}");
        }
        let twice = uncut("at(CrashPoint::A, f()).await;\nat(CrashPoint::A, g()).await;");
        assert_eq!(twice.len(), 1);
        assert!(twice[0].starts_with("d.rs:2: `A`"), "{twice:?}");
    }

    #[test]
    fn the_file_that_is_cut_is_there_and_waits() {
        let workspace = Workspace::find().unwrap();
        let files = workspace.files(&["rs"]).unwrap();
        let cut =
            files.iter().find(|file| file.path == CUT_FILE).expect("the leader's work moved: follow it");
        assert!(cut.text.contains(WAIT));
        assert_eq!(uncut_waits(cut), [""; 0]);
    }
}
