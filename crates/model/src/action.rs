//! Actions of the model, and their text form: a counterexample is a list of actions, one per line.

use crate::fault_set::Fault;
use domain::recovery::RecoveryCode;
use std::fmt;

/// One choice of the model. Instances and held messages are numbered from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// The first message in the queue arrives, and its reply.
    Go,
    /// The first message is held back.
    Hold,
    /// The first message is lost.
    Lose,
    /// The first message is carried out; its reply is lost.
    LoseReply,
    /// The first message is carried out; its reply is held back.
    HoldReply,
    /// The first crash recovery in the queue fails.
    FailRecovery(RecoveryCode),
    /// The first due timer fires.
    Timer,
    /// Time advances to the next timer.
    Tick,
    /// Time advances to just before the next timer.
    JustBefore,
    /// A message that was held back arrives.
    Arrive(usize),
    Crash(usize),
    Kill(usize),
    Restart(usize),
    Pause(usize),
    Resume(usize),
    StepDown(usize),
    /// The leader hands over to this instance.
    HandOverTo(usize),
    Stop(usize),
    CutLease(usize),
    RefuseLease(usize),
    CutTicket(usize),
    Mend(usize),
    StandbyLags,
    Promote,
    BackUp,
    Restore,
    DatabaseClock,
    Flush,
    ReplicaLags,
    RedisFailover,
    RedisClockForward,
    RedisClockBack,
    StuckTicket,
    KeptTicket,
    TicketWithoutExpiry,
    /// From now on every instance gets hints continuously, without any write.
    HintStorm,
    /// From now on the state store takes almost a heartbeat for each answer.
    SlowStore,
}

/// Actions without an object, and their names.
const PLAIN: [(Action, &str); 26] = [
    (Action::Go, "go"),
    (Action::Hold, "hold"),
    (Action::Lose, "lose"),
    (Action::LoseReply, "lose-reply"),
    (Action::HoldReply, "hold-reply"),
    (Action::FailRecovery(RecoveryCode::DbUnavailable), "recovery-unavailable"),
    (Action::FailRecovery(RecoveryCode::DataCorrupt), "recovery-corrupt"),
    (Action::Timer, "timer"),
    (Action::Tick, "tick"),
    (Action::JustBefore, "just-before"),
    (Action::StandbyLags, "standby-lags"),
    (Action::Promote, "promote"),
    (Action::BackUp, "back-up"),
    (Action::Restore, "restore"),
    (Action::DatabaseClock, "database-clock-forward"),
    (Action::Flush, "redis-flush"),
    (Action::ReplicaLags, "redis-replica-lags"),
    (Action::RedisFailover, "redis-failover"),
    (Action::RedisClockForward, "redis-clock-forward"),
    (Action::RedisClockBack, "redis-clock-back"),
    (Action::StuckTicket, "stuck-ticket"),
    (Action::KeptTicket, "kept-ticket"),
    (Action::TicketWithoutExpiry, "ticket-without-expiry"),
    (Action::HintStorm, "hint-storm"),
    (Action::SlowStore, "slow-store"),
    (Action::FailRecovery(RecoveryCode::ValidationFailed), "recovery-inconsistent"),
];

type OfNumber = fn(usize) -> Action;

/// Actions on an instance or a message, and their names.
const WITH_NUMBER: [(OfNumber, &str); 13] = [
    (Action::Arrive, "arrive"),
    (Action::Crash, "crash"),
    (Action::Kill, "kill"),
    (Action::Restart, "restart"),
    (Action::Pause, "pause"),
    (Action::Resume, "resume"),
    (Action::StepDown, "step-down"),
    (Action::HandOverTo, "hand-over-to"),
    (Action::Stop, "stop"),
    (Action::CutLease, "cut-from-postgres"),
    (Action::RefuseLease, "refused-by-postgres"),
    (Action::CutTicket, "cut-from-redis"),
    (Action::Mend, "mend"),
];

impl Action {
    /// The fault that the action begins, if it begins one.
    pub fn costs(self) -> Option<Fault> {
        Some(match self {
            Self::Hold => Fault::Hold,
            Self::Lose => Fault::Lose,
            Self::LoseReply => Fault::LoseReply,
            Self::HoldReply => Fault::HoldReply,
            Self::FailRecovery(_) => Fault::FailRecovery,
            Self::JustBefore => Fault::JustBefore,
            Self::Crash(_) => Fault::Crash,
            Self::Kill(_) => Fault::Kill,
            Self::Pause(_) => Fault::Pause,
            Self::StepDown(_) => Fault::StepDown,
            Self::HandOverTo(_) => Fault::HandOver,
            Self::Stop(_) => Fault::Stop,
            Self::CutLease(_) => Fault::CutLease,
            Self::RefuseLease(_) => Fault::RefuseLease,
            Self::CutTicket(_) => Fault::CutTicket,
            Self::Promote => Fault::Promote,
            Self::Restore => Fault::Restore,
            Self::DatabaseClock => Fault::DatabaseClock,
            Self::Flush => Fault::Flush,
            Self::RedisFailover => Fault::RedisFailover,
            Self::RedisClockForward => Fault::RedisClockForward,
            Self::RedisClockBack => Fault::RedisClockBack,
            Self::StuckTicket | Self::KeptTicket | Self::TicketWithoutExpiry => Fault::StuckTicket,
            Self::HintStorm => Fault::HintStorm,
            Self::SlowStore => Fault::SlowStore,
            Self::Go
            | Self::Timer
            | Self::Tick
            | Self::Arrive(_)
            | Self::Restart(_)
            | Self::Resume(_)
            | Self::Mend(_)
            | Self::StandbyLags
            | Self::BackUp
            | Self::ReplicaLags => return None,
        })
    }

    /// True if the action ends a fault that began earlier.
    pub fn ends_a_fault(self) -> bool {
        matches!(self, Self::Arrive(_) | Self::Restart(_) | Self::Resume(_) | Self::Mend(_))
    }

    /// Parses a line of a counterexample.
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once(' ') {
            None => PLAIN.iter().find(|(_, name)| *name == text).map(|(action, _)| *action),
            Some((name, number)) => {
                let number = number.parse().ok()?;
                WITH_NUMBER.iter().find(|(_, known)| *known == name).map(|(action, _)| action(number))
            }
        }
    }

    fn number(self) -> Option<usize> {
        match self {
            Self::Arrive(number)
            | Self::Crash(number)
            | Self::Kill(number)
            | Self::Restart(number)
            | Self::Pause(number)
            | Self::Resume(number)
            | Self::StepDown(number)
            | Self::HandOverTo(number)
            | Self::Stop(number)
            | Self::CutLease(number)
            | Self::RefuseLease(number)
            | Self::CutTicket(number)
            | Self::Mend(number) => Some(number),
            Self::Go
            | Self::Hold
            | Self::Lose
            | Self::LoseReply
            | Self::HoldReply
            | Self::FailRecovery(_)
            | Self::Timer
            | Self::Tick
            | Self::JustBefore
            | Self::StandbyLags
            | Self::Promote
            | Self::BackUp
            | Self::Restore
            | Self::DatabaseClock
            | Self::Flush
            | Self::ReplicaLags
            | Self::RedisFailover
            | Self::RedisClockForward
            | Self::RedisClockBack
            | Self::StuckTicket
            | Self::KeptTicket
            | Self::TicketWithoutExpiry
            | Self::HintStorm
            | Self::SlowStore => None,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = match self.number() {
            None => PLAIN.iter().find(|(action, _)| action == self).map(|(_, name)| *name),
            Some(number) => WITH_NUMBER.iter().find(|(of, _)| of(number) == *self).map(|(_, name)| *name),
        };
        let name = found.expect("every action is in one of the tables; a test covers all");
        match self.number() {
            None => f.write_str(name),
            Some(number) => write!(f, "{name} {number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_parsed_as_its_action() {
        let numbered = WITH_NUMBER.iter().map(|(of, _)| of(3));
        for action in PLAIN.iter().map(|(action, _)| *action).chain(numbered) {
            assert_eq!(Action::parse(&action.to_string()), Some(action));
        }
        assert_eq!(Action::parse("arrive"), None);
        assert_eq!(Action::parse("go 3"), None);
    }
}
