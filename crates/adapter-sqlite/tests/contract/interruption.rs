//! Cases in which futures are dropped at any point: nothing acknowledged is lost, and nothing is left half
//! done.

use crate::audit::lead;
use crate::files::{Files, opening};
use adapter_sqlite::SqliteStore;
use contract::signal_ledger::{client, offer, signal};
use contract::{Case, TTL};
use domain::lease::Seq;
use domain::ledger::{Limits, NewSignal, Outcome, SignalId};
use domain::ports::{
    Claim, ClaimRequest, InFlight, LeaseStore, MemberStore, Migrate, Report, Schema, SignalLedger,
    StateStore, Submit,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

pub fn suite() -> Vec<Case<Files>> {
    vec![
        Case::new("interruption::acknowledged_signals_survive_dropped_neighbours", signals),
        Case::new("interruption::a_dropped_migration_blocks_nobody", migrations),
        Case::new("interruption::a_dropped_claim_is_whole_or_nothing", claims),
        Case::new("interruption::a_dropped_call_of_the_ledger_is_whole_or_nothing", ledger),
    ]
}

/// Rounds of each case: together they hit every await point of the calls several times.
const ROUNDS: u32 = 200;

/// Polls `future` until it is ready, or drops it after `polls` wake-ups or at `patience`.
async fn interrupted<F: Future>(future: F, polls: u32, patience: Duration) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    let mut left = polls;
    let bounded = std::future::poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    });
    tokio::time::timeout(patience, bounded).await.ok().flatten()
}

/// A drop point that moves over the whole length of a call.
fn drop_point(round: u32) -> (u32, Duration) {
    (round % 7, Duration::from_micros(u64::from(round.wrapping_mul(7919) % 4000)))
}

async fn signals(_: Arc<Files>) {
    let files = Files::new();
    let store = files.migrated("i").await;
    let mut acknowledged = BTreeSet::new();
    let mut dropped = 0;
    for round in 0..ROUNDS {
        let (polls, patience) = drop_point(round);
        let doomed = signal(&format!("doomed-{round}"));
        match interrupted(store.submit_one(&doomed, &client()), polls, patience).await {
            Some(answer) => {
                assert!(matches!(answer, Ok(Submit::Accepted(_))));
                acknowledged.insert(doomed.id());
            }
            None => dropped += 1,
        }
        // The next call gets the very connection that the dropped call used.
        let kept = signal(&format!("kept-{round}"));
        assert!(matches!(offer(&*store, &kept).await, Submit::Accepted(_)));
        acknowledged.insert(kept.id());
    }
    assert!(dropped > 0, "the case must interrupt something");
    // What another process finds counts, as after a crash. The store is intentionally not closed first.
    let durable: BTreeSet<_> = sqlx::query_scalar::<_, String>("SELECT id FROM coordinator_signal")
        .fetch_all(&mut files.shell().await)
        .await
        .unwrap()
        .into_iter()
        .map(|id| SignalId::parse(&id).unwrap())
        .collect();
    assert_eq!(acknowledged.difference(&durable).collect::<Vec<_>>(), Vec::<&SignalId>::new());
}

async fn migrations(_: Arc<Files>) {
    for round in 0..ROUNDS / 10 {
        let files = Files::new();
        let patience = Duration::from_micros(u64::from(round) * 900);
        let doomed = files.store("doomed");
        let _ = interrupted(doomed.migrate(Migrate::Apply), u32::MAX, patience).await;
        let next = files.store("next");
        assert_eq!(next.migrate(Migrate::Apply).await, Ok(Schema::Current), "round {round}");
        next.observe().await.expect("a whole schema");
    }
}

async fn claims(_: Arc<Files>) {
    let files = Files::new();
    let store = files.migrated("i").await;
    let nonce = opening("i").nonce;
    for round in 1..=ROUNDS {
        let (polls, patience) = drop_point(round);
        let before = store.observe().await.unwrap();
        let claim = nonce.claim(round);
        let request = ClaimRequest {
            observed: before.version,
            claim,
            holder: opening("i").id,
            ttl: TTL,
            floor: domain::lease::Epoch(0),
            forgotten: false,
            former: domain::ports::FormerTerm::Expired,
        };
        let answer = interrupted(store.claim(&request), polls, patience).await;
        // A read on the same connection runs after the dropped write.
        let after = store.observe().await.unwrap();
        let history = store.history(u32::MAX).await.unwrap();
        if after.version.token.claim == claim {
            assert_eq!(after.version.token.epoch, before.version.token.epoch.next());
            assert!(answer.is_none_or(|answer| answer == Ok(Claim::Granted(after.version.token))));
            renew(&store, &after.version.token).await;
        } else {
            assert_eq!(after, before);
            assert_eq!(answer, None, "a claim of the row as it is can only be granted or unknown");
        }
        assert_eq!(history.len() as u64, after.version.token.epoch.0, "one line for each leadership");
        assert!(history.iter().skip(1).all(|term| term.to_ms.is_some()), "only the last is open");
    }
}

/// Signals in one call.
const TOGETHER: usize = 5;

/// Each call of the leader is dropped somewhere. What it had begun then applies to all signals of the call
/// and has its lines in the audit, or to none.
async fn ledger(_: Arc<Files>) {
    let files = Files::new();
    let store = files.migrated("i").await;
    let token = lead(&store, 1).await;
    let (mut whole, mut nothing) = (0, 0);
    for round in 0..ROUNDS {
        let new: Vec<NewSignal> = (0..TOGETHER).map(|n| signal(&format!("s-{round}-{n}"))).collect();
        let report = |attempt| {
            let of =
                |new: &NewSignal| Report { id: new.id(), attempt, outcome: Outcome::Rejected, note: None };
            new.iter().map(of).collect::<Vec<Report>>()
        };
        let (polls, patience) = drop_point(round);
        match round % 4 {
            0 => drop(interrupted(store.submit(&new, &client()), polls, patience).await),
            _ => drop(store.submit(&new, &client()).await.unwrap()),
        }
        let most = u16::try_from(TOGETHER).unwrap();
        let claim = store.claim_signals(&token, Limits::NONE, most);
        match round % 4 {
            1 => drop(interrupted(claim, polls, patience).await),
            _ => drop(claim.await.unwrap()),
        }
        let over = store.take_over(&token, InFlight::Only(&[]));
        match round % 4 {
            2 => drop(interrupted(over, polls, patience).await),
            _ => drop(over.await.unwrap()),
        }
        let (reports, later) = (report(1), report(2));
        let record = store.record(&token, &reports);
        match round % 4 {
            3 => drop(interrupted(record, polls, patience).await),
            _ => drop(record.await.unwrap()),
        }
        // Runs after the dropped call, on the same connection.
        store.counts().await.unwrap();
        let (states, lines) = state(&files, round).await;
        assert!(states.len() <= 1, "round {round}: {states:?}");
        let steps = match states.first().map(String::as_str) {
            None => 0,
            Some("received") => 1,
            Some("claimed") => 2,
            Some("in_doubt") => 3,
            // Directly from claimed, if no take-over was in between.
            Some("rejected") => lines / i64::try_from(TOGETHER).unwrap(),
            other => panic!("round {round}: {other:?}"),
        };
        assert_eq!(lines, steps * i64::try_from(TOGETHER).unwrap(), "round {round}: {states:?}");
        if states == ["rejected"] {
            whole += 1;
        } else {
            nothing += 1;
        }
        // Claims the rest, so that the next round starts clean.
        store.claim_signals(&token, Limits::NONE, most).await.unwrap();
        store.record(&token, &reports).await.unwrap();
        store.record(&token, &later).await.unwrap();
    }
    assert!(whole > 0 && nothing > 0, "the case must interrupt something: {whole} and {nothing}");
}

/// The states of the signals of a round, and the number of their lines in the audit.
async fn state(files: &Files, round: u32) -> (Vec<String>, i64) {
    let mut shell = files.shell().await;
    let states = "SELECT DISTINCT state FROM coordinator_signal WHERE id LIKE ?1";
    let lines = "SELECT count(*) FROM coordinator_audit WHERE signal_id LIKE ?1";
    let ids = format!("s-{round}-%");
    (
        sqlx::query_scalar(states).bind(&ids).fetch_all(&mut shell).await.unwrap(),
        sqlx::query_scalar(lines).bind(&ids).fetch_one(&mut shell).await.unwrap(),
    )
}

async fn renew(store: &SqliteStore, token: &domain::lease::Token) {
    store.renew(token, Seq(1), token.timeline).await.expect("the connection works");
}
