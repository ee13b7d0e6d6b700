//! The judges: what must hold of every state and of every write.

use crate::coverage::Seen;
use crate::database::Written;
use crate::fault_set::{Clocks, TTL};
use crate::world::{Step, nanos};
use domain::election::{LeaseAnswer, Phase};
use domain::lease::{Epoch, Token};
use domain::ports::Renewal;

/// What the model checks every state for. The first that breaks is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Broken {
    /// S1: two believe at once.
    TwoBelieve,
    /// S1: belief in a leadership that was over came back.
    Revived,
    /// S2: an effect of a superseded or released token was accepted.
    StaleEffect,
    /// S3: an epoch did not grow on its timeline.
    EpochDidNotGrow,
    /// S3: a believer's claim is not the row's, although no promotion lost it.
    NotTheLease,
    /// M2: the row went back under one claim.
    LeaseWentBack,
    /// The signal was sent twice, and no promotion lost the record of the first claim.
    SentTwice,
    /// M18: a release deleted the ticket of another claim.
    TicketDeleted,
    /// Leadership became active before recovery passed.
    ActiveTooSoon,
    /// An instance that was asked to stop became leader.
    LedAfterStop,
    /// Rule 4: the row said that somebody else leads, and the belief went on.
    NotHeard,
    /// M23: a renewal said that the store has forgotten, and the belief went on.
    LedOn,
    /// M22: a claim's epoch is not above all that its instance was shown and has requested.
    EpochKnown,
    /// An instance asks to be woken at once, and does nothing.
    Spins,
    /// Stability: a term ended although the state store answered in time and no process was stopped or asked.
    TermEnded,
    /// Rule 1: an instance took the ticket on the strength of a row that it read more than a lease ago.
    TicketBeforeRead,
    /// L1: faults were over for long, and nobody leads.
    Nobody,
}

impl Broken {
    /// What breaks if whoever gets this answer believes after it.
    pub fn unless_heard(answer: &LeaseAnswer) -> Option<Self> {
        match answer {
            LeaseAnswer::Renewal(Renewal::Superseded) => Some(Self::NotHeard),
            LeaseAnswer::Renewal(Renewal::Renewed { forgotten: true, .. }) => Some(Self::LedOn),
            LeaseAnswer::Renewal(Renewal::Renewed { .. } | Renewal::OtherTimeline(_))
            | LeaseAnswer::Observed(_)
            | LeaseAnswer::Claim(_)
            | LeaseAnswer::NotSent
            | LeaseAnswer::Outdated(_)
            | LeaseAnswer::Note(_)
            | LeaseAnswer::Release(_) => None,
        }
    }
}

impl Step<'_> {
    pub fn breaks(&mut self, broken: Broken) {
        // What was granted before a restore may still be valid, and the restored row may be open: S1 needs a store that
        // keeps what it acknowledged. For longer than a lease two must not believe.
        let restored = self.world.restored.is_some_and(|at| self.world.now <= at + nanos(TTL));
        if restored && broken == Broken::TwoBelieve {
            return;
        }
        // With clocks worse than promised this is to be seen, and everything else is to hold all the same.
        if self.set.clocks == Clocks::Beyond && matches!(broken, Broken::TwoBelieve | Broken::NotTheLease) {
            (self.saw)(Seen::Overlap);
            return;
        }
        self.world.broken.get_or_insert(broken);
    }

    /// After every action: what must hold of this state.
    pub fn judge(&mut self) {
        let tokens: Vec<Option<Token>> =
            (0..self.world.nodes.len()).map(|who| self.world.believes(who)).collect();
        if tokens.iter().flatten().count() > 1 {
            self.breaks(Broken::TwoBelieve);
        }
        for (who, token) in tokens.into_iter().enumerate() {
            self.judge_belief(who, token);
            if let Some(token) = token {
                self.judge_believer(who, token);
            }
        }
    }

    fn judge_believer(&mut self, who: usize, token: Token) {
        let (node, database) = (&self.world.nodes[who], &self.world.database);
        let phase = node.elector.leadership().map(|leadership| &leadership.phase);
        let too_soon = phase == Some(&Phase::Active) && !node.recovered;
        let is_row = database.token().claim == token.claim && !database.released();
        // A promotion since the row was last written under this claim may have lost that.
        let written = self.world.written.contains(&(token.claim, database.promotions));
        let lost = !is_row && written;
        if too_soon {
            self.breaks(Broken::ActiveTooSoon);
        }
        if lost {
            self.breaks(Broken::NotTheLease);
        }
    }

    fn judge_belief(&mut self, who: usize, token: Option<Token>) {
        let believed = self.world.nodes[who].believed;
        match (token, believed) {
            (Some(token), Some((claim, true))) if claim == token.claim => self.breaks(Broken::Revived),
            (Some(token), Some((claim, _))) if claim == token.claim => {}
            (Some(token), _) => self.node(who).believed = Some((token.claim, false)),
            (None, Some((claim, false))) => self.node(who).believed = Some((claim, true)),
            (None, _) => {}
        }
    }

    pub fn judge_absence(&mut self) {
        (self.saw)(Seen::Tail);
        let nobody = (0..self.world.nodes.len()).all(|who| self.world.believes(who).is_none());
        if nobody && self.world.somebody_could_lead() {
            self.breaks(Broken::Nobody);
        }
    }

    /// What a statement wrote, whose sender knew of no larger epoch than `knew`.
    pub fn judge_write(&mut self, written: Written, knew: Epoch) {
        if written != Written::Nothing {
            let (claim, promotions) = (self.world.database.token().claim, self.world.database.promotions);
            self.world.written.retain(|(of, _)| *of != claim);
            self.world.written.push((claim, promotions));
        }
        match written {
            Written::Claimed(token) => {
                self.world.latest = token.claim;
                if self.set.restores() && token.epoch <= knew {
                    self.breaks(Broken::EpochKnown);
                }
                // Nobody is sure to know a term that a restore has taken back and in which only others took part.
                let restored = self.world.restored.is_some();
                let known = self.world.epochs.iter_mut().find(|(timeline, _)| *timeline == token.timeline);
                match known {
                    Some((_, epoch)) if token.epoch <= *epoch && restored && knew < *epoch => {}
                    Some((_, epoch)) if token.epoch <= *epoch => self.breaks(Broken::EpochDidNotGrow),
                    Some((_, epoch)) => *epoch = token.epoch,
                    None => self.world.epochs.push((token.timeline, token.epoch)),
                }
            }
            Written::Backwards => self.breaks(Broken::LeaseWentBack),
            Written::Nothing | Written::Renewed | Written::Released => {}
        }
    }
}
