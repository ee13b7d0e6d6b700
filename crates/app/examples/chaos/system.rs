//! What is put under chaos: the coordinator, or the pattern that everybody uses. Everything else (servers,
//! faults, proxies, the client that submits, the broker) is the same for both.

use std::path::PathBuf;

/// A program that turns signals into orders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct System {
    /// Which.
    pub which: Which,
    /// Its binary.
    pub program: PathBuf,
}

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// `coordinator run`, whose leader works through the ledger.
    Coordinator,
    /// `naive`: a key with an expiry, and a flag.
    Naive,
}

impl Which {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Coordinator => "coordinator",
            Self::Naive => "naive",
        }
    }

    /// Every signal of which the database wrote something since `since` (a time as it writes it), with what it
    /// knows, as two columns: when a standby that was copied then takes the primary's place, what differs is
    /// what was lost.
    pub fn ledger(self, since: &str) -> String {
        match self {
            Self::Coordinator => format!(
                "SELECT id, state || ' ' || coalesce(claim::text, '-') FROM coordinator_signal
                 WHERE greatest(received_at, claimed_at, settled_at) >= '{since}'"
            ),
            // It notes no times.
            Self::Naive => "SELECT id, done::text FROM naive_signal".to_owned(),
        }
    }

    /// Signals that wait for something, as two columns.
    pub fn unsettled(self) -> &'static str {
        match self {
            Self::Coordinator => {
                "SELECT id, state FROM coordinator_signal
                 WHERE state IN ('received', 'claimed', 'in_doubt') ORDER BY arrival"
            }
            Self::Naive => "SELECT id, 'not done' FROM naive_signal WHERE NOT done ORDER BY arrival",
        }
    }
}
