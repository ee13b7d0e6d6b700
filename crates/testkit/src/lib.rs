//! What the tests of every crate stand on.
//!
//! - [`contract`]: one suite per port, run against every adapter and against the fakes. The suites are
//!   the definition of the ports: where two adapters could differ, there is a case.
//! - [`fake`]: the ports in memory, shared by several "processes", with faults on demand.
//! - [`backend`]: real Redis and PostgreSQL servers, in containers or as child processes.
//! - [`proxy`]: a TCP proxy that swallows, delays and cuts.
//! - [`process`]: the `coordinator` binary as a child process whose events a test reads.
//! - [`premise`]: whether a process and its store were quick enough for a promise about a healthy leader.
//! - [`monitor`]: a real Prometheus or Alertmanager as a child process.
//! - [`http`]: one request, asked from outside.
//! - [`raw_portfolio`]: what recovery reads, all rows at once.
//! - [`invariants`]: named judgements over the events of several processes.
//!
//! Everything here is for tests, so what cannot be set up panics with a sentence that says what to do.

pub mod backend;
pub mod broker;
pub mod contract;
pub mod fake;
pub mod http;
pub mod invariants;
pub mod monitor;
pub mod premise;
pub mod process;
pub mod proxy;
pub mod raw_portfolio;
