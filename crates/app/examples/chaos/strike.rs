//! Begins and ends each fault.

use crate::fault::{Harm, PostgresFault, RedisFault};
use crate::judge::Term;
use crate::seat::{Identity, Store};
use crate::servers::{Access, End, Hoard, Jump, Memory, ask};
use crate::storm::{Active, Fault, Storm};
use crate::system::Which;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeSet;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use testkit::process::monotonic_nanos;
use testkit::proxy::{Direction, Mode};

/// Period of a CPU quota, and the part of it in which a starving process runs.
const QUOTA_PERIOD: Duration = Duration::from_millis(100);
const QUOTA: Duration = Duration::from_millis(5);
/// Delays of slow replies, in milliseconds: from a distant server to one that no heartbeat tolerates.
const SLOW_MS: (u64, u64) = (20, 500);
/// Bytes that are forwarded before a connection is cut: within the first few messages, and not between two.
const CUT_AFTER_BYTES: [u64; 8] = [0, 1, 7, 50, 130, 333, 700, 1_501];

/// Time for which a synchronous standby is cut off before its primary dies.
const UNANSWERED: Duration = Duration::from_millis(500);

/// Ends when it is dropped.
pub enum Guard {
    /// Connections that are held.
    Hoard(#[expect(dead_code, reason = "held, to be dropped")] Hoard),
    /// A process that hardly runs.
    Starving(#[expect(dead_code, reason = "held, to be dropped")] Starving),
}

/// Whether the standby has every commit that was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replication {
    /// It may lack the last commits.
    Asynchronous,
    /// It has all of them.
    Synchronous,
}

impl Storm<'_> {
    /// Begins a fault.
    pub fn strike(&mut self, fault: Fault) -> Option<Guard> {
        match fault {
            Fault::Instance(at, harm) => self.strike_instance(at, harm),
            Fault::Redis(fault) => {
                self.strike_redis(fault);
                None
            }
            Fault::Postgres(fault) => self.strike_postgres(fault),
        }
    }

    fn strike_instance(&mut self, at: usize, harm: Harm) -> Option<Guard> {
        const REDIS: &[Store] = &[Store::Redis];
        const POSTGRES: &[Store] = &[Store::Postgres];
        const BOTH: &[Store] = &Store::BOTH;
        let cut = self.dice.pick(&[Mode::Swallow(Direction::Both), Mode::Refuse]);
        let some = self.dice.pick(&[REDIS, POSTGRES, POSTGRES, BOTH]);
        let direction = self.dice.pick(&[Direction::Requests, Direction::Replies, Direction::Both]);
        match harm {
            Harm::Kill => self.seats[at].vacate(&mut self.archive),
            Harm::Stop => self.signal(at, Signal::STOP),
            Harm::Starve => {
                let pid = self.seats[at].process()?.pid();
                return Some(Guard::Starving(Starving::new(pid)));
            }
            Harm::CutBoth => self.set(at, BOTH, cut),
            Harm::CutPostgres => self.set(at, POSTGRES, cut),
            Harm::CutRedis => self.set(at, REDIS, cut),
            Harm::CutReplies => self.set(at, some, Mode::Swallow(Direction::Replies)),
            Harm::CutRequests => self.set(at, some, Mode::Swallow(Direction::Requests)),
            Harm::Late => self.set(at, POSTGRES, Mode::Hold(direction)),
            Harm::CutMidway => {
                let bytes = self.dice.pick(&CUT_AFTER_BYTES);
                self.set(at, POSTGRES, Mode::CutAfter(direction, bytes));
            }
            Harm::Slow => {
                let delay = self.dice.millis(SLOW_MS.0, SLOW_MS.1);
                self.set(at, BOTH, Mode::Delay(delay));
            }
        }
        None
    }

    fn strike_redis(&mut self, fault: RedisFault) {
        let servers = &self.servers;
        match fault {
            RedisFault::Pause => servers.redis.pause(),
            RedisFault::RestartEmpty => {
                servers.save_redis(Memory::Empty);
                servers.redis.kill();
            }
            RedisFault::RestartSaved => {
                servers.save_redis(Memory::Kept);
                servers.redis.kill();
            }
            RedisFault::Flush => {
                servers.redis.command(&["FLUSHALL"]);
            }
            RedisFault::ClockAhead => servers.jump_redis_clock(Jump::Ahead),
            RedisFault::ClockBack => servers.jump_redis_clock(Jump::Back),
        }
    }

    fn strike_postgres(&mut self, fault: PostgresFault) -> Option<Guard> {
        match fault {
            PostgresFault::Pause => self.servers.primary.pause(),
            PostgresFault::Restart => self.servers.primary.stop(),
            PostgresFault::Crash => self.servers.primary.kill(),
            PostgresFault::ReadOnly => self.servers.set_access(Access::ReadOnly),
            PostgresFault::Exhausted => return Some(Guard::Hoard(self.servers.exhaust())),
            PostgresFault::Promotion => self.promote(End::Stopped, Replication::Asynchronous),
            PostgresFault::PromotionWithLoss => self.servers.cut_replication(),
            PostgresFault::PromotionSynchronous => self.servers.wait_for_standby(),
        }
        None
    }

    /// Ends a fault.
    pub fn heal(&mut self, over: Active) {
        // A guard ends first, when it is dropped.
        drop(over.guard);
        match over.fault {
            Fault::Instance(at, harm) => self.heal_instance(at, harm),
            Fault::Redis(fault) => self.heal_redis(fault),
            Fault::Postgres(fault) => self.heal_postgres(fault),
        }
    }

    fn heal_instance(&mut self, at: usize, harm: Harm) {
        match harm {
            Harm::Kill => {
                let identity = self.dice.pick(&[Identity::Same, Identity::New]);
                self.start(at, identity);
            }
            Harm::Stop => self.signal(at, Signal::CONT),
            // It ended with its guard.
            Harm::Starve => {}
            Harm::CutBoth
            | Harm::CutPostgres
            | Harm::CutRedis
            | Harm::CutReplies
            | Harm::CutRequests
            | Harm::Late
            | Harm::CutMidway
            | Harm::Slow => self.set(at, &Store::BOTH, Mode::Pass),
        }
    }

    fn heal_redis(&self, fault: RedisFault) {
        match fault {
            RedisFault::Pause => self.servers.redis.resume(),
            RedisFault::RestartEmpty | RedisFault::RestartSaved => self.servers.redis.start(),
            RedisFault::ClockBack => self.servers.jump_redis_clock(Jump::Ahead),
            RedisFault::Flush | RedisFault::ClockAhead => {}
        }
    }

    fn heal_postgres(&mut self, fault: PostgresFault) {
        match fault {
            PostgresFault::Pause => self.servers.primary.resume(),
            PostgresFault::Restart | PostgresFault::Crash => self.servers.primary.start(),
            PostgresFault::ReadOnly => self.servers.set_access(Access::Writable),
            PostgresFault::PromotionWithLoss => self.promote(End::Killed, Replication::Asynchronous),
            PostgresFault::PromotionSynchronous => {
                self.servers.cut_replication();
                // The fault is the time in which commits are made and not answered.
                thread::sleep(UNANSWERED);
                self.promote(End::Killed, Replication::Synchronous);
            }
            PostgresFault::Exhausted | PostgresFault::Promotion => {}
        }
    }

    fn signal(&mut self, at: usize, signal: Signal) {
        if let Some(process) = self.seats[at].process() {
            process.signal(signal);
        }
    }

    /// The standby replaces the primary; the harness records what it lacks.
    fn promote(&mut self, end: End, replication: Replication) {
        let which = self.system.which;
        let written = |url: &str| ask(url, which.ledger()).expect("the server answers the harness");
        self.servers.promote(end);
        let kept: BTreeSet<String> =
            written(&self.servers.primary.url()).into_iter().map(|(id, _)| id).collect();
        self.evidence.promotions.push(monotonic_nanos());
        self.retarget();
        let (before, history) = self.servers.bury(|old| {
            let history = (which == Which::Coordinator).then(|| Term::all(old));
            (written(old), history.unwrap_or_default())
        });
        self.evidence.learn(history);
        let lost: Vec<String> =
            before.into_iter().map(|(id, _)| id).filter(|id| !kept.contains(id)).collect();
        if !lost.is_empty() {
            let which = format!("{replication:?}").to_lowercase();
            self.print(&format!("the {which} standby lacks the submission of {} signals", lost.len()));
        }
        match replication {
            Replication::Asynchronous => {
                for id in lost {
                    self.evidence.excuse(id);
                }
            }
            // No client received an acknowledgement of it.
            Replication::Synchronous => {}
        }
    }
}

/// A process that runs for 5 ms in every 100. When it is dropped, the process runs normally.
pub struct Starving {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Starving {
    fn new(pid: u32) -> Self {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process has an id");
        let (stop, stopped) = channel::<()>();
        let thread = thread::spawn(move || {
            // The process is a child that was not waited for, so its id belongs to no other process.
            let send = |signal| kill_process(pid, signal);
            let over = |time| stopped.recv_timeout(time) != Err(RecvTimeoutError::Timeout);
            loop {
                let _ = send(Signal::STOP);
                let ended = over(QUOTA_PERIOD.saturating_sub(QUOTA));
                let _ = send(Signal::CONT);
                if ended || over(QUOTA) {
                    return;
                }
            }
        });
        Self { stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Starving {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
