//! The start of a service that sets nothing but its group and its database.

use leader_coordinator::domain::election::Epochs;
use leader_coordinator::domain::id::GroupId;
use leader_coordinator::{EpochFile, EpochMemory, Postgres, Sqlite, StartError, StoreKind, builder, clock};
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::timeout;
use tracing_subscriber::fmt::MakeWriter;

/// Longest wait for an event, on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);
/// Nothing listens there.
const NOWHERE: &str = "postgres://desk@127.0.0.1:1/trading";

#[tokio::test]
async fn a_sqlite_file_needs_no_other_setting_and_its_directory_keeps_the_epochs() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("new/desk.db");
    let coordinator = builder("desk", Sqlite::new(&path)).start().expect("good settings");
    let mut seen = coordinator.leadership();
    let active = seen.wait_for(|now| now.is_active(clock::now()));
    timeout(PATIENCE, active).await.expect("it leads").expect("it lives");
    coordinator.shutdown().await;
    let group = GroupId::parse("desk").expect("an id");
    let kept = EpochFile::open(path.parent().expect("a directory"), StoreKind::Sqlite, &group);
    assert_ne!(kept.expect("it is whole").kept(), Epochs::NONE);
}

#[tokio::test]
async fn every_store_and_the_election_have_one_identity() {
    let directory = tempfile::tempdir().expect("a directory");
    let ttl = Duration::from_secs(3);
    let database = Sqlite::new(directory.path().join("desk.db"));
    let coordinator = builder("desk", database).id("desk-1").ttl(ttl).start().expect("good settings");
    let identity = coordinator.identity().clone();
    assert_eq!((identity.group.as_str(), identity.id.as_str(), identity.ttl), ("desk", "desk-1", ttl));
    assert_eq!(coordinator.id(), &identity.id);
    let stores = coordinator.stores();
    assert_eq!((stores.state.identity(), stores.ledger.identity()), (identity.clone(), identity));
    coordinator.shutdown().await;
}

#[tokio::test]
async fn without_a_data_directory_the_start_logs_what_is_lost() {
    let warned = async |data_dir: Option<&std::path::Path>| {
        let log = Log::default();
        let subscriber =
            tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false).without_time().finish();
        let listening = tracing::subscriber::set_default(subscriber);
        let builder = builder("desk", Postgres::new(NOWHERE));
        let builder = match data_dir {
            Some(directory) => builder.data_dir(directory),
            None => builder,
        };
        let coordinator = builder.start().expect("good settings");
        drop(listening);
        coordinator.shutdown().await;
        String::from_utf8(log.0.lock().expect("no panic while writing").clone()).expect("text")
    };
    let log = warned(None).await;
    assert_eq!(log.matches("no data directory").count(), 1, "{log}");
    assert!(log.contains("WARN") && log.contains("Builder::data_dir"), "{log}");
    let directory = tempfile::tempdir().expect("a directory");
    let log = warned(Some(directory.path())).await;
    assert!(!log.contains("no data directory"), "{log}");
}

#[tokio::test]
async fn a_setting_that_cannot_be_meant_is_refused_with_its_cause_and_without_a_password() {
    let refused = |builder: leader_coordinator::Builder| match builder.start() {
        Ok(_) => panic!("it is accepted"),
        Err(error) => error,
    };
    assert!(matches!(refused(builder("a b", Postgres::new(NOWHERE))), StartError::Group(_)));
    assert!(matches!(refused(builder("desk", Postgres::new(NOWHERE)).id("")), StartError::Id(_)));
    let url = "mysql://desk:s3cret@db/trading";
    let error = refused(builder("desk", Postgres::new(url)));
    assert!(matches!(error, StartError::Store(_)), "{error:?}");
    let shown = format!("{error} {error:?} {:?}", Postgres::new(url));
    assert!(!shown.contains("s3cret"), "{shown}");
    let directory = tempfile::tempdir().expect("a directory");
    let schema = Sqlite::new(directory.path().join("d.db")).portfolio_relations("main.p", "q");
    let error = refused(builder("desk", schema));
    assert!(error.to_string().contains("main.p"), "{error}");
    let short = builder("desk", Postgres::new(NOWHERE)).ttl(Duration::from_millis(1));
    assert!(matches!(refused(short), StartError::Election(_)));
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic while writing").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
