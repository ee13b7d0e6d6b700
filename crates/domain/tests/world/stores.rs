//! The stores of the world: one lease and one ticket, by the rules of the ports.

use super::{Store, World};
use domain::election::{CallId, Event, LeaseAnswer, LeaseRequest, TicketAnswer, TicketRequest};
use domain::id::InstanceId;
use domain::lease::{Seq, Token};
use domain::ports::{Acquire, Claim, ClaimRequest, Noted, Release, Renewal, Ticket, TicketRenewal};
use domain::time::Time;

impl World {
    pub(super) fn lease_arrives(
        &mut self,
        name: &str,
        nonce: u128,
        call: CallId,
        request: LeaseRequest,
        timeout: Time,
    ) {
        let writer = name.to_owned();
        self.arrives(
            (name, nonce, timeout),
            Store::Postgres,
            |world| Ok(world.serve_lease(&writer, request)),
            |answer| Event::Lease { call, answer },
        );
    }

    fn serve_lease(&mut self, writer: &str, request: LeaseRequest) -> LeaseAnswer {
        match request {
            LeaseRequest::Observe => LeaseAnswer::Observed(self.lease.clone()),
            LeaseRequest::Claim(request) => LeaseAnswer::Claim(self.serve_claim(writer, request)),
            LeaseRequest::Renew { current, .. } if current != self.lease.version.current => {
                LeaseAnswer::Renewal(Renewal::OtherTimeline(self.lease.version.current))
            }
            LeaseRequest::Renew { token, seq, .. } => {
                if !self.write(&token, seq) {
                    return LeaseAnswer::Renewal(Renewal::Superseded);
                }
                let (timeline, resign) = (self.lease.version.current, self.lease.resign.clone());
                let carried = std::mem::replace(&mut self.lease.version.token.timeline, timeline) != timeline;
                let forgotten = carried || self.reported == Some(token.claim);
                self.hint(writer, &Event::LeaseHint, Store::Postgres);
                LeaseAnswer::Renewal(Renewal::Renewed { timeline, resign, forgotten })
            }
            LeaseRequest::Release { token, seq, .. } => {
                if !self.write(&token, seq) {
                    return LeaseAnswer::Release(Release::Superseded);
                }
                self.lease.released = true;
                self.hint(writer, &Event::LeaseHint, Store::Postgres);
                LeaseAnswer::Release(Release::Released)
            }
            LeaseRequest::Note { found, known } => {
                if self.lease.version.token != found || self.lease.released {
                    return LeaseAnswer::Note(Noted::Superseded);
                }
                self.lease.floor = self.lease.floor.max(known);
                self.reported = Some(found.claim);
                self.hint(writer, &Event::LeaseHint, Store::Postgres);
                LeaseAnswer::Note(Noted::Noted)
            }
        }
    }

    fn serve_claim(&mut self, writer: &str, request: ClaimRequest) -> Claim {
        if self.lease.version != request.observed {
            return Claim::Lost;
        }
        let token =
            Token { timeline: self.lease.version.current, epoch: request.epoch(), claim: request.claim };
        self.lease.version.token = token;
        self.lease.version.seq = Seq(0);
        (self.lease.released, self.lease.ttl, self.lease.resign) = (false, request.ttl, None);
        self.lease.holder = Some(request.holder);
        self.lease.successor = None;
        self.hint(writer, &Event::LeaseHint, Store::Postgres);
        Claim::Granted(token)
    }

    /// The guards of every write under a claim.
    fn write(&mut self, token: &Token, seq: Seq) -> bool {
        let mine = self.lease.version.token == *token && !self.lease.released && self.lease.version.seq < seq;
        if mine {
            self.lease.version.seq = seq;
        }
        mine
    }

    pub(super) fn ticket_arrives(
        &mut self,
        name: &str,
        nonce: u128,
        call: CallId,
        request: TicketRequest,
        timeout: Time,
    ) {
        let writer = name.to_owned();
        self.arrives(
            (name, nonce, timeout),
            Store::Redis,
            |world| Ok(world.serve_ticket(&writer, request)),
            |answer| Event::Ticket { call, answer },
        );
    }

    fn serve_ticket(&mut self, writer: &str, request: TicketRequest) -> TicketAnswer {
        self.ticket.take_if(|(_, _, until)| *until <= self.now);
        let until = self.now + self.ttl;
        let id = InstanceId::parse(writer).expect("names are ids");
        let held = self.ticket.as_ref().map(|(_, claim, _)| *claim);
        match request {
            TicketRequest::Acquire { claim, superseded } => {
                if held.is_none() || held == Some(claim) || held == superseded {
                    self.ticket = Some((id, claim, until));
                    return TicketAnswer::Acquire(Acquire::Granted);
                }
                let ticket = self.shown().expect("it is held");
                TicketAnswer::Acquire(Acquire::Held(ticket))
            }
            TicketRequest::Renew(claim) => {
                if held == Some(claim) {
                    self.ticket = Some((id, claim, until));
                    return TicketAnswer::Renewal(TicketRenewal::Renewed);
                }
                TicketAnswer::Renewal(TicketRenewal::Lost(self.shown()))
            }
            TicketRequest::Release(claim) => {
                self.ticket.take_if(|(_, mine, _)| *mine == claim);
                self.hint(writer, &Event::TicketHint, Store::Redis);
                TicketAnswer::Released
            }
            TicketRequest::Inspect => TicketAnswer::Inspected(self.shown()),
        }
    }

    fn shown(&self) -> Option<Ticket> {
        self.ticket.as_ref().map(|(holder, claim, until)| Ticket {
            holder: holder.clone(),
            claim: Some(*claim),
            remaining: Ok(until.since(self.now)),
        })
    }
}
