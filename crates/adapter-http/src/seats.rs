//! [`Seats`]: the open connections. The server takes a [`Seat`] for each, and the seat knows whether the connection
//! waits for its client or the client for the server.
//!
//! Invariants: there are at most [`Limits::connections`] seats, and at most all but [`Limits::reserved`] of them
//! answer requests other than probes. So at any time a reserved seat is free, or answers a probe from memory, or its
//! connection waits for its client and can be closed: clients that send nothing, or read nothing, cannot keep a probe
//! out.

use crate::arriving::Awaited;
use crate::server::Limits;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Time that a connection has for its first bytes, whatever else waits. A client in the same network needs less.
const GRACE: Duration = Duration::from_millis(10);
/// Least time between two lines in the log about closed connections.
const LINES_APART: Duration = Duration::from_mins(1);
/// Paths that are answered from memory, and that monitoring and load balancers need most under load.
const PROBES: [&str; 4] = ["/livez", "/readyz", "/leader", "/metrics"];

/// All seats of a server.
pub(crate) struct Seats {
    limits: Limits,
    state: Mutex<State>,
    /// A seat became free, or a connection began to wait for its client.
    changed: Notify,
}

#[derive(Default)]
struct State {
    next: u64,
    taken: BTreeMap<u64, Entry>,
    closed: Closed,
}

struct Entry {
    /// `None` on loopback: a proxy on this host has the connections of many clients.
    from: Option<IpAddr>,
    /// Begin of the phase.
    since: Instant,
    phase: Phase,
    leave: Arc<Notify>,
    leaves: bool,
}

enum Phase {
    /// Waits for the client: for a handshake, for a head, or until it has read the answer.
    Waiting,
    /// A request is answered.
    Answering { probe: bool, body: Awaited },
    /// Streams events. The stream ends if the client does not read.
    Streaming,
}

/// Connections that were closed for others since the last line in the log.
#[derive(Default)]
struct Closed {
    logged: Option<Instant>,
    count: u64,
}

/// The reason why a request is not answered now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// As many requests are answered as this server allows.
    Server,
    /// As many requests of this address are answered as one address may have.
    Address,
}

/// The seat of one connection; free again when it is dropped.
pub(crate) struct Seat {
    seats: Arc<Seats>,
    id: u64,
    leave: Arc<Notify>,
}

impl Seats {
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        let reserved = limits.reserved.min(limits.connections / 2);
        let limits = Limits { reserved, ..limits };
        Arc::new(Self { limits, state: Mutex::default(), changed: Notify::new() })
    }

    /// Takes a seat for a connection from `remote`. If all are taken, the connection that has waited longest for its
    /// client is closed; if none waits, this waits. `None`: the address has all the seats that one address may have,
    /// and none of its connections waits for it.
    ///
    /// Cancellation safe: no seat is taken then.
    pub(crate) async fn take(self: &Arc<Self>, remote: Option<IpAddr>) -> Option<Seat> {
        let from = remote.and_then(counted);
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            let until = {
                let mut state = self.lock();
                let now = Instant::now();
                let own = self.limits.per_address.saturating_add(self.limits.reserved);
                if from.is_some() && state.seats_of(from) >= own && !state.close_longest_waiting(now, from) {
                    return None;
                }
                if state.taken.len() < self.limits.connections {
                    return Some(self.seat(&mut state, from, now));
                }
                match state.longest_waiting(None).map(|(_, since)| since + GRACE) {
                    _ if state.taken.values().any(|entry| entry.leaves) => None,
                    Some(at) if at > now => Some(at),
                    Some(_) => {
                        state.close_longest_waiting(now, None);
                        None
                    }
                    None => None,
                }
            };
            match until {
                Some(at) => tokio::select! { () = changed => {}, () = sleep_until(at) => {} },
                None => changed.await,
            }
        }
    }

    fn seat(self: &Arc<Self>, state: &mut State, from: Option<IpAddr>, since: Instant) -> Seat {
        let (id, leave) = (state.next, Arc::new(Notify::new()));
        state.next += 1;
        let entry = Entry { from, since, phase: Phase::Waiting, leave: Arc::clone(&leave), leaves: false };
        state.taken.insert(id, entry);
        Seat { seats: Arc::clone(self), id, leave }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn seats_of(&self, from: Option<IpAddr>) -> usize {
        self.taken.values().filter(|entry| entry.from == from && !entry.leaves).count()
    }

    /// Requests other than probes that are answered now, of one address or of all.
    fn answering(&self, from: Option<IpAddr>) -> usize {
        let counts = |entry: &&Entry| match entry.phase {
            Phase::Waiting | Phase::Answering { probe: true, .. } => false,
            Phase::Answering { .. } | Phase::Streaming => from.is_none() || entry.from == from,
        };
        self.taken.values().filter(|entry| !entry.leaves).filter(counts).count()
    }

    /// The connection that has waited longest for its client, of one address or of all.
    fn longest_waiting(&self, from: Option<IpAddr>) -> Option<(u64, Instant)> {
        self.longest(from, |phase| match phase {
            Phase::Waiting => true,
            Phase::Answering { body, .. } => body.is_so(),
            Phase::Streaming => false,
        })
    }

    fn longest(&self, from: Option<IpAddr>, waits: impl Fn(&Phase) -> bool) -> Option<(u64, Instant)> {
        let waiting = self.taken.iter().filter(|(_, entry)| {
            waits(&entry.phase) && !entry.leaves && (from.is_none() || entry.from == from)
        });
        waiting.map(|(id, entry)| (*id, entry.since)).min_by_key(|(_, since)| *since)
    }

    /// False if no connection waits.
    fn close_longest_waiting(&mut self, now: Instant, from: Option<IpAddr>) -> bool {
        let found = self.longest_waiting(from);
        self.close(now, found)
    }

    /// Closes the request whose body has been awaited longest, so that clients that send no body do not keep others from being
    /// answered. False if there is none.
    fn close_longest_body(&mut self, now: Instant, from: Option<IpAddr>) -> bool {
        let found = self
            .longest(from, |phase| matches!(phase, Phase::Answering { probe: false, body } if body.is_so()));
        self.close(now, found)
    }

    fn close(&mut self, now: Instant, found: Option<(u64, Instant)>) -> bool {
        let found = found.and_then(|(id, _)| self.taken.get_mut(&id));
        let Some(entry) = found else { return false };
        entry.leaves = true;
        entry.leave.notify_one();
        self.closed.note(now);
        true
    }
}

impl Closed {
    fn note(&mut self, now: Instant) {
        self.count += 1;
        if self.logged.is_none_or(|logged| now >= logged + LINES_APART) {
            tracing::warn!(
                closed = self.count,
                "HTTP: too many connections are open, so those that waited longest for their clients were closed: {} \
                 since the last such line",
                self.count
            );
            *self = Self { logged: Some(now), count: 0 };
        }
    }
}

impl Seat {
    /// Resolves when another connection needs this seat. Cancellation safe.
    pub(crate) async fn is_needed(&self) {
        self.leave.notified().await;
    }

    /// The connection has received the head of a request. `body` says whether the server waits for the rest of it.
    ///
    /// # Errors
    /// If too many requests are answered already, and the body of none of them is awaited. A probe is always admitted.
    pub(crate) fn admit(&self, path: &str, body: Awaited) -> Result<(), Full> {
        let probe = PROBES.contains(&path);
        let limits = &self.seats.limits;
        let mut state = self.seats.lock();
        let from = state.taken.get(&self.id).and_then(|entry| entry.from);
        let now = Instant::now();
        let most = limits.connections.saturating_sub(limits.reserved);
        if !probe && state.answering(None) >= most && !state.close_longest_body(now, None) {
            return Err(Full::Server);
        }
        let all_of_address = !probe && from.is_some() && state.answering(from) >= limits.per_address;
        if all_of_address && !state.close_longest_body(now, from) {
            return Err(Full::Address);
        }
        self.enter(&mut state, Phase::Answering { probe, body });
        Ok(())
    }

    /// The answer is complete, except for the events of a stream.
    pub(crate) fn answered(&self, streams: bool) {
        let phase = if streams { Phase::Streaming } else { Phase::Waiting };
        self.enter(&mut self.seats.lock(), phase);
        self.seats.changed.notify_waiters();
    }

    fn enter(&self, state: &mut State, phase: Phase) {
        if let Some(entry) = state.taken.get_mut(&self.id) {
            (entry.phase, entry.since) = (phase, Instant::now());
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.lock().taken.remove(&self.id);
        self.seats.changed.notify_waiters();
    }
}

/// The address whose connections are counted together: one client can have all addresses of a /64 network. `None`
/// for loopback.
fn counted(remote: IpAddr) -> Option<IpAddr> {
    match remote.to_canonical() {
        own @ (IpAddr::V4(_) | IpAddr::V6(_)) if own.is_loopback() => None,
        four @ IpAddr::V4(_) => Some(four),
        IpAddr::V6(six) => Some(Ipv6Addr::from_bits(six.to_bits() & !u128::from(u64::MAX)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::task::{Context, Poll, Waker};

    const LIMITS: Limits = Limits {
        head: Duration::MAX,
        answer: Duration::MAX,
        stalled_write: Duration::MAX,
        drain: Duration::MAX,
        connections: 4,
        reserved: 1,
        per_address: 2,
    };

    fn from(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    /// The seat that is there at once; `None` if none is.
    fn at_once(seats: &Arc<Seats>, remote: &str) -> Option<Seat> {
        let mut taken = pin!(seats.take(Some(from(remote))));
        match taken.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(seat) => seat,
            Poll::Pending => None,
        }
    }

    fn leaves(seat: &Seat) -> bool {
        let mut needed = pin!(seat.is_needed());
        needed.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[tokio::test(start_paused = true)]
    async fn the_connection_that_has_waited_longest_leaves() {
        let seats = Seats::new(LIMITS);
        let all: Vec<Seat> = (0..4).filter_map(|_| at_once(&seats, "127.0.0.1")).collect();
        assert_eq!(all.len(), 4);
        all[0].admit("/status", Awaited::default()).expect("admitted");
        assert!(at_once(&seats, "127.0.0.1").is_none(), "each has some time for its head");
        tokio::time::advance(GRACE).await;
        assert!(at_once(&seats, "127.0.0.1").is_none(), "the other has to leave first");
        let left: Vec<bool> = all.iter().map(leaves).collect();
        assert_eq!(left, [false, true, false, false], "the first is answered, the second waited longest");
        drop(all.into_iter().nth(1));
        assert!(at_once(&seats, "127.0.0.1").is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_arrive_makes_room() {
        let seats = Seats::new(Limits { reserved: 0, connections: 1, ..LIMITS });
        let seat = at_once(&seats, "127.0.0.1").expect("free");
        let body = Awaited::default();
        seat.admit("/signals", body.clone()).expect("admitted");
        tokio::time::advance(GRACE).await;
        assert!(at_once(&seats, "127.0.0.1").is_none() && !leaves(&seat), "it is answered");
        body.set(true);
        assert!(at_once(&seats, "127.0.0.1").is_none() && leaves(&seat), "the client does not send");
    }

    #[tokio::test]
    async fn requests_never_take_the_reserve_and_probes_do() {
        let seats = Seats::new(LIMITS);
        let all: Vec<Seat> = (0..4).filter_map(|_| at_once(&seats, "127.0.0.1")).collect();
        let admitted = |at: usize, path| all[at].admit(path, Awaited::default());
        assert_eq!([0, 1, 2].map(|at| admitted(at, "/status")), [Ok(()); 3]);
        all[2].answered(true);
        assert_eq!(admitted(3, "/events"), Err(Full::Server), "a stream is not over");
        for probe in PROBES {
            assert_eq!(admitted(3, probe), Ok(()), "{probe}");
        }
        all[3].answered(false);
        all[0].answered(false);
        assert_eq!(admitted(3, "/status"), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_is_answered_in_place_of_one_whose_body_does_not_arrive() {
        let seats = Seats::new(LIMITS);
        let all: Vec<Seat> = (0..4).filter_map(|_| at_once(&seats, "127.0.0.1")).collect();
        let bodies = [0, 1, 2].map(|_| Awaited::default());
        for (seat, body) in all.iter().zip(&bodies) {
            seat.admit("/signals", body.clone()).expect("admitted");
            tokio::time::advance(GRACE).await;
        }
        assert_eq!(all[3].admit("/signals", Awaited::default()), Err(Full::Server), "all are answered");
        bodies[1].set(true);
        bodies[2].set(true);
        assert_eq!(all[3].admit("/signals", Awaited::default()), Ok(()));
        let left: Vec<bool> = all.iter().map(leaves).collect();
        assert_eq!(left, [false, true, false, false], "the body that was awaited longest");
    }

    #[tokio::test]
    async fn one_address_takes_only_its_part() {
        let seats = Seats::new(Limits { connections: 8, ..LIMITS });
        let own: Vec<Seat> = (0..3).filter_map(|_| at_once(&seats, "10.0.0.7")).collect();
        assert_eq!(own.len(), 3, "its part and the reserve");
        for seat in &own[..2] {
            seat.admit("/status", Awaited::default()).expect("admitted");
        }
        assert_eq!(own[2].admit("/status", Awaited::default()), Err(Full::Address));
        assert_eq!(own[2].admit("/livez", Awaited::default()), Ok(()));
        assert!(at_once(&seats, "10.0.0.7").is_none(), "none of its connections waits");
        assert!(at_once(&seats, "::ffff:10.0.0.7").is_none(), "the same address");
        own[2].answered(false);
        let next = at_once(&seats, "10.0.0.7").expect("in place of the one that waits");
        assert!(leaves(&own[2]));
        drop(next);
        assert!(at_once(&seats, "10.0.0.8").is_some(), "others have their own part");
    }

    #[test]
    fn a_network_of_one_client_counts_as_one_address() {
        assert_eq!(counted(from("2001:db8::1")), counted(from("2001:db8::ffff:1")));
        assert_ne!(counted(from("2001:db8::1")), counted(from("2001:db8:0:1::1")));
        for own in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(counted(from(own)), None, "{own}");
        }
    }
}
