//! The instance table and the leadership history: what an operator reads. No election rule reads them.

use crate::id::{InstanceId, Nonce};
use crate::lease::{Epoch, Timeline};
use crate::settings::SharedSettings;
use alloc::string::String;
use core::fmt;
use core::time::Duration;

/// What an instance is doing, as the instance table shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MemberState {
    /// Has not read the row yet.
    Starting,
    /// Elected, recovering the portfolio.
    Recovering,
    /// Elected and recovered: the one that acts.
    Active,
    /// Ready to take over.
    Standby,
    /// Elected, but the portfolio cannot be trusted: nothing is traded.
    Halted,
}

impl MemberState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Starting, Self::Recovering, Self::Active, Self::Standby, Self::Halted];

    /// As the stores and the pages write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Recovering => "recovering",
            Self::Active => "active",
            Self::Standby => "standby",
            Self::Halted => "halted",
        }
    }

    /// The state of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Whether an instance of this state holds the lease.
    pub fn leads(self) -> bool {
        match self {
            Self::Recovering | Self::Active | Self::Halted => true,
            Self::Starting | Self::Standby => false,
        }
    }
}

impl fmt::Display for MemberState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The worst alert of an instance, or how bad one alert is. Ordered: the worst wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Health {
    /// Nothing to do.
    #[default]
    Ok,
    /// Look into it.
    Warning,
    /// Act now.
    Critical,
}

impl Health {
    /// As the JSON page writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
        }
    }

    /// As Prometheus and the instance table carry it: 0, 1, 2.
    pub fn as_number(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Warning => 1,
            Self::Critical => 2,
        }
    }

    /// The health of that number; anything beyond 2 is critical.
    pub fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Ok,
            1 => Self::Warning,
            2.. => Self::Critical,
        }
    }
}

/// One process's line of the instance table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub id: InstanceId,
    /// Which start of it.
    pub nonce: Nonce,
    /// On which host.
    pub host: String,
    /// Where its page is, as a browser on another host would write it (`http://10.0.0.7:5000`).
    pub address: String,
    /// What it is doing.
    pub state: MemberState,
    /// The epoch it knows.
    pub epoch: Epoch,
    /// Redis is unreachable for it.
    pub fallback: bool,
    /// Its worst alert.
    pub alerts: Health,
    /// Its version.
    pub version: String,
    /// When it started, unix milliseconds.
    pub started_ms: i64,
    /// The settings that all instances must agree on.
    pub settings: SharedSettings,
    /// Why it cannot lead, if it cannot; at most 256 characters are kept.
    pub cannot_lead: Option<String>,
}

/// A line of the instance table as another process reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberSeen {
    /// The line.
    pub member: Member,
    /// How long ago it was written, by the store's clock (both ends, so no clocks are compared).
    pub heartbeat_age: Duration,
}

/// What a heartbeat learned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    /// Terms that began in the last 60 minutes, by the store's clock.
    pub changes_last_hour: u32,
    /// Another live process writes under the same id: its nonce and start (unix milliseconds). Told when
    /// the line carried another nonce although this process had written it before.
    pub displaced: Option<(Nonce, i64)>,
    /// As [`StateStore::forgot_ms`](crate::ports::StateStore::forgot_ms) answers.
    pub forgot_ms: Option<i64>,
}

/// One leadership, from claim to release or to the next claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// On which timeline it began. After a promotion a renewal carries the lease to another one, and the term ends.
    pub timeline: Timeline,
    /// Its number.
    pub epoch: Epoch,
    /// Who led.
    pub holder: InstanceId,
    /// On which host.
    pub host: String,
    /// From when, unix milliseconds by the store's clock.
    pub from_ms: i64,
    /// Until when; `None` while it lasts.
    pub to_ms: Option<i64>,
    /// Why it ended: the reason of the release, or `expired`.
    pub reason: Option<String>,
}
