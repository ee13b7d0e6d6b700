//! A broker that takes orders by HTTP, as a service beside the coordinator does: it keeps every order it is sent and
//! never asks whether it came before, so what stands there twice was sent twice.
//!
//! Its look-up may say that an order will not come any more, because it keeps that promise: it remembers the largest
//! epoch of any request and refuses orders of a smaller one and of the same one under another claim, and it refuses the attempts of a signal of which it said
//! that they will not be executed. Both are looked at in the same moment in which an order is executed.

mod books;
mod serve;

use books::{Books, Found};
use domain::id::ClaimId;
use std::collections::{BTreeSet, HashMap};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// An order as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The signal's name.
    pub id: String,
    /// Its instrument.
    pub instrument: String,
    /// The Idempotency-Key.
    pub key: String,
    /// Which leadership sent it.
    pub epoch: u64,
    /// And under which claim of the lease; nil when the request did not say so.
    pub claim: ClaimId,
    /// Which claim of the signal.
    pub attempt: u32,
    /// The whole body.
    pub body: serde_json::Value,
    /// When its last byte was here.
    pub at: Instant,
}

/// What the broker does with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conduct {
    /// Executes the order and answers with this status and body.
    Executes(u16, String),
    /// Answers with this status and body, and executes nothing.
    Refuses(u16, String),
    /// Executes the order and cuts the connection.
    ExecutesAndCuts,
    /// Cuts the connection, and executes nothing.
    Cuts,
    /// Executes the order and answers after so long.
    ExecutesSlowly(Duration),
    /// Executes the order after so long, unless it has become one that must not be, and answers then.
    ExecutesLate(Duration),
}

impl Conduct {
    /// Executes the order and says so.
    pub fn done() -> Self {
        Self::Executes(200, String::new())
    }
}

type Decide = Box<dyn Fn(&Order) -> Conduct + Send + Sync>;
type Knows = Box<dyn Fn(&str) -> bool + Send + Sync>;

struct Shared {
    books: Mutex<Books>,
    arrived: Condvar,
    ending: AtomicBool,
    decide: Decide,
    knows: Knows,
}

impl Shared {
    fn books(&self) -> MutexGuard<'_, Books> {
        // A test's own closure that panicked under this lock has failed its test already.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See the [module](self). Dropped: it takes no more orders.
pub struct HttpBroker {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

impl HttpBroker {
    /// One that executes everything.
    ///
    /// # Panics
    /// When no port of loopback is free.
    pub fn start() -> Self {
        Self::with(|_| Conduct::done(), |_| true)
    }

    /// One that does with each order what `decide` says, and whose look-up answers for the keys that it `knows`.
    ///
    /// # Panics
    /// When no port of loopback is free.
    pub fn with(
        decide: impl Fn(&Order) -> Conduct + Send + Sync + 'static,
        knows: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            books: Mutex::default(),
            arrived: Condvar::new(),
            ending: AtomicBool::new(false),
            decide: Box::new(decide),
            knows: Box::new(knows),
        });
        let serving = Arc::clone(&shared);
        let accepting = std::thread::spawn(move || serve::accept(&listener, &serving));
        Self { address, shared, accepting: Some(accepting) }
    }

    /// Where orders go, and look-ups below it.
    pub fn url(&self) -> String {
        format!("http://{}/orders", self.address)
    }

    /// Every order that was executed, in the order in which that happened.
    pub fn orders(&self) -> Vec<Order> {
        self.shared.books().executed.clone()
    }

    /// How often each signal was executed, by its name.
    pub fn times(&self) -> HashMap<String, usize> {
        self.shared.books().times.clone()
    }

    /// The names of the signals that were executed, in the order in which that happened.
    pub fn executed(&self) -> Vec<String> {
        self.shared.books().executed.iter().map(|order| order.id.clone()).collect()
    }

    /// How many look-ups there were.
    pub fn lookups(&self) -> u64 {
        self.shared.books().lookups
    }

    /// The keys and attempts that were looked up and that it told about.
    pub fn answered(&self) -> BTreeSet<(String, u32)> {
        self.shared.books().answered.clone()
    }

    /// The keys and attempts that were looked up and that it said nothing about.
    pub fn unanswered(&self) -> BTreeSet<(String, u32)> {
        self.shared.books().unanswered.clone()
    }

    /// How many orders came too late to be executed.
    pub fn turned_away(&self) -> u64 {
        self.shared.books().turned_away
    }

    /// What a person is told who asks about a signal, whether its look-up knows it or not: `true` when it was
    /// executed. When it was not, this attempt will not be any more.
    pub fn certify(&self, key: &str, attempt: u32) -> bool {
        self.shared.books().look_up(key, attempt) == Found::Executed
    }

    /// Waits until `count` orders were executed; the last of them.
    ///
    /// # Panics
    /// When that does not come to pass within `patience`.
    pub fn wait_orders(&self, count: usize, patience: Duration) -> Order {
        let books = self.shared.books();
        let waiting =
            self.shared.arrived.wait_timeout_while(books, patience, |books| books.executed.len() < count);
        let (books, _) = waiting.unwrap_or_else(PoisonError::into_inner);
        let executed = books.executed.len();
        books.executed.get(count - 1).cloned().unwrap_or_else(|| panic!("{executed} orders of {count} came"))
    }
}

impl Drop for HttpBroker {
    fn drop(&mut self) {
        self.shared.ending.store(true, Relaxed);
        // Wakes the thread that waits for a client.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}
