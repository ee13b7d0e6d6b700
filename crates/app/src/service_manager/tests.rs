use super::*;
use async_trait::async_trait;
use coordinator::EpochMemory;
use domain::election::Epochs;
use domain::id::{GroupId, InstanceId};
use leader_coordinator::{Database, Sqlite, Stores};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// Time without a ping after which the service manager of this test would kill: checks are a quarter of it apart.
const TIMEOUT: Duration = Duration::from_secs(2);
/// A bound for what must happen at all.
const PATIENCE: Duration = Duration::from_mins(1);

/// Blocks the thread of the election at its first claim, until the test lets it continue.
struct Blocking {
    blocked: Sender<()>,
    continues: Mutex<Receiver<()>>,
}

#[async_trait]
impl EpochMemory for Blocking {
    fn kept(&self) -> Epochs {
        Epochs::NONE
    }

    async fn keep(&self, epochs: Epochs) -> Result<Epochs, String> {
        if std::thread::current().name() == Some("election") {
            let _ = self.blocked.send(());
            // An error: the test lets every later call pass.
            let _ = self.continues.lock().expect("no panic").recv();
        }
        Ok(epochs)
    }
}

/// The next message within that time.
fn message(socket: &UnixDatagram, patience: Duration) -> Option<String> {
    socket.set_read_timeout(Some(patience)).expect("a timeout above zero");
    let mut buffer = [0; 64];
    let length = socket.recv(&mut buffer).ok()?;
    Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pings_stop_while_the_thread_of_the_election_hangs() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = directory.path().join("notify");
    let socket = UnixDatagram::bind(&at).expect("a socket");
    let manager = ServiceManager::at(at.as_os_str()).expect("a socket");
    manager.ready();
    assert_eq!(message(&socket, PATIENCE).as_deref(), Some("READY=1"));

    let group = GroupId::parse("watched").expect("a name");
    let id = InstanceId::parse("a").expect("a name");
    let identity =
        leader_coordinator::identity(group, Some(id), Duration::from_secs(3)).expect("an identity");
    let database: Database = Sqlite::new(directory.path().join("coordinator.db")).into();
    let stores = Stores::open(&database, &identity).expect("a store");
    let (blocked, blocks) = channel();
    let (go_on, continues) = channel();
    let memory = Blocking { blocked, continues: Mutex::new(continues) };
    let coordinator = Coordinator::builder(Arc::clone(&stores.state))
        .recovery(Arc::clone(&stores.recovery))
        .epochs(Arc::new(memory))
        .start()
        .expect("it starts");
    let watched = coordinator.clone();
    let watching = tokio::spawn(async move { manager.watch(&watched, TIMEOUT).await });
    tokio::task::spawn_blocking(move || {
        assert_eq!(message(&socket, PATIENCE).as_deref(), Some("WATCHDOG=1"));
        blocks.recv_timeout(PATIENCE).expect("it claims the lease");
        let began = Instant::now();
        // Pings that were on their way, and then none for as long as the service manager waits.
        while message(&socket, TIMEOUT).is_some() {
            assert!(began.elapsed() < PATIENCE, "pings while the election hangs");
        }
        drop(go_on);
        assert_eq!(message(&socket, PATIENCE).as_deref(), Some("WATCHDOG=1"), "it continues");
    })
    .await
    .expect("no panic");
    watching.abort();
    coordinator.shutdown().await;
    stores.close().await;
}

#[test]
fn an_abstract_name_is_a_socket_too() {
    let name = format!("coordinator-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("a name");
    let socket = UnixDatagram::bind_addr(&address).expect("a socket");
    ServiceManager::at(OsStr::new(&format!("@{name}"))).expect("a socket").stopping();
    assert_eq!(message(&socket, PATIENCE).as_deref(), Some("STOPPING=1"));
}

#[test]
fn only_the_watchdog_of_this_process_counts() {
    let own = std::process::id().to_string();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(watchdog(text("30000000"), Some(own.clone())), Some(Duration::from_secs(30)));
    assert_eq!(watchdog(text("30000000"), None), Some(Duration::from_secs(30)));
    assert_eq!(watchdog(text("30000000"), text("1")), None);
    assert_eq!(watchdog(text("0"), Some(own.clone())), None);
    assert_eq!(watchdog(text("soon"), Some(own)), None);
    assert_eq!(watchdog(None, None), None);
}
