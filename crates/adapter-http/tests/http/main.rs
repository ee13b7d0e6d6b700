//! Tests of the pages over real sockets with a backend made of plain values, and of the handler against a raw
//! service.

mod abuse;
mod access;
mod broker;
mod callers;
mod client;
mod events;
mod fake;
mod handler;
mod hooks;
mod ledger;
mod limits;
mod openapi;
mod operations;
mod page;
mod routes;
mod signals;
mod tls;
mod webhook;
