//! Renders one report as Prometheus text through OpenTelemetry instruments, and as OTLP; also spans as OTLP.
//!
//! ```text
//! domain::alert::Report -> Scrape -> observable instruments -> registry -> text
//!                                     -> OTLP, with spans
//! ```
//!
//! [`domain::catalog`] defines every metric: its name, kind, labels and value; this crate only exports them.
//! [`Exposition::render`] reads all values from one report before the first instrument is read, so that a
//! scrape never mixes two moments, and returns a text only if it contains every value. [`Otlp`] writes the
//! bodies of requests; it neither sends nor schedules them.

mod durations;
mod exposition;
mod otlp;
mod scrape;

pub use exposition::{BuildError, CONTENT_TYPE, Exposition, RenderError};
pub use otlp::{Attribute, Otlp, Span};

#[cfg(test)]
#[path = "../tests/fixture/mod.rs"]
mod fixture;
