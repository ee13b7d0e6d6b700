//! The broker of the demonstration and of the tests: a file that keeps every order that it receives,
//! including one that it receives twice.
//!
//! It shows what a receiver of orders should do. It remembers the largest epoch of a request or lookup, with
//! the leader's claim, and the attempts that were looked up in that epoch. It refuses orders of a smaller
//! epoch, orders of the same epoch under another claim, and those attempts. So if it answers that it has no
//! order for a signal, none can arrive later: neither from a leader that was stopped just before it sent, nor
//! from the same leader, whose request took too long.

use async_trait::async_trait;
use domain::id::ClaimId;
use domain::lease::{Epoch, Token};
use domain::ledger::{HandlerFence, Outcome, Signal};
use domain::ports::{Answer, SignalHandler};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::PathBuf;

/// A file with a line for every order: the signal's name and the epoch.
#[derive(Debug, Clone)]
pub struct Broker {
    path: PathBuf,
}

impl Broker {
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The names of all orders, in order of arrival.
    pub fn orders(&self) -> io::Result<Vec<String>> {
        match fs::read_to_string(&self.path) {
            Ok(text) => {
                Ok(text.lines().filter_map(|line| line.split(' ').next().map(str::to_owned)).collect())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Accepts an order. It is one write of one short line at the end of the file, so it is written as a
    /// whole or not at all.
    fn accept(&self, signal: &Signal, token: &Token) -> io::Result<Outcome> {
        let (mut locked, mut fence) = self.gate()?;
        if fence.refuses(&name(signal), signal.attempt, token.epoch, token.claim) {
            return Ok(Outcome::Received);
        }
        if fence.latest() != Some((token.epoch, token.claim)) {
            fence.see(token.epoch, token.claim);
            keep(&mut locked, &fence)?;
        }
        let mut file = OpenOptions::new().create(true).append(true).open(&self.path)?;
        file.write_all(format!("{} {}\n", signal.id, token.epoch).as_bytes())?;
        file.sync_data()?;
        Ok(Outcome::Done)
    }

    /// Whether there is an order for the signal. From now on the broker refuses this attempt, every order of
    /// a smaller epoch, and every order of this epoch under another claim.
    fn find(&self, signal: &Signal, token: &Token) -> io::Result<Outcome> {
        let (mut locked, mut fence) = self.gate()?;
        if fence.is_past(token.epoch, token.claim) {
            return Ok(Outcome::InDoubt);
        }
        fence.see(token.epoch, token.claim);
        fence.promise(name(signal), signal.attempt);
        keep(&mut locked, &fence)?;
        let has = self.orders()?.iter().any(|order| order == signal.id.as_str());
        Ok(if has { Outcome::Done } else { Outcome::Received })
    }

    /// Locks the file of the fence, so that one request at a time uses it, and reads the fence.
    fn gate(&self) -> io::Result<(File, HandlerFence<String>)> {
        let path = self.path.with_extension("epoch");
        let mut file = OpenOptions::new().create(true).read(true).write(true).truncate(false).open(path)?;
        file.lock()?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        Ok((file, read(&text).unwrap_or_default()))
    }
}

/// Writes the fence. It is durable when this returns, and no request is answered before.
fn keep(file: &mut File, fence: &HandlerFence<String>) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(written(fence).as_bytes())?;
    file.sync_data()
}

/// The name by which the fence knows a signal.
fn name(signal: &Signal) -> String {
    signal.id.as_str().to_owned()
}

/// The text of the fence: a line with the epoch and the claim of the latest leader, then one for each lookup:
/// the signal and its attempt.
fn written(fence: &HandlerFence<String>) -> String {
    let latest = fence.latest().map(|(epoch, claim)| format!("{epoch} {claim}\n"));
    let promises = fence.promises().map(|(id, attempt)| format!("{id} {attempt}\n"));
    latest.into_iter().chain(promises).collect()
}

/// Parses the text of a fence; `None` before the first lookup.
fn read(text: &str) -> Option<HandlerFence<String>> {
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    let (epoch, claim) = lines.next()?;
    let mut fence = HandlerFence::resumed(Epoch(epoch.parse().ok()?), ClaimId::parse(claim)?);
    for (id, attempt) in lines {
        fence.promise(id.to_owned(), attempt.parse().ok()?);
    }
    Some(fence)
}

/// After a failed write it is unknown whether the file has the line.
#[async_trait]
impl SignalHandler for Broker {
    async fn execute(&self, signal: &Signal, token: &Token) -> Answer {
        answer(self.accept(signal, token))
    }

    async fn lookup(&self, signal: &Signal, token: &Token) -> Answer {
        answer(self.find(signal, token))
    }
}

fn answer(outcome: io::Result<Outcome>) -> Answer {
    match outcome {
        Ok(outcome) => Answer { outcome, note: "the test's broker".to_owned() },
        Err(error) => Answer::unknown(format!("the test's broker: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::id::Nonce;
    use domain::lease::Timeline;
    use domain::ledger::SignalState;

    fn token(epoch: u64) -> Token {
        let claim = Nonce::new(11).claim(u32::try_from(epoch).expect("a small epoch"));
        Token { timeline: Timeline(1), epoch: Epoch(epoch), claim }
    }

    fn attempt(attempt: u32) -> Signal {
        let new = contract::signal_ledger::signal("s-1");
        Signal {
            id: new.id(),
            instruction: new.instruction,
            arrival: 1,
            state: SignalState::Received,
            attempt,
            received_ms: 0,
            claimed_ms: None,
            settled_ms: None,
            note: None,
        }
    }

    /// The request of attempt 1 took too long. The same leader looks the signal up and sends attempt 2 before
    /// the request arrives.
    #[test]
    fn an_attempt_that_was_looked_up_comes_too_late() {
        let folder = tempfile::tempdir().expect("a directory");
        let broker = Broker::new(folder.path().join("orders"));
        let two = attempt(2);
        assert_eq!(broker.find(&attempt(1), &token(1)).expect("a file"), Outcome::Received);
        assert_eq!(broker.accept(&two, &token(1)).expect("a file"), Outcome::Done);
        assert_eq!(broker.accept(&attempt(1), &token(1)).expect("a file"), Outcome::Received, "too late");
        assert_eq!(broker.orders().expect("a file"), ["s-1"]);
        assert_eq!(broker.find(&two, &token(2)).expect("a file"), Outcome::Done);
        assert_eq!(
            broker.accept(&attempt(3), &token(1)).expect("a file"),
            Outcome::Received,
            "a smaller epoch"
        );
        assert_eq!(
            broker.accept(&attempt(1), &token(2)).expect("a file"),
            Outcome::Received,
            "was looked up"
        );
        assert_eq!(broker.orders().expect("a file"), ["s-1"]);
    }
}
