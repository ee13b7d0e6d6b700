//! The data directory of one place: the memory of the lease that survives every process there.

use async_trait::async_trait;
use coordinator::EpochMemory;
use domain::election::Epochs;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The memory; see the [module](self).
#[derive(Debug)]
pub struct Memory {
    kept: Mutex<Epochs>,
    keeps: Keeps,
}

/// Presence of a data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeps {
    /// There is one.
    Everything,
    /// There is none, or it is emptied at every start.
    Nothing,
}

impl Memory {
    /// The memory of a place where no process has run yet.
    pub fn new(keeps: Keeps) -> Self {
        Self { kept: Mutex::new(Epochs::NONE), keeps }
    }

    fn epochs(&self) -> MutexGuard<'_, Epochs> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl EpochMemory for Memory {
    fn kept(&self) -> Epochs {
        match self.keeps {
            Keeps::Everything => *self.epochs(),
            Keeps::Nothing => Epochs::NONE,
        }
    }

    async fn keep(&self, epochs: Epochs) -> Result<Epochs, String> {
        let before = self.kept();
        let mut kept = self.epochs();
        *kept = kept.and(epochs);
        Ok(before)
    }
}
