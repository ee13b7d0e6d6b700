//! The one signal of the model: its claim under the fence, its send, and its result.

use super::Step;
use crate::database::SignalState;
use crate::judge::Broken;
use crate::message::{Message, Sender};
use crate::rule::Rule;
use domain::lease::{Seq, Token};
use std::sync::Arc;

impl Step<'_> {
    /// The statement of an effect: check and write in one, under the lock of the lease.
    pub fn effect(&mut self, sender: Sender, token: Token, reached: Seq) -> Option<Message> {
        if !self.world.database.admits(&token, reached, self.rule) {
            return None;
        }
        if self.rule == Some(Rule::EffectLocksLease) {
            self.world.hot.push_back(Message::EffectWrite { sender, token });
            return None;
        }
        self.writes_unaware((token.epoch, reached));
        self.write_effect(sender, token)
    }

    pub fn write_effect(&mut self, sender: Sender, token: Token) -> Option<Message> {
        let database = &self.world.database;
        if token.claim != self.world.latest || database.token().claim != token.claim || database.released() {
            self.breaks(Broken::StaleEffect);
        }
        let signal = Arc::make_mut(&mut self.world.database).take_over_and_claim(&token, self.rule);
        let mine = signal == SignalState::Claimed(token.claim);
        mine.then_some(Message::Accepted { sender, token })
    }

    /// The ledger gave the signal to this leader, which sends it if its lease is still valid, and records the result.
    pub fn send_signal(&mut self, to: Sender, token: Token) {
        let valid_token = self.world.valid_token(to.node).is_some_and(|now| now.claim == token.claim);
        if valid_token && !self.world.nodes[to.node].paused {
            self.world.sent += 1;
            if self.world.sent > 1 + self.world.database.lost_claims {
                self.breaks(Broken::SentTwice);
            }
            let reached = self.world.nodes[to.node].memory.reached(&token);
            self.world.hot.push_back(Message::Record { token, reached });
        }
    }

    /// The result of the send arrives at the ledger.
    pub fn record(&mut self, token: Token, reached: Seq) {
        if self.world.database.admits(&token, reached, self.rule) {
            Arc::make_mut(&mut self.world.database).record(token.claim);
        }
    }
}
