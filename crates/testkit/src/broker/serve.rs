//! The broker's side of each connection: one request, one answer.

use super::books::{Found, TurnedAway};
use super::{Conduct, Order, Shared};
use domain::id::ClaimId;
use domain::lease::Epoch;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// Longest silence of a client; after it, the client counts as gone.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Largest request body: more than any signal.
const BODY_LEN_MAX: u64 = 1 << 20;
/// Longest request head; no client of ours sends more.
const HEAD_LEN_MAX: u64 = 1 << 16;

/// Accepts clients until the broker is dropped.
pub(super) fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.ending.load(Relaxed) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let shared = Arc::clone(shared);
        // Not joined: the thread ends with its one request.
        std::thread::spawn(move || {
            // A client that disconnects early is no fault of the broker.
            let _ = serve(stream, &shared);
        });
    }
}

/// The head of a request.
struct Head {
    method: String,
    path: String,
    headers: HashMap<String, String>,
}

impl Head {
    fn read(reader: &mut impl BufRead) -> std::io::Result<Self> {
        let mut reader = reader.take(HEAD_LEN_MAX);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let mut words = line.split(' ').map(str::to_owned);
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let mut headers = HashMap::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        Ok(Self { method, path, headers })
    }

    fn number<N: std::str::FromStr + Default>(&self, name: &str) -> N {
        self.headers.get(name).and_then(|value| value.parse().ok()).unwrap_or_default()
    }
}

fn serve(mut stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let head = Head::read(&mut reader)?;
    let (epoch, attempt) = (head.number("coordinator-epoch"), head.number("coordinator-attempt"));
    let claim = head.headers.get("coordinator-claim").and_then(|claim| ClaimId::parse(claim));
    let claim = claim.unwrap_or(ClaimId::NIL);
    shared.books().hear(Epoch(epoch), claim);
    if head.method == "GET" {
        let key = head.path.rsplit('/').next().unwrap_or_default();
        return look_up(&mut stream, shared, key, attempt);
    }
    let mut body = Vec::new();
    reader.take(head.number::<u64>("content-length").min(BODY_LEN_MAX)).read_to_end(&mut body)?;
    let body: serde_json::Value = serde_json::from_slice(&body)?;
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let order = Order {
        id: text("id"),
        instrument: text("instrument"),
        key: head.headers.get("idempotency-key").cloned().unwrap_or_default(),
        epoch,
        claim,
        attempt,
        body,
        at: Instant::now(),
    };
    let admitted = shared.books().admit(&order);
    match admitted {
        Ok(()) => carry_out(&mut stream, shared, order),
        turned_away @ Err(TurnedAway) => reply(&mut stream, turned_away, 200, ""),
    }
}

/// Treats the order as the test requires.
fn carry_out(stream: &mut TcpStream, shared: &Shared, order: Order) -> std::io::Result<()> {
    let execute = |order| {
        let executed = shared.books().execute(order);
        shared.arrived.notify_all();
        executed
    };
    match (shared.decide)(&order) {
        Conduct::Executes(status, body) => reply(stream, execute(order), status, &body),
        Conduct::Refuses(status, body) => answer(stream, status, &body),
        Conduct::ExecutesAndCuts => {
            // The client gets no answer, whether the order was executed or not.
            let _ = execute(order);
            stream.shutdown(Shutdown::Both)
        }
        Conduct::Cuts => stream.shutdown(Shutdown::Both),
        Conduct::ExecutesSlowly(pause) => {
            let executed = execute(order);
            // The delay that the test requires.
            std::thread::sleep(pause);
            reply(stream, executed, 200, "")
        }
        Conduct::ExecutesLate(pause) => {
            // The delay that the test requires.
            std::thread::sleep(pause);
            reply(stream, execute(order), 200, "")
        }
    }
}

/// The answer to an order that was executed, or that arrived too late.
fn reply(
    stream: &mut TcpStream,
    executed: Result<(), TurnedAway>,
    status: u16,
    body: &str,
) -> std::io::Result<()> {
    match executed {
        Ok(()) => answer(stream, status, body),
        Err(TurnedAway) => {
            let document = r#"{"outcome": "not_executed", "note": "a later leader or a lookup was here"}"#;
            answer(stream, 409, document)
        }
    }
}

fn look_up(stream: &mut TcpStream, shared: &Shared, key: &str, attempt: u32) -> std::io::Result<()> {
    let asked = (key.to_owned(), attempt);
    let found = {
        let mut books = shared.books();
        books.lookups += 1;
        if (shared.knows)(key) {
            books.answered.insert(asked);
            Some(books.look_up(key, attempt))
        } else {
            books.unanswered.insert(asked);
            None
        }
    };
    match found {
        Some(Found::Executed) => answer(stream, 200, r#"{"outcome": "done"}"#),
        Some(Found::NeverWillBe) => {
            answer(stream, 200, &format!(r#"{{"outcome": "not_executed", "attempt": {attempt}}}"#))
        }
        None => answer(stream, 404, ""),
    }
}

fn answer(stream: &mut TcpStream, status: u16, body: &str) -> std::io::Result<()> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} Said\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(format!("{head}{body}").as_bytes())?;
    stream.flush()
}
