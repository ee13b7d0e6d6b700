//! Cases of hints between two processes on one file.

use crate::files::Files;
use contract::{Case, PATIENCE, signal_ledger};
use domain::ports::{LeaseStore, SignalLedger};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::time::timeout;

pub fn suite() -> Vec<Case<Files>> {
    vec![
        Case::new("hints::heartbeats_and_signals_wake_no_election", wake_no_election),
        Case::new("hints::heartbeats_and_renewals_wake_no_dispatcher", wake_no_dispatcher),
        Case::new("hints::signals_and_the_kill_switch_wake_the_dispatcher", wake_the_dispatcher),
        Case::new("hints::a_dropped_waiter_takes_no_hint_along", dropped_waiter),
        Case::new("hints::a_busy_file_does_not_make_a_waiter_look_back_to_back", busy_file),
        Case::new("hints::they_come_back_with_the_file", come_back),
    ]
}

/// Shortest time between two reads of what has changed.
const REST: Duration = Duration::from_millis(5);
/// Time in which no hint must come. A hint that comes later only makes the case less strict; it never makes
/// it fail.
const QUIET: Duration = Duration::from_millis(300);
const WRITES: u32 = 20;

/// Another process writes the lease.
async fn renew(files: &Files) {
    files.sql("UPDATE coordinator_lease SET seq = seq + 1").await.expect("a renewal");
}

/// Another process submits a signal.
async fn submit(files: &Files, n: u32) {
    signal_ledger::offer(&*files.store("writer"), &signal_ledger::signal(&format!("s{n}"))).await;
}

/// Another process writes its line of the instance table.
async fn heartbeat(files: &Files, n: u32) {
    let line = format!(
        "INSERT INTO coordinator_member (group_id, id, nonce, host, address, status, epoch, fallback, alerts, \
         version, started_ms, beat_ms) VALUES ('g', 'other', '0', 'h', 'a', 'standby', 0, 0, 0, '1', 0, {n}) \
         ON CONFLICT DO UPDATE SET beat_ms = excluded.beat_ms"
    );
    files.sql(&line).await.expect("a heartbeat");
}

/// Whether `waiter` was woken within [`QUIET`].
async fn is_woken(waiter: impl Future<Output = ()>) -> bool {
    timeout(QUIET, waiter).await.is_ok()
}

async fn wake_no_election(_: Arc<Files>) {
    let files = Files::new();
    let store = files.migrated("i").await;
    store.changed().await;
    for n in 0..WRITES {
        heartbeat(&files, n).await;
        submit(&files, n).await;
    }
    assert!(!is_woken(store.changed()).await, "neither heartbeats nor signals concern the election");
    renew(&files).await;
    timeout(PATIENCE, store.changed()).await.expect("a renewal wakes it");
}

async fn wake_no_dispatcher(_: Arc<Files>) {
    let files = Files::new();
    let store = files.migrated("i").await;
    store.submitted().await;
    for n in 0..WRITES {
        heartbeat(&files, n).await;
        renew(&files).await;
    }
    assert!(!is_woken(store.submitted()).await, "neither heartbeats nor renewals concern the dispatcher");
}

async fn wake_the_dispatcher(_: Arc<Files>) {
    let files = Files::new();
    let store = files.migrated("i").await;
    store.submitted().await;
    submit(&files, 0).await;
    timeout(PATIENCE, store.submitted()).await.expect("a signal wakes it");
    assert!(!is_woken(store.submitted()).await, "once");
    let pause = "UPDATE coordinator_dispatch SET paused_ms = 1, paused_by = 'o', paused_reason = 'r'";
    files.sql(pause).await.expect("the kill switch is turned");
    timeout(PATIENCE, store.submitted()).await.expect("the kill switch wakes it");
}

async fn dropped_waiter(_: Arc<Files>) {
    let files = Files::new();
    let store = files.migrated("i").await;
    store.changed().await;
    for polls in 0..20 {
        renew(&files).await;
        // The drop should hit the poll and not the pause before it. If it does not, the case is only less
        // strict.
        tokio::time::sleep(REST).await;
        if !hinted_within(polls, store.changed()).await {
            timeout(PATIENCE, store.changed()).await.expect("the hint is still to be had");
        }
    }
}

/// Polls a waiter `polls` times and drops it. Returns whether it had its hint by then.
async fn hinted_within(polls: u32, waiter: impl Future<Output = ()>) -> bool {
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
    for _ in 0..5 {
        renew(&files).await;
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
