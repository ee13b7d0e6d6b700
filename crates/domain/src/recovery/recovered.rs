//! The result of a successful recovery.

use super::portfolio::Portfolio;
use alloc::sync::Arc;

/// What a recovery has loaded. Clones share the portfolio.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Recovered {
    /// There is nothing to load, or the service's own [`Recovery`](crate::ports::Recovery) keeps what it has loaded.
    Nothing,
    /// The portfolio of a trading desk, judged.
    Portfolio(Arc<Portfolio>),
}

impl Recovered {
    /// The portfolio, if that is what was recovered.
    pub fn portfolio(&self) -> Option<&Portfolio> {
        match self {
            Self::Nothing => None,
            Self::Portfolio(portfolio) => Some(portfolio),
        }
    }
}
