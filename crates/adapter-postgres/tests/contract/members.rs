//! Cases about old lines of the instance table.

use crate::cases;
use crate::databases::{Databases, lead, opening};
use contract::signal_ledger::client;
use contract::{Case, Opening};
use domain::lease::Epoch;
use domain::member::{Health, Member, MemberState};
use domain::ports::{
    MemberStore, Migrate, OperatorRequests, Removal, Schema, SignalLedger, StateStore, Swept,
};
use sqlx::Row;
use std::time::Duration;

pub fn cases() -> Vec<Case<Databases>> {
    cases!("members":
        a_sweep_takes_the_lines_of_the_day_before_away,
        without_the_decisions_every_instance_is_shown,
    )
}

fn line(opening: &Opening) -> Member {
    Member {
        id: opening.id.clone(),
        nonce: opening.nonce,
        host: opening.host.clone(),
        address: String::new(),
        state: MemberState::Standby,
        epoch: Epoch(1),
        fallback: false,
        alerts: Health::Ok,
        version: "0.1.0".to_owned(),
        started_ms: 1_700_000_000_123,
        settings: domain::settings::SharedSettings::default(),
        cannot_lead: None,
        sync_p95: None,
    }
}

/// The table of decisions was dropped. Nothing but the removals depends on it.
async fn without_the_decisions_every_instance_is_shown(databases: &Databases) {
    let database = databases.another().await;
    let openings = ["gone", "here"].map(|id| opening("shown", id));
    let stores = openings.each_ref().map(|opening| database.store(opening));
    for (store, opening) in stores.iter().zip(&openings) {
        assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
        store.heartbeat(&line(opening)).await.expect("heartbeat");
    }
    let [_, here] = &stores;
    let removed = here.remove_instance(&openings[0].id, Duration::ZERO, &client(), "sold").await;
    assert_eq!(removed, Ok(Removal::Removed));
    let shown = async || {
        let seen = here.members().await.expect("members");
        seen.iter().map(|seen| seen.member.id.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(shown().await, ["here"]);
    database.execute("DROP TABLE coordinator_decision").await;
    assert_eq!(shown().await, ["gone", "here"]);
}

/// The leader's sweep removes them; a heartbeat writes its own line and changes no other.
async fn a_sweep_takes_the_lines_of_the_day_before_away(databases: &Databases) {
    let openings = ["dead", "quiet", "leader"].map(|id| opening("pruned", id));
    for opening in &openings {
        let store = databases.store(opening);
        assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
        store.heartbeat(&line(opening)).await.expect("heartbeat");
    }
    databases
        .execute(
            "UPDATE coordinator_member SET beat_at = now() - CASE id
                WHEN 'quiet' THEN interval '23 hours' ELSE interval '25 hours' END
             WHERE group_id = 'pruned'",
        )
        .await;
    let [_, _, leader] = &openings;
    let store = databases.store(leader);
    store.heartbeat(&line(leader)).await.expect("heartbeat");
    assert_eq!(left(databases).await, ["dead", "leader", "quiet"]);
    let seen = store.members().await.expect("members");
    assert_eq!(seen.iter().map(|seen| seen.member.id.as_str()).collect::<Vec<_>>(), ["leader", "quiet"]);

    let token = lead(&store, leader).await;
    let swept = store.sweep(&token, Duration::ZERO).await;
    assert_eq!(swept, Ok(Some(Swept { signals: 0, members: 1 })));
    assert_eq!(left(databases).await, ["leader", "quiet"]);
}

async fn left(databases: &Databases) -> Vec<String> {
    databases
        .until("SELECT array_agg(id ORDER BY id) AS ids FROM coordinator_member WHERE group_id = 'pruned'")
        .await
        .get("ids")
}
