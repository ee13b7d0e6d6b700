//! Runbook tests with Redis, without which the group continues.

use crate::watched::Watched;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;
use testkit::backend::{Redis, Reply};

pub const REDIS: [&str; 3] = ["TicketFault", "SplitBrainDetected", "FallbackModeActive"];

/// A well-formed ticket of an instance that does not exist.
const FOREIGN: &str = "foreign 00000000-0000-0000-0000-000000000001";
/// Lifetime of a foreign ticket: not longer than a lease.
const LASTS_MS: u32 = 2_000;
/// Pause between two of its writes; there are many within a lease.
const AGAIN: Duration = Duration::from_millis(20);
const HOUR_MS: &str = "3600000";

#[test]
fn redis_with_a_foreign_writer_and_then_stopped() {
    let (mut watched, _) = Watched::start();
    let key = watched.servers.ticket_key();
    let forget = |redis: &Redis| {
        let _ = redis.command(&["DEL", &key]);
    };

    write(&watched.servers.redis, &key, HOUR_MS);
    watched.follow_with("TicketFault", |watched, step| {
        if step == 4 {
            forget(&watched.servers.redis);
        }
    });

    let mut other = Some(Usurper::start(&watched.servers.redis, &key));
    watched.follow_with("SplitBrainDetected", |watched, step| {
        if step == 4 {
            other = None;
            forget(&watched.servers.redis);
        }
    });
    watched.over("SplitBrainDetected");

    watched.servers.redis.stop();
    watched.follow_with("FallbackModeActive", |watched, step| {
        if step == 4 {
            watched.servers.redis.start();
        }
    });
    watched.over("FallbackModeActive");
    watched.finish(&REDIS);
}

fn write(redis: &Redis, key: &str, lasts_ms: &str) {
    let answer = redis.command(&["SET", key, FOREIGN, "PX", lasts_ms]);
    assert!(!matches!(answer, Reply::Error(_)), "{answer:?}");
}

/// Writes a foreign ticket repeatedly until it is dropped.
struct Usurper {
    ends: Arc<AtomicBool>,
    writing: Option<JoinHandle<()>>,
}

impl Usurper {
    fn start(redis: &Redis, key: &str) -> Self {
        let url = redis.url();
        let address = url.trim_start_matches("redis://").trim_end_matches('/');
        let mut stream = TcpStream::connect(address).expect("Redis listens");
        let command = format!("SET {key} \"{FOREIGN}\" PX {LASTS_MS}\r\n");
        let ends = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&ends);
        let writing = spawn(move || {
            let mut answer = [0; 64];
            while !ended.load(Relaxed) {
                stream.write_all(command.as_bytes()).expect("Redis runs");
                assert!(stream.read(&mut answer).expect("an answer") > 0);
                // In this pause the leader acquires the ticket again, if it can.
                sleep(AGAIN);
            }
        });
        Self { ends, writing: Some(writing) }
    }
}

impl Drop for Usurper {
    fn drop(&mut self) {
        self.ends.store(true, Relaxed);
        if let Some(writing) = self.writing.take() {
            // The reason of its panic is on standard error.
            let _ = writing.join();
        }
    }
}
