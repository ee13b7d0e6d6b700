//! The instance's knowledge of the lease, in sets in which a backup may be restored. In all other sets it stays
//! empty, so that it does not make equal states differ.

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
    /// The value that the adapters keep in the process.
    reached: Reached,
    /// The latest lease in an answer. The judge's own record, independent of the elector's.
    pub lease: (Epoch, Seq),
    /// The largest epoch that was requested.
    pub asked: Epoch,
}

impl Memory {
    pub fn nothing() -> Self {
        Self { reached: Reached::default(), lease: (Epoch(0), Seq(0)), asked: Epoch(0) }
    }

    /// The value that the next process in the same data directory reads: epochs are stored at once, seqs once a
    /// minute (M22).
    pub fn after_a_crash(&self) -> Self {
        Self { reached: Reached::default(), lease: (self.lease.0, Seq(0)), asked: self.asked }
    }

    /// The seq that the lease has certainly reached under this token.
    pub fn reached(&self, token: &Token) -> Seq {
        self.reached.of(token)
    }

    /// The knowledge for a request under that token, or without one.
    pub fn knew(&self, token: Option<&Token>) -> Knew {
        let reached = token.map_or(Seq(0), |token| self.reached(token));
        Knew { lease: self.lease, epoch: self.lease.0.max(self.asked), reached }
    }

    /// The epochs on disk of a process that was killed.
    pub fn kept(epochs: Epochs) -> Epochs {
        Epochs { seq: Seq(0), ..epochs }
    }

    fn shown(&mut self, lease: (Epoch, Seq)) {
        self.lease = self.lease.max(lease);
    }
}

impl FaultSet {
    /// True if a backup may be restored.
    pub fn restores(&self) -> bool {
        self.faults.contains(&Fault::Restore)
    }
}

impl Step<'_> {
    /// The knowledge of `who` when it sends that request.
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

    /// The lease after a write, for the adapter that sent it.
    pub fn wrote(&self, written: Written) -> Option<Wrote> {
        let database = &self.world.database;
        let wrote =
            || Wrote { token: database.token(), seq: database.lease().1, forgot_ms: database.forgot_ms() };
        (self.set.restores() && written != Written::Nothing).then(wrote)
    }

    /// Checks a write of an instance that had read `lease`. The store's `forgot_ms` was `before` the write.
    pub fn judge_restore(&mut self, written: Written, before: Option<i64>, lease: (Epoch, Seq)) {
        if self.world.database.forgot_ms() != before {
            self.world.unnoticed = None;
        } else if matches!(written, Written::Claimed(_) | Written::Renewed) {
            self.writes_unaware(lease);
        }
    }

    /// Takes in an answer of the state store to `to`, as the adapter passes it on to the elector.
    pub fn remember(&mut self, to: Sender, answer: LeaseAnswer, wrote: Option<Wrote>) -> LeaseAnswer {
        if !self.set.restores() {
            return answer;
        }
        let memory = &mut self.node(to.node).memory;
        match (answer, wrote) {
            (LeaseAnswer::Observed(lease), _) => {
                memory.shown((lease.version.token.epoch, lease.version.seq));
                LeaseAnswer::Observed(lease)
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

    /// The state store returns to the backup, on the same timeline. Messages in flight stay in flight.
    pub fn restore(&mut self) {
        let now = self.world.now;
        let lost = Arc::make_mut(&mut self.world.database).restore();
        self.world.restored = Some(now);
        self.world.unnoticed = Some((self.world.database.lease(), lost));
        // The judges use the lease as it is now.
        self.world.latest = self.world.database.token().claim;
        self.world.written.clear();
        self.leaders_check_for_signals();
    }

    /// After a restore, the leaders' dispatchers check whether a signal waits.
    pub fn leaders_check_for_signals(&mut self) {
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

    /// `who`, which had read or been acknowledged `lease`, writes under the restored lease before any instance has
    /// reported that it is an older one. If it could not know that, an executed signal may be executed again.
    pub fn writes_unaware(&mut self, lease: (Epoch, Seq)) {
        if let Some((restored, lost)) = self.world.unnoticed
            && lease <= restored
            && lost
        {
            Arc::make_mut(&mut self.world.database).lost_claims += 1;
            self.world.unnoticed = Some((restored, false));
        }
    }
}
