//! Tests of the binary from outside: real processes, real stores, real signals.
//!
//! Every test has separate servers, data directories and ports, and ends in [`group::Group::finish`]: at most
//! one instance had a valid lease at any instant, epochs only grew, and the database's own history agrees. No
//! test asserts a duration, only events and their order. Every wait has the timeout [`wait::PATIENCE`], and a
//! failed test prints the logs of all processes.
//!
//! - [`group`], [`database`], [`servers`], [`command`], [`wait`]: helpers of the tests.
//! - [`failover`]: kill, stop, terminate, step down; on the embedded store and on Redis with PostgreSQL.
//! - [`redis_away`], [`postgres_away`], [`both_away`], [`hostile_ticket`], [`cut_off`]: stores that fail.
//! - [`large_answer`]: a leader that is stopped in the middle of a large answer.
//! - [`fencing`], [`promotion`]: superseded tokens are refused, also on another timeline.
//! - [`recovery`]: no instance acts on an invalid portfolio.
//! - [`bad_call`], [`bad_store`], [`bad_start`]: faults that the operator must repair, and those that a start
//!   waits for.
//! - [`signals`]: accepted by any instance, executed once, whatever process dies in between.
//! - [`alerts`], [`panels`], with [`watched`], [`monitoring`] and [`double`]: the alerts and dashboards of a
//!   real Prometheus and Alertmanager.
//! - [`every_alert`]: each alert fires and resolves on a real Prometheus and Alertmanager.
//! - [`runbooks`], with [`runbook`] and [`follow`]: the commands of the runbooks print what the pages say,
//!   during the fault.
//! - [`telemetry`]: the pushes to a receiver of OTLP, for which no instance waits.
//! - [`stability`], with [`machine`]: without a fault, a term does not end.
//! - [`handover`], [`stops`], [`output`], [`descriptors`]: actions of the operator and of the operating
//!   system on a process.
//! - [`access`]: tokens, their rotation, and the commands over HTTP.
//! - [`operator`]: for each of twelve faults, the page and the terminal name the cause and the next step.
//! - [`exec`], [`exec_kills`], with [`execs`]: `coordinator exec`, whose command is dead before another one starts.
//! - [`proxies`]: the shipped HAProxy and nginx before three instances, and the proxies of docs/hooks.md.
//! - [`demo`], [`pages`]: the demonstration; HTTP.
//! - [`network`] with [`hosts`], [`tls`], [`crowd`]: instances on different hosts, certificates, thousands of clients.
//! - [`browser`]: the operator's page in Chromium.

mod access;
mod alerts;
mod bad_call;
mod bad_start;
mod bad_store;
mod both_away;
mod browser;
mod command;
mod crowd;
mod cut_off;
mod database;
mod demo;
mod descriptors;
mod doctor;
mod double;
mod every_alert;
mod exec;
mod exec_kills;
mod execs;
mod failover;
mod fencing;
mod follow;
mod group;
mod handler_tls;
mod handover;
mod hooks;
mod hostile_ticket;
mod hosts;
mod large_answer;
mod machine;
mod monitoring;
mod network;
mod operator;
mod output;
mod pages;
mod panels;
mod postgres_away;
mod promotion;
mod proxies;
mod recovery;
mod redis_away;
mod runbook;
mod runbooks;
mod servers;
mod signals;
mod stability;
mod stops;
mod telemetry;
mod terminal;
mod tls;
mod wait;
mod watched;

use std::time::Duration;

/// LEADER_TTL of most tests: short enough to wait for its end, and long enough that two busy cores do not
/// cost a healthy leader its lease.
const TTL: Duration = Duration::from_secs(3);
