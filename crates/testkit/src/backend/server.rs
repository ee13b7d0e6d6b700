//! The guard of one server: a thread that owns it.
//!
//! The kernel kills a native server when the *thread* that started it ends, and a container needs a runtime.
//! A thread that exists as long as the guard serves both, whatever thread a test calls from.

use super::native::tail;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Timeout of a start; then the test fails with the server's log instead of hanging.
const READY_TIME_MAX: Duration = Duration::from_mins(1);
/// Pause between two polls of a server that starts.
const READY_POLL: Duration = Duration::from_millis(10);

/// Operations on a running server.
pub(super) trait Host {
    /// Starts the server, or starts it again.
    fn start(&mut self) -> Result<(), String>;
    /// Fails if the server has ended unexpectedly.
    fn check(&mut self) -> Result<(), String>;
    /// Ends the server in an orderly way.
    fn stop(&mut self) -> Result<(), String>;
    /// Ends the server as a power failure would.
    fn kill(&mut self) -> Result<(), String>;
    /// Stops the server from running; its connections stay open.
    fn pause(&mut self) -> Result<(), String>;
    /// Lets the server run again.
    fn resume(&mut self) -> Result<(), String>;
    /// The end of the server's log, for error messages.
    fn log(&self) -> String;
}

/// Order of a guard to its thread.
#[derive(Debug, Clone, Copy)]
pub(super) enum Order {
    Start,
    Stop,
    Kill,
    Pause,
    Resume,
}

type Answer = Result<(), String>;

/// The guard. When a drop returns, the server and its files are gone.
#[derive(Debug)]
pub(super) struct Server {
    orders: Option<mpsc::Sender<(Order, mpsc::Sender<Answer>)>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Server {
    /// Creates the host on a separate thread, starts it, and waits until `ready` confirms.
    pub(super) fn start<H: Host>(
        name: &str,
        make: impl FnOnce() -> Result<H, String> + Send + 'static,
        ready: impl Fn() -> Answer + Send + 'static,
    ) -> Self {
        let (orders, received) = mpsc::channel();
        let (outcome, started) = mpsc::channel();
        let thread = thread::Builder::new()
            .name(format!("testkit {name}"))
            .spawn(move || match make().and_then(|mut host| start(&mut host, &ready).map(|()| host)) {
                Ok(host) => {
                    let _ = outcome.send(Ok(()));
                    obey(host, &ready, &received);
                }
                Err(sentence) => {
                    let _ = outcome.send(Err(sentence));
                }
            })
            .expect("a thread for the server's guard");
        let answer = started.recv().unwrap_or_else(|_| Err("its thread panicked".to_owned()));
        if let Err(sentence) = answer {
            panic!("{name} does not start: {sentence}");
        }
        Self { orders: Some(orders), thread: Some(thread) }
    }

    /// Executes the order and waits until it is complete.
    pub(super) fn order(&self, order: Order) {
        let (answer, answered) = mpsc::channel();
        let orders = self.orders.as_ref().expect("the guard's thread ends with the guard");
        let answer = orders.send((order, answer)).ok().and_then(|()| answered.recv().ok());
        match answer {
            Some(Ok(())) => {}
            Some(Err(sentence)) => panic!("{order:?}: {sentence}"),
            None => panic!("{order:?}: the server's thread panicked"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Without further orders the thread drops the host, which removes the server, and ends.
        drop(self.orders.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn obey<H: Host>(
    mut host: H,
    ready: &impl Fn() -> Answer,
    orders: &mpsc::Receiver<(Order, mpsc::Sender<Answer>)>,
) {
    while let Ok((order, answer)) = orders.recv() {
        let done = match order {
            Order::Start => start(&mut host, ready),
            Order::Stop => host.stop(),
            Order::Kill => host.kill(),
            Order::Pause => host.pause(),
            Order::Resume => host.resume(),
        };
        let _ = answer.send(done);
    }
}

fn start(host: &mut impl Host, ready: &impl Fn() -> Answer) -> Answer {
    let began = Instant::now();
    host.start()?;
    loop {
        let Err(not_yet) = ready() else { return Ok(()) };
        let ended = host.check();
        if ended.is_err() || began.elapsed() > READY_TIME_MAX {
            let why = ended.err().unwrap_or(not_yet);
            return Err(format!("{why}\n{}", tail(&host.log())));
        }
        // A pause between two attempts, because a server does not announce that it is ready.
        thread::sleep(READY_POLL);
    }
}
