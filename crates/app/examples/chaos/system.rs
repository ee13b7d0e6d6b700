//! What is put under chaos: the coordinator, or the pattern that everybody uses. Everything else (servers,
//! faults, proxies, the client that submits) is the same for both.

use std::path::PathBuf;

/// A program that turns signals into orders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct System {
    /// Which.
    pub which: Which,
    /// Its binary.
    pub program: PathBuf,
    /// Where its orders go.
    pub orders: Orders,
}

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// `coordinator run`, whose leader works through the ledger.
    Coordinator,
    /// `naive`: a key with an expiry, and a flag.
    Naive,
}

/// A broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Orders {
    /// A file in which everything stays that was ever sent.
    File(PathBuf),
    /// The URL of a service.
    Http(String),
}

impl Which {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Coordinator => "coordinator",
            Self::Naive => "naive",
        }
    }

    /// Every signal with its state, as two columns: a standby that takes the primary's place may lack signals.
    pub fn ledger(self) -> &'static str {
        match self {
            Self::Coordinator => "SELECT id, state FROM coordinator_signal",
            Self::Naive => "SELECT id, done::text FROM naive_signal",
        }
    }

    /// Signals that wait for something, as two columns.
    pub fn unsettled(self) -> &'static str {
        match self {
            Self::Coordinator => {
                "SELECT id, state FROM coordinator_signal
                 WHERE state IN ('received', 'claimed', 'sent', 'in_doubt') ORDER BY arrival"
            }
            Self::Naive => "SELECT id, 'not done' FROM naive_signal WHERE NOT done ORDER BY arrival",
        }
    }
}
