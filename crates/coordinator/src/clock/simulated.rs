//! Clocks of a simulation: many processes on one runtime whose time is virtual, each with a clock that has
//! its own rate and zero, and each of which can be stopped, continued and killed.
//!
//! The task that is being polled decides whose clock is read: every task of a process runs inside a [`Gated`],
//! which names the process for the time of each poll. A stopped process is not polled, a killed one never
//! again; other processes, and the time, continue. That is what SIGSTOP, SIGCONT and SIGKILL do.

use domain::time::Time;
use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Where the calendar of a machine begins when it boots. Machines boot at different times, so their calendars
/// disagree by weeks: no rule may read them.
const CALENDAR_START_MS: i64 = 1_700_000_000_000;
/// A clock's rate error is given in parts per million of the true time.
const MILLION: i128 = 1_000_000;

thread_local! {
    /// The process whose task is being polled on this thread.
    static CURRENT: RefCell<Option<Process>> = const { RefCell::new(None) };
}

/// One simulated process. Clones are the same process.
#[derive(Debug, Clone)]
pub struct Process(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    life: Life,
    /// At this true time the clock showed `shown`; since then it has run at `rate_ppm`.
    since: Instant,
    shown: Time,
    rate_ppm: i32,
    /// Tasks that wanted to run while the process was stopped.
    stopped_tasks: Vec<Waker>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Running,
    Stopped,
    Dead,
}

impl Process {
    /// A process on a machine whose clock shows `shown` now and runs `rate_ppm` too fast.
    pub fn new(shown: Time, rate_ppm: i32) -> Self {
        let (life, since, stopped_tasks) = (Life::Running, Instant::now(), Vec::new());
        Self(Arc::new(Mutex::new(State { life, since, shown, rate_ppm, stopped_tasks })))
    }

    /// What the process's clock shows; it continues while the process is stopped, and after its death.
    pub fn now(&self) -> Time {
        self.state().now()
    }

    /// From now on the clock runs `rate_ppm` too fast.
    pub fn set_rate(&self, rate_ppm: i32) {
        let mut state = self.state();
        (state.shown, state.since) = (state.now(), Instant::now());
        state.rate_ppm = rate_ppm;
    }

    /// SIGSTOP: nothing of it runs until [`Self::resume`].
    pub fn stop(&self) {
        let mut state = self.state();
        if state.life == Life::Running {
            state.life = Life::Stopped;
        }
    }

    /// SIGCONT.
    pub fn resume(&self) {
        let mut state = self.state();
        if state.life == Life::Stopped {
            state.life = Life::Running;
            state.stopped_tasks.drain(..).for_each(Waker::wake);
        }
    }

    /// SIGKILL: nothing of it runs ever again.
    pub fn kill(&self) {
        let mut state = self.state();
        state.life = Life::Dead;
        // Each finds out that it is dead and drops what it holds.
        state.stopped_tasks.drain(..).for_each(Waker::wake);
    }

    /// Whether it was killed.
    pub fn is_dead(&self) -> bool {
        self.state().life == Life::Dead
    }

    /// Whether it is neither stopped nor dead.
    pub fn is_running(&self) -> bool {
        self.state().life == Life::Running
    }

    /// Does `work` as a part of this process, whatever its state.
    pub fn enter<T>(&self, work: impl FnOnce() -> T) -> T {
        let before = CURRENT.replace(Some(self.clone()));
        let done = work();
        CURRENT.set(before);
        done
    }

    /// `future` as a part of this process.
    pub fn gate<F: Future>(&self, future: F) -> Gated<F> {
        Gated { process: self.clone(), future: Some(Box::pin(future)), waits: false }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is a single assignment: a panic elsewhere leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn now(&self) -> Time {
        let true_nanos = self.since.elapsed().as_nanos().cast_signed();
        let shown_nanos = true_nanos + true_nanos * i128::from(self.rate_ppm) / MILLION;
        self.shown + Duration::from_nanos(u64::try_from(shown_nanos).unwrap_or(u64::MAX))
    }

    /// How much true time passes while the clock moves by `shown`, rounded up.
    fn true_time(&self, shown: Duration) -> Duration {
        let nanos = shown.as_nanos().cast_signed() * MILLION / (MILLION + i128::from(self.rate_ppm)) + 1;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// A future that runs only while its process does, and reads that process's clock.
#[derive(Debug)]
pub struct Gated<F> {
    process: Process,
    /// `None` once the process is dead.
    future: Option<Pin<Box<F>>>,
    /// Its waker is among the process's stopped tasks.
    waits: bool,
}

impl<F: Future> Future for Gated<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let life = {
            let mut state = self.process.state();
            if state.life == Life::Stopped && !self.waits {
                state.stopped_tasks.push(context.waker().clone());
            }
            state.life
        };
        self.waits = life == Life::Stopped;
        let process = self.process.clone();
        match (life, &mut self.future) {
            (Life::Running, Some(future)) => process.enter(|| future.as_mut().poll(context)),
            (Life::Dead, _) => {
                self.future = None;
                Poll::Pending
            }
            (Life::Running, None) | (Life::Stopped, _) => Poll::Pending,
        }
    }
}

/// A child is of the process of its parent.
pub(crate) fn of_this_process<F: Future>(future: F) -> Gated<F> {
    current().gate(future)
}

/// The time now on the clock of the process that is being polled.
///
/// # Panics
/// Outside a process.
pub fn now() -> Time {
    current().now()
}

/// Unix milliseconds, for operators. No rule reads them.
pub fn calendar_ms() -> i64 {
    // A task that is dropped after its process was killed has no process, and what it records is not read.
    let Some(process) = CURRENT.with_borrow(Clone::clone) else { return CALENDAR_START_MS };
    let since_start = process.now().as_nanos() / 1_000_000;
    CALENDAR_START_MS.saturating_add_unsigned(since_start)
}

fn current() -> Process {
    CURRENT.with_borrow(Clone::clone).expect("the coordinator runs inside a simulated process")
}

/// Wakes at a [`Time`] of the process that waits. A change of the clock's rate during the wait lets it ring
/// late, by at most what the rates differ over the wait; no rule needs an alarm that rings on time.
pub(crate) struct Alarm;

impl Alarm {
    /// Never fails: a simulated kernel has timers enough.
    // The signatures of the real one.
    #[allow(clippy::unnecessary_wraps)]
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self)
    }

    /// Returns when `time` has come on the clock of the process that is being polled.
    // The real one keeps its timer in `self`.
    #[allow(clippy::unused_self, clippy::needless_pass_by_ref_mut)]
    pub(crate) async fn at(&mut self, time: Time) -> io::Result<()> {
        let process = current();
        loop {
            let left = time.since(process.now());
            if left.is_zero() {
                return Ok(());
            }
            let true_left = process.state().true_time(left);
            sleep_until(Instant::now() + true_left).await;
        }
    }
}
