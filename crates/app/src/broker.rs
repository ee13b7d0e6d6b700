//! The broker of the demonstration and of the tests: a file that keeps every order it is told, also twice.
//!
//! It shows what a receiver of orders can do for us: it remembers the largest epoch that it was asked under and
//! refuses orders of a smaller one. So when it says that it has no order for a signal, none can come any more, not
//! even from a leader that was stopped just before it sent, and the signal may be sent again.

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
    fn accept(&self, signal: &Signal, epoch: Epoch) -> io::Result<Settlement> {
        let (_locked, latest) = self.gate()?;
        if epoch < latest {
            return Ok(Settlement::Received);
        }
        let mut file = OpenOptions::new().create(true).append(true).open(&self.path)?;
        file.write_all(format!("{} {epoch}\n", signal.id).as_bytes())?;
        file.sync_data()?;
        Ok(Settlement::Done)
    }

    /// Whether there is an order for the signal. From now on none of a smaller epoch is accepted.
    fn find(&self, signal: &Signal, epoch: Epoch) -> io::Result<Settlement> {
        let (mut locked, latest) = self.gate()?;
        if epoch > latest {
            locked.set_len(0)?;
            locked.rewind()?;
            locked.write_all(epoch.to_string().as_bytes())?;
        }
        let has = self.orders()?.iter().any(|order| order == signal.id.as_str());
        Ok(if has { Settlement::Done } else { Settlement::Received })
    }

    /// One at a time: the locked file with the largest epoch that somebody asked under, and that epoch.
    fn gate(&self) -> io::Result<(File, Epoch)> {
        let path = self.path.with_extension("epoch");
        let mut file = OpenOptions::new().create(true).read(true).write(true).truncate(false).open(path)?;
        file.lock()?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        Ok((file, Epoch(text.parse().unwrap_or(0))))
    }
}

/// A failed write may have left a line: nobody knows.
#[async_trait]
impl SignalHandler for Broker {
    async fn execute(&self, signal: &Signal, token: &Token) -> Answer {
        answer(self.accept(signal, token.epoch))
    }

    async fn lookup(&self, signal: &Signal, token: &Token) -> Answer {
        answer(self.find(signal, token.epoch))
    }
}

fn answer(outcome: io::Result<Settlement>) -> Answer {
    match outcome {
        Ok(outcome) => Answer { outcome, note: "the test's broker".to_owned() },
        Err(error) => Answer::unknown(format!("the test's broker: {error}")),
    }
}
