//! Reads of the ledger, and the removal of old signals.

use super::{accepted, claim, client, ids, record, signal, signal_about, submit, take_over};
use crate::{CASE_TIME_MAX, Case, Process, Scene, StateStores, cases};
use domain::ledger::{Label, NewSignal, Outcome, Signal, SignalCounts, StateName, Totals};
use domain::ports::{ListQuery, SIGNALS_READ_MAX, Swept};
use std::time::Duration;

pub(super) fn cases<A: StateStores>() -> Vec<Case<A>> {
    cases!("signal_ledger", Scene:
        both_ports_report_their_identity,
        signals_are_listed_the_latest_first,
        a_list_is_filtered,
        a_list_is_read_page_by_page,
        totals_count_open_signals,
        finished_signals_are_removed_when_they_are_old,
        an_open_or_recent_signal_is_kept,
        more_than_one_sweep_removes_everything,
    )
}

const ALL: ListQuery = ListQuery { state: None, instrument: None, before: None, limit: SIGNALS_READ_MAX };
const YEAR: Duration = Duration::from_hours(365 * 24);

async fn listed(process: &Process, query: &ListQuery) -> Vec<Signal> {
    process.ledger.list(query).await.expect("list")
}

async fn both_ports_report_their_identity(scene: Scene) {
    let process = scene.process("a").await;
    let expected = process.opening.identity();
    assert_eq!((process.state.identity(), process.ledger.identity()), (expected.clone(), expected));
}

async fn signals_are_listed_the_latest_first(scene: Scene) {
    let process = scene.process("a").await;
    assert_eq!(listed(&process, &ALL).await, []);
    let mut expected = Vec::new();
    for id in ["b", "c", "a"] {
        expected.push(submit(&*process.ledger, id).await);
    }
    expected.reverse();
    assert_eq!(listed(&process, &ALL).await, expected);
}

async fn a_list_is_filtered(scene: Scene) {
    let process = scene.process("a").await;
    let token = process.lead().await;
    for (id, instrument) in [("n-1", "NIFTY"), ("b-1", "BANK"), ("n-2", "NIFTY")] {
        accepted(&*process.ledger, &signal_about(id, instrument)).await;
    }
    let first = claim(&*process.ledger, &token).await;
    record(&*process.ledger, &token, &first, Outcome::Done).await;
    let nifty = Some(Label::parse("NIFTY").expect("a label"));
    for (state, instrument, expected) in [
        (None, nifty.clone(), &["n-2", "n-1"][..]),
        (Some(StateName::Received), None, &["n-2", "b-1"]),
        (Some(StateName::Done), None, &["n-1"]),
        (Some(StateName::Received), nifty, &["n-2"]),
        (Some(StateName::InDoubt), None, &[]),
        (None, Some(Label::parse("GOLD").expect("a label")), &[]),
    ] {
        let query = ListQuery { state, instrument, ..ALL };
        assert_eq!(ids(&listed(&process, &query).await), expected, "{query:?}");
    }
}

async fn a_list_is_read_page_by_page(scene: Scene) {
    let process = scene.process("a").await;
    let new: Vec<NewSignal> = (0..7).map(|n| signal(&format!("s-{n}"))).collect();
    process.ledger.submit(&new, &client()).await.expect("submit");
    let (mut before, mut all) = (None, Vec::new());
    loop {
        let page = listed(&process, &ListQuery { before, limit: 3, ..ALL }).await;
        assert!(page.len() <= 3);
        let Some(last) = page.last() else { break };
        before = Some(last.arrival);
        all.extend(page);
    }
    assert_eq!(ids(&all), ["s-6", "s-5", "s-4", "s-3", "s-2", "s-1", "s-0"]);
}

async fn totals_count_open_signals(scene: Scene) {
    let process = scene.process("a").await;
    let token = process.lead().await;
    let none = Totals::default();
    assert_eq!(process.ledger.totals().await, Ok(none.clone()));
    let mut late = signal("late");
    late.instruction.expires_ms = Some(1);
    accepted(&*process.ledger, &late).await;
    for id in ["done", "in_doubt", "sent", "claimed", "waiting"] {
        submit(&*process.ledger, id).await;
    }
    let done = claim(&*process.ledger, &token).await;
    record(&*process.ledger, &token, &done, Outcome::Done).await;
    claim(&*process.ledger, &token).await;
    take_over(&process, &token).await;
    let sent = claim(&*process.ledger, &token).await;
    record(&*process.ledger, &token, &sent, Outcome::Sent).await;
    claim(&*process.ledger, &token).await;
    let totals = process.ledger.totals().await.expect("totals");
    assert!(totals.oldest_received.is_some_and(|age| age < CASE_TIME_MAX), "{totals:?}");
    assert!(totals.oldest_in_doubt.is_some_and(|age| age < CASE_TIME_MAX), "{totals:?}");
    let expected = Totals {
        received: 1,
        claimed: 1,
        sent: 1,
        in_doubt: 1,
        oldest_received: totals.oldest_received,
        oldest_in_doubt: totals.oldest_in_doubt,
        expired_last_day: 1,
        sent_last_minute: 4,
        sent_last_day: 4,
        paused: None,
    };
    assert_eq!(totals, expected);
}

async fn finished_signals_are_removed_when_they_are_old(scene: Scene) {
    let process = scene.process("a").await;
    let token = process.lead().await;
    for (id, outcome) in [("done", Outcome::Done), ("rejected", Outcome::Rejected)] {
        submit(&*process.ledger, id).await;
        let claimed = claim(&*process.ledger, &token).await;
        record(&*process.ledger, &token, &claimed, outcome).await;
    }
    let mut late = signal("late");
    late.instruction.expires_ms = Some(1);
    let late = accepted(&*process.ledger, &late).await;
    super::claim_one(&*process.ledger, &token).await;
    assert_eq!(process.ledger.sweep(&token, YEAR).await, Ok(Some(Swept::default())), "finished just now");
    // By the store's clock; two reads of it may be in the same millisecond.
    let removed = async {
        let mut removed = 0;
        while removed < 3 {
            let swept = process.ledger.sweep(&token, Duration::ZERO).await.expect("sweep");
            removed += swept.expect("the token holds the lease").signals;
            tokio::task::yield_now().await;
        }
        removed
    };
    assert_eq!(tokio::time::timeout(crate::PATIENCE, removed).await, Ok(3));
    assert_eq!(process.ledger.counts().await, Ok(SignalCounts::default()));
    assert_eq!(process.ledger.find(&late.id).await, Ok(None));
    let line = process.ledger.audit(Some(&late.id), 1).await.expect("audit").remove(0);
    assert_eq!(line.what, "deleted", "the audit log keeps it");
}

async fn an_open_or_recent_signal_is_kept(scene: Scene) {
    let process = scene.process("a").await;
    let token = process.lead().await;
    for id in ["in_doubt", "sent", "claimed", "waiting"] {
        submit(&*process.ledger, id).await;
    }
    claim(&*process.ledger, &token).await;
    take_over(&process, &token).await;
    let sent = claim(&*process.ledger, &token).await;
    record(&*process.ledger, &token, &sent, Outcome::Sent).await;
    claim(&*process.ledger, &token).await;
    // Its timestamp is far in the future: if it were removed, it could be accepted, and sent, once more.
    let mut new = signal("z-future");
    new.instruction.timestamp_s = 32_503_680_000;
    let future = accepted(&*process.ledger, &new).await;
    loop {
        let claimed = claim(&*process.ledger, &token).await;
        record(&*process.ledger, &token, &claimed, Outcome::Done).await;
        if claimed.id == future.id {
            break;
        }
        assert_eq!(claimed.id.as_str(), "waiting");
    }
    let before = listed(&process, &ListQuery { state: Some(StateName::Done), ..ALL }).await;
    assert_eq!(ids(&before), ["z-future", "waiting"]);
    let removed = async {
        while process.ledger.sweep(&token, Duration::ZERO).await.expect("sweep").expect("held").signals == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::PATIENCE, removed).await.expect("finished and old signals are removed");
    assert_eq!(ids(&listed(&process, &ALL).await), ["z-future", "claimed", "sent", "in_doubt"]);
}

async fn more_than_one_sweep_removes_everything(scene: Scene) {
    let process = scene.process("a").await;
    let token = process.lead().await;
    let new: Vec<NewSignal> = (0..300)
        .map(|n| {
            let mut new = signal(&format!("s-{n}"));
            new.instruction.expires_ms = Some(1);
            new
        })
        .collect();
    process.ledger.submit(&new, &client()).await.expect("submit");
    super::claim_one(&*process.ledger, &token).await;
    let all_gone = async {
        while process.ledger.counts().await.expect("counts").expired > 0 {
            process.ledger.sweep(&token, Duration::ZERO).await.expect("sweep").expect("held");
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::PATIENCE, all_gone).await.expect("all are removed in the end");
}
