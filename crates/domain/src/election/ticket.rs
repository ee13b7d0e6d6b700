//! Talking to the leader store: the ticket that lets one instance at a time go for an open row.
//! Nothing here decides who leads. One call at a time.

use super::command::{CallId, Command, Report, TicketRequest};
use super::config::TicketUse;
use super::elector::Elector;
use super::event::TicketAnswer;
use super::hints::{Cause, Hints};
use super::role::{Candidacy, Role};
use crate::id::ClaimId;
use crate::ports::{Acquire, StoreError, Ticket, TicketRenewal};
use crate::time::Time;
use alloc::vec::Vec;

/// What is known of the ticket, and the call under way.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct TicketLane {
    pub(super) seen: Option<Ticket>,
    /// The last call failed.
    pub(super) unreachable: bool,
    /// When the next request is due.
    pub(super) next: Time,
    pub(super) hints: Hints,
    call: Option<(CallId, TicketRequest)>,
    /// The claim a ticket was last asked for; it may be held, acknowledged or not.
    asked: Option<ClaimId>,
    /// The claim whose ticket is held, as far as is known.
    mine: Option<ClaimId>,
    /// A ticket that may be held and is not wanted: to be given back.
    owed: Option<ClaimId>,
    /// The ticket shown cannot be waited for.
    faulty: bool,
}

impl TicketLane {
    /// Nothing under way, and nothing owed that could be given back.
    pub(super) fn is_quiet(&self) -> bool {
        self.call.is_none() && (self.owed.is_none() || self.unreachable)
    }

    /// The ticket of `claim`, if it was ever asked for, is not wanted any more.
    pub(super) fn owe(&mut self, claim: ClaimId) {
        if self.asked == Some(claim) {
            self.owed = Some(claim);
            self.mine = None;
        }
    }
}

impl Elector {
    /// Whether the candidate may claim: it has the ticket, or there is no point in waiting for one.
    pub(super) fn ticket_settled(&self, now: Time, candidacy: &Candidacy) -> bool {
        let lane = &self.ticket;
        self.config.ticket == TicketUse::None
            || lane.mine == Some(candidacy.claim)
            || lane.unreachable
            || lane.faulty
            || now >= candidacy.without_ticket
    }

    /// Sends the next request to the leader store if one is due and none is under way.
    pub(super) fn advance_ticket(&mut self, now: Time, out: &mut Vec<Command>) {
        if self.config.ticket == TicketUse::None || self.ticket.call.is_some() || self.role == Role::Stopped {
            return;
        }
        let Some(request) = self.ticket_request(now) else { return };
        let id = self.next_call();
        self.ticket.call = Some((id, request));
        match request {
            // Not what the timer is for: giving an old ticket back puts off no renewal of the present one.
            TicketRequest::Release(_) => {}
            TicketRequest::Acquire { .. } | TicketRequest::Renew(_) | TicketRequest::Inspect => {
                let cause = if now < self.ticket.next { Cause::Hint } else { Cause::Timer };
                self.ticket.hints.answered_by(cause, now, &self.config);
                self.ticket.next = now + self.config.heartbeat;
            }
        }
        if let TicketRequest::Acquire { claim, .. } = request {
            self.ticket.asked = Some(claim);
        }
        out.push(Command::Ticket { call: id, timeout: self.config.heartbeat, request });
    }

    fn ticket_request(&self, now: Time) -> Option<TicketRequest> {
        let lane = &self.ticket;
        if let Some(claim) = lane.owed
            && !lane.unreachable
        {
            return Some(TicketRequest::Release(claim));
        }
        let hinted = lane.hints.due(&self.config).is_some_and(|at| now >= at);
        if now < lane.next && !hinted {
            return None;
        }
        match &self.role {
            Role::Candidate(candidacy) if !self.ticket_settled(now, candidacy) => {
                let (claim, void) = (candidacy.claim, Some(candidacy.void));
                Some(TicketRequest::Acquire { claim, void })
            }
            Role::Leader(leadership) => {
                let claim = leadership.token.claim;
                // Redis forgot it, or was away when the row was won: take it when it is free.
                let keep = lane.mine == Some(claim);
                Some(if keep {
                    TicketRequest::Renew(claim)
                } else {
                    TicketRequest::Acquire { claim, void: None }
                })
            }
            Role::Follower if self.stopping => None,
            Role::Follower | Role::Candidate(_) => Some(TicketRequest::Inspect),
            Role::Stopped => None,
        }
    }

    /// When `advance_ticket` has something to do, if no event comes before.
    pub(super) fn ticket_wakeup(&self) -> Option<Time> {
        let idle = self.ticket.call.is_some() || (self.stopping && self.role == Role::Follower);
        let unused = self.config.ticket == TicketUse::None || self.role == Role::Stopped;
        let next =
            self.ticket.hints.due(&self.config).map_or(self.ticket.next, |at| at.min(self.ticket.next));
        (!idle && !unused).then_some(next)
    }

    pub(super) fn ticket_answered(
        &mut self,
        now: Time,
        id: CallId,
        answer: Result<TicketAnswer, StoreError>,
        out: &mut Vec<Command>,
    ) {
        let Some((_, request)) = self.ticket.call.take_if(|(call, _)| *call == id) else { return };
        self.ticket.unreachable = answer.is_err();
        match answer {
            Ok(answer) => self.ticket_said(now, request, answer, out),
            Err(_) => self.ticket_failed(now, request),
        }
        self.drop_unwanted();
    }

    fn ticket_said(
        &mut self,
        now: Time,
        request: TicketRequest,
        answer: TicketAnswer,
        out: &mut Vec<Command>,
    ) {
        match (answer, request) {
            (TicketAnswer::Acquire(Acquire::Granted), TicketRequest::Acquire { claim, .. })
            | (TicketAnswer::Renewal(TicketRenewal::Renewed), TicketRequest::Renew(claim)) => {
                self.ticket_mine(claim);
            }
            (TicketAnswer::Acquire(Acquire::Held(ticket)), _) => self.ticket_seen(now, Some(ticket), out),
            (TicketAnswer::Renewal(TicketRenewal::Lost(ticket)), _) => {
                self.ticket.mine = None;
                self.ticket_seen(now, ticket, out);
            }
            (TicketAnswer::Inspected(ticket), _) => self.ticket_seen(now, ticket, out),
            (TicketAnswer::Released, TicketRequest::Release(claim)) => {
                self.ticket.owed.take_if(|owed| *owed == claim);
                self.ticket.seen.take_if(|seen| seen.claim == Some(claim));
            }
            // A driver that answers a call with another call's answer has a bug; it is no answer.
            (
                TicketAnswer::Acquire(Acquire::Granted)
                | TicketAnswer::Renewal(TicketRenewal::Renewed)
                | TicketAnswer::Released,
                _,
            ) => self.ticket.unreachable = true,
        }
    }

    fn ticket_mine(&mut self, claim: ClaimId) {
        self.ticket.mine = Some(claim);
        self.ticket.faulty = false;
        let holder = self.config.id.clone();
        self.ticket.seen = Some(Ticket { holder, claim: Some(claim), remaining: Ok(self.config.ttl) });
    }

    fn ticket_seen(&mut self, now: Time, ticket: Option<Ticket>, out: &mut Vec<Command>) {
        self.ticket.faulty = false;
        match ticket.as_ref().map(|ticket| ticket.remaining) {
            Some(Err(fault)) => {
                self.ticket.faulty = true;
                out.push(Command::Report(Report::Fault(fault)));
            }
            // A candidate asks again when the ticket has run out; a hint of its release comes earlier.
            Some(Ok(remaining)) if matches!(self.role, Role::Candidate(_)) => {
                self.ticket.next = now + remaining.max(self.config.retry());
            }
            Some(Ok(_)) | None => {}
        }
        self.ticket.seen = ticket;
    }

    /// It may have been carried out: an unwanted ticket is owed either way.
    fn ticket_failed(&mut self, now: Time, request: TicketRequest) {
        self.ticket.next = now + self.config.retry();
        if let TicketRequest::Acquire { claim, .. } = request
            && !self.wants_ticket(claim)
        {
            self.ticket.owe(claim);
        }
    }

    /// A ticket of this process that it has no use for is given back: the row wins over the ticket.
    fn drop_unwanted(&mut self) {
        let shown = self.ticket.seen.as_ref().and_then(|ticket| ticket.claim);
        let held = self.ticket.mine.or(shown.filter(|claim| claim.is_from(self.config.nonce)));
        if let Some(claim) = held
            && !self.wants_ticket(claim)
        {
            self.ticket.owed = Some(claim);
            self.ticket.mine = None;
        }
    }

    fn wants_ticket(&self, claim: ClaimId) -> bool {
        match &self.role {
            Role::Candidate(candidacy) => candidacy.claim == claim,
            Role::Leader(leadership) => leadership.token.claim == claim,
            Role::Follower | Role::Stopped => false,
        }
    }
}
