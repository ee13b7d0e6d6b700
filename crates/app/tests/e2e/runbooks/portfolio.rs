//! Runbook tests with a portfolio that is large, slow, locked, corrupt, or does not add up.

use crate::TTL;
use crate::group::Group;
use crate::servers::Servers;
use crate::wait::block_on;
use crate::watched::Watched;
use sqlx::{Connection, Executor, PgConnection};

pub const NOT_IN_ORDER: [&str; 8] = [
    "SlowRecovery",
    "CriticalRecoveryTime",
    "PositionsBeyondValidatedRange",
    "RecoveryFailed",
    "RecoveryDataCorrupt",
    "RecoveryValidationFailed",
    "RepeatedRecoveryFailures",
    "RecoveryFailures",
];

/// The default table, behind a view that takes as long as `pace` says.
const SLOW_VIEW: &str = "\
    CREATE TABLE pace (seconds double precision);
    INSERT INTO pace VALUES (0);
    CREATE VIEW positions AS SELECT * FROM portfolio_positions
        WHERE (SELECT pg_sleep(seconds)::text FROM pace) IS NOT NULL";
/// One position more than were validated.
const MANY: &str = "\
    INSERT INTO portfolio_positions
        SELECT 'P-' || no, 'NIFTY', 'open', 1, 100, 0, 0 FROM generate_series(1, 51) AS no";
/// As in its runbook.
const CORRUPT: &str = "INSERT INTO portfolio_positions VALUES ('Long_1', 'NIFTY', 'open', -5, 100, 0, 0)";
/// As in its runbook.
const UNSUMMED: &str =
    "INSERT INTO portfolio_positions VALUES ('Long_1', 'NIFTY', 'open', 5, 100, 100000, 0)";
const NONE: &str = "DELETE FROM portfolio_positions";

#[test]
fn a_portfolio_with_faults() {
    let servers = Servers::start();
    let mut group = servers.group(TTL);
    group.carry_out(&["migrate"]);
    group.database.execute(SLOW_VIEW);
    group.set("COORDINATOR_RECOVERY_POSITIONS", "positions");
    let (mut watched, _) = Watched::of(servers, group, Group::launch, &[]);

    watched.group.database.execute("UPDATE pace SET seconds = 2.1");
    step_down(&watched);
    watched.raised("SlowRecovery");
    watched.group.database.execute("UPDATE pace SET seconds = 0");
    watched.follow("SlowRecovery");
    watched.follow("CriticalRecoveryTime");

    watched.group.database.execute(MANY);
    step_down(&watched);
    watched.follow("PositionsBeyondValidatedRange");
    watched.group.database.execute(NONE);

    let mut lock = Some(Lock::on_positions(&watched.servers));
    step_down(&watched);
    watched.follow_with("RecoveryFailed", |_, step| {
        if step == 5 {
            drop(lock.take());
        }
    });
    watched.over("RecoveryFailed");

    for (alert, rows) in [("RecoveryDataCorrupt", CORRUPT), ("RecoveryValidationFailed", UNSUMMED)] {
        watched.group.database.execute(rows);
        step_down(&watched);
        watched.follow_with(alert, |watched, step| {
            if step == 4 {
                watched.group.database.execute(NONE);
            }
        });
    }
    // The leader that is halted checks again, and so does the former one.
    watched.over("RecoveryValidationFailed");
    watched.over("RecoveryDataCorrupt");
    watched.follow("RepeatedRecoveryFailures");
    // Its last step acknowledges the failures, which ends both long before their hour is over.
    watched.follow("RecoveryFailures");
    watched.over("RecoveryFailures");
    watched.over("RepeatedRecoveryFailures");
    watched.finish(&NOT_IN_ORDER);
}

/// The next leader recovers.
fn step_down(watched: &Watched) {
    watched.group.step_down("another one recovers");
}

/// A session that blocks the positions for all others until it is dropped.
struct Lock(Option<PgConnection>);

impl Lock {
    fn on_positions(servers: &Servers) -> Self {
        Self(Some(block_on(async {
            let mut session = PgConnection::connect(&servers.url).await.expect("a connection");
            let lock = "BEGIN; LOCK TABLE portfolio_positions IN ACCESS EXCLUSIVE MODE";
            session.execute(lock).await.expect("a lock");
            session
        })))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some(session) = self.0.take() {
            // A failure here ends the session as well.
            let _ = block_on(session.close());
        }
    }
}
