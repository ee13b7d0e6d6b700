//! The instance table's old lines.

use crate::cases;
use crate::databases::{Databases, opening};
use domain::alert::Status;
use domain::lease::Epoch;
use domain::member::{Member, Standing};
use domain::ports::{Migrate, Schema, StateStore};
use sqlx::Row;
use testkit::contract::{Case, Opening};

pub fn cases() -> Vec<Case<Databases>> {
    cases!("members":
        a_beat_takes_the_lines_of_the_day_before_away,
    )
}

fn line(opening: &Opening) -> Member {
    Member {
        id: opening.id.clone(),
        nonce: opening.nonce,
        host: opening.host.clone(),
        address: String::new(),
        standing: Standing::Standby,
        epoch: Epoch(1),
        fallback: false,
        alerts: Status::Ok,
        version: "0.1.0".to_owned(),
        started_ms: 1_700_000_000_123,
    }
}

async fn a_beat_takes_the_lines_of_the_day_before_away(databases: &Databases) {
    let openings = ["dead", "quiet", "resumed"].map(|id| opening("pruned", id));
    for opening in &openings {
        let store = databases.store(opening);
        assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
        store.beat(&line(opening)).await.expect("beat");
    }
    databases
        .execute(
            "UPDATE coordinator_member SET beat_at = now() - CASE id
                WHEN 'quiet' THEN interval '23 hours' ELSE interval '25 hours' END
             WHERE group_id = 'pruned'",
        )
        .await;
    let [_, _, resumed] = &openings;
    databases.store(resumed).beat(&line(resumed)).await.expect("beat");
    let left = databases
        .until("SELECT array_agg(id ORDER BY id) AS ids FROM coordinator_member WHERE group_id = 'pruned'")
        .await;
    assert_eq!(left.get::<Vec<String>, _>("ids"), ["quiet", "resumed"]);
}
