//! The ticket as this instance knows it, and the requests to the leader store. The ticket is an advisory lock that
//! lets one instance at a time contend for an open lease. Nothing here decides who leads.

use super::command::{CallId, Command, TicketRequest};
use super::config::{Config, TicketUse};
use super::event::TicketAnswer;
use super::hints::{Cause, Hints};
use super::lane::{Context, Due};
use super::role::{Candidacy, Role};
use crate::id::ClaimId;
use crate::ports::{Acquire, StoreError, Ticket, TicketFault, TicketRenewal};
use crate::time::Time;

/// State of the ticket lane: what is known of the ticket, and the call in progress.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct TicketLane {
    seen: Option<Ticket>,
    /// The last call failed.
    unreachable: bool,
    /// The time when the next request is due.
    next: Time,
    hints: Hints,
    call: Option<(CallId, TicketRequest)>,
    /// The claim that a ticket was last requested for. This process may hold it, acknowledged or not.
    requested: Option<ClaimId>,
    /// The claim whose ticket this process holds, as far as it knows.
    mine: Option<ClaimId>,
    /// A ticket that this process may hold and does not want: to be released.
    release: Option<ClaimId>,
    /// Waiting for the ticket that was read makes no sense.
    faulty: bool,
}

impl TicketLane {
    /// The ticket as last read.
    pub(super) fn seen(&self) -> Option<&Ticket> {
        self.seen.as_ref()
    }

    /// The last call failed.
    pub(super) fn is_unreachable(&self) -> bool {
        self.unreachable
    }

    /// No call in progress, and no release pending that could be sent.
    pub(super) fn is_quiet(&self) -> bool {
        self.call.is_none() && (self.release.is_none() || self.unreachable)
    }

    pub(super) fn hinted(&mut self) {
        self.hints.arrived();
    }

    /// Makes the next request due at once, for a candidate.
    pub(super) fn hurry(&mut self, now: Time) {
        self.next = now;
    }

    /// Abandons the ticket of `claim`, if it was ever requested.
    pub(super) fn abandon(&mut self, claim: ClaimId) {
        if self.requested == Some(claim) {
            self.release = Some(claim);
            self.mine = None;
        }
    }

    /// The time when a candidate claims the lease: when it holds the ticket, or when waiting for one no longer makes
    /// sense.
    pub(super) fn lets_claim(&self, candidacy: &Candidacy, config: &Config) -> Due {
        let may_claim = config.ticket == TicketUse::None
            || self.mine == Some(candidacy.claim)
            || self.unreachable
            || self.faulty;
        if may_claim { Due::Now } else { Due::At(candidacy.without_ticket) }
    }

    /// The time when the next request is due.
    fn due(&self, cx: Context) -> Due {
        let unused = cx.config.ticket == TicketUse::None || *cx.role == Role::Stopped;
        if self.call.is_some() || unused {
            Due::OnEvent
        } else if self.release.is_some() && !self.unreachable {
            Due::Now
        } else if cx.stopping && *cx.role == Role::Follower {
            Due::OnEvent
        } else {
            Due::At(self.hints.due(cx.config).map_or(self.next, |at| at.min(self.next)))
        }
    }

    /// The time when there is work to do, if no event comes before.
    pub(super) fn wakeup(&self, cx: Context) -> Option<Time> {
        self.due(cx).time()
    }

    /// The request to send now.
    pub(super) fn work(&self, now: Time, cx: Context) -> Option<TicketRequest> {
        if !self.due(cx).is_reached(now) {
            return None;
        }
        if let Some(claim) = self.release.filter(|_| !self.unreachable) {
            return Some(TicketRequest::Release(claim));
        }
        Some(match cx.role {
            Role::Candidate(candidacy) if !cx.claim.is_reached(now) => {
                TicketRequest::Acquire { claim: candidacy.claim, superseded: Some(candidacy.superseded) }
            }
            Role::Leader(leadership) if self.mine == Some(leadership.token.claim) => {
                TicketRequest::Renew(leadership.token.claim)
            }
            // Redis lost it, or was unreachable when this instance won the lease: acquire it when it is free.
            Role::Leader(leadership) => {
                TicketRequest::Acquire { claim: leadership.token.claim, superseded: None }
            }
            Role::Follower | Role::Candidate(_) | Role::Stopped => TicketRequest::Inspect,
        })
    }

    /// Builds the request and notes it as in progress.
    pub(super) fn send(&mut self, now: Time, id: CallId, request: TicketRequest, cx: Context) -> Command {
        self.call = Some((id, request));
        match request {
            // The timer is for renewals of the present ticket: releasing an old one must not delay them.
            TicketRequest::Release(_) => {}
            TicketRequest::Acquire { .. } | TicketRequest::Renew(_) | TicketRequest::Inspect => {
                let cause = if now < self.next { Cause::Hint } else { Cause::Timer };
                self.hints.answered_by(cause, now, cx.config);
                self.next = now + cx.config.heartbeat;
            }
        }
        if let TicketRequest::Acquire { claim, .. } = request {
            self.requested = Some(claim);
        }
        Command::Ticket { call: id, timeout: cx.config.heartbeat, request }
    }

    /// Takes in the answer to the call in progress, and returns the fault of the ticket, if it has one.
    pub(super) fn answered(
        &mut self,
        now: Time,
        id: CallId,
        answer: Result<TicketAnswer, StoreError>,
        cx: Context,
    ) -> Option<TicketFault> {
        let (_, request) = self.call.take_if(|(call, _)| *call == id)?;
        self.unreachable = answer.is_err();
        let fault = match answer {
            Ok(answer) => self.succeeded(now, request, answer, cx),
            Err(_) => {
                self.failed(now, request, cx);
                None
            }
        };
        self.drop_unwanted(cx);
        fault
    }

    fn succeeded(
        &mut self,
        now: Time,
        request: TicketRequest,
        answer: TicketAnswer,
        cx: Context,
    ) -> Option<TicketFault> {
        match (answer, request) {
            (TicketAnswer::Acquire(Acquire::Granted), TicketRequest::Acquire { claim, .. })
            | (TicketAnswer::Renewal(TicketRenewal::Renewed), TicketRequest::Renew(claim)) => {
                self.mine = Some(claim);
                self.faulty = false;
                let holder = cx.config.id.clone();
                self.seen = Some(Ticket { holder, claim: Some(claim), remaining: Ok(cx.config.ttl) });
                None
            }
            (TicketAnswer::Acquire(Acquire::Held(ticket)), _) => self.saw(now, Some(ticket), cx),
            (TicketAnswer::Renewal(TicketRenewal::Lost(ticket)), _) => {
                self.mine = None;
                self.saw(now, ticket, cx)
            }
            (TicketAnswer::Inspected(ticket), _) => self.saw(now, ticket, cx),
            (TicketAnswer::Released, TicketRequest::Release(claim)) => {
                self.release.take_if(|released| *released == claim);
                self.seen.take_if(|seen| seen.claim == Some(claim));
                None
            }
            // A driver that answers a call with the answer to another call has a bug; treat it as no answer.
            (
                TicketAnswer::Acquire(Acquire::Granted)
                | TicketAnswer::Renewal(TicketRenewal::Renewed)
                | TicketAnswer::Released,
                _,
            ) => {
                self.unreachable = true;
                None
            }
        }
    }

    fn saw(&mut self, now: Time, ticket: Option<Ticket>, cx: Context) -> Option<TicketFault> {
        let remaining = ticket.as_ref().map(|ticket| ticket.remaining);
        self.seen = ticket;
        let fault = remaining.and_then(Result::err);
        self.faulty = fault.is_some();
        // A candidate requests the ticket again when it has expired; a hint about its release comes earlier.
        if let (Some(Ok(remaining)), Role::Candidate(_)) = (remaining, cx.role) {
            self.next = now + remaining.max(cx.config.retry());
        }
        fault
    }

    /// The request may have been carried out: an unwanted ticket is released in either case.
    fn failed(&mut self, now: Time, request: TicketRequest, cx: Context) {
        self.next = now + cx.config.retry();
        if let TicketRequest::Acquire { claim, .. } = request
            && !wanted(claim, cx.role)
        {
            self.abandon(claim);
        }
    }

    /// Releases a ticket of this process that it does not need: the lease wins over the ticket.
    fn drop_unwanted(&mut self, cx: Context) {
        let shown = self.seen.as_ref().and_then(|ticket| ticket.claim);
        let held = self.mine.or(shown.filter(|claim| claim.is_from(cx.config.nonce)));
        if let Some(claim) = held
            && !wanted(claim, cx.role)
        {
            self.release = Some(claim);
            self.mine = None;
        }
    }
}

fn wanted(claim: ClaimId, role: &Role) -> bool {
    match role {
        Role::Candidate(candidacy) => candidacy.claim == claim,
        Role::Leader(leadership) => leadership.token.claim == claim,
        Role::Follower | Role::Stopped => false,
    }
}
