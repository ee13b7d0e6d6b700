//! Cases of the migration of a file of version 1.

use crate::files::{Files, opening};
use contract::signal_ledger::{client, offer, signal};
use contract::{Case, TTL};
use domain::SCHEMA_VERSION;
use domain::lease::{Epoch, Timeline, Token};
use domain::ledger::{
    Instruction, Label, Limits, NewSignal, Outcome, Paused, Signal, SignalId, SignalState, StateName,
};
use domain::ports::{
    Claim, ClaimRequest, InFlight, LeaseStore, ListQuery, Migrate, Recorded, Report, Schema, SignalClaim,
    SignalLedger, StateStore, Submit,
};
use std::sync::Arc;

pub fn suite() -> Vec<Case<Files>> {
    vec![
        Case::new("upgrade::signals_of_version_1_are_kept_in_every_state", every_state),
        Case::new("upgrade::signals_of_version_1_go_on_living", continues),
        Case::new("upgrade::times_that_are_none_stop_no_migration", no_times),
        Case::new("upgrade::a_broken_view_of_the_team_stops_no_migration", broken_view),
        Case::new("upgrade::a_kill_switch_that_was_deleted_stands_as_it_was_turned", kill_switch),
    ]
}

const VERSION_1: &str = include_str!("../../migrations/0001_lease_members_history_signals.sql");
/// As version 1 wrote them.
const CLAIM: &str = "00000000-0000-0000-0000-0000000000c1";
const SIGNALS: &str = "\
    ('g', 'waiting', '{\"n\": 1}', 'received', NULL, NULL, NULL, '2025-11-29T10:15:30.123Z', NULL, NULL), \
    ('g', 'claimed', '{}', 'claimed', 1, 7, '00000000-0000-0000-0000-0000000000c1', \
     '2025-11-29T10:15:31.000Z', '2025-11-29T10:15:32.500Z', NULL), \
    ('other', 'waiting', '{}', 'received', NULL, NULL, NULL, '2025-11-29T10:15:30.000Z', NULL, NULL), \
    ('g', 'done', '{}', 'done', 1, 6, '00000000-0000-0000-0000-0000000000c1', \
     '2025-11-29T10:15:33.000Z', '2025-11-29T10:15:34.000Z', '2025-11-29T10:15:35.999Z'), \
    ('g', 'rejected', '{}', 'rejected', 1, 6, '00000000-0000-0000-0000-0000000000c1', \
     '2025-11-29T10:15:36.000Z', '2025-11-29T10:15:37.000Z', '2025-11-29T10:15:38.000Z'), \
    ('g', 'in_doubt', '{}', 'in_doubt', 1, 5, '00000000-0000-0000-0000-0000000000c1', \
     '2025-11-29T10:15:39.000Z', '2025-11-29T10:15:40.000Z', NULL)";

/// A file of version 1 with those signals; the last one that arrived was deleted.
async fn version_1(signals: &str) -> Files {
    let files = Files::new();
    std::fs::create_dir_all(files.path().parent().unwrap()).unwrap();
    files
        .sql(&format!(
            "PRAGMA journal_mode = WAL; {VERSION_1} \
             INSERT INTO coordinator_lease (group_id, tl, epoch, claim, seq, released, ttl_ms) VALUES \
             ('g', 1, 7, '{CLAIM}', 3, 0, 10000), ('other', 1, 0, '{CLAIM}', 0, 1, 10000); \
             INSERT INTO coordinator_signal (group_id, id, body, state, tl, epoch, claim, received_at, \
             claimed_at, settled_at) VALUES {signals}; \
             INSERT INTO coordinator_signal (group_id, id, body, state, received_at) \
             VALUES ('g', 'deleted', '{{}}', 'received', 'now'); \
             DELETE FROM coordinator_signal WHERE id = 'deleted'"
        ))
        .await
        .unwrap();
    files
}

async fn listed(ledger: &dyn SignalLedger) -> Vec<Signal> {
    let query = ListQuery { state: None, instrument: None, before: None, limit: 100 };
    let mut signals = ledger.list(&query).await.unwrap();
    signals.reverse();
    signals
}

async fn every_state(_: Arc<Files>) {
    let files = version_1(SIGNALS).await;
    let store = files.store("i");
    assert_eq!(store.migrate(Migrate::Check).await, Ok(Schema::Older { found: 1 }));
    assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
    assert_eq!(store.observe().await.unwrap().schema, SCHEMA_VERSION);
    assert_eq!(store.observe().await.unwrap().version.token.epoch, Epoch(7), "the lease is as it was");

    let label = |text: &str| Label::parse(text).unwrap();
    let claim = opening_claim();
    let token = Token { timeline: Timeline(1), epoch: Epoch(7), claim };
    let expected = [
        (1, "waiting", r#"{"n": 1}"#, SignalState::Received, 0, (30_123, None, None)),
        (2, "claimed", "{}", SignalState::Claimed(token), 1, (31_000, Some(32_500), None)),
        (4, "done", "{}", SignalState::Done, 1, (33_000, Some(34_000), Some(35_999))),
        (5, "rejected", "{}", SignalState::Rejected, 1, (36_000, Some(37_000), Some(38_000))),
        (6, "in_doubt", "{}", SignalState::InDoubt, 1, (39_000, Some(40_000), None)),
    ]
    .map(|(arrival, id, payload, state, attempt, (received, claimed, settled))| {
        /// 2025-11-29T10:15:00Z.
        const MINUTE_MS: i64 = 1_764_411_300_000;
        let received_ms = MINUTE_MS + received;
        Signal {
            id: SignalId::parse(id).unwrap(),
            instruction: Instruction {
                instrument: label("legacy"),
                signal_type: label("legacy"),
                position: label(id),
                timestamp_s: received_ms / 1_000,
                payload: payload.to_owned(),
                expires_ms: None,
            },
            arrival,
            state,
            attempt,
            received_ms,
            claimed_ms: claimed.map(|ms: i64| MINUTE_MS + ms),
            settled_ms: settled.map(|ms: i64| MINUTE_MS + ms),
            note: None,
        }
    });
    assert_eq!(listed(&*store).await, expected);
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.received, counts.claimed, counts.in_doubt), (1, 1, 1));
    let Submit::Accepted(next) = offer(&*store, &signal("next")).await else { panic!("it was not accepted") };
    assert_eq!(next.arrival, 8, "not even the number of the deleted one is reused");
    assert_eq!(files.migrated("j").await.counts().await.unwrap().done, 1, "once only");
}

fn opening_claim() -> domain::id::ClaimId {
    domain::id::ClaimId::from_u128(0xc1)
}

/// Names stay taken, signals in doubt are resolved, and what waits is claimed in order.
async fn continues(_: Arc<Files>) {
    let long = "x".repeat(128);
    let one_more = "'{}', 'received', NULL, NULL, NULL, '2025-11-29T10:16:00.000Z', NULL, NULL)";
    let files = version_1(&format!("{SIGNALS}, ('g', '{long}', {one_more}")).await;
    let store = files.migrated("i").await;
    let again = NewSignal { id: Some(SignalId::parse("done").unwrap()), ..signal("done") };
    assert!(matches!(offer(&*store, &again).await, Submit::Conflict(first) if first.attempt == 1));

    let request = ClaimRequest {
        observed: store.observe().await.unwrap().version,
        claim: opening("i").nonce.claim(1),
        holder: opening("i").id,
        ttl: TTL,
        floor: Epoch(0),
        forgotten: false,
        former: domain::ports::FormerTerm::Expired,
    };
    let Ok(Claim::Granted(token)) = store.claim(&request).await else {
        panic!("the lease was claimed as it was read")
    };
    let claim = async || store.claim_signals(&token, Limits::NONE, 10).await.unwrap();
    assert_eq!(claim().await, SignalClaim::Empty, "one of theirs is claimed, one in doubt");
    let doubted = store.take_over(&token, InFlight::Only(&[])).await.unwrap().unwrap();
    assert_eq!(doubted.iter().map(|signal| signal.id.as_str()).collect::<Vec<_>>(), ["claimed", "in_doubt"]);
    let reports: Vec<Report> = doubted
        .iter()
        .map(|signal| Report {
            id: signal.id.clone(),
            attempt: signal.attempt,
            outcome: Outcome::Done,
            note: None,
        })
        .collect();
    let recorded = Some(vec![Recorded::Recorded; 2]);
    assert_eq!(store.record(&token, &reports).await, Ok(recorded));
    let mut claimed = Vec::new();
    while let SignalClaim::Claimed(signals) = claim().await {
        for signal in signals {
            let report =
                Report { id: signal.id.clone(), attempt: signal.attempt, outcome: Outcome::Done, note: None };
            store.record(&token, &[report]).await.unwrap();
            assert_eq!(signal.instruction.position.as_str().len(), signal.id.as_str().len().min(64));
            claimed.push(signal.id.as_str().to_owned());
        }
    }
    assert_eq!(claimed, ["waiting", long.as_str()]);
}

async fn no_times(_: Arc<Files>) {
    let signals = "('g', 'a', '{}', 'claimed', 1, 7, 'no claim', 'yesterday', NULL, NULL), \
                   ('g', 'b', '{}', 'done', NULL, NULL, NULL, 'yesterday', '', 'soon'), \
                   ('g', 'c', '{}', 'in_doubt', NULL, NULL, NULL, '', NULL, NULL), \
                   ('g', 'd', '{}', 'received', 1, 1, 'once', '', 'x', 'y')";
    let files = version_1(signals).await;
    let store = files.migrated("i").await;
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.claimed, counts.done, counts.in_doubt, counts.received), (1, 1, 1, 1));
    let done = store.find(&SignalId::parse("b").unwrap()).await.unwrap().unwrap();
    assert_eq!((done.state.name(), done.attempt, done.claimed_ms), (StateName::Done, 0, None));
    assert!(done.received_ms > 1_764_411_300_000, "the time of the migration: {done:?}");
}

async fn broken_view(_: Arc<Files>) {
    let files = version_1(SIGNALS).await;
    files.sql("CREATE VIEW theirs AS SELECT * FROM dropped").await.unwrap();
    assert_eq!(files.migrated("i").await.counts().await.unwrap().received, 1);
}

async fn kill_switch(_: Arc<Files>) {
    use domain::ports::{Switch, Switched};
    let files = version_1(SIGNALS).await;
    let store = files.migrated("i").await;
    assert_eq!(store.totals().await.unwrap().paused, None);
    assert_eq!(store.switch(Switch::Pause, &client(), "trouble").await, Ok(Switched::Turned));
    let Some(Paused { since_ms, .. }) = store.totals().await.unwrap().paused else {
        panic!("the kill switch is off")
    };
    for restored in [Some("trouble"), None] {
        files.sql("DELETE FROM coordinator_dispatch WHERE group_id = 'g'").await.unwrap();
        let again = files.migrated("j").await;
        let paused = again.totals().await.unwrap().paused;
        assert_eq!(paused.as_ref().map(|paused| paused.reason.as_str()), restored);
        if let Some(paused) = paused {
            assert_eq!((paused.who.as_str(), paused.since_ms), ("client", since_ms));
            assert_eq!(store.switch(Switch::Resume, &client(), "well").await, Ok(Switched::Turned));
        }
    }
    let what: Vec<String> = store.audit(None, 10).await.unwrap().into_iter().map(|line| line.what).collect();
    assert_eq!(what, ["deleted", "resumed", "deleted", "paused"], "creating it again changes nothing");
}
