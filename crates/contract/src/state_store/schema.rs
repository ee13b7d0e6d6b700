//! Migration: once, by the first process, and never below the epochs in the history.

use crate::{Case, Opening, Scene, StateStores, Tamper, cases};
use domain::lease::Seq;
use domain::lease::{Epoch, Timeline};
use domain::ports::{Claim, Migrate, Renewal, Schema, StoreError};
use std::sync::Arc;
use tokio::task::JoinSet;

pub(super) fn cases<A: StateStores>() -> Vec<Case<A>> {
    cases!("state_store", Scene:
        an_empty_database_is_older_until_migrated,
        migrating_twice_changes_nothing,
        many_processes_migrate_an_empty_database_at_once,
        a_newer_schema_is_reported_and_unchanged,
        a_new_group_is_open_with_epoch_0_and_the_own_ttl,
        a_missing_lease_is_corrupt_and_grants_nothing,
        the_epoch_never_goes_below_history,
        groups_do_not_see_each_other,
    )
}

async fn an_empty_database_is_older_until_migrated(scene: Scene) {
    let scene = scene.in_fresh_database().await;
    let process = scene.open(Opening::new(scene.group(), "a")).await;
    assert_eq!(process.state.migrate(Migrate::Check).await, Ok(Schema::Older { found: 0 }));
    assert_eq!(
        process.state.migrate(Migrate::Check).await,
        Ok(Schema::Older { found: 0 }),
        "a check changes nothing"
    );
    assert_eq!(process.state.migrate(Migrate::Apply).await, Ok(Schema::Current));
    assert_eq!(process.state.migrate(Migrate::Check).await, Ok(Schema::Current));
}

async fn migrating_twice_changes_nothing(scene: Scene) {
    let a = scene.process("a").await;
    let token = a.lead().await;
    let before = a.read_lease().await;
    let again = scene.process("b").await;
    assert_eq!(again.read_lease().await, before, "a later migration does not change the lease");
    assert!(matches!(a.state.renew(&token, Seq(1), token.timeline).await, Ok(Renewal::Renewed { .. })));
}

async fn many_processes_migrate_an_empty_database_at_once(scene: Scene) {
    let scene = scene.in_fresh_database().await;
    let mut starting = JoinSet::new();
    for n in 0..8 {
        let process = Arc::new(scene.open(Opening::new(scene.group(), &format!("p{n}"))).await);
        starting.spawn(async move {
            let schema = process.state.migrate(Migrate::Apply).await;
            (process, schema)
        });
    }
    let mut seen = Vec::new();
    for (process, schema) in starting.join_all().await {
        assert_eq!(schema, Ok(Schema::Current), "{}", process.opening.id);
        seen.push(process.read_lease().await);
    }
    assert!(seen.iter().all(|lease| *lease == seen[0]), "all read one lease: {seen:?}");
    assert_eq!(seen[0].version.token.epoch, Epoch(0));
}

async fn a_newer_schema_is_reported_and_unchanged(scene: Scene) {
    let scene = scene.in_fresh_database().await;
    let process = scene.process("a").await;
    scene.tamper(Tamper::SchemaVersion(9_999)).await.expect("a version can be written");
    assert_eq!(process.state.migrate(Migrate::Check).await, Ok(Schema::Newer { found: 9_999 }));
    assert_eq!(process.state.migrate(Migrate::Apply).await, Ok(Schema::Newer { found: 9_999 }));
    assert_eq!(
        process.read_lease().await.schema,
        9_999,
        "every read of the lease shows the schema's version"
    );
}

async fn a_new_group_is_open_with_epoch_0_and_the_own_ttl(scene: Scene) {
    let process = scene.process("a").await;
    let lease = process.read_lease().await;
    assert!(lease.released, "open from the start: no instance waits for an expiry");
    assert_eq!(lease.version.token.epoch, Epoch(0));
    assert_eq!(lease.version.token.timeline, lease.version.current);
    assert_ne!(lease.version.current, Timeline(0), "a store has a timeline");
    assert_eq!((lease.ttl, lease.holder, lease.resign), (process.opening.ttl, None, None));
    assert_eq!(process.state.history(10).await, Ok(vec![]), "no instance has led");
}

async fn a_missing_lease_is_corrupt_and_grants_nothing(scene: Scene) {
    let process = scene.process("a").await;
    let seen = process.read_lease().await;
    let token = process.lead().await;
    scene
        .tamper(Tamper::DeleteLease { group: scene.group().clone() })
        .await
        .expect("an operator deletes the lease");
    assert!(matches!(process.state.observe().await, Err(StoreError::Corrupt(_))));
    assert_eq!(process.state.claim(&process.request(&seen)).await, Ok(Claim::Lost));
    // No other instance has the lease: it is missing, and the leader says so.
    let renewed = process.state.renew(&token, Seq(1), token.timeline).await;
    let Err(StoreError::Corrupt(missing)) = renewed else { panic!("{renewed:?}") };
    assert!(missing.contains("row"), "{missing}");
    assert!(matches!(process.state.observe().await, Err(StoreError::Corrupt(_))), "neither created it");
}

async fn the_epoch_never_goes_below_history(scene: Scene) {
    let process = scene.process("a").await;
    for _ in 0..3 {
        process.lead().await;
    }
    scene
        .tamper(Tamper::DeleteLease { group: scene.group().clone() })
        .await
        .expect("an operator deletes the lease");
    let successor = scene.process("b").await;
    let lease = successor.read_lease().await;
    assert_eq!(lease.version.token.epoch, Epoch(3), "a process may still hold a token of epoch 3");
    assert!(lease.released);
    assert_eq!(successor.lead().await.epoch, Epoch(4));
}

async fn groups_do_not_see_each_other(scene: Scene) {
    let here = scene.process("a").await;
    let elsewhere = scene.neighbour().process("a").await;
    let token = here.lead().await;
    assert_eq!(elsewhere.read_lease().await.version.token.epoch, Epoch(0));
    assert_eq!(
        elsewhere.state.renew(&token, Seq(1), token.timeline).await,
        Ok(Renewal::Superseded),
        "a token is of one group"
    );
    assert_eq!(elsewhere.state.history(10).await, Ok(vec![]));
    assert_eq!(elsewhere.state.members().await, Ok(vec![]));
}
