//! States of a signal and the transitions between them.

use crate::lease::Token;
use core::fmt;

/// The state of a signal. The [module](super) explains each state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignalState {
    /// Durable and waiting.
    Received,
    /// Claimed by a leader that may or may not have sent it.
    Claimed(Token),
    /// At its handler; the result is pending.
    Sent(Token),
    /// Executed.
    Done,
    /// Known not to have been executed; final.
    Rejected,
    /// Not sent before it expired; rejected once an operator has acknowledged it.
    Expired,
    /// May have been executed: a lookup or an operator must resolve it.
    InDoubt,
}

impl SignalState {
    /// The name of the state, without the token.
    pub fn name(self) -> StateName {
        match self {
            Self::Received => StateName::Received,
            Self::Claimed(_) => StateName::Claimed,
            Self::Sent(_) => StateName::Sent,
            Self::Done => StateName::Done,
            Self::Rejected => StateName::Rejected,
            Self::Expired => StateName::Expired,
            Self::InDoubt => StateName::InDoubt,
        }
    }

    /// The token under which a leader works on it.
    pub fn token(self) -> Option<Token> {
        match self {
            Self::Claimed(token) | Self::Sent(token) => Some(token),
            Self::Received | Self::Done | Self::Rejected | Self::Expired | Self::InDoubt => None,
        }
    }
}

/// The name of a [`SignalState`], as stores, pages and commands write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "each is the state of that name")]
pub enum StateName {
    Received,
    Claimed,
    Sent,
    Done,
    Rejected,
    Expired,
    InDoubt,
}

impl StateName {
    /// Every name, in the order in which a signal may reach them.
    pub const ALL: [Self; 7] =
        [Self::Received, Self::Claimed, Self::Sent, Self::Done, Self::Rejected, Self::Expired, Self::InDoubt];

    /// The name as text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Claimed => "claimed",
            Self::Sent => "sent",
            Self::Done => "done",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::InDoubt => "in_doubt",
        }
    }

    /// The state of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|name| name.as_str() == text)
    }

    /// True if no leader changes the state any more.
    pub fn is_final(self) -> bool {
        match self {
            Self::Done | Self::Rejected | Self::Expired => true,
            Self::Received | Self::Claimed | Self::Sent | Self::InDoubt => false,
        }
    }
}

impl fmt::Display for StateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The outcome of a claimed signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It was executed.
    Done,
    /// Its handler has it; the result is pending.
    Sent,
    /// It was not executed and never will be.
    Rejected,
    /// The attempt was certainly not executed and never will be: the signal waits for its next claim. Not allowed
    /// once it is sent.
    Received,
    /// It may have been executed.
    InDoubt,
}

impl Outcome {
    /// The state that the outcome leads to.
    pub const fn state(self) -> StateName {
        match self {
            Self::Done => StateName::Done,
            Self::Sent => StateName::Sent,
            Self::Rejected => StateName::Rejected,
            Self::Received => StateName::Received,
            Self::InDoubt => StateName::InDoubt,
        }
    }

    /// True if a signal in state `from` may take this outcome. The stores' statements implement the same rule; the
    /// contract suite compares them.
    pub fn leads_from(self, from: StateName) -> bool {
        match from {
            StateName::Claimed => true,
            StateName::Sent => match self {
                Self::Done | Self::Rejected | Self::InDoubt => true,
                Self::Sent | Self::Received => false,
            },
            StateName::InDoubt => match self {
                Self::Done | Self::Sent | Self::Rejected | Self::Received => true,
                Self::InDoubt => false,
            },
            StateName::Received | StateName::Done | StateName::Rejected | StateName::Expired => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_was_written() {
        for name in StateName::ALL {
            assert_eq!(StateName::parse(name.as_str()), Some(name));
        }
        assert_eq!(StateName::parse("Done"), None);
    }

    #[test]
    fn no_outcome_leads_out_of_a_final_state_or_back_from_sent() {
        use Outcome::{Done, InDoubt, Received, Rejected, Sent};
        for outcome in [Done, Sent, Rejected, Received, InDoubt] {
            for from in StateName::ALL.into_iter().filter(|name| name.is_final()) {
                assert!(!outcome.leads_from(from), "{outcome:?} from {from}");
            }
            assert!(!outcome.leads_from(StateName::Received), "only a claim leads out of received");
        }
        assert!(!Received.leads_from(StateName::Sent));
    }
}
