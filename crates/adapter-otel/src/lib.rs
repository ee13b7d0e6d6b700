//! Prometheus text from one snapshot, through OpenTelemetry instruments.
//!
//! ```text
//! domain::metrics::Snapshot -> Scrape -> observable instruments -> registry -> text
//! ```
//!
//! Every metric, its name, kind, labels and the way it is read stand in [`domain::metrics::catalog`]; this
//! crate only carries them over. [`Exposition::render`] reads everything out of one snapshot before the
//! first instrument is asked, so that a scrape never mixes two moments, and hands out a text only when
//! everything that was read is in it.

mod durations;
mod exposition;
mod scrape;

pub use exposition::{BuildError, CONTENT_TYPE, Exposition, RenderError};

#[cfg(test)]
#[path = "../tests/fixture/mod.rs"]
mod fixture;
