//! What one instance was shown of the lease, in sets in which a backup may be restored. In all other sets nothing is
//! recorded, so that it does not tell equal states apart.

use super::Step;
use crate::database::Written;
use crate::fault_set::{Fault, FaultSet};
use crate::message::{Knew, Message, Sender, Wrote};
use domain::election::{Epochs, LeaseAnswer, LeaseRequest, Phase, Role};
use domain::lease::{Epoch, Reached, Seq, Token};
use domain::ports::{Claim, Renewal};
use std::sync::Arc;

/// See the [module](self).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Memory {
    /// As the adapters keep it, in the process.
    reached: Reached,
    /// The latest row that an answer showed: the judge's own record, which does not read the elector's.
    pub row: (Epoch, Seq),
    /// The largest epoch that was requested.
    pub asked: Epoch,
}

impl Memory {
    pub fn nothing() -> Self {
        Self { reached: Reached::default(), row: (Epoch(0), Seq(0)), asked: Epoch(0) }
    }

    /// What the next process in the same data directory has: epochs are kept at once, seqs once in a minute (M22).
    pub fn after_a_crash(&self) -> Self {
        Self { reached: Reached::default(), row: (self.row.0, Seq(0)), asked: self.asked }
    }

    /// The seq that the row has reached for certain under this token.
    pub fn reached(&self, token: &Token) -> Seq {
        self.reached.of(token)
    }

    /// For a request that is sent under that token, if under any.
    pub fn knew(&self, token: Option<&Token>) -> Knew {
        let reached = token.map_or(Seq(0), |token| self.reached(token));
        Knew { row: self.row, epoch: self.row.0.max(self.asked), reached }
    }

    /// The epochs of the elector of a process that was killed, as they are on disk.
    pub fn kept(epochs: Epochs) -> Epochs {
        Epochs { seq: Seq(0), ..epochs }
    }

    fn shown(&mut self, row: (Epoch, Seq)) {
        self.row = self.row.max(row);
    }
}

impl FaultSet {
    /// Whether a backup may be restored.
    pub fn restores(&self) -> bool {
        self.faults.contains(&Fault::Restore)
    }
}

impl Step<'_> {
    /// What `who` knows as it sends that request.
    pub fn knew(&mut self, who: usize, request: &LeaseRequest) -> Knew {
        if !self.set.restores() {
            return Memory::nothing().knew(None);
        }
        let memory = &mut self.node(who).memory;
        match request {
            LeaseRequest::Observe | LeaseRequest::Note { .. } => memory.knew(None),
            LeaseRequest::Claim(claim) => {
                let knew = memory.knew(None);
                memory.asked = memory.asked.max(claim.epoch());
                knew
            }
            LeaseRequest::Renew { token, .. } | LeaseRequest::Release { token, .. } => {
                memory.knew(Some(token))
            }
        }
    }

    /// What the row is after a write, for the adapter that sent it.
    pub fn wrote(&self, written: Written) -> Option<Wrote> {
        let database = &self.world.database;
        let wrote =
            || Wrote { token: database.token(), seq: database.row().1, forgot_ms: database.forgot_ms() };
        (self.set.restores() && written != Written::Nothing).then(wrote)
    }

    /// The row was written by an instance that had been shown `row`; before that the store's `forgot_ms` was `before`.
    pub fn judge_restore(&mut self, written: Written, before: Option<i64>, row: (Epoch, Seq)) {
        if self.world.database.forgot_ms() != before {
            self.world.unnoticed = None;
        } else if matches!(written, Written::Claimed(_) | Written::Renewed) {
            self.writes_unaware(row);
        }
    }

    /// An answer of the state store reaches `to`, which is waiting for it: as the adapter passes it on to the elector.
    pub fn remember(&mut self, to: Sender, answer: LeaseAnswer, wrote: Option<Wrote>) -> LeaseAnswer {
        if !self.set.restores() {
            return answer;
        }
        let memory = &mut self.node(to.node).memory;
        match (answer, wrote) {
            (LeaseAnswer::Observed(row), _) => {
                memory.shown((row.version.token.epoch, row.version.seq));
                LeaseAnswer::Observed(row)
            }
            (LeaseAnswer::Claim(Claim::Granted(token)), Some(wrote)) => {
                memory.shown((token.epoch, Seq(0)));
                memory.reached.claimed(&token, wrote.forgot_ms);
                LeaseAnswer::Claim(Claim::Granted(token))
            }
            (LeaseAnswer::Renewal(Renewal::Renewed { timeline, resign, forgotten }), Some(wrote)) => {
                let Wrote { token, seq, forgot_ms } = wrote;
                memory.shown((token.epoch, seq));
                let forgotten = memory.reached.renewed(&token, seq, forgot_ms, forgotten);
                LeaseAnswer::Renewal(Renewal::Renewed { timeline, resign, forgotten })
            }
            (answer, _) => answer,
        }
    }

    /// The state store goes back to the backup, on the same timeline. What was under way stays under way.
    pub fn restore(&mut self) {
        let now = self.world.now;
        let lost = Arc::make_mut(&mut self.world.database).restore();
        self.world.restored = Some(now);
        self.world.unnoticed = Some((self.world.database.row(), lost));
        // The judges go by the row that there is now.
        self.world.latest = self.world.database.token().claim;
        self.world.written.clear();
        self.leaders_look();
    }

    /// After a restore the leaders' dispatchers look whether a signal waits.
    pub fn leaders_look(&mut self) {
        if self.world.restored.is_none() {
            return;
        }
        for who in 0..self.world.nodes.len() {
            let node = &self.world.nodes[who];
            let Role::Leader(leadership) = node.elector.role() else { continue };
            if leadership.phase != Phase::Active || !node.alive || node.paused || node.lease_cut {
                continue;
            }
            let (sender, token) = (Sender { node: who, start: node.start }, leadership.token);
            let reached = node.memory.reached(&token);
            self.world.hot.push_back(Message::Effect { sender, token, reached });
        }
    }

    /// `who`, to which `row` was shown or acknowledged, writes under the restored row before anybody has noted that it
    /// is an older one. If it could not know that, what was executed may be executed again.
    pub fn writes_unaware(&mut self, row: (Epoch, Seq)) {
        if let Some((restored, lost)) = self.world.unnoticed
            && row <= restored
            && lost
        {
            Arc::make_mut(&mut self.world.database).lost_claims += 1;
            self.world.unnoticed = Some((restored, false));
        }
    }
}
