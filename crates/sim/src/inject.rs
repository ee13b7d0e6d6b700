//! Injection of the faults of a schedule.

use crate::broker::{Ailment, Moment, Trap};
use crate::fault::{Fault, Kind, Store, Target, Victim};
use crate::instance::{Instance, drawn_rate};
use crate::judge::Effect;
use crate::line::Line;
use crate::plan::Cluster;
use crate::redis::Redis;
use crate::world::{Identity, World};
use contract::{LeaderStores, StateStores, Tamper, TicketTamper};
use domain::id::InstanceId;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::time::sleep;

/// The distance by which the clock of Redis's host jumps back: every ticket then outlives any LEADER_TTL.
const REDIS_JUMP_BACK: Duration = Duration::from_hours(1);
/// The largest jump of the database's clock, either way.
const DATABASE_JUMP_MS_MAX: u64 = 7 * 86_400_000;

impl World {
    /// Begins a fault; later steps run automatically.
    pub async fn inject(self: &Arc<Self>, fault: &Fault) {
        let effect = Effect::new(fault.kind);
        self.judge.note(fault, || format!("fault: {fault}"));
        match fault.kind.target() {
            Target::Leader => {
                if let Some(place) = self.leader() {
                    self.hit_instance(fault, place, effect);
                }
            }
            Target::Instance => self.hit_instance(fault, self.places_hit(fault)[0], effect),
            Target::Line(store, trouble) => {
                for line in self.lines_hit(fault, store) {
                    line.trouble(trouble, lasting(fault), Arc::clone(&effect));
                }
            }
            Target::Redis => self.hit_redis(fault, &effect).await,
            Target::Database => self.hit_database(fault, effect).await,
            Target::Broker => self.hit_broker(fault, effect),
            Target::KillSwitch => self.later(Arc::clone(self).pause_for(lasting(fault), effect)),
        }
    }

    /// The places that the fault hits; never empty.
    fn places_hit(&self, fault: &Fault) -> Vec<usize> {
        match fault.victim {
            Victim::All => (0..self.plan.instances).collect(),
            Victim::Leader => vec![self.leader().unwrap_or(0)],
            Victim::Place(place) => vec![place.min(self.plan.instances - 1)],
            Victim::Operator => vec![0],
        }
    }

    /// The instance to which the leader in `place` hands over, in one of two step-downs. It may be dead, paused or cut off.
    fn successor(&self, fault: &Fault, place: usize) -> Option<InstanceId> {
        let others = self.plan.instances as u64 - 1;
        if fault.draw.is_multiple_of(2) || others == 0 {
            return None;
        }
        let further = usize::try_from(1 + fault.draw / 2 % others).expect("fewer than the instances");
        self.instance((place + further) % self.plan.instances).map(|instance| instance.id.clone())
    }

    fn lines_hit(&self, fault: &Fault, store: Store) -> Vec<&Line> {
        let lines = match store {
            Store::Database => &self.database_lines,
            Store::Redis => &self.redis_lines,
        };
        if fault.victim == Victim::Operator {
            return vec![&self.operator_line];
        }
        let operators =
            (fault.victim == Victim::All && store == Store::Database).then_some(&*self.operator_line);
        self.places_hit(fault).into_iter().map(|place| &*lines[place]).chain(operators).collect()
    }

    fn hit_instance(self: &Arc<Self>, fault: &Fault, place: usize, effect: Arc<Effect>) {
        let Some(instance) = self.instance(place) else { return };
        match fault.kind {
            Kind::Kill | Kind::RestartSameId => {
                self.kill_for(place, lasting(fault), Identity::Same, &effect);
            }
            Kind::RestartNewId => self.kill_for(place, lasting(fault), Identity::New, &effect),
            Kind::PauseShort | Kind::PausePastLease => self.pause(&instance, lasting(fault), &effect),
            Kind::PauseMidSend => {
                let (world, paused, length) = (Arc::clone(self), Arc::clone(&instance), lasting(fault));
                let spring = Box::new(move || world.pause(&paused, length, &effect));
                set(&instance, Trap { moment: Moment::BeforeTheWire, spring });
            }
            Kind::KillMidSend => {
                let (world, length) = (Arc::clone(self), lasting(fault));
                let spring = Box::new(move || world.kill_for(place, length, Identity::Same, &effect));
                set(&instance, Trap { moment: Moment::OnTheWire, spring });
            }
            Kind::CleanStop => {
                self.judge.took_effect(&effect);
                let coordinator = instance.coordinator.clone();
                // Its supervisor starts it again.
                tokio::spawn(instance.process.gate(async move { coordinator.shutdown().await }));
            }
            Kind::StepDown if self.successor(fault, place).is_some() => {
                let to = self.successor(fault, place).expect("the guard");
                self.later(Arc::clone(self).hand_over(to, effect));
            }
            Kind::StepDown => {
                let (judge, coordinator) = (Arc::clone(&self.judge), instance.coordinator.clone());
                tokio::spawn(instance.process.gate(async move {
                    if coordinator.step_down("requested by the operator").await.is_ok() {
                        judge.took_effect(&effect);
                    }
                }));
            }
            Kind::ClockRate => {
                self.judge.took_effect(&effect);
                instance.process.set_rate(drawn_rate(self.plan.clock_ppm, fault.draw));
            }
            other => unreachable!("{other} does not act on an instance"),
        }
    }

    fn kill_for(self: &Arc<Self>, place: usize, length: Duration, identity: Identity, effect: &Effect) {
        if self.kill(place).is_none() {
            return;
        }
        self.judge.took_effect(effect);
        let world = Arc::clone(self);
        self.later(async move {
            sleep(length).await;
            world.start(place, identity);
        });
    }

    fn pause(self: &Arc<Self>, instance: &Arc<Instance>, length: Duration, effect: &Effect) {
        if !instance.process.is_running() {
            return;
        }
        self.judge.took_effect(effect);
        self.judge.note(("pause", instance.id.as_str()), || format!("{} is paused", instance.id));
        instance.process.stop();
        let (world, instance) = (Arc::clone(self), Arc::clone(instance));
        self.later(async move {
            sleep(length).await;
            world.judge.note(("resume", instance.id.as_str()), || format!("{} resumes", instance.id));
            instance.process.resume();
            // Before it can notice how late it is.
            world.judge.check_leases();
        });
    }

    async fn hit_redis(self: &Arc<Self>, fault: &Fault, effect: &Effect) {
        let Some(redis) = &self.redis else { return };
        self.judge.took_effect(effect);
        match fault.kind {
            Kind::RedisRestart => {
                redis.fake.flush();
                redis.server.restart(lasting(fault));
            }
            Kind::RedisFlush => redis.fake.flush(),
            Kind::RedisFailover => {
                let (redis, down) = (Arc::clone(redis), self.patience() / 2);
                self.later(redis_fails_over(redis, lasting(fault), down));
            }
            Kind::RedisClockForward => redis.fake.jump_clock_forward(self.plan.ttl() * 2),
            Kind::RedisClockBack => redis.fake.jump_clock_back(REDIS_JUMP_BACK),
            Kind::RedisHostile => {
                let text = TicketTamper::Text(b"\xff\xfe not a ticket".to_vec(), lasting(fault));
                let hostile = if fault.draw.is_multiple_of(2) { text } else { TicketTamper::List };
                LeaderStores::tamper(&redis.fake, &self.group, &hostile).await;
            }
            other => unreachable!("{other} does not act on Redis"),
        }
    }

    async fn hit_database(self: &Arc<Self>, fault: &Fault, effect: Arc<Effect>) {
        let down = Duration::from_millis(fault.draw % self.plan.heartbeat_ms());
        let world = Arc::clone(self);
        match fault.kind {
            Kind::DbRestart => self.database.server.restart(lasting(fault)),
            Kind::DbStall => {
                self.database.server.stall();
                let length = lasting(fault);
                self.later(async move {
                    sleep(length).await;
                    world.database.server.flow();
                });
            }
            Kind::DbFailoverLoss => {
                let (lag, down) = (lasting(fault), down);
                self.later(async move { world.fail_over_late(lag, down, &effect).await });
                return;
            }
            Kind::DbRestore | Kind::DbRestoreStopped => {
                self.later(world.restore_later(*fault, effect));
                return;
            }
            Kind::DbFailoverKeep => {
                if self.database.promote(&self.database.standby(), down).is_none() {
                    return;
                }
            }
            Kind::DbClockJump => {
                let jump = (fault.draw.wrapping_mul(7919) % (2 * DATABASE_JUMP_MS_MAX)).cast_signed();
                self.database.jump_clock(jump - DATABASE_JUMP_MS_MAX.cast_signed());
            }
            Kind::PortfolioCorrupt => {
                self.corrupt_portfolio(fault.draw).await;
                let length = lasting(fault);
                self.later(async move {
                    sleep(length).await;
                    world.mend_portfolio().await;
                });
            }
            other => unreachable!("{other} does not act on the database"),
        }
        self.judge.took_effect(&effect);
    }

    /// A standby stops receiving and is promoted after `lag`. A synchronous one may still receive for a part of that
    /// time but acknowledges nothing: clients that wait for a write do not know whether the standby has it.
    async fn fail_over_late(&self, lag: Duration, down: Duration, effect: &Effect) {
        let server = &self.database.server;
        let received_for = match self.plan.cluster {
            Cluster::Asynchronous => Duration::ZERO,
            Cluster::Synchronous => {
                server.stall();
                lag / 3
            }
        };
        sleep(received_for).await;
        let standby = self.database.standby();
        sleep(lag.saturating_sub(received_for)).await;
        let promoted = self.database.promote(&standby, down);
        if self.plan.cluster == Cluster::Synchronous {
            server.flow();
        }
        if promoted.is_some() {
            self.judge.took_effect(effect);
        }
    }

    async fn corrupt_portfolio(&self, draw: u64) {
        // A second row of totals is corrupt; wrong totals are inconsistent.
        if draw.is_multiple_of(2) {
            self.database.fake.empty("portfolio_state");
        }
        self.write_totals("17").await;
    }

    /// Restores the initial portfolio: no positions, and totals of zero.
    pub async fn mend_portfolio(&self) {
        self.database.fake.empty("portfolio_state");
        self.write_totals("0").await;
    }

    async fn write_totals(&self, amount: &str) {
        let columns = vec!["total_risk_amount", "margin_used"];
        let rows = vec![vec![Some(amount.to_owned()); columns.len()]];
        let insert = Tamper::Insert { relation: "portfolio_state".to_owned(), columns, rows };
        StateStores::tamper(&self.database.fake, &insert).await.expect("the fake has no constraints");
    }

    fn hit_broker(&self, fault: &Fault, effect: Arc<Effect>) {
        let ailment = match fault.kind {
            Kind::BrokerAway => Ailment::Away,
            Kind::BrokerSlow => Ailment::Slow,
            Kind::BrokerRepliesLost => Ailment::LosesReplies,
            other => unreachable!("{other} does not act on the broker"),
        };
        self.broker.ail(ailment, lasting(fault), effect);
    }
}

async fn redis_fails_over(redis: Arc<Redis>, lag: Duration, down: Duration) {
    let replica = redis.fake.snapshot();
    sleep(lag).await;
    redis.fake.fail_over(replica);
    redis.server.restart(down);
}

fn lasting(fault: &Fault) -> Duration {
    Duration::from_millis(fault.for_ms)
}

fn set(instance: &Instance, trap: Trap) {
    *instance.trap.lock().unwrap_or_else(PoisonError::into_inner) = Some(trap);
}
