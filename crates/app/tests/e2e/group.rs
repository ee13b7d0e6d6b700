//! [`Group`]: several instances of one group, their events, and the judgement at the end.

use crate::command::{BINARY, Call, Said, coordinator};
use crate::database::Database;
use crate::wait::{nanos, until};
use contract::event::{Event, EventKind, Record};
use contract::invariants::{self, Violation};
use domain::lease::margin;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::slice::from_ref;
use std::time::Duration;
use tempfile::TempDir;
use testkit::directory::directory;
use testkit::process::{Coordinator, LOCK_DIR, Launch, Signal};

/// Renewals after which a term counts as stable.
const RENEWALS: usize = 3;
/// The three instances of most tests.
pub const THREE: [&str; 3] = ["a", "b", "c"];

/// A term, from the events of its holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lead {
    pub name: String,
    pub epoch: u64,
    /// Begin of the term, in CLOCK_MONOTONIC nanoseconds.
    pub t: u64,
}

/// The instances. [`Group::finish`] judges them; a test that forgets it fails.
pub struct Group {
    pub ttl: Duration,
    pub database: Database,
    /// Arguments that name the stores, for instances and commands.
    arguments: Vec<String>,
    /// Environment variables, for instances and commands.
    settings: Vec<(String, String)>,
    instances: BTreeMap<String, Coordinator>,
    /// Data directory of commands, and of every instance if the store is embedded.
    directory: TempDir,
    judged: bool,
}

impl Group {
    /// Creates a group without instances. The database may be in the data directory that commands use.
    pub fn new(ttl: Duration, database: impl FnOnce(&Path) -> Database, arguments: &[&str]) -> Self {
        let directory = directory();
        let database = database(&directory.path().join("data"));
        let ttl_written = format!("{}ms", ttl.as_millis());
        let arguments = ["--leader-ttl", &ttl_written].into_iter().chain(arguments.iter().copied());
        let arguments = arguments.map(str::to_owned).collect();
        let settings = Vec::new();
        Self { ttl, database, arguments, settings, instances: BTreeMap::new(), directory, judged: false }
    }

    /// Adds an environment variable for all instances and commands that are started from now on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.settings.push((name.to_owned(), value.to_owned()));
    }

    /// From now on the instances start as on one host: an instance learns at once that another one was killed. Otherwise
    /// they start as on separate hosts, and the lease of a killed leader expires. The embedded store's directory of lock
    /// files is its default.
    #[must_use]
    pub fn on_one_host(mut self) -> Self {
        let locks = match &self.database {
            Database::Sqlite(_) => self.data_dir().join("coordinator.db-processes"),
            Database::Postgres(_) => self.directory.path().join("locks"),
        };
        self.set(LOCK_DIR, locks.to_str().expect("the directory's name is text"));
        self
    }

    /// A group on the embedded store, in one data directory.
    pub fn embedded(ttl: Duration) -> Self {
        Self::new(ttl, |data| Database::Sqlite(data.join("coordinator.db")), &[])
    }

    // --- instances ----------------------------------------------------------------------------------

    /// The launch of an instance of this group.
    pub fn launch(&self, name: &str) -> Launch {
        self.launch_with(name, &self.arguments)
    }

    /// The launch of an instance that reaches PostgreSQL under another URL.
    pub fn launch_through(&self, name: &str, url: &str) -> Launch {
        let Database::Postgres(own) = &self.database else { panic!("the store is embedded") };
        let through = |argument: &String| if argument == own { url.to_owned() } else { argument.clone() };
        self.launch_with(name, &self.arguments.iter().map(through).collect::<Vec<_>>())
    }

    fn launch_with(&self, name: &str, arguments: &[String]) -> Launch {
        let launch = arguments.iter().fold(Launch::new(BINARY, name), Launch::argument);
        let set = |launch: Launch, (name, value): &(String, String)| launch.environment(name, value);
        let launch = self.settings.iter().fold(launch, set);
        match &self.database {
            Database::Sqlite(_) => launch.data_dir(&self.data_dir()),
            Database::Postgres(_) => launch,
        }
    }

    /// Starts an instance with that id; returns at once.
    pub fn start(&mut self, name: &str) {
        let launch = self.launch(name);
        self.start_as(name, &launch);
    }

    /// Starts an instance with that launch; returns at once.
    pub fn start_as(&mut self, name: &str, launch: &Launch) {
        let process = launch.clone().argument("--instance-id").argument(name).start();
        assert!(self.instances.insert(name.to_owned(), process).is_none(), "a name is used once");
    }

    /// Starts three instances, waits until each of them takes part, and returns the leader.
    pub fn start_three(&mut self) -> Lead {
        for name in THREE {
            self.start(name);
        }
        for name in THREE {
            self.wait_ready(name);
        }
        let lead = self.wait_lead(0);
        self.wait_active(&lead.name);
        lead
    }

    /// Starts `a`, which leads, and then `b`.
    pub fn start_pair(&mut self) -> Lead {
        self.start("a");
        self.wait_active("a");
        self.start("b");
        self.wait_ready("b");
        self.wait_lead(0)
    }

    pub fn process(&mut self, name: &str) -> &mut Coordinator {
        self.instances.get_mut(name).unwrap_or_else(|| panic!("{name} was started"))
    }

    /// Stops an instance with SIGSTOP, but not while it holds SQLite's only lock for writing: no instance
    /// could lead then, whatever the protocol.
    pub fn freeze(&mut self, name: &str) {
        let database = self.database.clone();
        until("stopped outside of a write", || {
            self.process(name).signal(Signal::STOP);
            let free = database.is_free();
            if !free {
                self.process(name).signal(Signal::CONT);
            }
            free.then_some(())
        });
    }

    /// The names of the running instances.
    pub fn alive(&mut self) -> Vec<String> {
        let alive = |process: &mut Coordinator| process.record().ended.is_none();
        self.instances.iter_mut().filter_map(|(name, process)| alive(process).then(|| name.clone())).collect()
    }

    // --- events -------------------------------------------------------------------------------------

    fn records(&mut self) -> Vec<Record> {
        self.instances.values_mut().map(Coordinator::record).collect()
    }

    pub fn events(&mut self, name: &str) -> Vec<Event> {
        self.process(name).record().events
    }

    /// Every term, in the order of their begin.
    pub fn leads(&mut self) -> Vec<Lead> {
        let mut leads = Vec::new();
        for Record { name, events, .. } in self.records() {
            let begins = events.iter().filter(|event| event.kind == EventKind::Lead);
            leads.extend(begins.map(|event| Lead { name: name.clone(), epoch: event.epoch, t: event.t }));
        }
        leads.sort_by_key(|lead| lead.t);
        leads
    }

    /// Waits for the first term above that epoch.
    pub fn wait_lead(&mut self, epoch: u64) -> Lead {
        until(&format!("a leader above epoch {epoch}"), || {
            self.leads().into_iter().find(|lead| lead.epoch > epoch)
        })
    }

    /// Waits until the leader according to the database has reported its term: the database has a claim before its
    /// holder knows of it.
    pub fn wait_current(&mut self) -> Lead {
        until("the holder of the lease reports its term", || {
            let epoch = self.database.token().epoch.0;
            self.leads().into_iter().find(|lead| lead.epoch == epoch)
        })
    }

    /// Waits for the first event of that kind under that epoch.
    pub fn wait_event(&mut self, name: &str, kind: EventKind, epoch: u64) -> Event {
        until(&format!("{kind:?} of {name} under epoch {epoch}"), || {
            self.events(name).into_iter().find(|event| event.kind == kind && event.epoch == epoch)
        })
    }

    pub fn wait_ready(&mut self, name: &str) {
        until(&format!("{name} is ready"), || {
            self.status_of(name, "/readyz").filter(|status| *status == 200)
        });
    }

    /// Waits until an instance leads and acts.
    pub fn wait_active(&mut self, name: &str) {
        until(&format!("{name} is active"), || {
            self.status_of(name, "/leader").filter(|status| *status == 200)
        });
    }

    /// Waits for several more renewals of a leader.
    pub fn wait_renewals(&mut self, name: &str) {
        let renewals = |group: &mut Self| {
            group.events(name).iter().filter(|event| event.kind == EventKind::Renew).count()
        };
        let before = renewals(self);
        until(&format!("renewals of {name}"), || (renewals(self) >= before + RENEWALS).then_some(()));
    }

    /// Time at which the last term of an instance ends unless it is renewed.
    pub fn deadline(&mut self, name: &str) -> u64 {
        let last = self.events(name).into_iter().rev().find_map(|event| event.sent);
        last.expect("it led") + nanos(self.ttl) - nanos(margin(self.ttl))
    }

    /// Asserts that this term is the only one so far, and is stable.
    pub fn assert_undisturbed(&mut self, lead: &Lead) {
        self.wait_renewals(&lead.name);
        assert_eq!(self.leads(), from_ref(lead));
        let ends = [EventKind::Lost, EventKind::Resign];
        let ended = self.events(&lead.name).into_iter().find(|event| ends.contains(&event.kind));
        assert_eq!(ended, None, "{lead:?}");
    }

    /// Waits until every source agrees that this instance leads, and no other.
    pub fn expect_only_leader(&mut self, lead: &Lead) {
        self.wait_active(&lead.name);
        for name in self.alive().into_iter().filter(|name| *name != lead.name) {
            until(&format!("{name} knows that {} leads", lead.name), || {
                let answer = self.process(&name).get("/leader").ok()?;
                let knows = answer.status == 503 && answer.header("coordinator-leader") == Some(&lead.name);
                knows.then_some(())
            });
        }
        let database = self.database.token();
        assert_eq!(database.epoch.0, lead.epoch, "{database} is another leadership");
        // The instance table follows with the leader's next heartbeat.
        until("`coordinator status` agrees", || {
            let said = self.command(&["status", "--json"]);
            (said.code == Some(0) && said.json()["leader_db"] == *lead.name).then_some(())
        });
    }

    /// Data directory of commands, and of every instance if the store is embedded.
    pub fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    // --- pages and commands -------------------------------------------------------------------------

    /// The status code of a page; `None` if it does not listen yet.
    pub fn status_of(&mut self, name: &str, path: &str) -> Option<u16> {
        self.process(name).get(path).ok().map(|answer| answer.status)
    }

    /// A page as JSON.
    pub fn json(&mut self, name: &str, path: &str) -> serde_json::Value {
        let answer = self.process(name).get(path);
        answer.unwrap_or_else(|error| panic!("{name} does not answer {path}: {error}")).json()
    }

    /// A metric without labels; `None` if it is absent.
    pub fn metric(&mut self, name: &str, metric: &str) -> Option<f64> {
        let answer = self.process(name).get("/metrics").ok()?;
        let value = answer.body.lines().find_map(|line| line.strip_prefix(metric)?.strip_prefix(' '));
        value.map(|value| value.parse().unwrap_or_else(|_| panic!("{metric} is {value}")))
    }

    /// Waits until every running instance reports this fallback mode.
    pub fn wait_fallback(&mut self, fallback: bool) {
        for name in self.alive() {
            until(&format!("fallback_mode of {name} is {fallback}"), || {
                (self.json(&name, "/coordinator/metrics")["fallback_mode"] == fallback).then_some(())
            });
        }
    }

    /// Runs a command on the group's stores.
    #[track_caller]
    pub fn command(&self, arguments: &[&str]) -> Said {
        let data = self.data_dir();
        let stores = self.arguments.iter().map(String::as_str);
        let data = ["--data-dir", data.to_str().expect("the directory's name is text")];
        let all: Vec<&str> = arguments.iter().copied().chain(stores).chain(data).collect();
        let set = |call: Call, (name, value): &(String, String)| call.environment(name, value);
        self.settings.iter().fold(coordinator(&all), set).run()
    }

    /// Runs a command once it is connected.
    #[track_caller]
    pub fn connected(&self, arguments: &[&str]) -> Said {
        until("a command is connected", || {
            let said = self.command(arguments);
            (!said.was_not_connected()).then_some(said)
        })
    }

    /// Runs a command that must succeed.
    #[track_caller]
    pub fn carry_out(&self, arguments: &[&str]) -> Said {
        let said = self.connected(arguments);
        assert_eq!(said.code, Some(0), "{said:?}");
        said
    }

    /// Requests a handover, which must succeed, once the instance table lists an instance that can take over: an instance
    /// may be ready before it has its line.
    #[track_caller]
    pub fn step_down(&self, reason: &str) -> Said {
        until("a standby is listed", || {
            self.database.text("SELECT id FROM coordinator_member WHERE status = 'standby'")
        });
        self.carry_out(&["step-down", "--reason", reason])
    }

    // --- the judgement ------------------------------------------------------------------------------

    /// Kills the running instances and judges all events.
    #[track_caller]
    pub fn finish(mut self) {
        let epochs_only_grow = invariants::epochs_only_grow(&self.records());
        self.judge(epochs_only_grow);
    }

    /// As [`Self::finish`], if a standby with its own history has replaced the database: epochs grow on each
    /// timeline, according to the history.
    #[track_caller]
    pub fn finish_across_timelines(mut self) {
        self.judge(Vec::new());
    }

    #[track_caller]
    fn judge(&mut self, found: Vec<Violation>) {
        self.instances.values_mut().for_each(Coordinator::kill);
        let records = self.records();
        let believers = invariants::at_most_one_valid_lease(&records, self.ttl);
        let revived = invariants::no_ended_leadership_is_revived(&records, self.ttl);
        let history = self.history_agrees();
        invariants::assert_none(&[found, believers, revived, history].concat());
        self.judged = true;
    }

    /// The database's own history contains every term of the events once, and its epochs only grow.
    fn history_agrees(&mut self) -> Vec<Violation> {
        let violation = |details| Violation { invariant: "the history agrees", details };
        let terms = self.database.terms();
        let mut violations = Vec::new();
        for lead in self.leads() {
            let same = terms.iter().filter(|term| term.epoch == lead.epoch && term.holder == lead.name);
            if same.count() != 1 {
                violations.push(violation(format!("{lead:?} is not once in {terms:?}")));
            }
        }
        for two in terms.windows(2).filter(|two| two[0].timeline == two[1].timeline) {
            if two[0].epoch >= two[1].epoch {
                violations.push(violation(format!("{:?} came after {:?}", two[1], two[0])));
            }
        }
        violations
    }
}

impl Drop for Group {
    /// Prints what a failed test needs: the logs of all processes.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(self.judged, "the test does not end in Group::finish");
            return;
        }
        for (name, process) in &mut self.instances {
            eprintln!("--- {name} events {:#?}\n--- {name} log\n{}", process.record(), process.log());
        }
    }
}

/// Test of the judgement: it reports two leaders of different groups that are treated as one group.
#[test]
#[should_panic(expected = "at most one valid lease")]
fn two_valid_leases_fail_a_test() {
    let mut group = Group::embedded(crate::TTL);
    for name in ["a", "b"] {
        let launch = group.launch(name).argument("--group").argument(format!("group-{name}"));
        group.start_as(name, &launch);
        group.wait_active(name);
    }
    group.finish();
}
