//! Cases of the audit and the kill switch after manual changes of the file.

use crate::files::{Files, opening};
use adapter_sqlite::SqliteStore;
use contract::signal_ledger::{client, offer, signal};
use contract::{Case, TTL};
use domain::lease::{Epoch, Token};
use domain::ledger::{Limits, SignalId};
use domain::member::{Health, Member, MemberState};
use domain::ports::{
    Claim, ClaimRequest, InFlight, LeaseStore, MemberStore, OperatorRequests, Removal, SignalClaim,
    SignalLedger, StoreError, Switch, Switched,
};
use domain::settings::SharedSettings;
use std::sync::Arc;
use std::time::Duration;

pub fn suite() -> Vec<Case<Files>> {
    vec![
        Case::new("audit::nothing_in_it_can_be_changed_or_deleted", append_only),
        Case::new("audit::what_a_shell_does_has_a_line_too", shell),
        Case::new("audit::without_a_kill_switch_nothing_is_claimed", no_switch),
        Case::new("audit::hostile_lines_are_cut", hostile_lines),
        Case::new("audit::without_the_decisions_every_instance_is_shown", no_decisions),
    ]
}

/// The token of a process that leads from now on.
pub async fn lead(store: &SqliteStore, n: u32) -> Token {
    let opening = opening("i");
    let observed = store.observe().await.unwrap().version;
    let request = ClaimRequest {
        observed,
        claim: opening.nonce.claim(n),
        holder: opening.id,
        ttl: TTL,
        floor: Epoch(0),
        forgotten: false,
        former: domain::ports::FormerTerm::Expired,
    };
    match store.claim(&request).await {
        Ok(Claim::Granted(token)) => token,
        other => panic!("as it was seen: {other:?}"),
    }
}

/// What, who, and how often it was claimed by then; the latest line first.
async fn message(store: &SqliteStore) -> Vec<(String, String, u32)> {
    let lines = store.audit(None, 100).await.unwrap();
    lines.into_iter().map(|line| (line.what, line.actor.who, line.attempt)).collect()
}

async fn append_only(_: Arc<Files>) {
    let files = Files::new();
    let store = files.migrated("i").await;
    offer(&*store, &signal("s-1")).await;
    offer(&*store, &signal("s-2")).await;
    let before = store.audit(None, 10).await.unwrap();
    assert_eq!(before.len(), 2);
    let line = "(number, group_id, at_ms, who, origin, what, attempt) VALUES (1, 'g', 1, 'x', 'x', 'x', 0)";
    for hostile in [
        "UPDATE coordinator_audit SET who = 'another client'",
        "UPDATE coordinator_audit SET number = 9 WHERE number = 1",
        "DELETE FROM coordinator_audit",
        "DELETE FROM coordinator_audit WHERE number = 1",
        &format!("INSERT OR REPLACE INTO coordinator_audit {line}"),
        &format!("INSERT INTO coordinator_audit {line} ON CONFLICT DO UPDATE SET who = 'x'"),
    ] {
        let message = files.sql(hostile).await.expect_err(hostile).to_string();
        assert!(message.contains("the audit is append-only"), "{hostile}: {message}");
    }
    assert_eq!(store.audit(None, 10).await.unwrap(), before);

    store.acknowledge_recovery(None, &client(), "rows corrected").await.unwrap();
    let decided = store.decisions(10).await.unwrap();
    let row = "(number, group_id, at_ms, who, origin, what, reason) \
               VALUES (1, 'g', 1, 'x', 'x', 'recovery_acknowledged', 'x')";
    for hostile in [
        "UPDATE coordinator_decision SET who = 'another operator'",
        "DELETE FROM coordinator_decision",
        &format!("INSERT OR REPLACE INTO coordinator_decision {row}"),
    ] {
        let message = files.sql(hostile).await.expect_err(hostile).to_string();
        assert!(message.contains("decisions are append-only"), "{hostile}: {message}");
    }
    assert_eq!(store.decisions(10).await.unwrap(), decided);
}

async fn shell(_: Arc<Files>) {
    let files = Files::new();
    let store = files.migrated("i").await;
    offer(&*store, &signal("s-1")).await;
    for by_hand in [
        "UPDATE coordinator_signal SET state = 'done', settled_ms = 1, changed_by = 'root'",
        "DELETE FROM coordinator_signal",
        "UPDATE coordinator_dispatch SET paused_ms = 1, paused_by = 'root', paused_reason = '', changed_by = 'root'",
        "DELETE FROM coordinator_dispatch",
        "INSERT INTO coordinator_dispatch (group_id, changed_by, changed_from) VALUES ('g', 'mallory', '')",
    ] {
        files.sql(by_hand).await.unwrap();
    }
    let lines = [
        ("resumed", "mallory"),
        ("deleted", "unknown"),
        ("paused", "root"),
        ("deleted", "unknown"),
        ("done", "root"),
        ("received", "client"),
    ];
    assert_eq!(message(&store).await, lines.map(|(what, who)| (what.to_owned(), who.to_owned(), 0)));
}

/// The table of decisions was dropped. Nothing but the removals depends on it.
async fn no_decisions(_: Arc<Files>) {
    let files = Files::new();
    let store = files.migrated("i").await;
    let member = Member {
        id: opening("i").id,
        nonce: opening("i").nonce,
        host: String::new(),
        address: String::new(),
        state: MemberState::Standby,
        epoch: Epoch(1),
        fallback: false,
        alerts: Health::Ok,
        version: String::new(),
        started_ms: 1,
        settings: SharedSettings::default(),
        cannot_lead: None,
    };
    store.heartbeat(&member).await.unwrap();
    let removed = store.remove_instance(&member.id, Duration::ZERO, &client(), "sold").await;
    assert_eq!(removed, Ok(Removal::Removed));
    assert_eq!(store.members().await.unwrap(), []);
    files.sql("DROP TABLE coordinator_decision").await.unwrap();
    assert_eq!(store.members().await.unwrap().len(), 1);
}

async fn no_switch(_: Arc<Files>) {
    let files = Files::new();
    let store = files.migrated("i").await;
    let token = lead(&store, 1).await;
    offer(&*store, &signal("s-1")).await;
    for (gone, named) in [
        ("DELETE FROM coordinator_dispatch WHERE group_id = 'g'", "no row for the group g"),
        ("DROP TABLE coordinator_dispatch", "no such table"),
    ] {
        files.sql(gone).await.unwrap();
        let answers = [
            store.claim_signals(&token, Limits::NONE, 1).await.map(|_| ()),
            store.switch(Switch::Pause, &client(), "why").await.map(|_| ()),
            store.switch(Switch::Resume, &client(), "why").await.map(|_| ()),
            store.totals().await.map(|_| ()),
        ];
        for answer in answers {
            let Err(StoreError::Corrupt(message)) = answer else { panic!("{gone}: {answer:?}") };
            assert!(message.contains("coordinator_dispatch") && message.contains(named), "{message}");
            assert!(message.contains("`coordinator migrate"), "{message}");
        }
        assert_eq!(store.counts().await.unwrap().received, 1, "everything else continues");
        assert_eq!(store.take_over(&token, InFlight::All).await, Ok(Some(vec![])));
    }
    // The table was created again without its constraints. If any column says that the switch is on, it is
    // on.
    for (column, value) in [("paused_ms", "7"), ("paused_reason", "''"), ("paused_by", "'x'")] {
        files
            .sql(&format!(
                "DROP TABLE IF EXISTS coordinator_dispatch; CREATE TABLE coordinator_dispatch (group_id, \
                 paused_ms, paused_reason, paused_by, changed_by, changed_from, changed_why, confirmed); \
                 INSERT INTO coordinator_dispatch (group_id, {column}, confirmed) VALUES ('g', {value}, 0)"
            ))
            .await
            .unwrap();
        assert_eq!(store.claim_signals(&token, Limits::NONE, 1).await, Ok(SignalClaim::Paused));
        assert!(store.totals().await.is_ok_and(|totals| totals.paused.is_some()), "{column}");
    }
    assert_eq!(store.switch(Switch::Resume, &client(), "well").await, Ok(Switched::Turned));
    let claim = store.claim_signals(&token, Limits::NONE, 1).await;
    assert!(matches!(claim, Ok(SignalClaim::Claimed(_))), "{claim:?}");
}

async fn hostile_lines(_: Arc<Files>) {
    let files = Files::new();
    let store = files.migrated("i").await;
    let insert = |columns: &str, values: &str| {
        format!(
            "INSERT INTO coordinator_audit (group_id, at_ms, attempt, {columns}) VALUES ('g', 1, 0, {values})"
        )
    };
    let long = "replace(hex(zeroblob(500000)), '00', '₹')";
    files.sql(&insert("who, origin, what, note", &format!("{long}, {long}, {long}, {long}"))).await.unwrap();
    let line = store.audit(None, 1).await.unwrap().remove(0);
    assert_eq!((line.actor.who.chars().count(), line.actor.origin.chars().count()), (128, 128));
    assert_eq!(line.note.unwrap(), "₹".repeat(256));
    assert!(line.what.len() < 20, "{}", line.what);
    files.sql(&insert("who, origin, what, signal_id", "'', '', '', 'a b'")).await.unwrap();
    let answer = store.audit(None, 1).await;
    let Err(StoreError::Corrupt(message)) = answer else { panic!("{answer:?}") };
    assert!(message.contains("coordinator_audit.signal_id"), "{message}");
    assert_eq!(store.audit(Some(&SignalId::parse("s").unwrap()), 1).await, Ok(vec![]));
}
