//! Tests of the combinations of stores.

use super::*;

#[test]
fn redis_without_postgres_is_refused_with_the_reason_and_the_remedy() {
    let flags = Flags { redis: secret("redis://localhost"), ..Flags::default() };
    let loads = [
        (from_file("[redis]\nurl = \"redis://localhost\""), "coordinator.toml:redis.url"),
        (
            with("", &[("COORDINATOR_REDIS_URL", "redis://localhost")], &Flags::default()),
            "environment COORDINATOR_REDIS_URL",
        ),
        (load(None, [], &flags), "--redis"),
    ];
    for (result, place) in loads {
        let faults = lines(result);
        assert_eq!(faults.len(), 1, "{faults:?}");
        for part in [place, "every data_dir would have a leader", "Set postgres.url"] {
            assert!(faults[0].contains(part), "{part}: {faults:?}");
        }
    }
    from_file(BOTH).expect("PostgreSQL decides, Redis makes it fast");
    from_file("[postgres]\nurl = \"postgres://localhost/d\"").expect("PostgreSQL alone");
}
