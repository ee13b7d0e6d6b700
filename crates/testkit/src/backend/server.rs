//! The guard of one server: a thread that owns it.
//!
//! The kernel kills a native server when the *thread* that started it ends, and a container is driven by a
//! runtime; a thread that lives as long as the guard gives both a home, whatever thread a test calls from.

use super::native::tail;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// A server that has not become ready by then will not: fails with its log instead of hanging.
const READY_TIME_MAX: Duration = Duration::from_mins(1);
/// Between two looks at a server that starts.
const READY_POLL: Duration = Duration::from_millis(10);

/// What can be done to a running server.
pub(super) trait Host {
    /// Starts it, or starts it again.
    fn start(&mut self) -> Result<(), String>;
    /// That it has not ended by itself.
    fn check(&mut self) -> Result<(), String>;
    /// Ends it in an orderly way.
    fn stop(&mut self) -> Result<(), String>;
    /// Ends it as a power cut would, without a goodbye.
    fn kill(&mut self) -> Result<(), String>;
    /// Stops it from running; its connections stay.
    fn pause(&mut self) -> Result<(), String>;
    /// Lets it run on.
    fn resume(&mut self) -> Result<(), String>;
    /// The end of its log, for error messages.
    fn log(&self) -> String;
}

/// What a guard asks of its thread.
#[derive(Debug, Clone, Copy)]
pub(super) enum Order {
    Start,
    Stop,
    Kill,
    Pause,
    Resume,
}

type Answer = Result<(), String>;

/// The guard. Dropped: the server and its files are gone when the drop returns.
#[derive(Debug)]
pub(super) struct Server {
    orders: Option<mpsc::Sender<(Order, mpsc::Sender<Answer>)>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Server {
    /// Makes the host on its own thread, starts it and waits until `ready` says so.
    pub(super) fn start<H: Host>(
        name: &str,
        make: impl FnOnce() -> Result<H, String> + Send + 'static,
        ready: impl Fn() -> Answer + Send + 'static,
    ) -> Self {
        let (orders, received) = mpsc::channel();
        let (told, started) = mpsc::channel();
        let thread = thread::Builder::new()
            .name(format!("testkit {name}"))
            .spawn(move || match make().and_then(|mut host| start(&mut host, &ready).map(|()| host)) {
                Ok(host) => {
                    let _ = told.send(Ok(()));
                    obey(host, &ready, &received);
                }
                Err(sentence) => {
                    let _ = told.send(Err(sentence));
                }
            })
            .expect("a thread for the server's guard");
        let answer = started.recv().unwrap_or_else(|_| Err("its thread panicked".to_owned()));
        if let Err(sentence) = answer {
            panic!("{name} does not start: {sentence}");
        }
        Self { orders: Some(orders), thread: Some(thread) }
    }

    /// Carries out the order and waits until it is done.
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
        // Without orders to come the thread drops the host, which removes the server, and ends.
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
        // Between two tries: a server says nowhere that it is ready.
        thread::sleep(READY_POLL);
    }
}
