//! The broker of the demonstration and of the tests: a file that keeps every order that it receives, also one that comes
//! twice.
//!
//! It shows what a receiver of orders can do for us. It remembers the largest epoch of a lookup, with the leader's claim,
//! and the attempts that it was asked about in that epoch. It refuses orders of a smaller epoch, orders of the same epoch
//! under another claim, and those attempts. So when it answers that it has no order for a signal, none can come any more:
//! not from a leader that was stopped just before it sent, and not from the same leader, whose request took too long.

use async_trait::async_trait;
use domain::lease::{Epoch, Token};
use domain::ledger::{Settlement, Signal};
use domain::ports::{Answer, SignalHandler};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::PathBuf;

/// A file with a line for every order: its name and the epoch.
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

    /// Accepts an order. One write of one short line at the end of the file: whole or not at all.
    fn accept(&self, signal: &Signal, token: &Token) -> io::Result<Settlement> {
        let (_locked, latest) = self.gate()?;
        if latest.is_some_and(|latest| latest.refuses(token) || latest.has_looked_up(signal, token)) {
            return Ok(Settlement::Received);
        }
        let mut file = OpenOptions::new().create(true).append(true).open(&self.path)?;
        file.write_all(format!("{} {}\n", signal.id, token.epoch).as_bytes())?;
        file.sync_data()?;
        Ok(Settlement::Done)
    }

    /// Whether there is an order for the signal. From now on this attempt of it is not accepted, nor anything of a smaller
    /// epoch or of this one under another claim.
    fn find(&self, signal: &Signal, token: &Token) -> io::Result<Settlement> {
        let (mut locked, latest) = self.gate()?;
        if latest.as_ref().is_some_and(|latest| latest.refuses(token)) {
            return Ok(Settlement::InDoubt);
        }
        let earlier = latest.filter(|latest| latest.epoch == token.epoch).map(|latest| latest.looked_up);
        let mut text = format!("{} {}\n", token.epoch, token.claim);
        for (id, attempt) in earlier.unwrap_or_default().into_iter().chain([looked_up(signal)]) {
            text.push_str(&format!("{id} {attempt}\n"));
        }
        locked.set_len(0)?;
        locked.rewind()?;
        locked.write_all(text.as_bytes())?;
        locked.sync_data()?;
        let has = self.orders()?.iter().any(|order| order == signal.id.as_str());
        Ok(if has { Settlement::Done } else { Settlement::Received })
    }

    /// One at a time: the locked file with the latest lookups, and these.
    fn gate(&self) -> io::Result<(File, Option<Latest>)> {
        let path = self.path.with_extension("epoch");
        let mut file = OpenOptions::new().create(true).read(true).write(true).truncate(false).open(path)?;
        file.lock()?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        Ok((file, Latest::parse(&text)))
    }
}

/// The leader with the largest epoch, and what it has looked up.
struct Latest {
    epoch: Epoch,
    claim: String,
    looked_up: Vec<(String, u32)>,
}

impl Latest {
    /// A line with the epoch and the claim, then one for each lookup: the signal and its attempt.
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines().filter_map(|line| line.split_once(' '));
        let (epoch, claim) = lines.next()?;
        let looked_up = lines.filter_map(|(id, attempt)| Some((id.to_owned(), attempt.parse().ok()?)));
        Some(Self {
            epoch: Epoch(epoch.parse().ok()?),
            claim: claim.to_owned(),
            looked_up: looked_up.collect(),
        })
    }

    fn refuses(&self, token: &Token) -> bool {
        token.epoch < self.epoch || token.epoch == self.epoch && token.claim.to_string() != self.claim
    }

    /// This attempt, or a later one, was looked up: it may have been called not executed.
    fn has_looked_up(&self, signal: &Signal, token: &Token) -> bool {
        token.epoch == self.epoch
            && self
                .looked_up
                .iter()
                .any(|(id, attempt)| id == signal.id.as_str() && signal.attempt <= *attempt)
    }
}

fn looked_up(signal: &Signal) -> (String, u32) {
    (signal.id.as_str().to_owned(), signal.attempt)
}

/// A failed write may have left a line: nobody knows.
#[async_trait]
impl SignalHandler for Broker {
    async fn execute(&self, signal: &Signal, token: &Token) -> Answer {
        answer(self.accept(signal, token))
    }

    async fn lookup(&self, signal: &Signal, token: &Token) -> Answer {
        answer(self.find(signal, token))
    }
}

fn answer(outcome: io::Result<Settlement>) -> Answer {
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

    /// The request of attempt 1 took too long: the same leader looks it up and sends attempt 2 before it arrives.
    #[test]
    fn an_attempt_that_was_looked_up_comes_too_late() {
        let folder = tempfile::tempdir().expect("a directory");
        let broker = Broker::new(folder.path().join("orders"));
        let two = attempt(2);
        assert_eq!(broker.find(&attempt(1), &token(1)).expect("a file"), Settlement::Received);
        assert_eq!(broker.accept(&two, &token(1)).expect("a file"), Settlement::Done);
        assert_eq!(broker.accept(&attempt(1), &token(1)).expect("a file"), Settlement::Received, "too late");
        assert_eq!(broker.orders().expect("a file"), ["s-1"]);
        assert_eq!(broker.find(&two, &token(2)).expect("a file"), Settlement::Done);
        assert_eq!(
            broker.accept(&attempt(3), &token(1)).expect("a file"),
            Settlement::Received,
            "a smaller epoch"
        );
        assert_eq!(
            broker.accept(&attempt(1), &token(2)).expect("a file"),
            Settlement::Received,
            "was looked up"
        );
        assert_eq!(broker.orders().expect("a file"), ["s-1"]);
    }
}
