//! Reads the output of `cargo test`: which binaries ran, what each one's summary line says.

/// How cargo announces the documentation tests of a crate.
const DOC_TESTS: &str = "Doc-tests ";
/// How cargo announces a test binary.
const ANNOUNCEMENTS: [&str; 2] = ["Running ", DOC_TESTS];
/// In the first line of a panic.
const PANIC: &str = " panicked at ";
/// How the lines behind the message of a panic begin.
const STACKS: [&str; 2] = ["stack backtrace:", "note: run with `RUST_BACKTRACE"];
/// Longest part of a message that is repeated at the end of the run, in lines, and of all messages of a job.
const REASON_LINES: usize = 20;
const REASON_LINES_MAX: usize = 60;
/// How its summary begins.
const RESULT: &str = "test result: ";

/// What `cargo test` said, added up.
#[derive(Debug, Default)]
pub struct Summary {
    passed: usize,
    failed: usize,
    /// Binaries with a failed test, and those that died.
    failed_binaries: Vec<String>,
    /// Each binary that ran, as it was announced, and how many of its tests passed.
    binaries: Vec<(String, usize)>,
    /// The binary that runs, as it was announced, and its summary lines so far.
    running: Option<(String, Vec<String>)>,
}

impl Summary {
    /// Reads what one binary wrote to standard output, where cargo announces nothing.
    pub fn of_binary(name: &str, output: &str) -> Self {
        let mut summary = Self { running: Some((name.to_owned(), Vec::new())), ..Self::default() };
        output.lines().for_each(|line| summary.read(line));
        summary.end();
        summary
    }

    /// Reads what a call of `cargo test` wrote. If no binary ran, the call is one failure.
    pub fn of_cargo(name: &str, output: &str) -> Self {
        let mut summary = Self::default();
        output.lines().for_each(|line| summary.read(line));
        summary.end();
        if summary.passed + summary.failed == 0 {
            summary.part(name, Err("no test ran".to_owned()));
        }
        summary
    }

    /// Reads the next line. cargo indents its announcements, which distinguishes them from what a test prints.
    pub fn read(&mut self, line: &str) {
        let trimmed = line.trim_start();
        let announced = ANNOUNCEMENTS.iter().any(|announcement| trimmed.starts_with(announcement));
        if announced && trimmed != line {
            self.end();
            self.running = Some((trimmed.to_owned(), Vec::new()));
        } else if let Some(result) = line.strip_prefix(RESULT)
            && let Some((_, results)) = &mut self.running
        {
            results.push(result.to_owned());
        }
    }

    /// The binary that runs has said all it will. Without a summary it died, which counts as one failure,
    /// because the result of its tests is unknown.
    pub fn end(&mut self) {
        let Some((binary, results)) = self.running.take() else { return };
        // Documentation tests run in several rounds. In other binaries the runner speaks last: an earlier
        // line is the output of a failed test.
        let skipped = if binary.starts_with(DOC_TESTS) { 0 } else { results.len().saturating_sub(1) };
        let own = &results[skipped..];
        let failed = if own.is_empty() { 1 } else { own.iter().map(|result| count(result, "failed")).sum() };
        let passed = own.iter().map(|result| count(result, "passed")).sum::<usize>();
        self.binaries.push((binary.clone(), passed));
        self.passed += passed;
        self.failed += failed;
        if failed > 0 {
            self.failed_binaries.push(binary);
        }
    }

    /// A part that is a separate program: it passed, or it failed with a reason.
    pub fn part(&mut self, name: &str, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => self.passed += 1,
            Err(problem) => {
                self.failed += 1;
                self.failed_binaries.push(format!("{name}: {problem}"));
            }
        }
    }

    /// Adds what another run of cargo said.
    pub fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.failed_binaries.extend(other.failed_binaries);
    }

    /// Each binary that ran, as it was announced, and how many of its tests passed.
    pub fn binaries(&self) -> &[(String, usize)] {
        &self.binaries
    }

    /// Tests that passed.
    pub fn passed(&self) -> usize {
        self.passed
    }

    /// Tests that failed, and binaries that died.
    pub fn failed(&self) -> usize {
        self.failed
    }

    /// Binaries with a failed test, and those that died, as cargo announced them.
    pub fn failed_binaries(&self) -> &[String] {
        &self.failed_binaries
    }
}

/// What a job that failed said about it: its panics without their stacks, or else its last lines.
pub fn reason(output: &str) -> String {
    let lines: Vec<&str> = output.trim_end().lines().collect();
    let mut said = Vec::new();
    let mut rest = 0;
    for line in &lines {
        if line.contains(PANIC) {
            rest = REASON_LINES;
        } else if STACKS.iter().any(|stack| line.starts_with(stack)) {
            rest = 0;
        }
        if rest > 0 {
            said.push(*line);
            rest -= 1;
        }
    }
    if said.is_empty() {
        said = lines[lines.len().saturating_sub(REASON_LINES)..].to_vec();
    }
    said.truncate(REASON_LINES_MAX);
    said.join("\n")
}

/// The number before `word` in `12 passed; 0 failed`.
fn count(result: &str, word: &str) -> usize {
    let words: Vec<&str> = result.split([' ', ';']).filter(|word| !word.is_empty()).collect();
    let pair = words.windows(2).find(|pair| pair[1] == word);
    pair.and_then(|pair| pair[0].parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
   Compiling domain v0.1.0
     Running unittests src/lib.rs (target/debug/deps/domain-1)

running 2 tests
test a ... ok
test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s

   Doc-tests domain

test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
";

    fn of_output(output: &str) -> Summary {
        let mut summary = Summary::default();
        output.lines().for_each(|line| summary.read(line));
        summary.end();
        summary
    }

    #[test]
    fn a_call_of_cargo_without_tests_is_a_failure() {
        assert_eq!(Summary::of_cargo("a", "error: could not compile\n").failed(), 1);
        let good = Summary::of_cargo("a", GOOD);
        assert_eq!((good.passed(), good.failed()), (5, 0));
    }

    fn counts(output: &str) -> (usize, usize) {
        let summary = of_output(output);
        (summary.passed(), summary.failed())
    }

    #[test]
    fn one_binary_alone_is_read() {
        let summary = Summary::of_binary("a", "test result: ok. 2 passed; 0 failed\n");
        assert_eq!((summary.passed(), summary.failed()), (2, 0));
        assert_eq!(Summary::of_binary("a", "").failed_binaries(), ["a"]);
    }

    #[test]
    fn results_are_added_up() {
        assert_eq!(counts(GOOD), (5, 0));
        assert!(of_output(GOOD).failed_binaries().is_empty());
    }

    #[test]
    fn failures_are_counted_and_their_binary_named() {
        let bad = GOOD.replace("ok. 2 passed; 0 failed", "FAILED. 1 passed; 1 failed");
        assert_eq!(counts(&bad), (4, 1));
        let named = "Running unittests src/lib.rs (target/debug/deps/domain-1)";
        assert_eq!(of_output(&bad).failed_binaries(), [named]);
    }

    #[test]
    fn a_binary_that_died_is_a_failure() {
        assert_eq!(counts(&GOOD.replace("test result: ok. 2 passed", "Segmentation fault")), (3, 1));
        assert_eq!(counts("     Running a\n"), (0, 1));
    }

    #[test]
    fn what_tests_print_is_not_counted() {
        assert_eq!(counts("     Running a\nRunning wild\ntest result: ok. 1 passed; 0 failed\n"), (1, 0));
        let forged = GOOD.replace("test a ... ok", "test result: ok. 99 passed; 0 failed");
        assert_eq!(counts(&forged), (5, 0));
    }

    #[test]
    fn documentation_tests_come_in_rounds() {
        let round = "test result: ok. 2 passed; 0 failed; 0 ignored\n";
        assert_eq!(counts(&format!("   Doc-tests domain\n{round}{round}")), (4, 0));
    }

    #[test]
    fn a_reason_is_the_panics_without_their_stacks() {
        let output = "running 1 test\nthread 'a' panicked at a.rs:1:2:\nnever: it leads\nstack backtrace:\n   0: main\n";
        assert_eq!(reason(output), "thread 'a' panicked at a.rs:1:2:\nnever: it leads");
        let long: Vec<String> = (0..50).map(|line| line.to_string()).collect();
        assert_eq!(reason(&long.join("\n")), long[30..].join("\n"));
        assert_eq!(reason(""), "");
    }

    #[test]
    fn no_output_is_no_tests() {
        assert_eq!(counts("error: could not compile\n"), (0, 0));
    }
}
