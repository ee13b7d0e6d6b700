//! Cases of clients that keep connections for themselves: probes are answered while all of them are there.

use crate::client::{Answer, get, post, request};
use crate::fake::{Fake, Server};
use adapter_http::Limits;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Clients at a time, more than any server may have connections.
const CLIENTS: usize = 5_000;
/// A bound for what must happen at all, not for how fast.
const PATIENCE: Duration = Duration::from_mins(2);

/// Time after which a client connects again. With less, the clients alone would use both processors of a small machine.
const PAUSE: Duration = Duration::from_secs(5);

/// A request whose answer is not read.
const DEAF: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
/// Ways to keep a connection.
const WAYS: [&[u8]; 5] = [
    // Half open: not a byte.
    b"",
    // A head that does not end.
    b"GET /livez HTTP/1.1\r\nHost: local",
    // A body that does not come.
    b"POST /signals HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90000\r\n\r\n{",
    DEAF,
    // No HTTP.
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 garbage \r\n\r\n",
];

/// Keeps a connection as well as it can: connects again, after a pause, whenever the server closes. Counts its
/// connections.
async fn keep(address: SocketAddr, way: &'static [u8], connections: Arc<watch::Sender<usize>>) {
    loop {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4 * 1024).expect("a small buffer");
        if let Ok(mut stream) = socket.connect(address).await {
            let _ = stream.write_all(way).await;
            connections.send_modify(|count| *count += 1);
            if way == DEAF {
                // It reads nothing, until it has had its connection for a while.
                sleep(PAUSE).await;
            } else {
                let _ = stream.read_to_end(&mut Vec::new()).await;
            }
        }
        // A pause between two attacks.
        sleep(PAUSE).await;
    }
}

/// Allows this process as many sockets as the machine lets it have.
fn allow_sockets() {
    let all = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: all.maximum, maximum: all.maximum })
        .expect("up to the maximum");
    let enough = all.maximum.is_none_or(|most| most > CLIENTS as u64 + 500);
    assert!(
        enough,
        "this test needs {CLIENTS} sockets, so a hard limit of file descriptors above that: ulimit -Hn"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_are_answered_whatever_thousands_of_clients_keep() {
    allow_sockets();
    let exposition = Ok("x".repeat(512 * 1024));
    let server = Server::start(Fake { exposition, ..Fake::default() }).await;
    let (connections, mut connected) = watch::channel(0);
    let connections = Arc::new(connections);
    let mut clients = JoinSet::new();
    for at in 0..CLIENTS {
        clients.spawn(keep(server.address, WAYS[at % WAYS.len()], Arc::clone(&connections)));
    }
    let crowded = timeout(PATIENCE, connected.wait_for(|count| *count >= CLIENTS)).await;
    crowded.expect("the clients connect").expect("they count");
    for round in 0..20 {
        for probe in ["/livez", "/readyz", "/leader"] {
            let answered = timeout(PATIENCE, probed(&server, probe)).await;
            answered.unwrap_or_else(|_| panic!("round {round}: {probe} is not answered"));
        }
    }
    assert_eq!(clients.len(), CLIENTS, "all clients are still there");
}

/// Sends the probe until it is answered, as a load balancer does.
async fn probed(server: &Server, path: &str) {
    loop {
        let Ok(mut stream) = TcpStream::connect(server.address).await else { continue };
        let mut bytes = Vec::new();
        if stream.write_all(get(path).as_bytes()).await.is_ok()
            && stream.read_to_end(&mut bytes).await.is_ok()
            && bytes.starts_with(b"HTTP/1.1 ")
        {
            return;
        }
    }
}

#[tokio::test]
async fn a_client_that_sends_nothing_makes_room() {
    let limits = Limits { head: Duration::from_hours(1), connections: 1, reserved: 0, ..Limits::default() };
    let server = Server::start_within(limits, Fake::default()).await;
    let mut silent = server.connect().await;
    assert_eq!(server.ask(&get("/livez")).await.status, 200);
    let mut rest = Vec::new();
    let _ = silent.read_to_end(&mut rest).await;
    assert!(rest.is_empty());
}

#[tokio::test]
async fn requests_that_wait_for_a_store_leave_probes_alone() {
    let (asked, mut was_asked) = mpsc::unbounded_channel();
    let backend = Fake { silent: Some(asked), ..Fake::default() };
    let limits = Limits { connections: 3, reserved: 1, answer: Duration::from_hours(1), ..Limits::default() };
    let server = Server::start_within(limits, backend).await;
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let mut stream = server.connect().await;
        stream.write_all(get("/status").as_bytes()).await.expect("sent");
        was_asked.recv().await.expect("the store was asked");
        waiting.push(stream);
    }
    for probe in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(server.ask(&get(probe)).await.status, 200, "{probe}");
    }
    assert_eq!(server.ask(&get("/leader")).await.status, 503);
    let refused = server.ask(&get("/status")).await;
    let detail = refused.problem(503)["detail"].clone();
    assert!(detail.as_str().is_some_and(|text| text.contains("as many requests as it may")), "{detail}");
    assert!(refused.header("retry-after").is_some());
    drop(waiting);
}

#[tokio::test]
async fn every_answer_has_the_headers() {
    let server = Server::start(Fake::default()).await;
    let long = format!("/{}", "x".repeat(70_000));
    let requests = [
        (get("/livez").into_bytes(), 200),
        (get("/").into_bytes(), 200),
        (get("/runbooks").into_bytes(), 200),
        (get("/page/page.js").into_bytes(), 200),
        (get("/nothing").into_bytes(), 404),
        (request("DELETE", "/livez", &[]).into_bytes(), 405),
        (post("/signals", &[], "{"), 400),
        (request("POST", "/signals", &[("Content-Length", "1000000")]).into_bytes(), 413),
        // hyper's own.
        (b"\x16\x03\x01 garbage \r\n\r\n".to_vec(), 400),
        (b"GET / HTTP/1.1\r\nbad header\r\n\r\n".to_vec(), 400),
        (get(&long).into_bytes(), 414),
        (request("GET", "/livez", &[("X", &long)]).into_bytes(), 431),
    ];
    for (request, status) in requests {
        let begin = String::from_utf8_lossy(&request[..request.len().min(40)]).into_owned();
        let mut stream = server.connect().await;
        let _ = stream.write_all(&request).await;
        let answer = Answer::read_one(&mut stream).await;
        if ![414, 431].contains(&status) {
            assert_eq!(answer.status, status, "{begin}: {answer:?}");
        }
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{begin}: {answer:?}");
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{begin}: {answer:?}");
        assert!(answer.header("cache-control").is_some(), "{begin}: {answer:?}");
        assert_eq!(answer.header("server"), None, "{begin}: {answer:?}");
        let is_html = answer.header("content-type").is_some_and(|kind| kind.starts_with("text/html"));
        assert_eq!(answer.header("content-security-policy").is_some(), is_html, "{begin}: {answer:?}");
    }
}
