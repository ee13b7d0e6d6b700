//! The parts of the coordinator that outside tools read: configuration for Prometheus, Alertmanager and Grafana, and
//! the pages of `docs` about alerts and metrics.
//!
//! [`rules`] is the table of Prometheus alerts; [`urgent`] maps an urgent event to its alert; [`runbooks`] has the
//! runbook of each alert. The integration tests
//! of this crate write the files (`cargo xtask codegen`): `exported_rules`, `dashboards`, `monitoring_config` and
//! `metrics_page`.
//!
//! The crate is pure, like the domain. Limits and names of metrics come from the domain: no number of
//! [`domain::alert::RULES`] is repeated here. Crates that decide or store must not depend on this crate, so that a
//! change of a dashboard cannot change the election (`xtask/src/arrows.rs`).
#![no_std]

extern crate alloc;

pub mod rules;
pub mod runbooks;
pub mod urgent;
