//! A TCP proxy between a client and its server, whose faults can change while connections are open.
//!
//! It does only what a network can do: a direction of a connection that once lost bytes stays silent for
//! good, so that a later reply never passes for an earlier one. New connections follow the current mode.

use crate::backend::free_port;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};

/// Bytes read at once.
const CHUNK: usize = 16 * 1024;
/// Pause between two attempts to listen on the port again after [`Mode::Refuse`].
const REBIND: Duration = Duration::from_millis(10);

/// Bytes that a fault affects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    Requests,
    /// From the server to the client.
    Replies,
    /// Both.
    Both,
}

impl Direction {
    fn covers(self, one: Self) -> bool {
        self == Self::Both || self == one
    }
}

/// Behaviour of the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Forwards everything.
    Pass,
    /// The proxy does not listen: it closes open connections, and new ones are refused.
    Refuse,
    /// Bytes disappear. Connections are accepted and stay open.
    Swallow(Direction),
    /// Bytes are kept until the mode changes, and are then forwarded late, as by a network that recovers.
    Hold(Direction),
    /// Bytes are forwarded this much later. What is sent before an answer came waits behind it.
    Delay(Duration),
    /// This number of further bytes is forwarded, over all connections. The connection on which the next byte
    /// comes is closed, and so is every later one.
    CutAfter(Direction, u64),
    /// After about this number of further bytes, over all connections, the proxy reads no more until the mode
    /// changes. The connections stay open and the sender's buffers fill, as if the receiver were stopped in
    /// the middle of a message.
    StallAfter(Direction, u64),
}

/// A running proxy. When it is dropped, it stops listening and closes its connections.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    orders: mpsc::Sender<(Order, oneshot::Sender<()>)>,
    acceptor: JoinHandle<()>,
}

#[derive(Debug)]
enum Order {
    Switch(Mode),
    CloseAll,
    Retarget(String),
}

impl Proxy {
    /// Listens on a free port of the loopback interface and forwards to `target`, a host and port.
    ///
    /// # Panics
    /// If it cannot listen.
    pub async fn start(target: impl Into<String>) -> Self {
        // A reserved port: no other process gets it while the proxy refuses.
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, free_port())).await.expect("the port was free just now");
        let address = listener.local_addr().expect("a bound listener has an address");
        let (orders, received) = mpsc::channel(1);
        let acceptor = Acceptor {
            address,
            target: target.into(),
            mode: watch::Sender::new(Mode::Pass),
            budget: Arc::default(),
            connections: JoinSet::new(),
        };
        Self { address, orders, acceptor: tokio::spawn(acceptor.run(listener, received)) }
    }

    /// Address for clients.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the mode for open and new connections; it is in force when this returns.
    pub async fn set(&self, mode: Mode) {
        self.order(Order::Switch(mode)).await;
    }

    /// Closes every open connection; new ones are accepted.
    pub async fn close_all(&self) {
        self.order(Order::CloseAll).await;
    }

    /// Forwards to another host and port from now on, in the same mode; open connections are closed.
    pub async fn retarget(&self, target: impl Into<String>) {
        self.order(Order::Retarget(target.into())).await;
    }

    async fn order(&self, order: Order) {
        let (done, carried_out) = oneshot::channel();
        self.orders.send((order, done)).await.expect("the acceptor lives as long as the proxy");
        carried_out.await.expect("the acceptor answers every order");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

struct Acceptor {
    address: SocketAddr,
    target: String,
    mode: watch::Sender<Mode>,
    /// Bytes that [`Mode::CutAfter`] and [`Mode::StallAfter`] still forward.
    budget: Arc<AtomicU64>,
    connections: JoinSet<()>,
}

impl Acceptor {
    async fn run(mut self, listener: TcpListener, mut orders: mpsc::Receiver<(Order, oneshot::Sender<()>)>) {
        let mut listener = Some(listener);
        loop {
            tokio::select! {
                order = orders.recv() => {
                    let Some((order, done)) = order else { return };
                    self.obey(order, &mut listener).await;
                    // The caller may have stopped waiting.
                    let _ = done.send(());
                }
                Some(client) = accept(listener.as_ref()) => self.connect(client),
                Some(_) = self.connections.join_next() => {}
            }
        }
    }

    async fn obey(&mut self, order: Order, listener: &mut Option<TcpListener>) {
        match order {
            Order::CloseAll => self.connections.shutdown().await,
            Order::Retarget(target) => {
                self.target = target;
                self.connections.shutdown().await;
            }
            Order::Switch(mode) => {
                if let Mode::CutAfter(_, bytes) | Mode::StallAfter(_, bytes) = mode {
                    self.budget.store(bytes, Relaxed);
                }
                self.mode.send_replace(mode);
                if mode == Mode::Refuse {
                    *listener = None;
                    self.connections.shutdown().await;
                }
                while mode != Mode::Refuse && listener.is_none() {
                    *listener = TcpListener::bind(self.address).await.ok();
                    if listener.is_none() {
                        // A pause between two attempts to get a port that another process may still use.
                        tokio::time::sleep(REBIND).await;
                    }
                }
            }
        }
    }

    fn connect(&mut self, client: TcpStream) {
        let target = self.target.clone();
        let line = |direction| Line { direction, mode: self.mode.subscribe(), budget: self.budget.clone() };
        let (requests, replies) = (line(Direction::Requests), line(Direction::Replies));
        self.connections.spawn(async move {
            // Without a server, the client's connection is closed at once.
            let Ok(server) = TcpStream::connect(target).await else { return };
            let ((from_client, to_client), (from_server, to_server)) =
                (client.into_split(), server.into_split());
            // The first error of either direction closes both ends.
            let _ =
                tokio::try_join!(requests.pump(from_client, to_server), replies.pump(from_server, to_client));
        });
    }
}

/// The next client; never resolves while the proxy does not listen.
async fn accept(listener: Option<&TcpListener>) -> Option<TcpStream> {
    match listener {
        // A client that disconnects before it is accepted is ignored.
        Some(listener) => listener.accept().await.ok().map(|(client, _)| client),
        None => std::future::pending().await,
    }
}

/// One direction of one connection.
struct Line {
    direction: Direction,
    mode: watch::Receiver<Mode>,
    budget: Arc<AtomicU64>,
}

impl Line {
    async fn pump(mut self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> std::io::Result<()> {
        let mut chunk = vec![0; CHUNK];
        let mut silent = false;
        loop {
            let length = from.read(&mut chunk).await?;
            let mode = self.mode_to_act_on().await;
            silent |= matches!(mode, Mode::Swallow(direction) if direction.covers(self.direction));
            if silent && length == 0 {
                // The end is hidden too, until the other direction ends or all connections are closed.
                std::future::pending::<()>().await;
            } else if silent {
                continue;
            }
            if let Mode::Delay(delay) = mode {
                // The delay that the test requires.
                tokio::time::sleep(delay).await;
            }
            if length == 0 {
                return to.shutdown().await;
            }
            let allowed = self.allowed(mode, length);
            if matches!(mode, Mode::StallAfter(..)) {
                // Bytes that were read at once are forwarded together.
                to.write_all(&chunk[..length]).await?;
                continue;
            }
            to.write_all(&chunk[..allowed]).await?;
            if allowed < length {
                return Err(std::io::Error::other("cut"));
            }
        }
    }

    /// The current mode, as soon as it does not hold this direction.
    async fn mode_to_act_on(&mut self) -> Mode {
        let (direction, budget) = (self.direction, &self.budget);
        let passes = |mode: &Mode| match *mode {
            Mode::Hold(held) => !held.covers(direction),
            Mode::StallAfter(stalled, _) => !stalled.covers(direction) || budget.load(Relaxed) > 0,
            Mode::Pass | Mode::Refuse | Mode::Swallow(_) | Mode::Delay(_) | Mode::CutAfter(..) => true,
        };
        match self.mode.wait_for(passes).await {
            Ok(mode) => *mode,
            // The proxy has been dropped, and this task ends with it.
            Err(_) => Mode::Refuse,
        }
    }

    /// Number of bytes, of `length`, that may be forwarded.
    fn allowed(&self, mode: Mode, length: usize) -> usize {
        let counted = match mode {
            Mode::CutAfter(direction, _) | Mode::StallAfter(direction, _) => direction.covers(self.direction),
            Mode::Pass | Mode::Refuse | Mode::Swallow(_) | Mode::Hold(_) | Mode::Delay(_) => false,
        };
        if !counted {
            return length;
        }
        let asked = u64::try_from(length).unwrap_or(u64::MAX);
        let take = |left: u64| Some(left.saturating_sub(asked));
        let left = self.budget.fetch_update(Relaxed, Relaxed, take).unwrap_or(0);
        usize::try_from(left.min(asked)).unwrap_or(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Timeout: longer than anything on the loopback interface takes.
    const PATIENCE: Duration = Duration::from_secs(30);
    /// Time without any byte that counts as silence.
    const SILENCE: Duration = Duration::from_millis(100);

    /// A server that returns every byte and counts them.
    async fn echo() -> (String, Arc<AtomicU64>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let received = Arc::new(AtomicU64::new(0));
        let count = received.clone();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let count = count.clone();
                tokio::spawn(async move {
                    let mut byte = [0; 1];
                    while let Ok(1) = client.read(&mut byte).await {
                        count.fetch_add(1, Relaxed);
                        let _ = client.write_all(&byte).await;
                    }
                });
            }
        });
        (address, received)
    }

    async fn connect(proxy: &Proxy) -> TcpStream {
        TcpStream::connect(proxy.address()).await.expect("the proxy listens")
    }

    /// The answer to `text`: all of it, or less if the connection is closed before.
    async fn ask(client: &mut TcpStream, text: &str) -> String {
        let mut answer = Vec::new();
        let _ = client.write_all(text.as_bytes()).await;
        while answer.len() < text.len() {
            let mut byte = [0; 1];
            match tokio::time::timeout(PATIENCE, client.read(&mut byte)).await.expect("an answer or an end") {
                Ok(1) => answer.push(byte[0]),
                _ => break,
            }
        }
        String::from_utf8(answer).unwrap()
    }

    async fn is_silent(client: &mut TcpStream) -> bool {
        tokio::time::timeout(SILENCE, client.read(&mut [0; 1])).await.is_err()
    }

    async fn until_received(received: &AtomicU64, bytes: u64) {
        let all = async {
            while received.load(Relaxed) < bytes {
                // A pause between two polls of a counter that the peer's task raises.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(PATIENCE, all).await.expect("the server receives");
    }

    #[tokio::test]
    async fn it_forwards_both_ways_and_delays() {
        let (server, _) = echo().await;
        let proxy = Proxy::start(server).await;
        let mut client = connect(&proxy).await;
        assert_eq!(ask(&mut client, "hello").await, "hello");
        proxy.set(Mode::Delay(Duration::from_millis(50))).await;
        let began = std::time::Instant::now();
        assert_eq!(ask(&mut client, "late").await, "late");
        assert!(began.elapsed() >= Duration::from_millis(100), "there and back");
    }

    #[tokio::test]
    async fn it_refuses_and_listens_again_on_the_same_port() {
        let (server, _) = echo().await;
        let proxy = Proxy::start(server).await;
        let mut client = connect(&proxy).await;
        assert_eq!(ask(&mut client, "a").await, "a");
        proxy.set(Mode::Refuse).await;
        assert_eq!(ask(&mut client, "b").await, "", "the open connection was not closed");
        assert!(TcpStream::connect(proxy.address()).await.is_err());
        proxy.set(Mode::Pass).await;
        assert_eq!(ask(&mut connect(&proxy).await, "c").await, "c");
    }

    #[tokio::test]
    async fn swallowed_requests_never_reach_the_server() {
        let (server, received) = echo().await;
        let proxy = Proxy::start(server).await;
        let mut client = connect(&proxy).await;
        proxy.set(Mode::Swallow(Direction::Requests)).await;
        client.write_all(b"lost").await.unwrap();
        assert!(is_silent(&mut client).await);
        proxy.set(Mode::Pass).await;
        client.write_all(b"later").await.unwrap();
        assert!(is_silent(&mut client).await, "a direction that lost bytes stays silent");
        assert_eq!(ask(&mut connect(&proxy).await, "new").await, "new");
        assert_eq!(received.load(Relaxed), 3);
    }

    #[tokio::test]
    async fn requests_with_swallowed_replies_were_executed() {
        let (server, received) = echo().await;
        let proxy = Proxy::start(server).await;
        proxy.set(Mode::Swallow(Direction::Replies)).await;
        let mut client = connect(&proxy).await;
        client.write_all(b"done").await.unwrap();
        until_received(&received, 4).await;
        assert!(is_silent(&mut client).await);
    }

    #[tokio::test]
    async fn held_requests_arrive_late() {
        let (server, received) = echo().await;
        let proxy = Proxy::start(server).await;
        let mut client = connect(&proxy).await;
        proxy.set(Mode::Hold(Direction::Both)).await;
        client.write_all(b"held").await.unwrap();
        assert!(is_silent(&mut client).await);
        assert_eq!(received.load(Relaxed), 0);
        proxy.set(Mode::Pass).await;
        assert_eq!(ask(&mut client, "").await, "");
        until_received(&received, 4).await;
    }

    #[tokio::test]
    async fn a_cut_comes_after_the_last_byte_that_may_pass() {
        let (server, received) = echo().await;
        let proxy = Proxy::start(server).await;
        let mut client = connect(&proxy).await;
        proxy.set(Mode::CutAfter(Direction::Requests, 3)).await;
        let answer = ask(&mut client, "12345").await;
        assert!("123".starts_with(&answer), "at most what passed comes back: {answer:?}");
        until_received(&received, 3).await;
        assert_eq!(ask(&mut connect(&proxy).await, "6").await, "", "every later connection is cut too");
        assert_eq!(received.load(Relaxed), 3);
        proxy.set(Mode::Pass).await;
        assert_eq!(ask(&mut connect(&proxy).await, "7").await, "7");
    }

    #[tokio::test]
    async fn a_stalled_receiver_reads_nothing_and_loses_nothing() {
        let (server, received) = echo().await;
        let proxy = Proxy::start(server).await;
        let mut client = connect(&proxy).await;
        proxy.set(Mode::StallAfter(Direction::Requests, 3)).await;
        client.write_all(b"123").await.unwrap();
        until_received(&received, 3).await;
        client.write_all(b"45").await.unwrap();
        assert_eq!(client.read_exact(&mut [0; 3]).await.unwrap(), 3);
        assert!(is_silent(&mut client).await);
        assert_eq!(received.load(Relaxed), 3);
        proxy.set(Mode::Pass).await;
        until_received(&received, 5).await;
    }

    #[tokio::test]
    async fn another_target_is_for_new_connections_and_the_mode_stays() {
        let ((first, to_first), (second, to_second)) = (echo().await, echo().await);
        let proxy = Proxy::start(first).await;
        let mut client = connect(&proxy).await;
        assert_eq!(ask(&mut client, "a").await, "a");
        proxy.set(Mode::Swallow(Direction::Replies)).await;
        proxy.retarget(second).await;
        assert_eq!(ask(&mut client, "b").await, "", "open connections are closed");
        let mut client = connect(&proxy).await;
        client.write_all(b"cd").await.unwrap();
        until_received(&to_second, 2).await;
        assert!(is_silent(&mut client).await);
        assert_eq!(to_first.load(Relaxed), 1);
    }

    #[tokio::test]
    async fn after_closing_all_new_connections_are_accepted() {
        let (server, _) = echo().await;
        let proxy = Proxy::start(server).await;
        let mut client = connect(&proxy).await;
        assert_eq!(ask(&mut client, "a").await, "a");
        proxy.close_all().await;
        assert_eq!(ask(&mut client, "b").await, "");
        assert_eq!(ask(&mut connect(&proxy).await, "c").await, "c");
        let address = proxy.address();
        drop(proxy);
        let gone = async { while TcpStream::connect(address).await.is_ok() {} };
        tokio::time::timeout(PATIENCE, gone).await.expect("a dropped proxy stops listening");
    }
}
