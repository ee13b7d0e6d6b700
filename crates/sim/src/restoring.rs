//! A database administrator who restores an older backup, while instances run or after stopping all of them.

use crate::fault::{Fault, Kind};
use crate::judge::Effect;
use crate::world::{Identity, World};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Longest time for an orderly stop, in LEADER_TTL; then the instance is killed.
const STOP_TTLS: u32 = 3;
/// One stop of all instances in this number is a SIGKILL.
const KILLED_ONCE_IN: u64 = 3;

impl World {
    /// Takes a backup now and restores it at the end of the fault's time. No effect if a standby was promoted in
    /// between, because a backup of an earlier timeline does not start as a primary of the present one.
    pub async fn restore_later(self: Arc<Self>, fault: Fault, effect: Arc<Effect>) {
        let Some(lease) = self.operator.stored_lease().await else { return };
        let backup = self.database.back_up(lease);
        self.judge.note("backup", || "a backup is taken".to_owned());
        sleep(Duration::from_millis(fault.for_ms)).await;
        let all_stop = fault.kind == Kind::DbRestoreStopped;
        if all_stop {
            self.close(fault.draw.is_multiple_of(KILLED_ONCE_IN)).await;
        }
        let down = Duration::from_millis(fault.draw % self.plan.heartbeat_ms());
        if self.database.restore(&backup, down).is_some() {
            // After a restore the operator checks every signal in doubt anew: earlier findings are about forgotten
            // attempts.
            self.desk.start_anew();
            self.judge.took_effect(&effect);
        }
        if all_stop {
            sleep(down).await;
            self.open();
        }
    }

    /// Stops every instance, and starts none until [`Self::open`].
    async fn close(&self, kill: bool) {
        self.set_closed(true);
        self.judge.note(("all stop", kill), || {
            format!("all instances are {}", if kill { "killed" } else { "stopped" })
        });
        if !kill {
            for instance in self.instances() {
                let coordinator = instance.coordinator.clone();
                tokio::spawn(instance.process.gate(async move { coordinator.shutdown().await }));
            }
            let limit = Instant::now() + self.plan.ttl() * STOP_TTLS;
            while !self.instances().is_empty() && Instant::now() < limit {
                sleep(self.patience() / 4).await;
            }
        }
        for place in 0..self.plan.instances {
            self.kill(place);
        }
    }

    /// Starts an instance in every empty place.
    pub fn open(self: &Arc<Self>) {
        self.set_closed(false);
        (0..self.plan.instances).for_each(|place| self.start(place, Identity::Same));
    }
}
