//! What runs as one job of the tests: a whole test binary, or one test of the suite that mostly waits. Decides which tests
//! need a quiet machine, and which begin first.

use super::binaries::Binary;
use super::job::Job;
use crate::workspace::output;
use std::process::Command;

/// The suite of which each test is a job: package and target. Its tests have their own servers and mostly wait.
const SPLIT: (&str, &str) = ("app", "e2e");
/// Tests that expect no alert, no warning and no end of a term but their own, or whose instance has a limit for much work,
/// by the name of their unit: neither chaos nor many other tests may keep the processors busy.
const QUIET: [&str; 8] = [
    "app::e2e::alerts::",
    "app::e2e::browser::",
    "app::e2e::every_alert::",
    "app::e2e::exec_kills::",
    "app::e2e::panels::",
    "app::e2e::recovery::a_hundred_thousand",
    "app::e2e::stability::",
    "coordinator::",
];
/// The tests that took longest when all were measured. They begin first, so that none of them is the last one to run.
const LONG: [&str; 8] = [
    "alerts::",
    "every_alert::",
    "browser::",
    "runbooks::",
    "recovery::a_hundred_thousand",
    "large_answer::",
    "promotion::",
    "postgres_away::",
];

/// A test binary, or one test of it.
#[derive(Debug, Clone)]
pub struct Unit {
    pub binary: Binary,
    /// The only test that runs; `None`: all.
    pub test: Option<String>,
}

impl Unit {
    /// The name in the output.
    pub fn name(&self) -> String {
        match &self.test {
            Some(test) => format!("{}::{test}", self.binary.name()),
            None => self.binary.name(),
        }
    }

    /// Whether it needs a quiet machine.
    pub fn is_quiet(&self) -> bool {
        let name = self.name();
        QUIET.iter().any(|prefix| name.starts_with(prefix))
    }

    /// The command, which `prepare` completes.
    pub fn job(&self, prepare: impl Fn(&mut Command)) -> Job {
        let arguments: Vec<&str> = match &self.test {
            Some(test) => vec![test, "--exact"],
            None => Vec::new(),
        };
        let mut command = self.binary.command(&arguments);
        prepare(&mut command);
        Job { name: self.name(), command }
    }

    fn is_long(&self) -> bool {
        self.test.as_ref().is_some_and(|test| LONG.iter().any(|prefix| test.starts_with(prefix)))
    }
}

/// The units of these binaries, in the order in which they begin.
pub fn all(binaries: Vec<Binary>) -> Result<Vec<Unit>, String> {
    let mut all = Vec::new();
    for binary in binaries {
        if is_split(&binary) {
            let list = output(&mut binary.command(&["--list", "--format", "terse"]))?;
            let tests = listed(&list);
            if tests.is_empty() {
                return Err(format!("{} lists no test", binary.name()));
            }
            all.extend(tests.into_iter().map(|test| Unit { binary: binary.clone(), test: Some(test) }));
        } else {
            all.push(Unit { binary, test: None });
        }
    }
    order(&mut all);
    Ok(all)
}

/// Whether the tests of this binary are jobs of their own.
fn is_split(binary: &Binary) -> bool {
    (binary.package.as_str(), binary.target.as_str()) == SPLIT
}

/// Whether this is the name of a unit that is one test.
pub fn is_one_test(name: &str) -> bool {
    name.strip_prefix(SPLIT.0).is_some_and(|rest| rest.starts_with(&format!("::{}::", SPLIT.1)))
}

/// The tests that `--list` printed.
fn listed(output: &str) -> Vec<String> {
    output.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect()
}

/// The order in which jobs begin: the longest tests, then whole binaries, then the other tests.
fn order(units: &mut [Unit]) {
    units.sort_by_key(|unit| match unit.test {
        Some(_) if unit.is_long() => 0,
        None => 1,
        Some(_) => 2,
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn unit(target: &str, test: Option<&str>) -> Unit {
        let path = PathBuf::from("/bin/true");
        let binary = Binary {
            package: "app".to_owned(),
            target: target.to_owned(),
            program: path.clone(),
            folder: path,
        };
        Unit { binary, test: test.map(str::to_owned) }
    }

    #[test]
    fn tests_are_listed_and_benchmarks_are_not() {
        assert_eq!(listed("a::b: test\nc: benchmark\n\n2 tests, 1 benchmarks\n"), ["a::b"]);
    }

    #[test]
    fn only_the_suite_that_waits_is_split() {
        assert!(is_split(&unit("e2e", None).binary));
        assert!(!is_split(&unit("crash_table", None).binary));
    }

    #[test]
    fn one_test_is_known_by_the_name_of_its_unit() {
        assert!(is_one_test(&unit("e2e", Some("stops::a")).name()));
        assert!(!is_one_test(&unit("e2e", None).name()));
        assert!(!is_one_test(&unit("e2e_other", Some("stops::a")).name()));
    }

    #[test]
    fn long_tests_begin_first() {
        let mut units =
            [unit("e2e", Some("stops::a")), unit("crash_table", None), unit("e2e", Some("alerts::a"))];
        order(&mut units);
        assert_eq!(
            units.map(|unit| unit.name()),
            ["app::e2e::alerts::a", "app::crash_table", "app::e2e::stops::a"]
        );
    }

    #[test]
    fn a_quiet_test_is_known_by_its_name() {
        assert!(unit("e2e", Some("stability::ten_idle_instances")).is_quiet());
        assert!(!unit("e2e", Some("stops::stability")).is_quiet());
        assert!(!unit("stability", None).is_quiet());
    }
}
