//! Crash points: every wait of the leader's work (`ledger/dispatch.rs`), and the acceptance of a signal, has a name,
//! under which a test can cut it. Not for users: the module is public for the tests of the binary.
//!
//! An ordinary build has only the names: [`at`] returns the future it is given. With the package feature
//! `crash-points`, which is for tests and off by default, the environment variable [`VARIABLE`] sets
//! where to cut and how: `claim:killed-before,retry:dropped` (see [`Cut`]).
//!
//! `cargo xtask check` fails when an `.await` of the dispatch is not under its own point, and a point
//! that the test has no expectation for does not compile there. docs/signals.md lists what each cut leaves behind.
//!
//! Resolution: not the crate `fail`. Its actions panic, sleep or return; a death without destructors and a
//! future dropped at its second suspension would both be our own callbacks, in a registry that we do not need.

#[cfg(feature = "crash-points")]
pub use cutting::{Cancelled, at};
#[cfg(feature = "crash-points")]
use std::task::Poll;

macro_rules! crash_points {
    ($($(#[$doc:meta])* $point:ident = $name:literal,)*) => {
        /// A place where the leader's work waits.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum CrashPoint {
            $($(#[$doc])* $point,)*
        }

        impl CrashPoint {
            /// Every point, in the order in which a leader comes by.
            pub const ALL: &[Self] = &[$(Self::$point,)*];

            /// As [`VARIABLE`] has it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$point => $name,)*
                }
            }
        }
    };
}

crash_points! {
    /// A signal is accepted: it is written before it is acknowledged.
    Accept = "accept",
    /// A leadership, and the work under it.
    Lead = "lead",
    /// What former leaders left becomes in doubt.
    TakeOver = "take-over",
    /// The handler looks up a signal in doubt.
    LookUp = "look-up",
    /// The next signals are claimed.
    Claim = "claim",
    /// The handler executes a signal.
    Handle = "handle",
    /// Outcomes are recorded.
    Settle = "settle",
    /// Nothing can be done until an event comes.
    Wait = "wait",
    /// What is old is removed.
    Sweep = "sweep",
}

/// The environment variable that sets what to cut. Absent from the binary without the feature.
pub const VARIABLE: &str = "COORDINATOR_TEST_CRASH_POINT";

/// How a wait is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The process is killed instead of beginning it: the request is never sent.
    KilledBefore,
    /// The process is killed when it is over: the answer is there, and nothing was done with it.
    KilledAfter,
    /// Its future is dropped: the first time at its first suspension (with its answer, if that came without
    /// one), the second time at its second, and so on. One that is not suspended that often ends normally.
    /// The work continues as after a request whose answer was lost.
    Dropped,
}

impl Cut {
    /// Every way.
    pub const ALL: &[Self] = &[Self::KilledBefore, Self::KilledAfter, Self::Dropped];

    /// As [`VARIABLE`] has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::KilledBefore => "killed-before",
            Self::KilledAfter => "killed-after",
            Self::Dropped => "dropped",
        }
    }
}

/// The future itself: nothing is cut in an ordinary build.
#[cfg(not(feature = "crash-points"))]
#[inline]
pub fn at<F: Future>(_: CrashPoint, future: F) -> F {
    future
}

/// Drops the future when it is suspended for the `suspension`th time; its answer if that does not come.
#[cfg(feature = "crash-points")]
pub async fn dropped_at<F: Future>(suspension: u32, future: F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    let mut left = suspension;
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(answer) => Poll::Ready(Some(answer)),
        Poll::Pending if left <= 1 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

#[cfg(feature = "crash-points")]
mod cutting {
    use super::{CrashPoint, Cut, VARIABLE, dropped_at};
    use crate::error::Ended;
    use domain::ports::{Answer, StoreError};
    use rustix::process::{Signal, getpid, kill_process};
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    /// What the work gets in place of the answer of a future that was dropped.
    pub trait Cancelled {
        /// As after a request that was cancelled at its deadline: it may have been carried out.
        fn cancelled() -> Self;
    }

    impl<T> Cancelled for Result<T, StoreError> {
        fn cancelled() -> Self {
            Err(StoreError::Unknown("dropped at a crash point".to_owned()))
        }
    }

    impl Cancelled for Result<(), Ended> {
        fn cancelled() -> Self {
            Ok(())
        }
    }

    impl Cancelled for Answer {
        fn cancelled() -> Self {
            Self::unknown("dropped at a crash point")
        }
    }

    /// Something else that is read in the same wait has no answer.
    impl<A: Cancelled, B> Cancelled for (A, Option<B>) {
        fn cancelled() -> Self {
            (A::cancelled(), None)
        }
    }

    /// A line of the plan.
    struct Planned {
        point: CrashPoint,
        cut: Cut,
        /// How often it was dropped.
        drops: AtomicU32,
    }

    /// Waits for `future`, or cuts it as [`VARIABLE`] has it for this point.
    pub async fn at<F>(point: CrashPoint, future: F) -> F::Output
    where
        F: Future,
        F::Output: Cancelled,
    {
        let Some(planned) = plan().iter().find(|planned| planned.point == point) else {
            return future.await;
        };
        match planned.cut {
            Cut::KilledBefore => die(point, planned.cut),
            Cut::KilledAfter => {
                future.await;
                die(point, planned.cut)
            }
            Cut::Dropped => {
                let suspension = planned.drops.load(Relaxed) + 1;
                let answer = dropped_at(suspension, future).await;
                if let Some(answer) = answer.filter(|_| suspension > 1) {
                    return answer;
                }
                planned.drops.store(suspension, Relaxed);
                print(point, format_args!("dropped at suspension {suspension}"));
                Cancelled::cancelled()
            }
        }
    }

    /// As `kill -9`: no destructor runs and no buffer is written.
    fn die(point: CrashPoint, cut: Cut) -> ! {
        print(point, format_args!("{}", cut.name()));
        let _ = kill_process(getpid(), Signal::KILL);
        // Only if the kernel refused, which it does not for a process's own signal.
        std::process::abort()
    }

    /// For the test, which finds by this line that the point was reached.
    fn print(point: CrashPoint, what: std::fmt::Arguments<'_>) {
        eprintln!("crash point {}: {what}", point.name());
    }

    fn plan() -> &'static [Planned] {
        static PLAN: OnceLock<Vec<Planned>> = OnceLock::new();
        PLAN.get_or_init(|| {
            let text = std::env::var(VARIABLE).unwrap_or_default();
            text.split(',').filter(|part| !part.is_empty()).map(parse).collect()
        })
    }

    fn parse(part: &str) -> Planned {
        let words = part.split_once(':').and_then(|(point, cut)| {
            let point = CrashPoint::ALL.iter().find(|known| known.name() == point)?;
            let cut = Cut::ALL.iter().find(|known| known.name() == cut)?;
            Some((*point, *cut))
        });
        let Some((point, cut)) = words else {
            // A slip must not become a test that cuts nothing.
            eprintln!("{VARIABLE}: {part:?} is not POINT:CUT");
            std::process::exit(2);
        };
        Planned { point, cut, drops: AtomicU32::new(0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_point_and_every_cut_has_its_own_name() {
        let points: BTreeSet<_> = CrashPoint::ALL.iter().map(|point| point.name()).collect();
        let cuts: BTreeSet<_> = Cut::ALL.iter().map(|cut| cut.name()).collect();
        assert_eq!((points.len(), cuts.len()), (CrashPoint::ALL.len(), Cut::ALL.len()));
        let plain = |name: &&str| name.chars().all(|c| c.is_ascii_lowercase() || c == '-');
        assert!(points.iter().chain(&cuts).all(plain) && VARIABLE.is_ascii());
    }
}
