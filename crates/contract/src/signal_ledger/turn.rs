//! The turn of a signal: signals of one instrument keep their order of arrival, and no signal waits for another
//! instrument.

use super::{accepted, claim, claim_one, client, ids, record, signal_about, submit, take_over};
use crate::{Case, Scene, StateStores, cases};
use domain::ledger::{Limits, NewSignal, Outcome, Signal, SignalCounts, SignalState};
use domain::ports::{SignalClaim, SignalLedger};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use tokio::task::JoinSet;

pub(super) fn cases<A: StateStores>() -> Vec<Case<A>> {
    cases!("signal_ledger", Scene:
        signals_are_claimed_in_order_of_arrival,
        a_claim_takes_the_oldest_of_each_instrument,
        a_claim_takes_no_more_than_requested,
        no_signal_passes_an_earlier_one_of_its_instrument,
        a_sent_signal_lets_the_next_pass,
        an_expired_signal_is_reported_and_lets_the_next_pass,
        an_expiry_in_the_future_changes_nothing,
        a_signal_that_expired_in_doubt_is_not_sent_again,
        concurrent_claims_never_take_two_of_one_instrument,
    )
}

async fn claim_all(ledger: &dyn SignalLedger, token: &domain::lease::Token, most: u16) -> Vec<Signal> {
    match ledger.claim_signals(token, Limits::NONE, most).await {
        Ok(SignalClaim::Claimed(signals)) => signals,
        Ok(SignalClaim::Empty) => Vec::new(),
        other => panic!("{token} holds the lease: {other:?}"),
    }
}

async fn signals_are_claimed_in_order_of_arrival(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    let token = a.lead().await;
    assert_eq!(claim_one(&*a.ledger, &token).await, SignalClaim::Empty);
    let mut submitted = Vec::new();
    for (ledger, id) in [(&a.ledger, "z"), (&b.ledger, "y"), (&b.ledger, "a"), (&a.ledger, "b")] {
        submitted.push(submit(&**ledger, id).await);
    }
    assert!(submitted.windows(2).all(|two| two[0].arrival < two[1].arrival), "{submitted:?}");
    for expected in submitted {
        let claimed = claim(&*a.ledger, &token).await;
        assert!(claimed.claimed_ms >= Some(claimed.received_ms), "{claimed:?}");
        let expected = Signal {
            state: SignalState::Claimed(token),
            attempt: 1,
            claimed_ms: claimed.claimed_ms,
            ..expected
        };
        assert_eq!(claimed, expected);
    }
    assert_eq!(claim_one(&*a.ledger, &token).await, SignalClaim::Empty);
}

async fn a_claim_takes_the_oldest_of_each_instrument(scene: Scene) {
    let process = scene.process("a").await;
    let token = process.lead().await;
    for (id, instrument) in
        [("n-1", "NIFTY"), ("n-2", "NIFTY"), ("b-1", "BANK"), ("g-1", "GOLD"), ("b-2", "BANK")]
    {
        accepted(&*process.ledger, &signal_about(id, instrument)).await;
    }
    let first = claim_all(&*process.ledger, &token, 10).await;
    assert_eq!(ids(&first), ["n-1", "b-1", "g-1"]);
    assert_eq!(claim_all(&*process.ledger, &token, 10).await, []);
    for signal in &first[1..] {
        record(&*process.ledger, &token, signal, Outcome::Done).await;
    }
    assert_eq!(ids(&claim_all(&*process.ledger, &token, 10).await), ["b-2"], "n-1 holds up only n-2");
    record(&*process.ledger, &token, &first[0], Outcome::Rejected).await;
    assert_eq!(ids(&claim_all(&*process.ledger, &token, 10).await), ["n-2"]);
}

async fn a_claim_takes_no_more_than_requested(scene: Scene) {
    let process = scene.process("a").await;
    let token = process.lead().await;
    let names = ["z", "y", "x", "w", "v"];
    for name in names {
        submit(&*process.ledger, name).await;
    }
    assert_eq!(ids(&claim_all(&*process.ledger, &token, 2).await), ["z", "y"]);
    assert_eq!(ids(&claim_all(&*process.ledger, &token, 0).await), ["x"], "at least one");
    assert_eq!(ids(&claim_all(&*process.ledger, &token, u16::MAX).await), ["w", "v"]);
}

async fn no_signal_passes_an_earlier_one_of_its_instrument(scene: Scene) {
    let process = scene.process("a").await;
    let token = process.lead().await;
    for id in ["first", "second"] {
        accepted(&*process.ledger, &signal_about(id, "NIFTY")).await;
    }
    let first = claim(&*process.ledger, &token).await;
    assert_eq!(claim_one(&*process.ledger, &token).await, SignalClaim::Empty, "the first is claimed");
    take_over(&process, &token).await;
    assert_eq!(claim_one(&*process.ledger, &token).await, SignalClaim::Empty, "the first is in doubt");
    record(&*process.ledger, &token, &first, Outcome::Received).await;
    let again = claim(&*process.ledger, &token).await;
    assert_eq!(again.id, first.id, "the first keeps its place");
    record(&*process.ledger, &token, &again, Outcome::Done).await;
    assert_eq!(claim(&*process.ledger, &token).await.id.as_str(), "second");
}

async fn a_sent_signal_lets_the_next_pass(scene: Scene) {
    let process = scene.process("a").await;
    let token = process.lead().await;
    for id in ["first", "second"] {
        accepted(&*process.ledger, &signal_about(id, "NIFTY")).await;
    }
    let first = claim(&*process.ledger, &token).await;
    record(&*process.ledger, &token, &first, Outcome::Sent).await;
    assert_eq!(claim(&*process.ledger, &token).await.id.as_str(), "second", "only the order of sends counts");
}

fn expiring(id: &str, at_ms: i64) -> NewSignal {
    let mut new = signal_about(id, "NIFTY");
    new.instruction.expires_ms = Some(at_ms);
    new
}

async fn an_expired_signal_is_reported_and_lets_the_next_pass(scene: Scene) {
    let process = scene.process("a").await;
    let token = process.lead().await;
    let late = accepted(&*process.ledger, &expiring("late", 1_700_000_000_000)).await;
    accepted(&*process.ledger, &signal_about("next", "NIFTY")).await;
    assert_eq!(claim(&*process.ledger, &token).await.id.as_str(), "next");
    let found = process.ledger.find(&late.id).await.expect("find").expect("it is there");
    assert_eq!((found.state, found.attempt), (SignalState::Expired, 0), "never claimed");
    assert!(found.settled_ms.is_some());
    let lines = process.ledger.audit(Some(&late.id), 10).await.expect("audit");
    let what: Vec<&str> = lines.iter().map(|line| line.what.as_str()).collect();
    assert_eq!(what, ["expired", "received"]);
    let counts = SignalCounts { claimed: 1, expired: 1, ..SignalCounts::default() };
    assert_eq!(process.ledger.counts().await, Ok(counts));
}

async fn an_expiry_in_the_future_changes_nothing(scene: Scene) {
    let process = scene.process("a").await;
    let token = process.lead().await;
    accepted(&*process.ledger, &expiring("in-time", 32_503_680_000_000)).await;
    assert_eq!(claim(&*process.ledger, &token).await.id.as_str(), "in-time");
}

/// A signal that was claimed in time and is in doubt may have been executed: it must not become expired.
async fn a_signal_that_expired_in_doubt_is_not_sent_again(scene: Scene) {
    let process = scene.process("a").await;
    let token = process.lead().await;
    let now_ms = submit(&*process.ledger, "clock").await.received_ms;
    claim(&*process.ledger, &token).await;
    let new = accepted(&*process.ledger, &expiring("s-1", now_ms + 60_000)).await;
    assert_eq!(claim(&*process.ledger, &token).await.id, new.id);
    let in_doubt = take_over(&process, &token).await;
    assert_eq!(ids(&in_doubt), ["clock", "s-1"]);
    assert_eq!(claim_one(&*process.ledger, &token).await, SignalClaim::Empty);
    assert_eq!(process.ledger.counts().await.map(|counts| (counts.in_doubt, counts.expired)), Ok((2, 0)));
}

/// Number of signals in the race, of instruments, and of claimers.
const RACE_SIGNALS: usize = 120;
const RACE_INSTRUMENTS: usize = 3;
const RACE_CLAIMERS: usize = 4;

/// Claims race with each other and with submissions. Two signals of one instrument are never in progress at the same
/// time, and the signals of one client keep their order. (Of two concurrent submissions of different clients, the one
/// with the smaller number may become visible second.)
async fn concurrent_claims_never_take_two_of_one_instrument(scene: Scene) {
    let process = scene.process("a").await;
    let token = process.lead().await;
    let out: Arc<Mutex<BTreeMap<String, Vec<u64>>>> = Arc::default();
    let submitted = Arc::new(AtomicBool::new(false));
    let mut claimers = JoinSet::new();
    for _ in 0..RACE_CLAIMERS {
        let (ledger, out, submitted) = (process.ledger.clone(), out.clone(), submitted.clone());
        claimers.spawn(async move {
            loop {
                let was_all = submitted.load(Relaxed);
                let claimed = claim_all(&*ledger, &token, 2).await;
                if claimed.is_empty() && was_all {
                    let counts = ledger.counts().await.expect("counts");
                    if counts.received + counts.claimed == 0 {
                        return;
                    }
                }
                // The fakes answer at once: without this no other task would run.
                tokio::task::yield_now().await;
                for signal in claimed {
                    let client = signal.id.as_str().rsplit_once('-').expect("client and number").0;
                    let last = {
                        let mut out = out.lock().expect("no task panics with it");
                        let of =
                            out.entry(format!("{client} {}", signal.instruction.instrument)).or_default();
                        let last = of.last().copied();
                        of.push(signal.arrival);
                        last
                    };
                    assert!(last < Some(signal.arrival), "{signal:?} after {last:?}");
                    let at_once = ledger.list(&claimed_of(&signal)).await.expect("list");
                    assert_eq!(ids(&at_once), [signal.id.as_str()], "one of an instrument at a time");
                    record(&*ledger, &token, &signal, Outcome::Done).await.expect("not fenced");
                }
            }
        });
    }
    let mut submitters = JoinSet::new();
    for n in 0..RACE_INSTRUMENTS {
        let process = scene.process(&format!("client-{n}")).await;
        submitters.spawn(async move {
            for number in 0..RACE_SIGNALS / RACE_INSTRUMENTS {
                // Each client uses another instrument each time, so that submissions for one instrument race too.
                let instrument = format!("i-{}", (n + number) % RACE_INSTRUMENTS);
                let new = signal_about(&format!("s-{n}-{number}"), &instrument);
                process.ledger.submit(&[new], &client()).await.expect("submit");
            }
        });
    }
    submitters.join_all().await;
    submitted.store(true, Relaxed);
    claimers.join_all().await;
    let sent: usize = out.lock().expect("no task panics with it").values().map(Vec::len).sum();
    assert_eq!(sent, RACE_SIGNALS);
}

fn claimed_of(signal: &Signal) -> domain::ports::ListQuery {
    domain::ports::ListQuery {
        state: Some(domain::ledger::StateName::Claimed),
        instrument: Some(signal.instruction.instrument.clone()),
        before: None,
        limit: 10,
    }
}
