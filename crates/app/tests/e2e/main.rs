//! The binary, from outside: real processes, real stores, real signals.
//!
//! Every test has servers, data directories and ports of its own, and ends in [`group::Group::finish`]: at
//! most one instance believed at any instant, epochs only grew, and the database's own history says the same.
//! Nothing here asserts how long something took: only what happened, in which order. What is waited for is
//! waited for with [`wait::PATIENCE`], and what every process said is printed when a test fails.
//!
//! - [`group`], [`database`], [`servers`], [`command`], [`wait`]: what the tests are written with.
//! - [`failover`]: kill, stop, terminate, step down; on the embedded store and on Redis with PostgreSQL.
//! - [`redis_away`], [`postgres_away`], [`both_away`], [`hostile_ticket`], [`cut_off`]: stores that fail.
//! - [`large_answer`]: a leader that is stopped in the middle of a large answer.
//! - [`fencing`], [`promotion`]: superseded tokens are refused, also on another timeline.
//! - [`recovery`]: nobody acts on a portfolio that cannot be trusted.
//! - [`bad_call`], [`bad_store`], [`bad_start`]: what is the user's to change, and what is waited for.
//! - [`signals`]: accepted anywhere, executed once, whatever dies in between.
//! - [`alerts`], [`panels`], with [`watched`], [`monitoring`] and [`double`]: what a real Prometheus and Alertmanager tell
//!   of a group.
//! - [`runbooks`], with [`runbook`] and [`follow`]: what the pages about alerts say is printed during the fault is printed.
//! - [`telemetry`]: what a receiver of OTLP is pushed, and that nothing waits for it.
//! - [`stability`]: while nothing is wrong a term does not end.
//! - [`handover`], [`stops`], [`output`], [`descriptors`]: what an operator and an operating system do to a process.
//! - [`demo`], [`pages`]: the demonstration; HTTP.

mod alerts;
mod bad_call;
mod bad_start;
mod bad_store;
mod both_away;
mod command;
mod cut_off;
mod database;
mod demo;
mod descriptors;
mod double;
mod failover;
mod fencing;
mod follow;
mod group;
mod handover;
mod hostile_ticket;
mod large_answer;
mod monitoring;
mod output;
mod pages;
mod panels;
mod postgres_away;
mod promotion;
mod recovery;
mod redis_away;
mod runbook;
mod runbooks;
mod servers;
mod signals;
mod stability;
mod stops;
mod telemetry;
mod wait;
mod watched;

use std::time::Duration;

/// LEADER_TTL of most tests: short enough to wait for its end, and long enough that two busy cores do not
/// cost a healthy leader its lease.
const TTL: Duration = Duration::from_secs(3);
