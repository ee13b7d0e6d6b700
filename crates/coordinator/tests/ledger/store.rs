//! The store of a ledger: only the one of its coordinator is accepted.

use super::{TTL, eventually};
use contract::Opening;
use contract::fake::FakeDatabase;
use coordinator::{Coordinator, Ledger, LedgerSettings, StartError};
use domain::id::{GroupId, InstanceId};

#[tokio::test]
async fn a_ledger_that_was_opened_for_another_process_is_refused() {
    let database = FakeDatabase::new();
    let group = |name| GroupId::parse(name).expect("an id");
    let mine = Opening { ttl: TTL, ..Opening::new(&group("library"), "mine") };
    let store = database.process(&mine);
    let builder = Coordinator::builder(store);
    let coordinator = builder.start().expect("a valid start");
    let ledger =
        |of: &Opening| Ledger::new(coordinator.clone(), database.process(of), LedgerSettings::default());
    let (id, nonce) = (InstanceId::parse("another").expect("an id"), Opening::new(&group("x"), "x").nonce);
    for (other, what) in [
        (Opening { group: group("another"), ..mine.clone() }, "the group"),
        (Opening { id, ..mine.clone() }, "the instance id"),
        (Opening { nonce, ..mine.clone() }, "the nonce"),
        (Opening { host: "another".to_owned(), ..mine.clone() }, "the host"),
        (Opening { ttl: TTL * 2, ..mine.clone() }, "LEADER_TTL"),
    ] {
        match ledger(&other).expect_err("it is refused") {
            StartError::Store { store, what: found, .. } => {
                assert_eq!((store, found), ("signal ledger", what));
            }
            other => panic!("{other}"),
        }
    }
    assert!(ledger(&mine).is_ok());
    eventually("it stops", coordinator.shutdown()).await;
}
