//! The HTTP face of one instance: health, leader, cluster, history, metrics, and a page for people.
//!
//! It only reads, and it knows nothing but a [`Backend`]. It never delays an election: requests, time and
//! connections are bounded by [`Limits`], and every read of a store goes through the backend, which has
//! connections of its own for it.
//!
//! | path | answers |
//! |---|---|
//! | `/livez` | 200 while the process serves |
//! | `/readyz` | 200 while the instance could take over, else 503 with the reason |
//! | `/leader` | 200 on the active leader, 503 elsewhere, with the leader |
//! | `/status` | the instances, and the leader in both stores |
//! | `/history?limit=N` | the latest leaderships, newest first |
//! | `/metrics` | Prometheus text |
//! | `/coordinator/metrics` | JSON, or Prometheus text when the `Accept` header prefers it |
//! | `/` | an index for people |
//!
//! Errors are problem documents (RFC 9457). The two metrics paths answer
//! `{"error": "Coordinator not initialized"}` before start-up is done, as their users expect.

mod accept;
mod backend;
mod guard;
mod index;
mod json;
mod problem;
mod routes;
mod server;
mod write_deadline;

pub use backend::{Backend, LeaderView};
pub use json::cluster::{InstanceJson, TermJson};
pub use json::metrics::MetricsJson;
pub use routes::{HISTORY_LIMIT_DEFAULT, HISTORY_LIMIT_MAX};
pub use server::{Limits, serve, serve_within};
