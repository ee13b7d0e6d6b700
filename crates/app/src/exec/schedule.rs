//! When a command must end: computed by the parent from the lease, and kept by the guardian, which gets a new
//! permission with every renewal. No clock and no process here.
//!
//! The invariant: the guardian sends SIGKILL at `deadline - reserve` at the latest, whatever message arrives
//! after that, and a permission never shortens the time that it allows.

use domain::time::Time;
use std::time::Duration;

/// Part of LEADER_TTL that is reserved for killing: 1.25 s at 10 s. The guardian must wake up, find the processes
/// and signal them, and the kernel must end them. With a twelfth, a machine with ten runnable threads for each
/// processor was seen to be too slow.
const RESERVE_PARTS: u32 = 8;

/// The times that follow from the settings of the instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Time between the SIGKILL and the deadline of the lease.
    pub reserve: Duration,
    /// Time between SIGTERM and SIGKILL. It is at most half of a heartbeat, because a leader that hands over releases
    /// the lease after a heartbeat.
    pub grace: Duration,
}

impl Timing {
    /// For a LEADER_TTL and a heartbeat.
    pub fn new(ttl: Duration, heartbeat: Duration) -> Self {
        let reserve = ttl / RESERVE_PARTS;
        Self { reserve, grace: (heartbeat / 2).min(reserve) }
    }

    /// What a lease with this deadline allows.
    pub fn permission(&self, deadline: Time) -> Permission {
        let kill_at = deadline - self.reserve;
        Permission { term_at: kill_at - self.grace, kill_at }
    }
}

/// The time that a command may run unless a later permission arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permission {
    /// SIGTERM is sent at this time.
    pub term_at: Time,
    /// SIGKILL is sent at this time.
    pub kill_at: Time,
}

/// The signal that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// SIGTERM, once.
    Term,
    /// SIGKILL, again and again until no process is left.
    Kill,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Runs,
    /// A stop was requested, and SIGTERM is due.
    Stops,
    /// SIGTERM was sent.
    Ends,
    Killed,
}

/// The state of one command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    permission: Permission,
    stage: Stage,
}

impl Schedule {
    /// A command that may run under this permission.
    pub fn new(permission: Permission) -> Self {
        Self { permission, stage: Stage::Runs }
    }

    /// Takes in the permission of a renewal. It has no effect after SIGTERM: the command is ending.
    pub fn extend(&mut self, later: Permission) {
        if self.stage == Stage::Runs && later.kill_at > self.permission.kill_at {
            self.permission = later;
        }
    }

    /// Requests the end: SIGTERM now, SIGKILL after `grace` and never later than permitted.
    pub fn stop(&mut self, now: Time, grace: Duration) {
        if self.stage == Stage::Runs {
            self.stage = Stage::Stops;
            self.permission.kill_at = self.permission.kill_at.min(now + grace);
        }
    }

    /// Whether a signal was sent or is due, so the end of the command is not its own.
    pub fn is_ending(&self) -> bool {
        self.stage != Stage::Runs
    }

    /// Whether SIGKILL was due.
    pub fn is_killed(&self) -> bool {
        self.stage == Stage::Killed
    }

    /// The time of the next signal, if nothing arrives before.
    pub fn wakes_at(&self) -> Time {
        match self.stage {
            Stage::Runs => self.permission.term_at.min(self.permission.kill_at),
            Stage::Stops => Time::ZERO,
            Stage::Ends | Stage::Killed => self.permission.kill_at,
        }
    }

    /// The signal that is due now. Call it until it returns nothing or [`Due::Kill`].
    pub fn due(&mut self, now: Time) -> Option<Due> {
        if self.stage == Stage::Killed || now >= self.permission.kill_at {
            self.stage = Stage::Killed;
            return Some(Due::Kill);
        }
        let terminates = match self.stage {
            Stage::Runs => now >= self.permission.term_at,
            Stage::Stops => true,
            Stage::Ends | Stage::Killed => false,
        };
        terminates.then(|| {
            self.stage = Stage::Ends;
            Due::Term
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::lease::margin;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn at(ms: u64) -> Time {
        Time::ZERO + MS(ms)
    }

    fn schedule() -> Schedule {
        Schedule::new(Permission { term_at: at(100), kill_at: at(200) })
    }

    #[test]
    fn the_signals_come_before_the_deadline_in_their_order_for_every_setting() {
        for (ttl, heartbeat) in [(1_000, 333), (1_000, 1), (10_000, 3_333), (10_000, 100), (300_000, 100_000)]
        {
            let (ttl, heartbeat) = (MS(ttl), MS(heartbeat));
            let timing = Timing::new(ttl, heartbeat);
            let deadline = at(400_000);
            let allowed = timing.permission(deadline);
            assert!(
                allowed.term_at < allowed.kill_at && allowed.kill_at < deadline - margin(ttl),
                "{timing:?}"
            );
            // A handover waits a heartbeat for the work.
            assert!(timing.grace < heartbeat, "{timing:?}");
            // Two renewals in a row may be lost.
            assert!(deadline.since(allowed.term_at) < ttl / 3, "{timing:?}");
        }
    }

    #[test]
    fn term_comes_once_and_kill_until_the_end() {
        let mut schedule = schedule();
        assert_eq!(schedule.due(at(99)), None);
        assert_eq!(schedule.wakes_at(), at(100));
        assert_eq!(schedule.due(at(100)), Some(Due::Term));
        assert_eq!(schedule.due(at(150)), None);
        assert_eq!(schedule.wakes_at(), at(200));
        assert_eq!(schedule.due(at(200)), Some(Due::Kill));
        assert_eq!(schedule.due(at(200)), Some(Due::Kill));
        assert!(schedule.is_killed());
    }

    #[test]
    fn a_renewal_extends_and_an_older_permission_does_not_shorten() {
        let mut schedule = schedule();
        schedule.extend(Permission { term_at: at(1_100), kill_at: at(1_200) });
        schedule.extend(Permission { term_at: at(100), kill_at: at(200) });
        assert_eq!(schedule.due(at(1_099)), None);
        assert_eq!(schedule.due(at(1_100)), Some(Due::Term));
    }

    #[test]
    fn a_renewal_after_term_does_not_save_the_command() {
        let mut schedule = schedule();
        assert_eq!(schedule.due(at(100)), Some(Due::Term));
        schedule.extend(Permission { term_at: at(1_100), kill_at: at(1_200) });
        assert_eq!(schedule.due(at(200)), Some(Due::Kill));
    }

    #[test]
    fn a_guardian_that_was_stopped_past_both_times_kills_at_once() {
        let mut schedule = schedule();
        assert_eq!(schedule.due(at(5_000)), Some(Due::Kill));
        schedule.extend(Permission { term_at: at(9_000), kill_at: at(9_100) });
        assert_eq!(schedule.due(at(5_001)), Some(Due::Kill));
    }

    #[test]
    fn a_stop_gives_the_grace_and_never_more_than_permitted() {
        let mut early = schedule();
        early.stop(at(10), MS(50));
        assert!(early.is_ending() && early.wakes_at() <= at(10));
        assert_eq!(early.due(at(10)), Some(Due::Term));
        assert_eq!((early.due(at(59)), early.due(at(60))), (None, Some(Due::Kill)));
        let mut late = schedule();
        late.stop(at(90), MS(500));
        assert_eq!(late.due(at(90)), Some(Due::Term));
        // A second request does not extend the first one.
        late.stop(at(150), MS(500));
        assert_eq!(late.due(at(200)), Some(Due::Kill));
    }
}
