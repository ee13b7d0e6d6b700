//! The broker of the demonstration and of the tests: a file that keeps every order it is told, also twice.
//!
//! It shows what a receiver of orders can do for us: it remembers the largest epoch that it was asked under, with the
//! leader's claim, and refuses orders of a smaller one and of the same one under another claim. So when it says that it has no order for a signal, none can come any more, not
//! even from a leader that was stopped just before it sent, and the signal may be sent again.

use async_trait::async_trait;
use domain::id::ClaimId;
use domain::lease::{Epoch, Token};
use domain::ledger::{HandlerFence, Settlement, Signal, SignalId};
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
        let (_locked, fence) = self.gate()?;
        if fence.is_past(token.epoch, token.claim) {
            return Ok(Settlement::Received);
        }
        let mut file = OpenOptions::new().create(true).append(true).open(&self.path)?;
        file.write_all(format!("{} {}\n", signal.id, token.epoch).as_bytes())?;
        file.sync_data()?;
        Ok(Settlement::Done)
    }

    /// Whether there is an order for the signal. From now on none of a smaller epoch is accepted, nor of this one under
    /// another claim.
    fn find(&self, signal: &Signal, token: &Token) -> io::Result<Settlement> {
        let (mut locked, fence) = self.gate()?;
        if fence.is_past(token.epoch, token.claim) {
            return Ok(Settlement::InDoubt);
        }
        locked.set_len(0)?;
        locked.rewind()?;
        locked.write_all(format!("{} {}", token.epoch, token.claim).as_bytes())?;
        let has = self.orders()?.iter().any(|order| order == signal.id.as_str());
        Ok(if has { Settlement::Done } else { Settlement::Received })
    }

    /// One at a time: the locked file with the latest leader that asked, and the fence with that leader.
    fn gate(&self) -> io::Result<(File, HandlerFence<SignalId>)> {
        let path = self.path.with_extension("epoch");
        let mut file = OpenOptions::new().create(true).read(true).write(true).truncate(false).open(path)?;
        file.lock()?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let latest = text
            .split_once(' ')
            .and_then(|(epoch, claim)| Some((Epoch(epoch.parse().ok()?), ClaimId::parse(claim)?)));
        let fence = latest.map(|(epoch, claim)| HandlerFence::resumed(epoch, claim)).unwrap_or_default();
        Ok((file, fence))
    }
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
