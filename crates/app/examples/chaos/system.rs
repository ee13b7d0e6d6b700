//! The system under chaos: the coordinator, or the usual pattern. Everything else (servers, faults, proxies,
//! the client) is the same for both.

use std::path::PathBuf;

/// A program that turns signals into orders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct System {
    /// Kind of the system.
    pub which: Which,
    /// Path of its binary.
    pub program: PathBuf,
    /// Destination of its orders.
    pub orders: Orders,
    /// Directory of the lock files of the host that two of the three seats share.
    pub locks: PathBuf,
}

/// One of the two systems.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// `coordinator run`, whose leader processes the ledger.
    Coordinator,
    /// `naive`: a key with an expiry, and a flag.
    Naive,
}

/// A broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Orders {
    /// A file that keeps every order.
    File(PathBuf),
    /// The URL of a service.
    Http(String),
}

impl Which {
    /// Name to print.
    pub fn name(self) -> &'static str {
        match self {
            Self::Coordinator => "coordinator",
            Self::Naive => "naive",
        }
    }

    /// Query for every signal with its state, as two columns: a standby that replaces the primary may lack
    /// signals.
    pub fn ledger(self) -> &'static str {
        match self {
            Self::Coordinator => "SELECT id, state FROM coordinator_signal",
            Self::Naive => "SELECT id, done::text FROM naive_signal",
        }
    }

    /// Query for signals without an outcome, as two columns.
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
