//! Everything about the coordinator that outside tools read: Prometheus, Alertmanager, Grafana, and the pages of
//! `docs` about alerts and metrics.
//!
//! [`rules`] is the table of Prometheus alerts; [`urgent`] connects what is posted at once with its row. The files
//! themselves are written by the integration tests of this crate (`cargo xtask codegen`): `exported_rules`,
//! `dashboards`, `monitoring_config` and `metrics_page`.
//!
//! The crate is pure, like the domain. Limits and names of metrics are the domain's: nothing here repeats a number
//! that [`domain::alert::RULES`] has. What decides or stores must not depend on this crate, so that a change of a
//! dashboard cannot change the election (`xtask/src/arrows.rs`).
#![no_std]

extern crate alloc;

pub mod rules;
pub mod urgent;
