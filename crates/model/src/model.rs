//! The model for the checker: the possible actions in a state, and the state after each.
//!
//! Without faults a world runs in only one way: messages arrive at once and in order, timers fire when they are due.
//! Everything else is a fault. A run has a few faults, at every place and in every order. The end of a fault (a held
//! message arrives, a paused instance resumes) is tried at every later moment and takes nothing from the budget.

use crate::action::Action;
use crate::coverage::Coverage;
use crate::fault_set::{Beginning, Fault, FaultSet, TTL};
use crate::judge::Broken;
use crate::message::Message;
use crate::rule::Rule;
use crate::tickets::Stuck;
use crate::world::{Step, World, nanos};
use domain::election::{LeaseRequest, Resign, TicketUse};
use domain::id::{ClaimId, InstanceId};
use domain::recovery::RecoveryCode;
use stateright::{Model, Property};
use std::sync::Arc;
use std::time::Duration;

/// Longest time after the last fault until an instance leads: one LEADER_TTL until the lease expires, half of one
/// until a follower without hints polls again, a heartbeat for a ticket that is not released, one for an answer that
/// does not come, and half of one for margins and round trips.
const RECOVERED_AFTER_MAX: Duration = Duration::from_millis(2_700 * 10 + 100);
/// Size of a clock's jump.
const JUMP: Duration = Duration::from_hours(1);
const HEARTBEAT: Duration = Duration::from_nanos(10_000_000_000 / 3);
/// Number of moments in a heartbeat at which a message in flight may arrive, in addition to the timers.
const MOMENTS_IN_FLIGHT: u32 = 2;
/// Distance to the timer at which `JustBefore` stops.
const JUST_BEFORE: u64 = 1;
/// The claim of a stuck ticket.
const STUCK_CLAIM: u128 = 7;

/// One exploration of one fault set, with at most one broken rule of the stores.
pub struct ElectionModel {
    pub set: FaultSet,
    pub broken: Option<Rule>,
    pub coverage: Arc<Coverage>,
}

impl Model for ElectionModel {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let worlds = self.set.rates.iter().flat_map(|rates| {
            [true, false].map(|hints| World::new(&self.set, *rates, hints, self.set.budget))
        });
        let begin = |world| match self.set.beginning {
            Beginning::Unclaimed | Beginning::LeftByShortTtl => world,
            Beginning::HandedOverWithRenewalUnderWay => self.hand_over_with_renewal_under_way(world),
            Beginning::LeadsUnseen => self.lead_unseen(world),
        };
        worlds.map(begin).collect()
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.broken.is_some() {
            return;
        }
        let faults = world.budget > 0 && world.now < self.horizon();
        let may = |fault| faults && self.set.faults.contains(&fault);
        if let Some(first) = world.hot.front() {
            actions.push(Action::Go);
            hot_faults(first, may, actions);
        } else if world.due().is_some() {
            actions.push(Action::Timer);
        } else if world.now < self.finish(world) {
            actions.push(Action::Tick);
            endings(world, actions);
            self.quiet_faults(world, may, actions);
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        let coverage = &self.coverage;
        let mut saw = |seen: crate::coverage::Seen<'_>| coverage.count(&seen);
        let mut step = Step { world: &mut next, set: &self.set, rule: self.broken, saw: &mut saw };
        Self::act(&mut step, action);
        step.judge();
        if step.world.is_quiet() && step.world.now >= step.world.last_fault + nanos(RECOVERED_AFTER_MAX) {
            step.judge_absence();
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        fn unless(world: &World, broken: &[Broken]) -> bool {
            !world.broken.is_some_and(|found| broken.contains(&found))
        }
        vec![
            Property::always("S1 at most one instance holds a valid lease", |_, w| {
                unless(w, &[Broken::TwoValidLeases])
            }),
            Property::always("S1 an ended leadership does not become valid again", |_, w| {
                unless(w, &[Broken::Revived])
            }),
            Property::always("S2 no stale effect is accepted", |_, w| unless(w, &[Broken::StaleEffect])),
            Property::always("a superseded leader stops at once", |_, w| {
                unless(w, &[Broken::LedAfterSuperseded])
            }),
            Property::always("a leader stops at once when the store has forgotten", |_, w| {
                unless(w, &[Broken::LedAfterForgotten])
            }),
            Property::always("S3 a claim exceeds every epoch that its instance knows", |_, w| {
                unless(w, &[Broken::EpochKnown])
            }),
            Property::always("S3 epochs grow", |_, w| unless(w, &[Broken::EpochDidNotGrow])),
            Property::always("S3 a leader's claim is the claim of the lease", |_, w| {
                unless(w, &[Broken::NotTheLease])
            }),
            Property::always("the lease does not go back", |_, w| unless(w, &[Broken::LeaseWentBack])),
            Property::always("no signal is sent twice", |_, w| unless(w, &[Broken::SentTwice])),
            Property::always("a release deletes only its own ticket", |_, w| {
                unless(w, &[Broken::TicketDeleted])
            }),
            Property::always("no instance acts before recovery", |_, w| unless(w, &[Broken::ActiveTooSoon])),
            Property::always("no instance leads after a stop", |_, w| unless(w, &[Broken::LedAfterStop])),
            Property::always("no instance spins", |_, w| unless(w, &[Broken::Spins])),
            Property::always("a term does not end without a fault", |_, w| unless(w, &[Broken::TermEnded])),
            Property::always("no instance takes a ticket before it has read the lease", |_, w| {
                unless(w, &[Broken::TicketBeforeRead])
            }),
            Property::always("a lease that was left to an instance is left to it for a ttl", |_, w| {
                unless(w, &[Broken::NotTheSuccessor])
            }),
            Property::always("L1 an instance leads in the end", |_, w| unless(w, &[Broken::NoLeader])),
        ]
    }
}

/// The faults that may affect the first message in the queue.
fn hot_faults(first: &Message, may: impl Fn(Fault) -> bool, actions: &mut Vec<Action>) {
    let hint = matches!(first, Message::LeaseHint { .. } | Message::TicketHint { .. });
    if may(Fault::Hold) && !hint {
        actions.push(Action::Hold);
    }
    if first.is_request() {
        for (fault, action) in [
            (Fault::Lose, Action::Lose),
            (Fault::LoseReply, Action::LoseReply),
            (Fault::HoldReply, Action::HoldReply),
        ] {
            if may(fault) {
                actions.push(action);
            }
        }
    }
    if may(Fault::FailRecovery) && matches!(first, Message::Recovery { .. }) {
        actions.push(Action::FailRecovery(RecoveryCode::DbUnavailable));
        actions.push(Action::FailRecovery(RecoveryCode::DataCorrupt));
        actions.push(Action::FailRecovery(RecoveryCode::ValidationFailed));
    }
}

/// The faults that may end now.
fn endings(world: &World, actions: &mut Vec<Action>) {
    actions.extend((0..world.held.len()).map(Action::Arrive));
    for (who, node) in world.nodes.iter().enumerate() {
        if !node.alive {
            actions.push(Action::Restart(who));
            continue;
        }
        if node.paused {
            actions.push(Action::Resume(who));
        }
        if node.lease_cut || node.lease_refused || node.ticket_cut {
            actions.push(Action::Mend(who));
        }
    }
}

impl ElectionModel {
    /// Runs without faults until the first leader renews. Then that renewal is held, the standby lags, and the leader
    /// hands over.
    fn hand_over_with_renewal_under_way(&self, mut world: World) -> World {
        let mut held_by = None;
        while !(world.is_quiet()
            && (0..world.nodes.len())
                .any(|who| held_by.is_some_and(|by| by != who) && world.valid_token(who).is_some()))
        {
            let renews = world.hot.front().and_then(|message| match message {
                Message::Lease { sender, request: LeaseRequest::Renew { .. }, .. } => Some(sender.node),
                _ => None,
            });
            let actions = match (renews.filter(|_| held_by.is_none()), world.hot.is_empty(), world.due()) {
                (Some(by), _, _) => {
                    held_by = Some(by);
                    vec![Action::StandbyLags, Action::Hold, Action::StepDown(by)]
                }
                (None, false, _) => vec![Action::Go],
                (None, true, Some(_)) => vec![Action::Timer],
                (None, true, None) => vec![Action::Tick],
            };
            for action in actions {
                world = self.after(&world, action);
            }
            assert!(world.now < self.horizon(), "the handover does not happen");
        }
        world.budget = self.set.budget;
        world
    }

    /// The standby lags and every instance but the first is cut off. The first one leads, and its effect is held.
    fn lead_unseen(&self, mut world: World) -> World {
        world = self.after(&world, Action::StandbyLags);
        for who in 1..world.nodes.len() {
            world = self.after(&world, Action::CutLease(who));
        }
        while !(world.is_quiet() && world.valid_token(0).is_some()) {
            let action = match (world.hot.front(), world.due()) {
                (Some(Message::Effect { .. }), _) => Action::Hold,
                (Some(_), _) => Action::Go,
                (None, Some(_)) => Action::Timer,
                (None, None) => Action::Tick,
            };
            world = self.after(&world, action);
            assert!(world.now < self.horizon(), "the first instance does not lead");
        }
        world.budget = self.set.budget;
        world
    }

    /// The world after `action`, without a check of its properties.
    fn after(&self, world: &World, action: Action) -> World {
        let mut next = world.clone();
        let coverage = &self.coverage;
        let mut saw = |seen: crate::coverage::Seen<'_>| coverage.count(&seen);
        let mut step = Step { world: &mut next, set: &self.set, rule: self.broken, saw: &mut saw };
        Self::act(&mut step, action);
        next
    }

    fn horizon(&self) -> u64 {
        nanos(TTL) / 10 * u64::from(self.set.horizon)
    }

    /// The time of the end of a run: faults are over, and the check can say which instance leads.
    fn finish(&self, world: &World) -> u64 {
        self.horizon().max(world.last_fault + nanos(RECOVERED_AFTER_MAX) + 1)
    }

    fn quiet_faults(&self, world: &World, may: impl Fn(Fault) -> bool, actions: &mut Vec<Action>) {
        if may(Fault::JustBefore) {
            actions.push(Action::JustBefore);
        }
        for (who, node) in world.nodes.iter().enumerate().filter(|(_, node)| node.alive && !node.paused) {
            let whole = !node.lease_cut && !node.lease_refused;
            let leads = node.elector.leadership().is_some();
            for (fault, action, possible) in [
                (Fault::Crash, Action::Crash(who), true),
                (Fault::Kill, Action::Kill(who), true),
                (Fault::Pause, Action::Pause(who), true),
                (Fault::StepDown, Action::StepDown(who), leads),
                (Fault::HandOver, Action::HandOverTo(who), !leads && world.leader().is_some()),
                (Fault::Stop, Action::Stop(who), true),
                (Fault::CutLease, Action::CutLease(who), whole),
                (Fault::RefuseLease, Action::RefuseLease(who), whole),
                (Fault::CutTicket, Action::CutTicket(who), !node.ticket_cut),
            ] {
                if possible && may(fault) {
                    actions.push(action);
                }
            }
        }
        let redis = self.set.tickets != TicketUse::None;
        let ticket = redis && !world.tickets.is_free();
        for (fault, action, possible) in [
            (Fault::Promote, Action::StandbyLags, !world.database.lags()),
            (Fault::Promote, Action::Promote, true),
            (Fault::Restore, Action::BackUp, world.database.backup_differs().is_none()),
            (Fault::Restore, Action::Restore, world.database.backup_differs() == Some(true)),
            (Fault::DatabaseClock, Action::DatabaseClock, world.database.clock_offset == 0),
            (Fault::Flush, Action::Flush, ticket),
            (Fault::RedisFailover, Action::ReplicaLags, redis && !world.tickets.lags()),
            (Fault::RedisFailover, Action::RedisFailover, redis && world.tickets.lags()),
            (Fault::RedisClockForward, Action::RedisClockForward, ticket),
            (Fault::RedisClockBack, Action::RedisClockBack, ticket),
            (Fault::HintStorm, Action::HintStorm, !world.storm),
            (Fault::SlowStore, Action::SlowStore, !world.slow),
            (Fault::StuckTicket, Action::StuckTicket, redis),
            (Fault::StuckTicket, Action::KeptTicket, redis),
            (Fault::StuckTicket, Action::TicketWithoutExpiry, redis),
        ] {
            if possible && may(fault) {
                actions.push(action);
            }
        }
    }

    fn act(step: &mut Step<'_>, action: Action) {
        if let Some(fault) = action.costs() {
            step.spend(fault);
        } else if action.ends_a_fault() {
            step.world.last_fault = step.world.now;
        }
        match action {
            Action::Go | Action::Hold | Action::Lose | Action::LoseReply | Action::HoldReply => {
                if let Some(message) = step.world.hot.pop_front() {
                    hot(step, message, action);
                }
            }
            Action::FailRecovery(code) => {
                if let Some(Message::Recovery { sender, call }) = step.world.hot.pop_front() {
                    step.fail_recovery(sender, call, code);
                }
            }
            Action::Timer => step.timer(),
            Action::Tick => {
                step.world.now = Self::next_instant(step.world);
                step.time_passed();
            }
            Action::JustBefore => {
                let next = Self::next_instant(step.world);
                step.world.now = next.saturating_sub(JUST_BEFORE).max(step.world.now);
            }
            Action::Arrive(held) => {
                let message = step.world.held.remove(held);
                step.arrive(message);
            }
            Action::Crash(who) => step.crash(who),
            Action::Kill(who) => step.kill(who),
            Action::Restart(who) => step.restart(who),
            Action::Pause(who) => step.pause(who),
            Action::Resume(who) => step.resume(who),
            Action::StepDown(who) => {
                step.resign(who, Resign::StepDown { reason: String::from("asked") });
            }
            Action::HandOverTo(who) => step.hand_over_to(who),
            Action::Stop(who) => step.resign(who, Resign::Stop),
            Action::CutLease(who) => step.cut_lease(who),
            Action::RefuseLease(who) => step.node(who).lease_refused = true,
            Action::CutTicket(who) => step.node(who).ticket_cut = true,
            Action::Mend(who) => {
                let node = step.node(who);
                (node.lease_cut, node.lease_refused, node.ticket_cut) = (false, false, false);
            }
            Action::StandbyLags => Arc::make_mut(&mut step.world.database).standby_lags(),
            Action::Promote => Arc::make_mut(&mut step.world.database).promote(),
            Action::BackUp => Arc::make_mut(&mut step.world.database).back_up(),
            Action::Restore => step.restore(),
            Action::DatabaseClock => {
                let jump = i64::try_from(JUMP.as_nanos()).unwrap_or(i64::MAX);
                Arc::make_mut(&mut step.world.database).clock_offset = jump;
            }
            Action::Flush => step.world.tickets.flush(),
            Action::ReplicaLags => step.world.tickets.replica_lags(),
            Action::RedisFailover => step.world.tickets.fail_over(),
            Action::RedisClockForward => step.world.tickets.clock_forward(),
            Action::RedisClockBack => step.world.tickets.clock_back(JUMP),
            Action::HintStorm => step.world.storm = true,
            Action::SlowStore => step.world.slow = true,
            Action::StuckTicket => stuck(step, Stuck::Until(step.world.now + nanos(TTL))),
            Action::KeptTicket => stuck(step, Stuck::Kept),
            Action::TicketWithoutExpiry => stuck(step, Stuck::WithoutExpiry),
        }
    }

    /// The next time at which an event can happen: the next timer, or an earlier moment if messages are in flight or
    /// hints storm.
    fn next_instant(world: &World) -> u64 {
        let calm = world.held.is_empty() && !world.storm;
        let longest = if calm { HEARTBEAT } else { HEARTBEAT / MOMENTS_IN_FLIGHT };
        let (soonest, latest) = (world.now + 1, world.now + nanos(longest));
        let timer = world.next_timer().unwrap_or(latest);
        if calm { timer.max(soonest) } else { timer.clamp(soonest, latest) }
    }
}

fn hot(step: &mut Step<'_>, message: Message, action: Action) {
    match action {
        Action::Hold => step.world.held.push(message),
        Action::Lose => {}
        Action::LoseReply => drop(step.serve(message)),
        Action::HoldReply => {
            let reply = step.serve(message);
            step.world.held.extend(reply);
        }
        // `Go` is the only other action that reaches this point.
        _ => step.arrive(message),
    }
}

fn stuck(step: &mut Step<'_>, how: Stuck) {
    let holder = InstanceId::parse("stuck").expect("a word is an id");
    step.world.tickets.stuck(holder, ClaimId::from_u128(STUCK_CLAIM), how);
}
