//! Tests that follow the runbooks during their fault: every command and query is run and prints what the page
//! says ([`crate::runbook`] reads a page, [`crate::follow`] runs it).
//!
//! Each test has its faults and a list of the pages that it follows. Every page is in one of the lists.

mod absent;
mod broken;
mod down;
mod forgotten;
mod handler;
mod held_up;
mod in_doubt;
mod portfolio;
mod redis;
mod slow;

use crate::follow::rules;
use std::collections::BTreeSet;

/// The lists of all tests.
const FOLLOWED: [&[&str]; 13] = [
    &absent::UNREACHED,
    &absent::RESTARTED,
    &broken::BROKEN,
    &down::KILLED,
    &down::DATABASE_STOPPED,
    &forgotten::FORGOTTEN,
    &handler::HANDLER,
    &held_up::UNCLAIMED,
    &held_up::UNCOUNTED,
    &in_doubt::IN_DOUBT,
    &portfolio::NOT_IN_ORDER,
    &redis::REDIS,
    &slow::SLOW,
];

/// A page that fails here needs a fault: a new test, or an entry in the list of an existing one.
#[test]
fn every_page_is_followed_once() {
    let followed: Vec<&str> = FOLLOWED.into_iter().flatten().copied().collect();
    let once: BTreeSet<&str> = followed.iter().copied().collect();
    assert_eq!(once.len(), followed.len(), "a page is in two lists: {followed:?}");
    let all: BTreeSet<&str> = rules().map(|rule| rule.alert).collect();
    assert_eq!(once, all);
}
