//! Measures signals from the POST at a coordinator to its handler.

use crate::figure::{Spread, count};
use contract::event::EventKind;
use serde_json::json;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use testkit::broker::HttpBroker;
use testkit::http;
use testkit::process::{Coordinator, Launch};

/// Pause between the end of a signal and the begin of the next.
pub const PAUSE: Duration = Duration::from_millis(5);
/// Signals before the measured ones, so that connections are open and statements prepared.
const FIRST: usize = 50;
const SIGNALS: usize = 1_000;
const INSTRUMENTS: usize = 100;
const CLIENTS: usize = 8;
const SIGNALS_OF_A_CLIENT: usize = 250;
/// Limit from a POST to the signal at the handler.
const LIMIT_MS: f64 = 10.0;
/// Timeout of every wait.
const PATIENCE: Duration = Duration::from_secs(30);

/// A coordinator to measure.
pub struct Service {
    name: &'static str,
    arguments: Vec<String>,
}

impl Service {
    /// On embedded SQLite, unless arguments say otherwise.
    pub fn new(name: &'static str) -> Self {
        Self { name, arguments: Vec::new() }
    }

    pub fn argument(mut self, name: &str, value: &str) -> Self {
        self.arguments.extend([name.to_owned(), value.to_owned()]);
        self
    }

    /// Starts an instance that leads and sends signals. Its limits are never reached, but must be counted.
    fn start(&self, program: &Path, broker: &HttpBroker, signals: usize) -> Coordinator {
        let launch = self.arguments.iter().fold(Launch::new(program, self.name), Launch::argument);
        let launch = launch.argument("--handler").argument(broker.url());
        let limit = signals.to_string();
        let launch = launch.environment("COORDINATOR_SIGNALS_MAX_PER_MINUTE", &limit);
        let mut coordinator = launch.environment("COORDINATOR_SIGNALS_MAX_PER_DAY", &limit).start();
        coordinator.wait_for(EventKind::Lead, PATIENCE);
        coordinator
    }
}

/// Measures one signal after the other, on an idle service.
pub fn latency(program: &Path, service: &Service) {
    let broker = HttpBroker::start();
    let coordinator = service.start(program, &broker, FIRST + SIGNALS);
    let address = coordinator.address();
    let took = (0..FIRST + SIGNALS).map(|number| {
        let began = post(&address, number);
        let order = broker.wait_orders(number + 1, PATIENCE);
        sleep(PAUSE);
        order.at.duration_since(began).as_secs_f64() * 1e3
    });
    let took: Spread = took.skip(FIRST).collect();
    let [p50, p99, most] = [took.part(50), took.part(99), took.most()];
    println!(
        "from POST to handler, {}: p50 {:.2}, p99 {:.2}, max {:.2} of {LIMIT_MS} ms ({p50:.1}, {p99:.1}, {most:.1} ms; {SIGNALS} signals)",
        service.name,
        p50 / LIMIT_MS,
        p99 / LIMIT_MS,
        most / LIMIT_MS
    );
}

/// Measures the rate of several parallel clients.
pub fn rate(program: &Path, service: &Service) {
    let broker = HttpBroker::start();
    let total = CLIENTS * SIGNALS_OF_A_CLIENT;
    let coordinator = service.start(program, &broker, FIRST + total);
    let address = coordinator.address();
    for number in 0..FIRST {
        post(&address, number);
    }
    broker.wait_orders(FIRST, PATIENCE);
    let next = AtomicUsize::new(FIRST);
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                for _ in 0..SIGNALS_OF_A_CLIENT {
                    post(&address, next.fetch_add(1, Relaxed));
                }
            });
        }
    });
    let accepted = began.elapsed();
    let executed = broker.wait_orders(FIRST + total, PATIENCE).at.duration_since(began);
    let a_second = |time: Duration| count(total) / time.as_secs_f64();
    println!(
        "{CLIENTS} clients at a time, {}: {:.0} signals a second from POST to handler, accepted at {:.0} a second",
        service.name,
        a_second(executed),
        a_second(accepted)
    );
}

/// Submits a signal on a separate connection, as charts and curl do. Returns the time at which the
/// client began to connect.
fn post(address: &str, number: usize) -> Instant {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    let body = json!({
        "instrument": format!("I{}", number % INSTRUMENTS),
        "signal_type": "BASE_ENTRY",
        "position": format!("Long_{number}"),
        "timestamp": now.as_secs(),
        "payload": {"price": "24310.55", "quantity": "75", "strategy": "trend", "stop": "24180.00"},
    });
    let began = Instant::now();
    let answer = http::request(address, "POST", "/signals", &[], &body.to_string());
    let answer = answer.expect("the coordinator answers");
    assert_eq!(answer.status, 201, "{}", answer.body);
    began
}
