//! The ticket as this instance knows it, and the requests to the leader store: an advisory lock that lets one instance at
//! a time go for an open lease. Nothing here decides who leads.

use super::command::{CallId, Command, TicketRequest};
use super::config::{Config, TicketUse};
use super::event::TicketAnswer;
use super::hints::{Cause, Hints};
use super::lane::{Context, Due};
use super::role::{Candidacy, Role};
use crate::id::ClaimId;
use crate::ports::{Acquire, StoreError, Ticket, TicketFault, TicketRenewal};
use crate::time::Time;

/// What is known of the ticket, and the call under way.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct TicketLane {
    seen: Option<Ticket>,
    /// The last call failed.
    unreachable: bool,
    /// When the next request is due.
    next: Time,
    hints: Hints,
    call: Option<(CallId, TicketRequest)>,
    /// The claim a ticket was last requested for; it may be held, acknowledged or not.
    requested: Option<ClaimId>,
    /// The claim whose ticket is held, as far as is known.
    mine: Option<ClaimId>,
    /// A ticket that may be held and is not wanted: to be released.
    release: Option<ClaimId>,
    /// The ticket shown cannot be waited for.
    faulty: bool,
}

impl TicketLane {
    /// The ticket as last seen.
    pub(super) fn seen(&self) -> Option<&Ticket> {
        self.seen.as_ref()
    }

    /// The last call failed.
    pub(super) fn is_unreachable(&self) -> bool {
        self.unreachable
    }

    /// Nothing under way, and nothing to be released that could be.
    pub(super) fn is_quiet(&self) -> bool {
        self.call.is_none() && (self.release.is_none() || self.unreachable)
    }

    pub(super) fn hinted(&mut self) {
        self.hints.arrived();
    }

    /// A candidate wants its ticket at once.
    pub(super) fn hurry(&mut self, now: Time) {
        self.next = now;
    }

    /// The ticket of `claim`, if it was ever requested, is not wanted any more.
    pub(super) fn abandon(&mut self, claim: ClaimId) {
        if self.requested == Some(claim) {
            self.release = Some(claim);
            self.mine = None;
        }
    }

    /// When a candidate claims the lease: when it has the ticket, or when waiting for one makes no sense.
    pub(super) fn lets_claim(&self, candidacy: &Candidacy, config: &Config) -> Due {
        let settled = config.ticket == TicketUse::None
            || self.mine == Some(candidacy.claim)
            || self.unreachable
            || self.faulty;
        if settled { Due::Now } else { Due::At(candidacy.without_ticket) }
    }

    /// When the next request is sent.
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

    /// When there is something to send, if no event comes before.
    pub(super) fn wakeup(&self, cx: Context) -> Option<Time> {
        self.due(cx).time()
    }

    /// The request that is to be sent now.
    pub(super) fn work(&self, now: Time, cx: Context) -> Option<TicketRequest> {
        if !self.due(cx).is_reached(now) {
            return None;
        }
        if let Some(claim) = self.release.filter(|_| !self.unreachable) {
            return Some(TicketRequest::Release(claim));
        }
        Some(match cx.role {
            Role::Candidate(candidacy) if !cx.claim.is_reached(now) => {
                TicketRequest::Acquire { claim: candidacy.claim, void: Some(candidacy.void) }
            }
            Role::Leader(leadership) if self.mine == Some(leadership.token.claim) => {
                TicketRequest::Renew(leadership.token.claim)
            }
            // Redis forgot it, or was away when the lease was won: take it when it is free.
            Role::Leader(leadership) => TicketRequest::Acquire { claim: leadership.token.claim, void: None },
            Role::Follower | Role::Candidate(_) | Role::Stopped => TicketRequest::Inspect,
        })
    }

    /// Sends the request, which is under way from now on.
    pub(super) fn send(&mut self, now: Time, id: CallId, request: TicketRequest, cx: Context) -> Command {
        self.call = Some((id, request));
        match request {
            // Not what the timer is for: releasing an old ticket puts off no renewal of the present one.
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

    /// Takes in the answer to the call under way, and returns what cannot be explained about the ticket.
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
            // A driver that answers a call with another call's answer has a bug; it is no answer.
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
        // A candidate requests it again when it has run out; a hint of its release comes earlier.
        if let (Some(Ok(remaining)), Role::Candidate(_)) = (remaining, cx.role) {
            self.next = now + remaining.max(cx.config.retry());
        }
        fault
    }

    /// It may have been carried out: a ticket that is not wanted any more is released either way.
    fn failed(&mut self, now: Time, request: TicketRequest, cx: Context) {
        self.next = now + cx.config.retry();
        if let TicketRequest::Acquire { claim, .. } = request
            && !wanted(claim, cx.role)
        {
            self.abandon(claim);
        }
    }

    /// A ticket of this process that it has no use for is released: the lease wins over the ticket.
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
