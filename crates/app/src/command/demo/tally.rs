//! The counts of the demonstration, and its verdict.

use crate::broker::Broker;
use crate::failure::Failure;
use std::collections::BTreeMap;
use std::time::Duration;

/// Signals accepted, failovers timed, faults found.
pub struct Tally {
    /// The names of all accepted signals.
    pub accepted: Vec<String>,
    broker: Broker,
    failovers: Vec<Duration>,
    faults: Vec<String>,
}

impl Tally {
    pub fn new(broker: Broker) -> Self {
        Self { accepted: Vec::new(), broker, failovers: Vec::new(), faults: Vec::new() }
    }

    pub fn failover(&mut self, took: Duration) {
        self.failovers.push(took);
    }

    pub fn fault(&mut self, fault: String) {
        println!("FAULT: {fault}");
        self.faults.push(fault);
    }

    /// Compares the accepted signals with the broker's orders, and prints the result.
    pub fn verdict(mut self) -> Result<(), Failure> {
        let orders = self.broker.orders().map_err(|error| Failure::other(format!("the broker: {error}")))?;
        let mut counted: BTreeMap<&str, usize> = BTreeMap::new();
        for order in &orders {
            *counted.entry(order).or_default() += 1;
        }
        let times = |id: &String| counted.get(id.as_str()).copied().unwrap_or(0);
        let lost = self.accepted.iter().filter(|id| times(id) == 0).count();
        let doubled = self.accepted.iter().filter(|id| times(id) > 1).count();
        let accepted = self.accepted.len();
        println!("\n{} failovers{}", self.failovers.len(), self.median());
        println!(
            "{accepted} signals accepted, {} executed, {lost} lost, {doubled} executed twice",
            orders.len()
        );
        if lost + doubled > 0 {
            self.faults.push(format!("{lost} signals lost, {doubled} executed twice"));
        }
        if self.faults.is_empty() { Ok(()) } else { Err(Failure::other(self.faults.join("\n"))) }
    }

    fn median(&mut self) -> String {
        self.failovers.sort();
        let median = self.failovers.get(self.failovers.len() / 2);
        median.map_or_else(String::new, |median| format!(", median {:.1} ms", median.as_secs_f64() * 1e3))
    }
}
