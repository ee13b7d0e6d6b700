//! Hints between two processes on one file.

use crate::files::Files;
use domain::ports::StateStore;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};
use testkit::contract::{Case, PATIENCE, signal_ledger};
use tokio::time::timeout;

pub fn suite() -> Vec<Case<Files>> {
    vec![
        Case::new("hints::a_dropped_waiter_takes_no_hint_along", dropped_waiter),
        Case::new("hints::a_busy_file_does_not_make_a_waiter_look_back_to_back", busy_file),
        Case::new("hints::they_come_back_with_the_file", come_back),
    ]
}

/// How long a waiter rests after a hint.
const REST: Duration = Duration::from_millis(2);

async fn write(files: &Files, n: u32) {
    signal_ledger::offer(&*files.store("writer"), &signal_ledger::signal(&format!("s{n}"))).await;
}

async fn dropped_waiter(_: Arc<Files>) {
    let files = Files::new();
    let store = files.migrated("i").await;
    store.changed().await;
    for polls in 0..20 {
        write(&files, polls).await;
        // The drop is to hit the look and not the rest before it. If it does not, the case is only easier.
        tokio::time::sleep(REST).await;
        if !told_within(polls, store.changed()).await {
            timeout(PATIENCE, store.changed()).await.expect("the hint is still to be had");
        }
    }
}

/// Polls a waiter so often and drops it; whether it had its hint by then.
async fn told_within(polls: u32, waiter: impl Future<Output = ()>) -> bool {
    let mut waiter = std::pin::pin!(waiter);
    for _ in 0..polls {
        let polled = std::future::poll_fn(|context| Poll::Ready(waiter.as_mut().poll(context))).await;
        if polled.is_ready() {
            return true;
        }
        tokio::task::yield_now().await;
    }
    false
}

async fn busy_file(_: Arc<Files>) {
    let files = Files::new();
    let store = files.migrated("i").await;
    store.changed().await;
    let began = Instant::now();
    for n in 0..5 {
        write(&files, n).await;
        store.changed().await;
    }
    // A lower bound: no machine is too slow for it.
    assert!(began.elapsed() >= REST * 4, "5 hints within {:?}", began.elapsed());
}

async fn come_back(_: Arc<Files>) {
    let files = Files::new();
    let store = files.store("i");
    let waiter = tokio::spawn({
        let store = store.clone();
        async move { store.changed().await }
    });
    files.migrated("j").await;
    timeout(PATIENCE, waiter).await.expect("the file is there now").expect("no panic");
}
