//! What the data directory in one place remembers of the lease row: it survives every process that runs there.

use async_trait::async_trait;
use coordinator::EpochMemory;
use domain::election::Epochs;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// See the [module](self).
#[derive(Debug)]
pub struct Memory(Mutex<Epochs>);

impl Memory {
    /// Of a place where nothing ran yet.
    pub fn new() -> Self {
        Self(Mutex::new(Epochs::NONE))
    }

    fn epochs(&self) -> MutexGuard<'_, Epochs> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl EpochMemory for Memory {
    fn kept(&self) -> Epochs {
        *self.epochs()
    }

    async fn keep(&self, epochs: Epochs) -> Result<(), String> {
        let mut kept = self.epochs();
        *kept = kept.and(epochs);
        Ok(())
    }
}
