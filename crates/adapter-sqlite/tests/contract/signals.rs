//! Cases of signals: exact bytes, time windows, and values that another process wrote.

use crate::audit::lead;
use crate::files::Files;
use contract::Case;
use contract::signal_ledger::{client, offer, signal, signal_about};
use domain::ledger::{
    Fingerprint, Label, LimitReached, Limits, NewSignal, Outcome, PAYLOAD_LEN_MAX, SignalId, SignalState,
};
use domain::ports::{Report, SignalClaim, SignalLedger, StoreError, Submit, Swept, Switch, Switched};
use std::sync::Arc;
use std::time::Duration;

pub fn suite() -> Vec<Case<Files>> {
    vec![
        Case::new("signals::every_character_is_kept", every_character),
        Case::new("signals::numbers_are_kept_to_the_last", extreme_numbers),
        Case::new("signals::a_payload_that_is_too_long_stores_none_of_its_neighbours", too_long),
        Case::new("signals::a_name_that_is_a_fingerprint_hides_no_first_acceptance", named_as_another),
        Case::new("signals::what_stands_already_is_told_after_a_write", confirmed),
        Case::new("signals::limits_are_windows_that_slide", windows),
        Case::new("signals::many_that_expired_hold_up_nobody", a_thousand_expired),
        Case::new("signals::a_rebuilt_table_is_judged_column_by_column", rebuilt_table),
    ]
}

async fn every_character(_: Arc<Files>) {
    let files = Files::new();
    let store = files.migrated("i").await;
    let token = lead(&store, 1).await;
    let characters: Vec<char> =
        ('\0'..=char::MAX).filter(|c| u32::from(*c) % 17 < 2 || *c < '\u{800}').collect();
    for (n, some) in characters.chunks(PAYLOAD_LEN_MAX / 4).enumerate() {
        let mut new = signal_about(&format!("s-{n}"), "\"₹'\\");
        new.instruction.payload = some.iter().collect();
        let Submit::Accepted(accepted) = offer(&*store, &new).await else { panic!("it is new") };
        assert!(accepted.instruction == new.instruction, "accepted: {n}");
        let Ok(SignalClaim::Claimed(claimed)) = store.claim_signals(&token, Limits::NONE, 1).await else {
            panic!("the signal was not claimed")
        };
        assert!(claimed[0].instruction == new.instruction, "claimed: {n}");
        let note: String = some.iter().take(256).collect();
        let report = Report {
            id: accepted.id.clone(),
            attempt: 1,
            outcome: Outcome::Done,
            note: Some(note.clone() + "cut"),
        };
        store.record(&token, &[report]).await.unwrap();
        let found = store.find(&accepted.id).await.unwrap().unwrap();
        assert!(found.instruction == new.instruction && found.note.as_ref() == Some(&note), "found: {n}");
        let line = store.audit(Some(&accepted.id), 1).await.unwrap().remove(0);
        assert_eq!(line.note, Some(note), "line: {n}");
    }
}

async fn extreme_numbers(_: Arc<Files>) {
    let files = Files::new();
    let store = files.migrated("i").await;
    for (n, number) in
        [i64::MIN, i64::MIN + 1, 0, (1 << 53) + 1, i64::MAX - 1, i64::MAX].into_iter().enumerate()
    {
        let mut new = signal(&format!("s-{n}"));
        new.instruction.timestamp_s = number;
        new.instruction.expires_ms = Some(number);
        assert!(matches!(offer(&*store, &new).await, Submit::Accepted(_)));
        let again = offer(&*store, &new).await;
        assert!(
            matches!(&again, Submit::Repeated(first) if first.instruction == new.instruction),
            "{again:?}"
        );
    }
    let token = lead(&store, 1).await;
    assert_eq!(store.sweep(&token, Duration::MAX).await, Ok(Some(Swept::default())));
}

async fn too_long(_: Arc<Files>) {
    let files = Files::new();
    let store = files.migrated("i").await;
    let mut long = signal("long");
    long.instruction.payload = "x".repeat(PAYLOAD_LEN_MAX + 1);
    let answer = store.submit(&[signal("before"), long, signal("after")], &client()).await;
    let Err(StoreError::Unavailable(message)) = answer else { panic!("{answer:?}") };
    assert!(message.contains("long has 65537 bytes"), "{message}");
    assert_eq!(store.counts().await.unwrap().received, 0);
}

/// A client named its signal with the fingerprint of another one.
async fn named_as_another(_: Arc<Files>) {
    let files = Files::new();
    let store = files.migrated("i").await;
    let unnamed = NewSignal { id: None, ..signal("s-1") };
    let its_name = SignalId::parse(&Fingerprint::of(&unnamed.instruction).to_string()).unwrap();
    let squatter = NewSignal { id: Some(its_name), ..signal("squatter") };
    let Submit::Accepted(squatter) = offer(&*store, &squatter).await else { panic!("it is new") };
    assert_eq!(offer(&*store, &unnamed).await, Submit::Conflict(squatter.clone()), "its name is taken");
    // In one batch: before the first acceptance the name is taken, after it the fingerprint identifies the
    // signal.
    let batch = [unnamed.clone(), signal("s-1"), unnamed.clone()];
    let answers = store.submit(&batch, &client()).await.unwrap();
    let [Submit::Conflict(with), Submit::Accepted(first), Submit::Repeated(again)] = &answers[..] else {
        panic!("{answers:?}")
    };
    assert_eq!((with, again), (&squatter, first));
    assert_eq!(offer(&*store, &unnamed).await, Submit::Repeated(first.clone()), "it was accepted as s-1");
}

/// Whether the file was written: SQLite writes nothing if a row stays as it is, and then waits for no disk.
async fn confirmed(_: Arc<Files>) {
    let files = Files::new();
    let store = files.migrated("i").await;
    let token = lead(&store, 1).await;
    let mut watcher = files.shell().await;
    let mut written = async || {
        let version = sqlx::query_scalar::<_, i64>("PRAGMA data_version").fetch_one(&mut watcher);
        version.await.unwrap()
    };
    let new = signal("s-1");
    offer(&*store, &new).await;
    store.claim_signals(&token, Limits::NONE, 1).await.unwrap();
    let report = Report { id: new.id(), attempt: 1, outcome: Outcome::Done, note: None };
    store.record(&token, std::slice::from_ref(&report)).await.unwrap();
    store.switch(Switch::Pause, &client(), "why").await.unwrap();

    let mut before = written().await;
    for round in 0..3 {
        assert!(matches!(offer(&*store, &new).await, Submit::Repeated(_)));
        let after_submission = written().await;
        assert_ne!(after_submission, before, "{round}: a repetition");
        store.record(&token, std::slice::from_ref(&report)).await.unwrap();
        let after_report = written().await;
        assert_ne!(after_report, after_submission, "{round}: a repeated report");
        let switched = store.switch(Switch::Pause, &client(), "why").await;
        assert_eq!(switched, Ok(Switched::Unchanged));
        before = written().await;
        assert_ne!(before, after_report, "{round}: a kill switch that is on");
    }
    assert_eq!(store.audit(None, 100).await.unwrap().len(), 4, "and has no line");
}

async fn windows(_: Arc<Files>) {
    let files = Files::new();
    let store = files.migrated("i").await;
    let token = lead(&store, 1).await;
    let new: Vec<NewSignal> = (0..4).map(|n| signal(&format!("s-{n}"))).collect();
    store.submit(&new, &client()).await.unwrap();
    let limits = Limits { per_minute: Some(1), per_day: Some(2) };
    let claim = async || store.claim_signals(&token, limits, 10).await.unwrap();
    // Far enough in the past that a slow machine does not push a claim out of its window.
    let claimed_ago = async |ms: i64| {
        let ago = format!("CAST(unixepoch('subsec') * 1000 AS INTEGER) - {ms}");
        let last = "arrival = (SELECT max(arrival) FROM coordinator_signal WHERE state = 'claimed')";
        files.sql(&format!("UPDATE coordinator_signal SET claimed_ms = {ago} WHERE {last}")).await.unwrap();
    };
    assert!(matches!(claim().await, SignalClaim::Claimed(some) if some.len() == 1));
    assert_eq!(claim().await, SignalClaim::Limited(LimitReached::PerMinute));
    claimed_ago(60_001).await;
    assert!(matches!(claim().await, SignalClaim::Claimed(some) if some.len() == 1));
    assert_eq!(claim().await, SignalClaim::Limited(LimitReached::PerDay), "the limit of the day comes first");
    let totals = store.totals().await.unwrap();
    assert_eq!((totals.sent_last_minute, totals.sent_last_day), (1, 2));
    claimed_ago(86_400_001).await;
    assert!(matches!(claim().await, SignalClaim::Claimed(some) if some.len() == 1));
    assert_eq!(claim().await, SignalClaim::Limited(LimitReached::PerDay));
}

/// More signals than one claim expires come before the one whose turn it is.
async fn a_thousand_expired(_: Arc<Files>) {
    let files = Files::new();
    let store = files.migrated("i").await;
    let token = lead(&store, 1).await;
    let mut new: Vec<NewSignal> = (0..2_500)
        .map(|n| {
            let mut new = signal_about(&format!("late-{n}"), "NIFTY");
            new.instruction.expires_ms = Some(1);
            new
        })
        .collect();
    new.push(signal_about("next", "NIFTY"));
    store.submit(&new, &client()).await.unwrap();
    let claim = async || store.claim_signals(&token, Limits::NONE, 10).await.unwrap();
    let SignalClaim::Claimed(claimed) = claim().await else { panic!("the last is not late") };
    assert_eq!(claimed.iter().map(|signal| signal.id.as_str()).collect::<Vec<_>>(), ["next"]);
    for _ in 0..2 {
        assert_eq!(claim().await, SignalClaim::Empty);
    }
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.received, counts.expired, counts.claimed), (0, 2_500, 1));
}

/// Values that no signal can have, by the column that the error must name.
const BAD: [(&str, &str); 22] = [
    ("id", "NULL"),
    ("id", "'a b'"),
    ("id", "hex(zeroblob(100))"),
    ("id", "CAST(x'610062' AS TEXT)"),
    ("instrument", "NULL"),
    ("instrument", "' NIFTY'"),
    ("instrument", "replace(hex(zeroblob(500000)), '00', '₹')"),
    ("signal_type", "''"),
    ("position", "CAST(x'70ff' AS TEXT)"),
    ("timestamp_s", "NULL"),
    ("timestamp_s", "1.5"),
    ("expires_ms", "'soon'"),
    ("payload", "NULL"),
    ("payload", "CAST(x'7bff7d' AS TEXT)"),
    ("payload", "replace(hex(zeroblob(65537)), '00', 'x')"),
    ("state", "NULL"),
    ("state", "'Claimed'"),
    ("attempt", "-1"),
    ("attempt", "4294967296"),
    // Some claims have no letter in their nonce; all have a zero, in the number within the process.
    ("claim", "upper(replace(claim, '0', 'a'))"),
    ("epoch", "NULL"),
    ("received_ms", "NULL"),
];

async fn rebuilt_table(_: Arc<Files>) {
    let files = Files::new();
    let store = files.migrated("i").await;
    let token = lead(&store, 1).await;
    offer(&*store, &signal("s-1")).await;
    store.claim_signals(&token, Limits::NONE, 1).await.unwrap();
    for (column, value) in BAD {
        let message = files.sql(&format!("UPDATE coordinator_signal SET {column} = {value}")).await;
        let by_the_code = ["id", "instrument", "signal_type", "position", "payload", "claim"];
        assert!(value != "NULL" && by_the_code.contains(&column) || message.is_err(), "{column} = {value}");
        files.sql("DELETE FROM coordinator_signal").await.unwrap();
        let instrument = Label::parse("s-1").unwrap();
        let mut again = signal("s-1");
        again.instruction.instrument = instrument;
        offer(&*store, &again).await;
        store.claim_signals(&token, Limits::NONE, 1).await.unwrap();
    }
    files
        .sql(
            "CREATE TABLE kept AS SELECT * FROM coordinator_signal; DROP TABLE coordinator_signal; \
             CREATE TABLE coordinator_signal AS SELECT * FROM kept",
        )
        .await
        .unwrap();
    let query = domain::ports::ListQuery { state: None, instrument: None, before: None, limit: 10 };
    let before = store.list(&query).await.unwrap();
    assert_eq!(before.len(), 1);
    assert_eq!(before[0].state, SignalState::Claimed(token));
    for (column, value) in BAD {
        files.sql(&format!("UPDATE coordinator_signal SET {column} = {value}")).await.unwrap();
        let answer = store.list(&query).await;
        let Err(StoreError::Corrupt(message)) = &answer else { panic!("{column} = {value}: {answer:?}") };
        assert!(message.contains(&format!("coordinator_signal.{column} ")), "{column} = {value}: {message}");
        files
            .sql("DELETE FROM coordinator_signal; INSERT INTO coordinator_signal SELECT * FROM kept")
            .await
            .unwrap();
    }
    assert_eq!(store.list(&query).await, Ok(before));
}
