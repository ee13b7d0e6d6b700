//! What an instance remembers of the fencing number when its store has forgotten it.

use async_trait::async_trait;
use domain::election::Epochs;

/// Keeps an instance's epochs over its restarts (M22). Without one they are remembered while the process runs.
#[async_trait]
pub trait EpochMemory: Send + Sync {
    /// What was kept in earlier lives.
    fn kept(&self) -> Epochs;

    /// Keeps the higher of each, and returns when that is durable. The error says why it is not: a claim that was to
    /// follow is then not sent.
    async fn keep(&self, epochs: Epochs) -> Result<(), String>;
}
