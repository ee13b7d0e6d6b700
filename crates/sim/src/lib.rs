//! Deterministic simulation: the real driver on virtual time, simulated stores, and many faults.
//!
//! A `plan::Plan` is drawn from a seed: a world (number of instances, LEADER_TTL, kind of database) and a schedule of
//! faults. `world::play` runs it on one thread in virtual time: several real coordinators, each in a
//! `coordinator::clock::Process` that can be paused and killed and has its own clock; the fakes that pass the
//! contract suites, behind lines that lose, delay and refuse requests; a broker that never removes duplicates; and an
//! operator who resolves signals in doubt. The `judge` watches the run. Equal plans give equal traces, so a seed and
//! a commit reproduce a failure; `shrink` makes its schedule small.
//!
//! Real parts: the election, the driver, the heartbeat, the handle, the ledger with its dispatcher. Simulated parts:
//! stores, network, clocks, processes, handler, broker, clients, operators. Not covered: SQL and its locks (the
//! contract suites test them), two primaries alive at once (a documented limit), and a clock beyond the margin (the
//! model check covers it).
//!
//! The crate compiles only with `--cfg simulated`, as `cargo xtask sim` builds it. Command for its tests:
//! `RUSTFLAGS="--cfg simulated --cfg tokio_unstable" CARGO_TARGET_DIR=target/sim cargo test --release -p sim`.
#![cfg(simulated)]

pub mod broker;
pub mod campaign;
pub mod cli;
mod clients;
pub mod database;
pub mod desk;
pub mod exits;
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
