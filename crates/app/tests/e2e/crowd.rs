//! Test of thousands of clients that keep their connections: probes are answered, and the leader keeps its term.

use crate::TTL;
use crate::group::Group;
use crate::wait::until;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::time::sleep;

/// Clients at a time, many times the connections that an instance may have.
const CLIENTS: usize = 2_000;
/// File descriptors of the test for other uses.
const OTHERS: u64 = 500;
/// Time after which a client connects again. With less, the clients alone would use both processors of a small machine.
const PAUSE: Duration = Duration::from_secs(5);
/// Rounds of probes.
const ROUNDS: usize = 20;

/// Ways to keep a connection: half open, a head or a body that does not end, an answer that is not read, and no HTTP.
const WAYS: [&[u8]; 5] = [
    b"",
    b"GET /livez HTTP/1.1\r\nHost: local",
    b"POST /signals HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000\r\n\r\n{",
    b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 garbage \r\n\r\n",
];

/// Keeps a connection as well as it can: connects again, after a pause, whenever the server closes.
async fn keep(address: String, way: &'static [u8], connections: Arc<AtomicUsize>) {
    loop {
        if let Ok(mut stream) = TcpStream::connect(&address).await {
            connections.fetch_add(1, Ordering::Relaxed);
            let _ = stream.write_all(way).await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
        // A pause between two attacks.
        sleep(PAUSE).await;
    }
}

#[test]
fn thousands_of_clients_keep_no_probe_out_and_end_no_term() {
    let all = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: all.maximum, maximum: all.maximum }).expect("up to it");
    let enough = all.maximum.is_none_or(|most| most > CLIENTS as u64 + OTHERS);
    assert!(
        enough,
        "this test needs {CLIENTS} sockets: a hard limit (ulimit -Hn) above {}",
        CLIENTS as u64 + OTHERS
    );

    let mut group = Group::embedded(TTL);
    let lead = group.start_pair();
    let address = group.process(&lead.name).address();
    let connections = Arc::new(AtomicUsize::new(0));
    let clients = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    for way in WAYS.into_iter().cycle().take(CLIENTS) {
        clients.spawn(keep(address.clone(), way, Arc::clone(&connections)));
    }
    until("the clients are connected", || (connections.load(Ordering::Relaxed) >= CLIENTS).then_some(()));
    for _ in 0..ROUNDS {
        for probe in ["/livez", "/readyz", "/leader", "/metrics"] {
            until(&format!("{probe} is answered"), || {
                group.status_of(&lead.name, probe).filter(|status| *status == 200)
            });
        }
    }
    group.assert_undisturbed(&lead);
    drop(clients);
    group.finish();
}
