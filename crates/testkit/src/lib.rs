//! Real servers, processes and links for the tests that need them. Suites, fakes and invariants, which need
//! none, are in the crate `contract`.
//!
//! - [`backend`]: real Redis and PostgreSQL servers, in containers or as child processes.
//! - [`proxy`]: a TCP proxy that swallows, delays and cuts.
//! - [`authority`]: certificate authorities, and certificates that they issue.
//! - [`impostor`]: a man in the middle with another certificate.
//! - [`process`]: the `coordinator` binary as a child process whose events a test reads.
//! - [`premise`]: whether a process and its store were quick enough for a promise about a healthy leader.
//! - [`monitor`]: a real Prometheus or Alertmanager as a child process.
//! - [`http`]: a blocking HTTP client.
//! - [`browser`]: a Chromium that a test controls.
//! - [`directory`]: a temporary directory, in memory if there is room.
//!
//! Everything here is for tests, so a failed set-up panics with a sentence that says what to do.

pub mod authority;
pub mod backend;
pub mod broker;
pub mod browser;
pub mod directory;
pub mod front;
pub mod http;
pub mod impostor;
pub mod monitor;
pub mod premise;
pub mod process;
pub mod proxy;
