//! The judges: the properties that must hold in every state and after every write.

use crate::coverage::Seen;
use crate::database::Written;
use crate::fault_set::{Clocks, TTL};
use crate::world::{Step, nanos};
use domain::election::{LeaseAnswer, Phase};
use domain::lease::{Epoch, Token};
use domain::ports::Renewal;

/// The properties that the model checks in every state. The first that breaks is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Broken {
    /// S1: two instances hold a valid lease at once.
    TwoValidLeases,
    /// S1: a leadership that was over became valid again.
    Revived,
    /// S2: an effect of a superseded or released token was accepted.
    StaleEffect,
    /// S3: an epoch did not grow on its timeline.
    EpochDidNotGrow,
    /// S3: the claim of an instance with a valid lease differs from the lease's, although no promotion lost it.
    NotTheLease,
    /// M2: the lease went back under one claim.
    LeaseWentBack,
    /// The signal was sent twice, and no promotion lost the record of the first claim.
    SentTwice,
    /// M18: a release deleted the ticket of another claim.
    TicketDeleted,
    /// Leadership became active before recovery passed.
    ActiveTooSoon,
    /// An instance that had received a request to stop became leader.
    LedAfterStop,
    /// Rule 4: an instance read that another one leads, and its lease stayed valid.
    LedAfterSuperseded,
    /// M23: a renewal reported that the store has forgotten, and the lease stayed valid.
    LedAfterForgotten,
    /// M22: a claim's epoch does not exceed every epoch that its instance has read or requested.
    EpochKnown,
    /// M25: an instance claimed a lease that was left to another one, within a lease of the release.
    NotTheSuccessor,
    /// An instance requests an immediate wakeup and then does nothing.
    Spins,
    /// Stability: a term ended although the state store answered in time, no process was paused and no handover was
    /// requested.
    TermEnded,
    /// Rule 1: an instance took the ticket on the basis of a read that is older than a lease.
    TicketBeforeRead,
    /// L1: the faults ended long ago, and no instance leads.
    NoLeader,
}

impl Broken {
    /// The property that breaks if the receiver of this answer still holds a valid lease after it.
    pub fn if_ignored(answer: &LeaseAnswer) -> Option<Self> {
        match answer {
            LeaseAnswer::Renewal(Renewal::Superseded) => Some(Self::LedAfterSuperseded),
            LeaseAnswer::Renewal(Renewal::Renewed { forgotten: true, .. }) => Some(Self::LedAfterForgotten),
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
        // A grant from before a restore may still be valid, and the restored lease may be open: S1 needs a store that
        // keeps acknowledged writes. After one lease, two must not be valid at once.
        let restored = self.world.restored.is_some_and(|at| self.world.now <= at + nanos(TTL));
        if restored && broken == Broken::TwoValidLeases {
            return;
        }
        // With clocks beyond the bound, this must occur, and every other property must hold.
        if self.set.clocks == Clocks::Beyond && matches!(broken, Broken::TwoValidLeases | Broken::NotTheLease)
        {
            (self.saw)(Seen::Overlap);
            return;
        }
        self.world.broken.get_or_insert(broken);
    }

    /// Checks the properties of this state after every action.
    pub fn judge(&mut self) {
        let tokens: Vec<Option<Token>> =
            (0..self.world.nodes.len()).map(|who| self.world.valid_token(who)).collect();
        if tokens.iter().flatten().count() > 1 {
            self.breaks(Broken::TwoValidLeases);
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
        // A promotion since the last write under this claim may have lost it.
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
        let last_valid = self.world.nodes[who].last_valid;
        match (token, last_valid) {
            (Some(token), Some((claim, true))) if claim == token.claim => self.breaks(Broken::Revived),
            (Some(token), Some((claim, _))) if claim == token.claim => {}
            (Some(token), _) => self.node(who).last_valid = Some((token.claim, false)),
            (None, Some((claim, false))) => self.node(who).last_valid = Some((claim, true)),
            (None, _) => {}
        }
    }

    pub fn judge_absence(&mut self) {
        (self.saw)(Seen::Tail);
        let no_leader = (0..self.world.nodes.len()).all(|who| self.world.valid_token(who).is_none());
        if no_leader && self.world.an_instance_could_lead() {
            self.breaks(Broken::NoLeader);
        }
    }

    /// Checks a statement's write. Its sender knew no epoch above `knew`.
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
                // An instance need not know a term that a restore took back and in which only other instances took
                // part.
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
