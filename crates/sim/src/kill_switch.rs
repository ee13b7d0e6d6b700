//! The judge's record of the kill switch. Once a pause was acknowledged, no claim may be granted until a resumption
//! is carried out.

use domain::ports::Switch;

/// The record; see the [module](self).
#[derive(Debug, Default)]
pub struct KillSwitch {
    paused: bool,
    /// Number of times that it was turned off: a pause from before the latest one no longer applies.
    resumes: u64,
    acknowledged: Pause,
}

/// State of the last acknowledged pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pause {
    /// There is none, or it was ended.
    #[default]
    None,
    /// It applies.
    Holds,
    /// A failover to a standby without it has lost it.
    Lost,
    /// A restored backup lacks it.
    Forgotten,
}

/// The number of resumptions before a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Turn(u64);

impl KillSwitch {
    /// The database has switched it.
    pub fn turned(&mut self, to: Switch) -> Turn {
        self.paused = to == Switch::Pause;
        if to == Switch::Resume {
            self.resumes += 1;
            self.acknowledged = Pause::None;
        }
        Turn(self.resumes)
    }

    /// The client that requested this pause has its answer.
    pub fn acknowledged(&mut self, pause: Turn) {
        if pause.0 == self.resumes {
            self.acknowledged = Pause::Holds;
        }
    }

    /// The pause that applies when a claim is granted.
    pub fn claims(&self) -> Pause {
        self.acknowledged
    }

    /// True if it is on in the database.
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// A standby was promoted; `paused` is its state there.
    pub fn failed_over(&mut self, paused: bool) {
        self.goes_back(paused, Pause::Lost);
    }

    /// A backup was restored; `paused` is its state there.
    pub fn restored(&mut self, paused: bool) {
        self.goes_back(paused, Pause::Forgotten);
    }

    fn goes_back(&mut self, paused: bool, lost: Pause) {
        self.paused = paused;
        if self.acknowledged == Pause::Holds && !paused {
            self.acknowledged = lost;
        }
    }
}
