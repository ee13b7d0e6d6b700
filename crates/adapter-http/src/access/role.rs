//! [`Role`]: what a credential permits.

use std::fmt;

/// A permission of a credential. Each route except the hooks needs exactly one role (`routes.rs`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Ask whether an instance is alive, ready, and the leader. These routes need no credential.
    Probe,
    /// Read everything: the page, the state of the group, metrics and signals with their payloads.
    Read,
    /// Submit signals. A credential at a charting service must not reveal the state of the group.
    Submit,
    /// Claim signals and report their results. It reads too, because a service finds the claims of a lost answer in the
    /// list.
    Work,
    /// Hand leadership over, turn the kill switch, acknowledge expired signals and failed recoveries, and check recovery.
    Operate,
    /// Decide about signals in doubt. Such a decision can cause or prevent an order, so it is separate from
    /// [`Operate`](Self::Operate).
    Resolve,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 6] =
        [Self::Probe, Self::Read, Self::Submit, Self::Work, Self::Operate, Self::Resolve];

    /// Its name in the tokens file and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Probe => "probe",
            Self::Read => "read",
            Self::Submit => "submit",
            Self::Work => "work",
            Self::Operate => "operate",
            Self::Resolve => "resolve",
        }
    }

    /// What it permits in addition to the roles that it includes, as a phrase for the documentation.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Probe => "ask whether the instance is alive, ready, and the leader; needs no credential",
            Self::Read => {
                "read everything: the page, the state of the group, metrics, signals with their payloads"
            }
            Self::Submit => "submit signals",
            Self::Work => "claim signals and report their results",
            Self::Operate => {
                "hand leadership over, pause and resume signals, acknowledge expired signals and failed recoveries, check recovery"
            }
            Self::Resolve => "decide about signals in doubt",
        }
    }

    /// The roles that it includes, itself among them.
    pub const fn includes(self) -> &'static [Self] {
        match self {
            Self::Probe => &[Self::Probe],
            Self::Read => &[Self::Read, Self::Probe],
            Self::Submit => &[Self::Submit, Self::Probe],
            Self::Work => &[Self::Work, Self::Read, Self::Probe],
            Self::Operate => &[Self::Operate, Self::Read, Self::Probe],
            Self::Resolve => &[Self::Resolve, Self::Read, Self::Probe],
        }
    }

    /// Whether its routes are refused while an instance has no credentials. A submission of any process on this host is
    /// accepted then, as a broker's adapter on a machine with a single user needs it, but no process acts as an operator.
    pub(crate) const fn always_needs_a_credential(self) -> bool {
        match self {
            Self::Probe | Self::Read | Self::Submit | Self::Work => false,
            Self::Operate | Self::Resolve => true,
        }
    }

    /// Parses a name.
    ///
    /// # Errors
    /// The valid names, as a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let names = Self::ALL.map(Self::as_str).join(", ");
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| format!("a role is one of {names}"))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
