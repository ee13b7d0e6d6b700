//! External events of a world: crashes, restarts, pauses, requests to stop or hand over, late answers, storms of
//! hints.

use super::{Node, Step, World, name};
use crate::message::{Message, Sender};
use crate::rule::Rule;
use domain::election::{Event, Resign};
use domain::id::Nonce;
use std::sync::Arc;

impl World {
    /// True if an instance has been able to lead since the last fault.
    pub fn an_instance_could_lead(&self) -> bool {
        self.nodes.iter().any(|node| {
            node.alive && !node.paused && !node.lease_cut && !node.lease_refused && !node.stopping
        })
    }

    /// The instance with a valid lease, which is also the lease in the store.
    pub fn leader(&self) -> Option<usize> {
        let stored = Some(self.database.token()).filter(|_| !self.database.released());
        (0..self.nodes.len()).find(|node| stored.is_some() && self.valid_token(*node) == stored)
    }
}

impl Step<'_> {
    pub fn crash(&mut self, who: usize) {
        let node = self.node(who);
        node.alive = false;
        node.inbox.clear();
        (node.lease_call, node.ticket_call) = (None, None);
        // Messages to it have no receiver; messages from it may still arrive.
        self.world.held.retain(|message| !message.is_for(who));
    }

    /// The process crashes, and the kernel reports that.
    pub fn kill(&mut self, who: usize) {
        self.crash(who);
        self.exits(who);
    }

    pub fn pause(&mut self, who: usize) {
        self.node(who).paused = true;
        if self.rule == Some(Rule::StoppedIsNoEvidence) {
            self.exits(who);
        }
    }

    pub fn cut_lease(&mut self, who: usize) {
        self.node(who).lease_cut = true;
        if self.rule == Some(Rule::ConnectionLossIsNoEvidence) {
            self.exits(who);
        }
    }

    /// The kernel reports the end of that process to every other instance, whenever the model chooses.
    fn exits(&mut self, who: usize) {
        let of = Sender { node: who, start: self.world.nodes[who].start };
        let others = self.world.nodes.iter().enumerate().filter(|(node, other)| *node != who && other.alive);
        let reports: Vec<_> = others
            .map(|(node, other)| Message::Exit { sender: Sender { node, start: other.start }, of })
            .collect();
        self.world.held.extend(reports);
    }

    pub fn restart(&mut self, who: usize) {
        let (cut, ticket_cut) = (self.world.nodes[who].lease_cut, self.world.nodes[who].ticket_cut);
        let fresh = Node { lease_cut: cut, ticket_cut, ..self.world.fresh_node(self.set, who) };
        self.world.nodes[who] = Arc::new(fresh);
    }

    pub fn resume(&mut self, who: usize) {
        let node = self.node(who);
        node.paused = false;
        let inbox = std::mem::take(&mut node.inbox);
        for event in inbox {
            self.step(who, event);
        }
    }

    pub fn resign(&mut self, who: usize, why: Resign) {
        if why == Resign::Stop {
            self.node(who).stopping = true;
        }
        self.step(who, Event::Resign(why));
    }

    /// The operator requests a handover to that instance, and the leader has read the request.
    pub fn hand_over_to(&mut self, successor: usize) {
        let Some(leader) = self.world.leader() else { return };
        Arc::make_mut(&mut self.world.database).hand_over_to(name(successor));
        self.resign(leader, Resign::StepDown { reason: String::from("asked") });
    }

    /// The evidence that a process has ended.
    pub(super) fn exit_of(&self, of: Sender) -> Event {
        let by_id = self.rule == Some(Rule::EvidenceIsPerStart);
        let start = if by_id { self.world.nodes[of.node].start } else { of.start };
        Event::ProcessEnded(Nonce::new(u128::from(start)))
    }

    /// Messages that arrive as time passes, without an action: late answers, and the hints of a storm.
    pub fn time_passed(&mut self) {
        let now = self.world.now;
        let arrived = self.world.late.extract_if(.., |(at, _)| *at <= now).map(|(_, reply)| reply);
        self.world.hot.extend(arrived);
        if self.world.storm {
            for (node, of) in self.world.nodes.iter().enumerate().filter(|(_, of)| of.alive) {
                let sender = Sender { node, start: of.start };
                self.world.hot.extend([Message::LeaseHint { sender }, Message::TicketHint { sender }]);
            }
        }
    }
}
