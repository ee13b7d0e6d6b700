//! A broker that accepts orders by HTTP, as a service next to the coordinator does. It keeps every order that
//! it receives and never checks for repetitions, so an order that it has twice was sent twice.
//!
//! Its lookup may answer that an order will not be executed any more, because the broker keeps that promise:
//! it remembers the largest epoch of any request, refuses orders of a smaller epoch and orders of the same
//! epoch under another claim, and refuses the attempts of a signal about which it has given that answer. It
//! checks both in the same step in which it executes an order.

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
    /// Name of the signal.
    pub id: String,
    /// Instrument of the signal.
    pub instrument: String,
    /// Value of Idempotency-Key.
    pub key: String,
    /// Epoch of the leader that sent it.
    pub epoch: u64,
    /// The leader's claim of the lease; nil if the request did not contain it.
    pub claim: ClaimId,
    /// Attempt of the signal.
    pub attempt: u32,
    /// The whole body.
    pub body: serde_json::Value,
    /// Time at which its last byte arrived.
    pub at: Instant,
}

/// Treatment of a request.
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
    /// Executes the order and answers after this pause.
    ExecutesSlowly(Duration),
    /// Executes the order after this pause unless it must be refused by then, and answers.
    ExecutesLate(Duration),
}

impl Conduct {
    /// Executes the order and confirms it.
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
        // A test's closure that panicked under this lock has failed its test already.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See the [module](self). When it is dropped, it accepts no more orders.
pub struct HttpBroker {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

impl HttpBroker {
    /// A broker that executes every order.
    ///
    /// # Panics
    /// If no port of loopback is free.
    pub fn start() -> Self {
        Self::with(|_| Conduct::done(), |_| true)
    }

    /// A broker that treats each order as `decide` returns, and whose lookup answers for the keys that it
    /// `knows`.
    ///
    /// # Panics
    /// If no port of loopback is free.
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

    /// URL for orders; lookups are below it.
    pub fn url(&self) -> String {
        format!("http://{}/orders", self.address)
    }

    /// Every order that was executed, in the order of execution.
    pub fn orders(&self) -> Vec<Order> {
        self.shared.books().executed.clone()
    }

    /// Number of executions of each signal, by its name.
    pub fn times(&self) -> HashMap<String, usize> {
        self.shared.books().times.clone()
    }

    /// The names of the executed signals, in the order of execution.
    pub fn executed(&self) -> Vec<String> {
        self.shared.books().executed.iter().map(|order| order.id.clone()).collect()
    }

    /// Number of lookups.
    pub fn lookups(&self) -> u64 {
        self.shared.books().lookups
    }

    /// The keys and attempts that were looked up and that it answered.
    pub fn answered(&self) -> BTreeSet<(String, u32)> {
        self.shared.books().answered.clone()
    }

    /// The keys and attempts that were looked up and that it did not answer.
    pub fn unanswered(&self) -> BTreeSet<(String, u32)> {
        self.shared.books().unanswered.clone()
    }

    /// Number of orders that arrived too late to be executed.
    pub fn turned_away(&self) -> u64 {
        self.shared.books().turned_away
    }

    /// The answer to an operator who queries a signal, whether or not the lookup knows it: `true` if it was
    /// executed. If it was not, this attempt will not be executed any more.
    pub fn certify(&self, key: &str, attempt: u32) -> bool {
        self.shared.books().look_up(key, attempt) == Found::Executed
    }

    /// Waits until `count` orders were executed, and returns the last of them.
    ///
    /// # Panics
    /// If that takes longer than `patience`.
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
