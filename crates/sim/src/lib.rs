//! Deterministic simulation: the real driver on virtual time, simulated stores, and faults by the million.
//!
//! A `plan::Plan` is drawn from a seed: a world (how many instances, LEADER_TTL, the kind of database) and a
//! schedule of faults. `world::play` plays it on one thread in virtual time: several real coordinators, each
//! in a `coordinator::clock::Process` that can be stopped and killed and has a clock of its own; the
//! contract-tested fakes behind lines that lose, delay and refuse; a broker that never de-duplicates; an operator
//! who decides what is in doubt. The `judge` watches. Equal plans give equal traces, so a seed and a commit
//! reproduce a failure; `shrink` makes its schedule small.
//!
//! What is real: the election, the driver, the beat, the handle, the ledger with its dispatcher. What is simulated:
//! stores, network, clocks, processes, handler, broker, clients, people. What is not here: SQL and its locks (the
//! contract suites), two primaries alive at once (a documented limit), a clock that the margin does not cover.
//!
//! Only with `--cfg simulated`, as `cargo xtask sim` builds it; its tests run by
//! `RUSTFLAGS="--cfg simulated --cfg tokio_unstable" CARGO_TARGET_DIR=target/sim cargo test --release -p sim`.
#![cfg(simulated)]

pub mod broker;
pub mod campaign;
pub mod cli;
mod clients;
pub mod database;
pub mod desk;
pub mod fault;
pub mod handler;
mod inject;
pub mod instance;
pub mod judge;
pub mod kill_switch;
pub mod knowledge;
mod ledger_client;
pub mod line;
pub mod memory;
mod operator;
pub mod order;
pub mod outcome;
pub mod plan;
pub mod redis;
pub mod restores;
mod restoring;
pub mod rng;
mod saved;
pub mod server;
pub mod shrink;
pub mod tally;
pub mod world;
