//! Crash recovery: the port of a new leader to whatever it must load and check before it acts.

use super::StoreError;
use crate::recovery::{Judgement, PortfolioRows, Recovered, RecoveryCode, RecoveryFault};
use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::sync::Arc;
use async_trait::async_trait;

/// What a new leader loads and checks after its claim was granted and before it acts, because the leader before it could
/// write until then.
///
/// The coordinator also calls it on a standby, to find out whether that instance could take over. Only the kind
/// [`RecoveryCode::DbUnavailable`] is tried again; with another one the leader halts.
#[async_trait]
pub trait Recovery: Send + Sync {
    /// Loads and checks. It only reads, so that it may be dropped at any time and called again.
    async fn recover(&self) -> Result<Recovered, RecoveryFault>;
}

/// The recovery of a service that keeps no state between its leaders: always successful. The default of the library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NothingToRecover;

#[async_trait]
impl Recovery for NothingToRecover {
    async fn recover(&self) -> Result<Recovered, RecoveryFault> {
        Ok(Recovered::Nothing)
    }
}

/// A database with the portfolio of a trading desk. Each is a [`Recovery`]: it judges the rows with [`Judgement`].
#[async_trait]
pub trait PortfolioSource: Send + Sync {
    /// Passes the rows that recovery judges to `rows`, from one snapshot: one read-only REPEATABLE READ transaction on
    /// PostgreSQL, one statement on SQLite. Every value comes as text, as it is stored. At no time does the adapter hold
    /// more than a few rows, whatever their number. After an error `rows` may have received some of them: start again
    /// with a new judgement.
    ///
    /// [`StoreError::Corrupt`] when a relation or a column is missing; the text names it.
    async fn portfolio(&self, rows: &mut dyn PortfolioRows) -> Result<(), StoreError>;
}

#[async_trait]
impl<S: PortfolioSource + ?Sized> Recovery for S {
    async fn recover(&self) -> Result<Recovered, RecoveryFault> {
        let mut judgement = Judgement::default();
        self.portfolio(&mut judgement).await?;
        judgement.verdict().map(|portfolio| Recovered::Portfolio(Arc::new(portfolio)))
    }
}

/// The database could not be read: a missing column is corrupt data, a missing answer is not.
impl From<StoreError> for RecoveryFault {
    fn from(error: StoreError) -> Self {
        let code = match error {
            StoreError::Unavailable(_) | StoreError::Unknown(_) => RecoveryCode::DbUnavailable,
            StoreError::Corrupt(_) => RecoveryCode::DataCorrupt,
        };
        Self::new(code, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_does_not_answer_is_tried_again_and_corrupt_data_is_not() {
        let code = |error| RecoveryFault::from(error).code;
        assert_eq!(code(StoreError::Unavailable("refused".into())), RecoveryCode::DbUnavailable);
        assert_eq!(code(StoreError::Unknown("timeout".into())), RecoveryCode::DbUnavailable);
        assert_eq!(code(StoreError::Corrupt("no column quantity".into())), RecoveryCode::DataCorrupt);
    }
}
