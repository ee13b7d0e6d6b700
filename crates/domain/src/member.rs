//! The instance table and the leadership history, for operators. No election rule reads them.

use crate::id::{InstanceId, Nonce};
use crate::lease::{Epoch, Timeline};
use crate::settings::SharedSettings;
use alloc::string::String;
use core::fmt;
use core::time::Duration;

/// The state of an instance, as the instance table shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MemberState {
    /// Has not read the lease yet.
    Starting,
    /// Leads and recovers the portfolio.
    Recovering,
    /// Leads, has recovered, and acts.
    Active,
    /// Ready to take over.
    Standby,
    /// Leads, but the portfolio cannot be trusted: it does not trade.
    Halted,
}

impl MemberState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Starting, Self::Recovering, Self::Active, Self::Standby, Self::Halted];

    /// The text that stores and pages write.
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

    /// True if an instance in this state holds the lease.
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

/// The severity of one alert, or of an instance's worst alert. Ordered by severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Health {
    /// Nothing to do.
    #[default]
    Ok,
    /// Should be investigated.
    Warning,
    /// Act now.
    Critical,
}

impl Health {
    /// The text in the JSON page.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
        }
    }

    /// The number in Prometheus and in the instance table: 0, 1, 2.
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

/// The alert for a late heartbeat is at 30 s; three heartbeats fit, however long LEADER_TTL is.
pub const HEARTBEAT_INTERVAL_MAX: Duration = Duration::from_secs(10);

/// How often an instance with this LEADER_TTL writes its entry in the instance table.
pub fn heartbeat_interval(ttl: Duration) -> Duration {
    ttl.min(HEARTBEAT_INTERVAL_MAX)
}

/// One process's entry in the instance table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The id of the instance.
    pub id: InstanceId,
    /// The start of the process.
    pub nonce: Nonce,
    /// The host.
    pub host: String,
    /// The URL of its page, as a browser on another host opens it (`http://10.0.0.7:5000`).
    pub address: String,
    /// Its state.
    pub state: MemberState,
    /// The latest epoch that it knows.
    pub epoch: Epoch,
    /// True if it cannot reach Redis.
    pub fallback: bool,
    /// Its worst alert.
    pub alerts: Health,
    /// Its version.
    pub version: String,
    /// The time of its start, in unix milliseconds.
    pub started_ms: i64,
    /// The settings that must be equal on all instances.
    pub settings: SharedSettings,
    /// The reason why it cannot lead, if it cannot; at most 256 characters are kept.
    pub cannot_lead: Option<String>,
    /// The 95th percentile of its latest syncs with the state store, in whole microseconds; `None` if it has too few.
    pub sync_p95: Option<Duration>,
}

/// An entry of the instance table as another process reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberSeen {
    /// The entry.
    pub member: Member,
    /// The age of the entry by the store's clock, which wrote and reads it, so no two clocks are compared.
    pub heartbeat_age: Duration,
}

/// The lease as the state store has it, for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseSeen {
    /// The instance that holds it or held it last; `None` before the first claim.
    pub holder: Option<InstanceId>,
    /// The epoch of that claim.
    pub epoch: Epoch,
    /// The holder has released it.
    pub released: bool,
    /// LEADER_TTL of the holder.
    pub ttl: Duration,
    /// How long ago it was claimed, renewed or released, by the store's clock (both ends, so no clocks are compared).
    pub renewed_age: Duration,
    /// When the claim was made, unix milliseconds by the store's clock.
    pub since_ms: Option<i64>,
    /// When the store was last known to have forgotten, unix milliseconds by its clock. `None` while that never happened.
    pub forgot_ms: Option<i64>,
}

/// The answer to a heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    /// Terms that began in the last 60 minutes, by the store's clock.
    pub changes_last_hour: u32,
    /// Another live process that writes under the same id: its nonce and start (unix milliseconds). Set if the entry
    /// carried another nonce although this process had written it before.
    pub displaced: Option<(Nonce, i64)>,
    /// The answer of [`LeaseSeen::forgot_ms`].
    pub forgot_ms: Option<i64>,
}

/// One term, from claim to release or to the next claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// The timeline on which it began. After a promotion a renewal carries the lease to another one, and the term
    /// ends.
    pub timeline: Timeline,
    /// Its epoch.
    pub epoch: Epoch,
    /// The instance that led.
    pub holder: InstanceId,
    /// Its host.
    pub host: String,
    /// The start of the term, in unix milliseconds by the store's clock.
    pub from_ms: i64,
    /// The end of the term; `None` while it lasts.
    pub to_ms: Option<i64>,
    /// The reason for its end: the reason of the release, or `expired`.
    pub reason: Option<String>,
}
