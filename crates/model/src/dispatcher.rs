//! Mutants of the dispatcher and the driver. Each removes one rule of `crates/coordinator`, and the tests in
//! `crates/coordinator/tests/ledger/rules.rs` must notice it. Like the mutants of the elector, they are text edits of
//! a copy of the sources, each behind a switch (see `workshop`). One build contains all of them.

use crate::mutant::{Edit, New, also, instead};
use crate::workshop;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Stdio};

/// The crate that is mutated, and our crates that its tests need.
const CRATES: [&str; 4] = ["coordinator", "domain", "contract", "adapter-sqlite"];
/// The tests that must notice, and their part of the test program.
const TESTS: [&str; 7] = ["test", "--quiet", "--package", "coordinator", "--test", "ledger", "--"];
const RULES: &str = "rules::";

const DISPATCH: &str = "ledger/dispatch.rs";
const DRIVER: &str = "driver.rs";

/// A mutant: one rule removed.
struct Mutant {
    name: &'static str,
    /// The effect of the mutant, in a sentence.
    does: &'static str,
    edits: &'static [Edit],
    /// The test of the rule, which must fail.
    test: &'static str,
}

const MUTANTS: [Mutant; 6] = [
    Mutant {
        name: "no-fence-before-the-handler",
        does: "a claimed signal is sent without a check of the fence after the claim's answer",
        edits: &[Edit {
            file: DISPATCH,
            old: "if leader.token() != Ok(token) {\n                let note = \"leadership ended before it was sent\"",
            new: New::Text(
                "if !SWITCHED && leader.token() != Ok(token) {\n                let note = \"leadership ended before it was sent\"",
            ),
        }],
        test: "rules::a_claim_that_is_answered_during_a_handover_calls_no_handler",
    },
    Mutant {
        name: "claim-before-the-take-over",
        does: "a new leader claims before it has taken over the signals of former leaders",
        edits: &[instead(
            DISPATCH,
            "self.taken_over == Some(self.under) && self.room_for_new() > 0",
            "self.room_for_new() > 0",
        )],
        test: "rules::nothing_is_claimed_before_the_take_over",
    },
    Mutant {
        name: "claims-leave-no-room-for-lookups",
        does: "a backlog of new signals takes every place",
        edits: &[instead(
            DISPATCH,
            "room_for_new(self.running.len(), due, self.doubts.under_way())",
            "room(self.running.len())",
        )],
        test: "rules::a_backlog_of_new_signals_leaves_lookups_their_half",
    },
    Mutant {
        name: "lookups-take-all-the-room",
        does: "lookups that get no answer leave no room for new signals",
        edits: &[instead(
            DISPATCH,
            "room(self.running.len()) > 0 && self.doubts.under_way() < LOOKUPS_MAX",
            "room(self.running.len()) > 0",
        )],
        test: "rules::lookups_without_an_answer_leave_new_signals_their_half",
    },
    Mutant {
        name: "earlier-attempts-are-forgotten",
        does: "a signal that the handler has received counts as one whose claim was lost",
        edits: &[instead(DISPATCH, "!self.ledger.has_touched(&signal)", "true")],
        test: "rules::what_the_handler_had_is_looked_up_and_not_sent_again",
    },
    Mutant {
        name: "leadership-published-last",
        does: "the driver carries its commands out before readers can see that its leadership has ended",
        edits: &[
            instead(DRIVER, "self.publish(now);", ""),
            also(
                DRIVER,
                "Command::Report(report) => self.report(now, &report),\n            }\n        }\n",
                "self.publish(now);",
            ),
        ],
        test: "rules::readers_stop_believing_before_anything_is_done_about_it",
    },
];

/// Builds the mutants and runs the tests with each. Returns an error if a mutant is not noticed or the tests fail
/// without a mutant.
pub fn mutants(root: &Path, folder: &Path) -> Result<Value, String> {
    let root = root.canonicalize().map_err(|error| format!("{}: {error}", root.display()))?;
    let sources = folder.join("dispatcher");
    eprintln!("building the dispatcher's mutants in {}", sources.display());
    workshop::copy_crates(&root, &sources, &CRATES)?;
    let edits = MUTANTS.iter().map(|mutant| (mutant.name, mutant.edits));
    workshop::mutate(&sources.join("crates/coordinator/src"), edits, "")?;
    if let Ran::Failed(tests) = run(&root, &sources, None)? {
        return Err(format!("without any mutant: {} failed", tests.join(", ")));
    }
    let mut missed = Vec::new();
    let mut table = Vec::new();
    for mutant in &MUTANTS {
        let noticed = match run(&root, &sources, Some(mutant.name))? {
            Ran::Passed => false,
            Ran::Failed(tests) => tests.iter().any(|test| test == mutant.test),
        };
        let verdict = if noticed { mutant.test } else { "NOT NOTICED" };
        println!("{:<34} {verdict}", mutant.name);
        if !noticed {
            missed.push(mutant.name);
        }
        table.push(json!({ "name": mutant.name, "does": mutant.does, "test": mutant.test }));
    }
    println!("{} dispatcher mutants, {} noticed", MUTANTS.len(), MUTANTS.len() - missed.len());
    if missed.is_empty() { Ok(json!(table)) } else { Err(format!("not noticed: {}", missed.join(", "))) }
}

/// Result of the tests of the rules.
enum Ran {
    Passed,
    /// The names of the failed tests.
    Failed(Vec<String>),
}

/// Runs the tests on the copy. Its dependencies are already built for the tests of the workspace, so both share a
/// folder.
fn run(root: &Path, sources: &Path, mutant: Option<&str>) -> Result<Ran, String> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(TESTS).arg(RULES).current_dir(sources).stdin(Stdio::null());
    cargo.env("CARGO_TARGET_DIR", root.join("target")).env("RUST_BACKTRACE", "0");
    match mutant {
        Some(name) => cargo.env(workshop::SWITCH, name),
        None => cargo.env_remove(workshop::SWITCH),
    };
    let output = cargo.output().map_err(|error| format!("cargo: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    judged(output.status.success(), &said).ok_or_else(|| {
        format!("the tests of the rules did not run: {said}{}", String::from_utf8_lossy(&output.stderr))
    })
}

/// `None` if no test has run.
fn judged(succeeded: bool, said: &str) -> Option<Ran> {
    if succeeded {
        let some = said.contains("test result: ok.") && !said.contains("ok. 0 passed");
        return some.then_some(Ran::Passed);
    }
    // The list after the last `failures:` has one name per line.
    let (_, list) = said.split("test result: FAILED").next()?.rsplit_once("failures:")?;
    let failed: Vec<String> = list.split_whitespace().map(str::to_owned).collect();
    (!failed.is_empty()).then_some(Ran::Failed(failed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_without_tests_has_no_result() {
        assert!(matches!(
            judged(true, "running 8 tests\ntest result: ok. 8 passed; 0 failed"),
            Some(Ran::Passed)
        ));
        assert!(judged(true, "running 0 tests\ntest result: ok. 0 passed; 0 failed").is_none());
        assert!(judged(false, "").is_none(), "it does not compile");
        let said = "failures:\n\n---- rules::a stdout ----\nfailures: none\n\nfailures:\n    rules::a\n    rules::b\n\n\
                    test result: FAILED. 6 passed; 2 failed";
        let Some(Ran::Failed(tests)) = judged(false, said) else { panic!("two failed") };
        assert_eq!(tests, ["rules::a", "rules::b"]);
    }

    #[test]
    fn every_edit_applies_once_and_every_test_exists() {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let read = |path: &str| std::fs::read_to_string(crates.join(path)).expect(path);
        let rules = read("coordinator/tests/ledger/rules.rs");
        for mutant in &MUTANTS {
            for edit in mutant.edits {
                let source = read(&format!("coordinator/src/{}", edit.file));
                assert_eq!(source.matches(edit.old).count(), 1, "{}: {}", mutant.name, edit.old);
            }
            let test = mutant.test.trim_start_matches(RULES);
            assert!(rules.contains(&format!("async fn {test}()")), "{test}");
        }
    }
}
