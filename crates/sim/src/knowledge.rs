//! The judge's record of the leases that instances in one place have read: what they must notice after a restore.
//!
//! The record is independent of the product's own (`memory.rs`), so that it reveals a product that forgets too much.

use domain::lease::{Epoch, Seq};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Age of a lease: a smaller value is an older copy.
pub type Age = (Epoch, Seq);

/// The lease before the first claim.
pub const UNCLAIMED: Age = (Epoch(0), Seq(0));
/// A kill may lose the last minute of a process's reads (docs/signals.md, "When the store has forgotten").
const LOST_BY_KILL: Duration = Duration::from_mins(1);

/// The record of one place; see the [module](self).
#[derive(Debug)]
pub struct Knowledge(Mutex<State>);

#[derive(Debug)]
struct State {
    /// The reads since the process in this place started, rising in time and age.
    shown: Vec<(Instant, Age)>,
    /// The reads that survive every process here.
    kept: Age,
    /// The largest epoch that was requested here. It is on disk before the request is sent (M22).
    asked: Epoch,
    /// The latest write that was acknowledged to the present process.
    acknowledged: Age,
}

impl Knowledge {
    /// The record of a place where no process has run yet.
    pub fn new() -> Self {
        let (shown, kept, acknowledged) = (Vec::new(), UNCLAIMED, UNCLAIMED);
        Self(Mutex::new(State { shown, kept, asked: Epoch(0), acknowledged }))
    }

    /// An answer contained the lease `age`.
    pub fn shown(&self, age: Age) {
        let now = Instant::now();
        let mut state = self.state();
        if age <= state.age() {
            return;
        }
        let old = state.shown.iter().filter(|(at, _)| *at + LOST_BY_KILL <= now).count();
        state.shown.drain(..old.saturating_sub(1));
        state.shown.push((now, age));
    }

    /// A claim or a renewal that wrote `age` was acknowledged.
    pub fn acknowledged(&self, age: Age) {
        self.shown(age);
        let mut state = self.state();
        state.acknowledged = age.max(state.acknowledged);
    }

    /// A claim of this epoch is sent.
    pub fn asks(&self, epoch: Epoch) {
        let mut state = self.state();
        state.asked = epoch.max(state.asked);
    }

    /// The latest lease that the present process has read, or an earlier one here.
    pub fn age(&self) -> Age {
        self.state().age()
    }

    /// The latest write that was acknowledged to the present process. Its effects are compared with it (M23).
    pub fn last_acknowledged(&self) -> Age {
        self.state().acknowledged
    }

    /// The largest epoch that was read or requested here: the next claim exceeds it (M22).
    pub fn epoch(&self) -> Epoch {
        let state = self.state();
        state.age().0.max(state.asked)
    }

    /// The process has stopped in an orderly way: all its reads are on disk.
    pub fn process_ended(&self) {
        let mut state = self.state();
        state.kept = state.age();
    }

    /// The process is gone, after an orderly stop or without one.
    pub fn process_is_gone(&self) {
        let now = Instant::now();
        let mut state = self.state();
        let durable = state.shown.iter().rfind(|(at, _)| *at + LOST_BY_KILL <= now).map(|(_, age)| *age);
        state.kept = durable.unwrap_or(UNCLAIMED).max(state.kept);
        state.shown.clear();
        state.acknowledged = UNCLAIMED;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn age(&self) -> Age {
        self.shown.last().map_or(self.kept, |(_, age)| (*age).max(self.kept))
    }
}

impl Default for Knowledge {
    fn default() -> Self {
        Self::new()
    }
}
