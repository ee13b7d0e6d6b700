//! Which stages `cargo xtask test` runs, and which of them at the same time. Tests with servers mostly wait, and proofs only
//! compute: side by side they take little longer than the longer of the two.

/// A part of `cargo xtask test` that is asked for alone (`--only`), as CI spreads them over machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Only {
    /// Every stage that runs our processes and servers, chaos included.
    Tests,
    /// Simulation, model check and mutants; they need no server.
    Proofs,
}

/// What runs in addition to the tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checks {
    /// The commands of `cargo xtask check` that compile, as `cargo xtask ci` runs them.
    Included,
    /// No check.
    None,
}

/// A stage. [`Run::stage`](super::run::Run::stage) carries it out and has its name in the table of seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Tests that rely on a quiet machine, few at once.
    QuietTests,
    /// All other tests and chaos, several at once.
    TestsAndChaos,
    /// The tests of the Python client, which also start services and instances. Before the binary is replaced.
    PythonClient,
    /// The chaos campaign of many signals. It keeps both processors busy.
    ManySignals,
    /// The tests of the binary that can be cut. They replace the ordinary binary, so they come last.
    CrashPoints,
    /// Clippy, rustdoc and the other checks that compile.
    Checks,
    /// Documentation tests.
    DocTests,
    /// The simulation's own tests.
    SimulationTests,
    /// The simulation.
    Simulation,
    /// The model check.
    Model,
    /// The mutants. They build changed sources where the tests were built, so no test may run at that time.
    Mutants,
}

/// Three lists: the first two run at the same time, each in its order, and the third when both have ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    /// Stages that wait for processes and timeouts.
    pub waiting: Vec<Stage>,
    /// Stages that only compute; they get the processors that the waiting ones leave.
    pub computing: Vec<Stage>,
    /// Stages that must be alone.
    pub last: Vec<Stage>,
}

impl Plan {
    /// The stages of `only`, or all.
    pub fn new(only: Option<Only>, checks: Checks) -> Self {
        use Stage::{
            Checks as Check, CrashPoints, DocTests, ManySignals, Model, Mutants, PythonClient, QuietTests,
            Simulation, SimulationTests, TestsAndChaos,
        };
        let (tests, proofs) = (only != Some(Only::Proofs), only != Some(Only::Tests));
        let wanted = |wanted: bool, stages: &[Stage]| if wanted { stages.to_vec() } else { Vec::new() };
        let checked = wanted(checks == Checks::Included, &[Check]);
        let proved = wanted(proofs, &[SimulationTests, Simulation, Model]);
        Self {
            waiting: wanted(tests, &[QuietTests, TestsAndChaos, PythonClient, ManySignals, CrashPoints]),
            computing: [checked, wanted(tests, &[DocTests]), proved].concat(),
            last: wanted(proofs, &[Mutants]),
        }
    }
}

/// `--only tests` or `--only proofs`; `Err` is the usage.
pub fn parse(arguments: &[String]) -> Result<Option<Only>, String> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        [] => Ok(None),
        ["--only", "tests"] => Ok(Some(Only::Tests)),
        ["--only", "proofs"] => Ok(Some(Only::Proofs)),
        _ => Err("usage: cargo xtask test [--only tests | --only proofs]\n\
                  example: cargo xtask test --only proofs   (simulation, model check, mutants; no servers)"
            .to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stages(plan: &Plan) -> Vec<Stage> {
        [plan.waiting.clone(), plan.computing.clone(), plan.last.clone()].concat()
    }

    #[test]
    fn the_two_parts_together_are_everything_and_share_no_stage() {
        let all = stages(&Plan::new(None, Checks::None));
        let tests = stages(&Plan::new(Some(Only::Tests), Checks::None));
        let proofs = stages(&Plan::new(Some(Only::Proofs), Checks::None));
        assert!(tests.iter().all(|stage| !proofs.contains(stage)));
        assert_eq!(all.len(), tests.len() + proofs.len());
        assert!(all.iter().all(|stage| tests.contains(stage) || proofs.contains(stage)));
    }

    #[test]
    fn ci_runs_everything_and_the_checks() {
        let all = stages(&Plan::new(None, Checks::None));
        let ci = Plan::new(None, Checks::Included);
        assert_eq!(ci.computing.first(), Some(&Stage::Checks), "the fastest answer first");
        assert_eq!(stages(&ci).len(), all.len() + 1);
    }

    #[test]
    fn nothing_is_tested_while_mutants_are_built() {
        let plan = Plan::new(None, Checks::Included);
        assert_eq!(plan.last, [Stage::Mutants]);
    }

    #[test]
    fn the_binary_that_can_be_cut_replaces_the_ordinary_one_when_no_test_needs_it() {
        assert_eq!(Plan::new(None, Checks::None).waiting.last(), Some(&Stage::CrashPoints));
    }

    #[test]
    fn only_is_understood_or_refused() {
        let parsed = |words: &[&str]| parse(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>());
        assert_eq!(parsed(&[]), Ok(None));
        assert_eq!(parsed(&["--only", "tests"]), Ok(Some(Only::Tests)));
        assert_eq!(parsed(&["--only", "proofs"]), Ok(Some(Only::Proofs)));
        assert!(parsed(&["--only"]).is_err());
        assert!(parsed(&["--only", "test"]).is_err());
    }
}
