//! What the instance in one place was shown of the lease: the measure of what it must notice after a restore.
//!
//! This record is the judge's own. It does not read what the product keeps (`memory.rs`), so that a product that forgets
//! too much is found.

use domain::lease::{Epoch, Seq};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The lease, as far as its age is concerned: a smaller value is an older copy.
pub type Row = (Epoch, Seq);

/// Before the first claim.
pub const UNCLAIMED: Row = (Epoch(0), Seq(0));
/// What a process that is killed was shown in its last minute may be lost with it (docs/signals.md, "When the store has
/// forgotten").
const LOST_BY_KILL: Duration = Duration::from_mins(1);

/// See the [module](self).
#[derive(Debug)]
pub struct Knowledge(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Rising in time and in row: what an answer showed, since the process in this place started.
    shown: Vec<(Instant, Row)>,
    /// Survives every process here.
    kept: Row,
    /// The largest epoch that was requested here. It is on disk before the request is sent (M22).
    asked: Epoch,
    /// The latest write that was acknowledged to the present process.
    acknowledged: Row,
}

impl Knowledge {
    /// Of a place where nothing ran yet.
    pub fn new() -> Self {
        let (shown, kept, acknowledged) = (Vec::new(), UNCLAIMED, UNCLAIMED);
        Self(Mutex::new(State { shown, kept, asked: Epoch(0), acknowledged }))
    }

    /// An answer showed the lease as `row`.
    pub fn shown(&self, row: Row) {
        let now = Instant::now();
        let mut state = self.state();
        if row <= state.row() {
            return;
        }
        let old = state.shown.iter().filter(|(at, _)| *at + LOST_BY_KILL <= now).count();
        state.shown.drain(..old.saturating_sub(1));
        state.shown.push((now, row));
    }

    /// A claim or a renewal that wrote `row` was acknowledged.
    pub fn acknowledged(&self, row: Row) {
        self.shown(row);
        let mut state = self.state();
        state.acknowledged = row.max(state.acknowledged);
    }

    /// A claim of this epoch is sent.
    pub fn asks(&self, epoch: Epoch) {
        let mut state = self.state();
        state.asked = epoch.max(state.asked);
    }

    /// The latest row that the present process has been shown, or an earlier one here.
    pub fn row(&self) -> Row {
        self.state().row()
    }

    /// The latest write that was acknowledged to the present process: what its effects are compared with (M23).
    pub fn last_acknowledged(&self) -> Row {
        self.state().acknowledged
    }

    /// The largest epoch that was shown or requested here: the next claim is above it (M22).
    pub fn epoch(&self) -> Epoch {
        let state = self.state();
        state.row().0.max(state.asked)
    }

    /// The process has ended in an orderly way: everything is on disk.
    pub fn process_ended(&self) {
        let mut state = self.state();
        state.kept = state.row();
    }

    /// The process is gone, whether it had ended before or not.
    pub fn process_is_gone(&self) {
        let now = Instant::now();
        let mut state = self.state();
        let durable = state.shown.iter().rfind(|(at, _)| *at + LOST_BY_KILL <= now).map(|(_, row)| *row);
        state.kept = durable.unwrap_or(UNCLAIMED).max(state.kept);
        state.shown.clear();
        state.acknowledged = UNCLAIMED;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn row(&self) -> Row {
        self.shown.last().map_or(self.kept, |(_, row)| (*row).max(self.kept))
    }
}

impl Default for Knowledge {
    fn default() -> Self {
        Self::new()
    }
}
