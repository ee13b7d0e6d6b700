//! The pure core of `coordinator`: what it means to lead, and when.
//!
//! No clock, no IO, no logging, no randomness: `no_std` makes the compiler the judge of that. Time comes in
//! as an argument, randomness as a [`id::Nonce`] drawn when the process started, and everything that is to
//! happen goes out as a value.
//!
//! Read in this order: [`lease`] (the row that decides), [`ports`] (what the stores promise), `election`
//! (the state machine), then [`recovery`], [`ledger`], `metrics`, [`alert`] and [`catalog`].
#![no_std]
#![warn(missing_debug_implementations)]

extern crate alloc;

/// Version of the tables that this code reads and writes. An instance contends only on exactly this one.
pub const SCHEMA_VERSION: u32 = 3;

pub mod alert;
pub mod catalog;
pub mod commit_latency;
pub mod election;
pub mod id;
pub mod identity;
pub mod lease;
pub mod ledger;
pub mod member;
pub mod metrics;
pub mod ports;
pub mod recovery;
pub mod settings;
pub mod time;
