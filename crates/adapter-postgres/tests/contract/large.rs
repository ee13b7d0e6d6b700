//! Cases with a client that does not receive an answer, because it was stopped or cut off: its last request
//! must not delay its successor.

use crate::cases;
use crate::databases::{Databases, config, lead, opening};
use adapter_postgres::PostgresStore;
use contract::Case;
use contract::signal_ledger::{client, signal};
use domain::ledger::{Limits, NewSignal};
use domain::ports::{CLAIM_MAX, InFlight, Migrate, Schema, SignalClaim, SignalLedger, StateStore, Submit};
use sqlx::{AssertSqlSafe, Executor};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;

pub fn cases() -> Vec<Case<Databases>> {
    cases!("large":
        a_claim_whose_answer_is_not_received_delays_no_successor,
        a_take_over_whose_answer_is_not_received_delays_no_successor,
        a_repetition_whose_answer_is_not_received_delays_no_successor,
    )
}

/// More than all buffers of a connection together can hold.
const PAYLOAD_BYTES: usize = 60_000;

fn many() -> Vec<NewSignal> {
    let large = |n: u16| {
        let mut new = signal(&format!("s-{n}"));
        new.instruction.payload = format!("{{\"note\":\"{}\"}}", "x".repeat(PAYLOAD_BYTES));
        new
    };
    (0..CLAIM_MAX).map(large).collect()
}

/// The last request of the leader.
#[derive(Clone, Copy)]
enum Last {
    Claim,
    TakeOver,
    Repetition,
}

/// Approximate size of the socket buffer of the link: a small part of the answer.
const BUFFER_BYTES: u32 = 16 * 1024;

/// A link to the server. Once `stopped`, it receives nothing from the server: the connections stay open, and
/// what fits no buffer stays at the server. A `Proxy` would receive and keep it.
async fn link(server: String, stopped: watch::Receiver<bool>) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let socket = TcpSocket::new_v4().expect("a socket");
            socket.set_recv_buffer_size(BUFFER_BYTES).expect("a small buffer");
            let server = socket.connect(server.parse().expect("an address")).await.expect("the server");
            tokio::spawn(relay(client, server, stopped.clone()));
        }
    });
    address
}

async fn until(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

async fn relay(mut client: TcpStream, mut server: TcpStream, mut stopped: watch::Receiver<bool>) {
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let replies = async {
        let mut bytes = [0; 4096];
        loop {
            let read = tokio::select! {
                biased;
                () = until(&mut stopped) => None,
                read = from_server.read(&mut bytes) => Some(read),
            };
            let Some(read) = read else { return std::future::pending().await };
            match read {
                Ok(read) if read > 0 && to_client.write_all(&bytes[..read]).await.is_ok() => {}
                Ok(_) | Err(_) => return,
            }
        }
    };
    let requests = copy(&mut from_client, &mut to_server);
    tokio::join!(replies, requests).1.ok();
}

/// The leader's last request goes through a link that delivers no answer from the moment at which the server
/// works on it, and the link does not break.
async fn delays_no_successor(databases: &Databases, last: Last) {
    let database = databases.another().await;
    let (stop, stopped) = watch::channel(false);
    let link = link(databases.address(), stopped).await;
    let (first, second) = (opening("large", "a"), opening("large", "b"));
    let url = database.url().replace(&databases.address(), &link.to_string());
    let leader = Arc::new(PostgresStore::new(config(&url, &first)).expect("a good URL"));
    let successor = database.store(&second);
    assert_eq!(successor.migrate(Migrate::Apply).await, Ok(Schema::Current));
    let token = lead(&leader, &first).await;
    // Each statement is prepared already, so the server needs no further answer from the client to carry it
    // out.
    assert_eq!(leader.claim_signals(&token, Limits::NONE, CLAIM_MAX).await, Ok(SignalClaim::Empty));
    leader.take_over(&token, InFlight::All).await.expect("take over").expect("held");
    leader.submit(&many(), &client()).await.expect("submit");
    if matches!(last, Last::TakeOver | Last::Repetition) {
        let claim = leader.claim_signals(&token, Limits::NONE, CLAIM_MAX).await;
        assert!(
            matches!(claim, Ok(SignalClaim::Claimed(claimed)) if claimed.len() == usize::from(CLAIM_MAX))
        );
    }
    // A lock makes the statement wait at the server until the link delivers nothing any more.
    let mut gate = database.admin().await;
    gate.execute("BEGIN; LOCK TABLE coordinator_signal IN EXCLUSIVE MODE").await.expect("a lock");
    let asked = tokio::spawn({
        let leader = leader.clone();
        async move {
            match last {
                Last::Claim => drop(leader.claim_signals(&token, Limits::NONE, CLAIM_MAX).await),
                Last::TakeOver => drop(leader.take_over(&token, InFlight::Only(&[])).await),
                Last::Repetition => drop(leader.submit(&many(), &client()).await),
            }
        }
    });
    let waits = "SELECT pid::text FROM pg_stat_activity WHERE datname = current_database()
                 AND wait_event_type = 'Lock' AND pid <> pg_backend_pid()";
    database.until(waits).await;
    stop.send(true).expect("the link is there");
    gate.execute("ROLLBACK").await.expect("the lock is gone");
    // The statement has ended or is sending: it waits for no lock.
    database.until(&format!("SELECT 1 WHERE NOT EXISTS ({waits})")).await;

    let token = lead(&successor, &second).await;
    let doubted = successor.take_over(&token, InFlight::Only(&[])).await.expect("no lock is in the way");
    let doubted = doubted.expect("held");
    assert_eq!(doubted.len(), usize::from(CLAIM_MAX));
    assert!(doubted.iter().all(|signal| signal.instruction.payload.len() > PAYLOAD_BYTES));
    asked.abort();
    let again = successor.submit(&many(), &client()).await.expect("submit");
    assert!(again.iter().all(|answer| matches!(answer, Submit::Repeated(_))));
    // No session of this server has the lease row locked any more.
    let locked = "SELECT 1 FROM coordinator_lease WHERE group_id = 'large' FOR UPDATE NOWAIT";
    gate.execute(sqlx::raw_sql(AssertSqlSafe(locked))).await.expect("it is not locked");
}

async fn a_claim_whose_answer_is_not_received_delays_no_successor(databases: &Databases) {
    delays_no_successor(databases, Last::Claim).await;
}

async fn a_take_over_whose_answer_is_not_received_delays_no_successor(databases: &Databases) {
    delays_no_successor(databases, Last::TakeOver).await;
}

async fn a_repetition_whose_answer_is_not_received_delays_no_successor(databases: &Databases) {
    delays_no_successor(databases, Last::Repetition).await;
}
