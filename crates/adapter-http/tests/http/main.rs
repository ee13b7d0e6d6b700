//! The HTTP face over real sockets, with a backend made of plain values; and the handler against a raw one.

mod broker;
mod callers;
mod client;
mod fake;
mod handler;
mod ledger;
mod limits;
mod routes;
mod signals;
mod webhook;
