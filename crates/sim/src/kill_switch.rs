//! What the judge knows of the kill switch: once a pause was acknowledged, no claim is granted until a resumption is
//! carried out.

use domain::ports::Switch;

/// See the [module](self).
#[derive(Debug, Default)]
pub struct KillSwitch {
    paused: bool,
    /// How often it was turned off: a pause that was carried out before the latest time holds no more.
    resumes: u64,
    acknowledged: Pause,
}

/// A pause that whoever asked for it knows of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pause {
    /// There is none, or it was taken back.
    #[default]
    None,
    /// It holds.
    Holds,
    /// A failover to a standby that had not heard of it has lost it.
    Lost,
    /// A backup was restored that lacks it.
    Forgotten,
}

/// Which resumptions a pause comes after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Turn(u64);

impl KillSwitch {
    /// The database has turned it.
    pub fn turned(&mut self, to: Switch) -> Turn {
        self.paused = to == Switch::Pause;
        if to == Switch::Resume {
            self.resumes += 1;
            self.acknowledged = Pause::None;
        }
        Turn(self.resumes)
    }

    /// Whoever asked for that pause has its answer.
    pub fn acknowledged(&mut self, pause: Turn) {
        if pause.0 == self.resumes {
            self.acknowledged = Pause::Holds;
        }
    }

    /// A claim is granted: in spite of which pause.
    pub fn claims(&self) -> Pause {
        self.acknowledged
    }

    /// Whether it is on in the database.
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// A standby was promoted in which it is `paused`.
    pub fn failed_over(&mut self, paused: bool) {
        self.goes_back(paused, Pause::Lost);
    }

    /// A backup was restored in which it is `paused`.
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
