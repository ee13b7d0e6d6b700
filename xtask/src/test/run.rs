//! Runs `cargo test` under a time limit, passing on every line and reading along.

use super::leftovers;
use super::summary::Summary;
use std::io::{BufRead, BufReader, PipeReader};
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// The whole of CI has 60 minutes on two cores; a build from nothing takes up to 20 of them.
const RUN_MAX: Duration = Duration::from_mins(35);
/// How often the end of cargo is looked for while nothing is printed.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Lines that cargo wrote before it ended are in the pipe by then; a process left behind may hold the pipe
/// open for ever, so its end is not waited for.
const DRAIN_MAX: Duration = Duration::from_secs(1);

/// Runs `cargo` to its end. Both of its streams share one pipe, so that a summary line is seen behind the
/// announcement it belongs to. Also returns a fault other than failed tests.
pub fn tests(cargo: &mut Command) -> Result<(Summary, Option<String>), String> {
    let (reader, writer) = std::io::pipe().map_err(|error| format!("a pipe for the tests: {error}"))?;
    let second = writer.try_clone().map_err(|error| format!("a pipe for the tests: {error}"))?;
    let mut child =
        cargo.stdout(writer).stderr(second).spawn().map_err(|error| format!("cargo test: {error}"))?;
    // The command keeps its copies of the pipe; drop them, so that the pipe ends with the last test process.
    cargo.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());

    let lines = lines_of(reader);
    let mut summary = Summary::default();
    let started = Instant::now();
    let status = loop {
        pass_on(&lines, &mut summary, LOOK_EVERY);
        match child.try_wait().map_err(|error| format!("cargo test: {error}"))? {
            Some(status) => break status,
            None if started.elapsed() < RUN_MAX => {}
            None => {
                let problem = format!(
                    "no end after {} min; last: {}",
                    RUN_MAX.as_secs() / 60,
                    summary.running().unwrap_or("cargo")
                );
                leftovers::end_descendants();
                // It was just killed: it ends at once, and its status says nothing that we do not know.
                let _ = child.wait();
                summary.end();
                return Ok((summary, Some(problem)));
            }
        }
    };
    pass_on(&lines, &mut summary, DRAIN_MAX);
    summary.end();
    let unexplained = !status.success() && summary.failed() == 0;
    Ok((summary, unexplained.then(|| format!("cargo test ended with {status}"))))
}

/// Prints and reads lines until none has come for `quiet`.
fn pass_on(lines: &Receiver<String>, summary: &mut Summary, quiet: Duration) {
    loop {
        match lines.recv_timeout(quiet) {
            Ok(line) => {
                println!("{line}");
                summary.read(&line);
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn lines_of(reader: PipeReader) -> Receiver<String> {
    let (sender, receiver) = channel();
    // Not joined: it lives until the last holder of the pipe is gone, at most as long as this program.
    std::thread::spawn(move || send_lines(reader, &sender));
    receiver
}

fn send_lines(reader: PipeReader, to: &Sender<String>) {
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    // Tests may print bytes that are not text.
    while reader.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        let text = String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned();
        if to.send(text).is_err() {
            return;
        }
        line.clear();
    }
}
