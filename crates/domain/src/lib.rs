//! The pure core of `coordinator`: it decides which instance may lead, and until when.
//!
//! It has no clock, no IO, no logging and no randomness; `no_std` makes the compiler enforce that. Time is an
//! argument, randomness is an [`id::Nonce`] drawn at the start of the process, and every action is returned as a
//! value.
//!
//! Read in this order: [`lease`] (the lease that decides which instance leads), [`ports`] (the guarantees of the
//! stores), `election` (the state machine), then [`recovery`], [`ledger`], `metrics`, [`alert`] and [`catalog`].
#![no_std]
#![warn(missing_debug_implementations)]

extern crate alloc;

/// Version of the tables that this code reads and writes. An instance contends only if the database has this version.
pub const SCHEMA_VERSION: u32 = 6;

pub mod alert;
pub mod catalog;
pub mod commit_latency;
pub mod decision;
pub mod doctor;
pub mod election;
pub mod handover;
pub mod id;
pub mod identity;
pub mod lease;
pub mod ledger;
pub mod member;
pub mod metrics;
pub mod overview;
pub mod ports;
pub mod recovery;
pub mod settings;
pub mod time;
pub mod transport;
