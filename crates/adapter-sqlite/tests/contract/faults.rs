//! Cases in which the file is busy, is missing, or is replaced.

use crate::files::{Files, opening};
use adapter_sqlite::SqliteStore;
use contract::{Case, Opening, signal_ledger};
use domain::lease::{Seq, TTL_MIN};
use domain::ports::{Claim, ClaimRequest, LeaseStore, Renewal, SignalLedger, StateStore, StoreError};
use std::sync::Arc;

pub fn suite() -> Vec<Case<Files>> {
    vec![
        Case::new("faults::an_open_transaction_elsewhere_is_a_clear_no", locked_elsewhere),
        Case::new("faults::a_deleted_file_is_noticed", deleted),
        Case::new("faults::a_file_with_two_names_is_refused", hard_link),
        Case::new("faults::after_a_side_file_is_deleted_nothing_is_acknowledged", side_file),
        Case::new("faults::a_second_process_does_not_open_other_files", other_files),
        Case::new("faults::only_the_user_reads_the_files_also_those_that_were_open_before", permissions),
        Case::new("faults::a_replaced_file_ends_the_leadership", replaced),
    ]
}

/// A store whose timeout for a busy file is short.
async fn impatient(files: &Files, id: &str) -> SqliteStore {
    files.migrated(id).await.close().await;
    unopened(files, id)
}

fn unopened(files: &Files, id: &str) -> SqliteStore {
    SqliteStore::new(files.config(&Opening { ttl: TTL_MIN, ..opening(id) }))
}

async fn locked_elsewhere(_: Arc<Files>) {
    let files = Files::new();
    let store = impatient(&files, "i").await;
    let request = request(&store).await;
    let signal = signal_ledger::signal("s");

    let mut shell = files.shell().await;
    sqlx::raw_sql("BEGIN IMMEDIATE; UPDATE coordinator_lease SET resign = 'x'")
        .execute(&mut shell)
        .await
        .unwrap();
    for answer in [
        store.claim(&request).await.map(|_| ()),
        store.submit_one(&signal, &signal_ledger::client()).await.map(|_| ()),
    ] {
        let Err(StoreError::Unavailable(message)) = answer else { panic!("{answer:?}") };
        assert!(message.contains("is locked") && message.contains("coordinator.db"), "{message}");
    }
    assert_eq!(store.observe().await.unwrap().resign, None, "readers do not wait and see what is committed");
    sqlx::raw_sql("ROLLBACK").execute(&mut shell).await.unwrap();

    assert_eq!(store.counts().await.unwrap().received, 0, "the refused signal is not stored");
    assert!(matches!(store.claim(&request).await, Ok(Claim::Granted(_))), "nor was the claim carried out");
}

async fn deleted(_: Arc<Files>) {
    let files = Files::new();
    let store = impatient(&files, "i").await;
    store.observe().await.unwrap();
    for end in ["", "-wal", "-shm"] {
        std::fs::remove_file(format!("{}{end}", files.path().display())).unwrap();
    }
    let answer = store.observe().await;
    let Err(StoreError::Corrupt(message)) = answer else { panic!("{answer:?}") };
    assert!(message.contains("coordinator.db"), "{message}");
    assert!(!files.path().exists(), "the store creates no new file");
}

async fn side_file(_: Arc<Files>) {
    for end in ["-wal", "-shm"] {
        let files = Files::new();
        let store = impatient(&files, "i").await;
        store.submit_one(&signal_ledger::signal("kept"), &signal_ledger::client()).await.unwrap();
        std::fs::remove_file(format!("{}{end}", files.path().display())).unwrap();
        let answer = store.submit_one(&signal_ledger::signal("lost"), &signal_ledger::client()).await;
        let Err(StoreError::Corrupt(message)) = answer else { panic!("{end}: {answer:?}") };
        assert!(message.contains(end) && message.contains("deleted or replaced"), "{message}");
        store.close().await;
        let again = files.migrated("j").await;
        assert_eq!(again.counts().await.unwrap().received, 1, "{end}: what was acknowledged is kept");
    }
}

async fn other_files(_: Arc<Files>) {
    let files = Files::new();
    let store = impatient(&files, "i").await;
    let Ok(Claim::Granted(_)) = store.claim(&request(&store).await).await else {
        panic!("the released lease was not granted")
    };
    for end in ["-wal", "-shm"] {
        std::fs::remove_file(format!("{}{end}", files.path().display())).unwrap();
    }
    let other = unopened(&files, "j");
    for answer in
        [other.observe().await.map(drop), other.migrate(domain::ports::Migrate::Apply).await.map(drop)]
    {
        let Err(StoreError::Unavailable(message)) = answer else { panic!("{answer:?}") };
        assert!(message.contains("-wal is not the file that other instances have open"), "{message}");
    }
}

async fn permissions(_: Arc<Files>) {
    use std::os::unix::fs::PermissionsExt;
    let files = Files::new();
    let store = impatient(&files, "i").await;
    store.observe().await.unwrap();
    std::fs::set_permissions(files.path(), std::fs::Permissions::from_mode(0o644)).unwrap();
    store.migrate(domain::ports::Migrate::Apply).await.unwrap();
    for end in ["", "-wal", "-shm", "-lock"] {
        let mode =
            std::fs::metadata(format!("{}{end}", files.path().display())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{end}");
    }
}

async fn replaced(_: Arc<Files>) {
    let (files, other) = (Files::new(), Files::new());
    let store = impatient(&files, "i").await;
    let Ok(Claim::Granted(token)) = store.claim(&request(&store).await).await else {
        panic!("the released lease was not granted")
    };
    assert!(matches!(store.renew(&token, Seq(1), token.timeline).await, Ok(Renewal::Renewed { .. })));

    other.migrated("j").await.close().await;
    std::fs::rename(other.path(), files.path()).unwrap();
    for end in ["-wal", "-shm"] {
        std::fs::remove_file(format!("{}{end}", files.path().display())).unwrap();
    }
    // The old file stays locked, so no instance leads on the new one before this process has left the old
    // one.
    let answer = store.renew(&token, Seq(2), token.timeline).await;
    let Err(StoreError::Corrupt(message)) = answer else { panic!("{answer:?}") };
    assert!(message.contains("deleted or replaced"), "{message}");
    let second = unopened(&files, "j");
    assert!(matches!(second.observe().await, Err(StoreError::Unavailable(_))), "not before all have left");
    store.close().await;
    assert_ne!(second.observe().await.unwrap().version.token, token, "the row of the new file");
}

/// Two directories with one file each would have a `-wal` and a lock each.
async fn hard_link(_: Arc<Files>) {
    let (files, other) = (Files::new(), Files::new());
    files.migrated("i").await.close().await;
    std::fs::create_dir_all(other.path().parent().unwrap()).unwrap();
    std::fs::hard_link(files.path(), other.path()).unwrap();
    let answer = unopened(&other, "j").observe().await;
    let Err(StoreError::Unavailable(message)) = answer else { panic!("{answer:?}") };
    assert!(message.contains("hard links"), "{message}");
}

async fn request(store: &SqliteStore) -> ClaimRequest {
    let opening = opening("i");
    let observed = store.observe().await.unwrap().version;
    ClaimRequest {
        observed,
        claim: opening.nonce.claim(1),
        holder: opening.id,
        ttl: TTL_MIN,
        floor: domain::lease::Epoch(0),
        forgotten: false,
        former: domain::ports::FormerTerm::Expired,
    }
}
