//! Runbook test with a backup that is restored while instances run.

use crate::signals::accepted;
use crate::watched::Watched;

pub const FORGOTTEN: [&str; 1] = ["StoreForgot"];

const BACK_UP: &str = "CREATE TABLE backup AS SELECT * FROM coordinator_lease";
/// The row as it was, timeline included, because the server is the same.
const RESTORE: &str = "\
    UPDATE coordinator_lease AS lease
    SET epoch = backup.epoch, claim = backup.claim, seq = backup.seq, holder = backup.holder,
        released = backup.released, resign = backup.resign, forgot_ms = backup.forgot_ms
    FROM backup WHERE lease.group_id = backup.group_id";

#[test]
fn a_backup_is_restored_while_instances_run() {
    let (mut watched, first) = Watched::start();
    watched.group.database.execute(BACK_UP);
    for _ in 0..2 {
        watched.group.step_down("the backup becomes old");
    }
    let latest = watched.group.wait_current();
    assert!(latest.epoch > first.epoch);
    accepted(&mut watched.group, &latest.name, "s-1", "NIFTY");
    watched.group.database.execute(RESTORE);
    // The number that services compare does not decrease.
    watched.group.wait_lead(latest.epoch);
    watched.follow("StoreForgot");
    watched.finish(&FORGOTTEN);
}
