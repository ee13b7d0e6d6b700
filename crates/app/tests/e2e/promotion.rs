//! Tests in which a standby replaces the primary: it has another timeline, on which no old token is valid.

use crate::TTL;
use crate::database::Database;
use crate::group::Group;
use crate::wait::{block_on, until};
use contract::signal_ledger::{client, signal};
use domain::lease::{Timeline, Token};
use domain::ledger::{Limits, Outcome, SignalState};
use domain::ports::{InFlight, Report, SignalClaim, Submit};
use testkit::backend::{self, Postgres};

/// A primary, a standby that follows it, and a group that knows both.
struct Pair {
    primary: Postgres,
    standby: Postgres,
}

impl Pair {
    fn start() -> Self {
        let primary = backend::native_postgres();
        let standby = primary.standby();
        Self { primary, standby }
    }

    fn group(&self) -> Group {
        let hosts = format!("{},{}", self.primary.address(), self.standby.address());
        let url = self.primary.url().replace(&self.primary.address(), &hosts);
        let url = format!("{url}?target_session_attrs=read-write");
        Group::new(TTL, |_| Database::Postgres(self.primary.url()), &["--postgres", &url])
    }

    /// Kills the primary, and the instance `dies_too`; the standby has everything that was written.
    fn promote(&self, group: &mut Group, dies_too: Option<&str>) {
        let lsn = "SELECT pg_current_wal_lsn()::text";
        let written = block_on(backend::text(&self.primary.url(), lsn)).expect("a primary writes");
        let caught_up = format!("SELECT (pg_last_wal_replay_lsn() >= '{written}')::text");
        until("the standby has what was written", || {
            (block_on(backend::text(&self.standby.url(), &caught_up)).as_deref() == Some("true"))
                .then_some(())
        });
        self.primary.kill();
        if let Some(name) = dies_too {
            group.process(name).kill();
        }
        block_on(self.standby.promote());
        group.database = Database::Postgres(self.standby.url());
    }
}

#[test]
fn a_living_leader_is_replaced() {
    let pair = Pair::start();
    let mut group = pair.group();
    let first = group.start_three();
    let old = prepare(&group);
    pair.promote(&mut group, None);
    expect_new_timeline(group, &old, first.epoch);
}

#[test]
fn a_dead_leader_is_replaced() {
    let pair = Pair::start();
    let mut group = pair.group();
    let first = group.start_three();
    let old = prepare(&group);
    pair.promote(&mut group, Some(&first.name));
    let next = group.wait_lead(first.epoch);
    assert_ne!(next.name, first.name);
    expect_new_timeline(group, &old, first.epoch);
}

/// Submits two signals and claims one in the leader's name. Returns the leader's token.
fn prepare(group: &Group) -> Token {
    let ledger = group.database.ledger();
    for id in ["s-1", "s-2"] {
        assert!(matches!(block_on(ledger.submit_one(&signal(id), &client())), Ok(Submit::Accepted(_))));
    }
    let token = group.database.token();
    assert!(matches!(block_on(ledger.claim_signals(&token, Limits::NONE, 1)), Ok(SignalClaim::Claimed(_))));
    token
}

fn expect_new_timeline(mut group: Group, old: &Token, old_epoch: u64) {
    // The old leader, if it lives, first carries its lease to the new timeline and releases it then.
    let current = until("another claim leads on the new timeline", || {
        let token = group.database.token();
        (token.timeline > old.timeline && token.claim != old.claim).then_some(token)
    });
    assert_eq!(current.timeline, Timeline(old.timeline.0 + 1));
    assert!(current.epoch.0 > old_epoch);

    let ledger = group.database.ledger();
    let taken = signal("s-1").id();
    // One was claimed before, and the other may have been executed by a leader whose record the promotion lost.
    for signal in [&taken, &signal("s-2").id()] {
        until("it is in doubt", || {
            let found = block_on(ledger.find(signal)).expect("the database answers");
            found.filter(|signal| signal.state == SignalState::InDoubt)
        });
    }
    let before = group.database.signals();
    assert_eq!(block_on(ledger.claim_signals(old, Limits::NONE, 1)), Ok(SignalClaim::Fenced));
    let report = Report { id: taken, attempt: 1, outcome: Outcome::Done, note: None };
    assert_eq!(block_on(ledger.record(old, &[report])), Ok(None));
    assert_eq!(block_on(ledger.take_over(old, InFlight::All)), Ok(None));
    assert_eq!(group.database.signals(), before);
    // A waiting signal may have been executed by a leader whose record the failover lost, so it is looked up
    // first.
    assert_eq!(block_on(ledger.claim_signals(&current, Limits::NONE, 1)), Ok(SignalClaim::Empty));

    let last = group.wait_current();
    group.wait_renewals(&last.name);
    assert_eq!(group.leads().pop(), Some(last.clone()), "it is quiet again");
    group.expect_only_leader(&last);
    expect_shown(&mut group, &current);
    group.finish_across_timelines();
}

/// The loss is shown where operators read it: by both commands, on the pages, and in a metric and an alert of
/// every instance.
fn expect_shown(group: &mut Group, current: &Token) {
    const FORGOT: &str = "a standby was promoted or a backup restored";
    let noted = group.database.text("SELECT forgot_ms::text FROM coordinator_lease");
    let noted_s = noted.expect("it is noted").parse::<f64>().expect("a number") / 1_000.0;

    let history = group.command(&["history"]).stdout;
    assert!(history.contains(&format!("the store forgot: {FORGOT}")), "{history}");
    let latest = group.command(&["history", "--json"]).json()[0].take();
    assert_eq!((latest["timeline"].as_u64(), latest["to"].as_str()), (Some(current.timeline.0.into()), None));
    let status = group.command(&["status", "--wide"]).stdout;
    let shown = |line: &str| line.starts_with("the store forgot ") && line.ends_with(FORGOT);
    assert!(status.lines().any(shown), "{status}");
    let moment = group.command(&["status", "--json"]).json()["store_forgot_at"].take();
    assert!(moment.is_string(), "{moment}");

    for name in group.alive() {
        // It is shown with the next heartbeat.
        until(&format!("{name} shows the moment"), || {
            let shown_s = group.metric(&name, "coordinator_store_forgot_timestamp_seconds")?;
            ((shown_s - noted_s).abs() < 0.001).then_some(())
        });
        for page in ["/status", "/history"] {
            assert_eq!(group.json(&name, page)["store_forgot_at"], moment, "{page} of {name}");
        }
        let alert = group.json(&name, "/coordinator/metrics")["alerts"]["store_forgot"].take();
        assert_eq!(alert["status"], "CRITICAL", "{alert}");
        assert!(
            alert["message"].as_str().is_some_and(|message| message.contains("coordinator signals list"))
        );
    }
}
