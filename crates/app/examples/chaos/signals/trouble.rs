//! The service that receives the signals, and its troubles.

use crate::fault::Dice;
use crate::seat::HANDLER_TIME_MAX;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;
use testkit::broker::{Conduct, HttpBroker, Order};

/// One order in this number meets trouble.
const TROUBLED_ONE_IN: u64 = 500;
/// Approximate number of signals in a run about which the lookup never answers.
const SILENT_IN_A_RUN: u64 = 20;
/// Longer than the leader's timeout for an answer.
const SLOW: Duration = HANDLER_TIME_MAX.saturating_mul(3).checked_div(2).expect("it is divided by two");

/// The trouble of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ill {
    ExecutedAndCut,
    Cut,
    ExecutedAndFailed,
    Busy,
    Slow,
    Late,
    NotExecuted,
}

impl Ill {
    /// All troubles.
    pub const ALL: [Self; 7] = [
        Self::ExecutedAndCut,
        Self::Cut,
        Self::ExecutedAndFailed,
        Self::Busy,
        Self::Slow,
        Self::Late,
        Self::NotExecuted,
    ];
    /// Troubles after which the outcome is unknown.
    const IN_DOUBT: [Self; 6] =
        [Self::ExecutedAndCut, Self::Cut, Self::ExecutedAndFailed, Self::Busy, Self::Slow, Self::Late];

    /// Name for output and for the record.
    pub fn name(self) -> &'static str {
        match self {
            Self::ExecutedAndCut => "executed, connection cut",
            Self::Cut => "not executed, connection cut",
            Self::ExecutedAndFailed => "executed, HTTP 500",
            Self::Busy => "not executed, HTTP 503",
            Self::Slow => "executed, answered too late",
            Self::Late => "on its way for too long",
            Self::NotExecuted => "said not to be executed",
        }
    }

    fn conduct(self) -> Conduct {
        match self {
            Self::ExecutedAndCut => Conduct::ExecutesAndCuts,
            Self::Cut => Conduct::Cuts,
            Self::ExecutedAndFailed => Conduct::Executes(500, "a stack trace".to_owned()),
            Self::Busy => Conduct::Refuses(503, "a proxy's page".to_owned()),
            Self::Slow => Conduct::ExecutesSlowly(SLOW),
            Self::Late => Conduct::ExecutesLate(SLOW),
            Self::NotExecuted => {
                Conduct::Refuses(200, r#"{"outcome": "not_executed", "note": "no margin yet"}"#.to_owned())
            }
        }
    }
}

/// Decides by the signal's key, so that a signal meets the same trouble whichever leader sends it.
#[derive(Debug)]
pub struct Trouble {
    silent_one_in: u64,
    met: [AtomicU32; Ill::ALL.len()],
}

impl Trouble {
    /// For a run of `count` signals.
    pub fn new(count: u64) -> Self {
        let met = std::array::from_fn(|_| AtomicU32::new(0));
        Self { silent_one_in: (count / SILENT_IN_A_RUN).max(1), met }
    }

    /// The service.
    pub fn broker(self: &Arc<Self>) -> HttpBroker {
        let (orders, lookups) = (Arc::clone(self), Arc::clone(self));
        HttpBroker::with(move |order| orders.resolve(order), move |key| !lookups.is_silent(key))
    }

    /// Number of orders that met each trouble.
    pub fn met(&self) -> impl Iterator<Item = (&'static str, u32)> {
        Ill::ALL.into_iter().zip(&self.met).map(|(ill, met)| (ill.name(), met.load(Relaxed)))
    }

    /// Whether the lookup never answers about the signal.
    fn is_silent(&self, key: &str) -> bool {
        number(key).is_multiple_of(self.silent_one_in)
    }

    fn resolve(&self, order: &Order) -> Conduct {
        let mut dice = Dice::new(number(&order.key) ^ u64::from(order.attempt));
        let silent = self.is_silent(&order.key);
        // Most signals without a lookup meet trouble once, because the operator must resolve such signals.
        let troubled = match (silent, order.attempt) {
            (true, 1) => !dice.one_in(4),
            (true, _) => false,
            (false, _) => dice.one_in(TROUBLED_ONE_IN),
        };
        if !troubled {
            return Conduct::done();
        }
        let ill = dice.pick(if silent { &Ill::IN_DOUBT[..] } else { &Ill::ALL });
        if let Some(at) = Ill::ALL.iter().position(|one| *one == ill) {
            self.met[at].fetch_add(1, Relaxed);
        }
        ill.conduct()
    }
}

/// The first digits of a fingerprint, which are distributed as random numbers.
fn number(key: &str) -> u64 {
    key.get(..16).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or(1)
}
