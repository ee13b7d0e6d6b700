//! Prometheus text from one snapshot, through OpenTelemetry instruments; the same as OTLP, and spans as OTLP.
//!
//! ```text
//! domain::alert::Report -> Scrape -> observable instruments -> registry -> text
//!                                     -> OTLP, with spans
//! ```
//!
//! Every metric, its name, kind, labels and the way it is read stand in [`domain::catalog`]; this
//! crate only carries them over. [`Exposition::render`] reads everything out of one snapshot before the
//! first instrument is asked, so that a scrape never mixes two moments, and hands out a text only when
//! everything that was read is in it. [`Otlp`] writes the bodies of requests; who sends them, and when, is not known
//! here.

mod durations;
mod exposition;
mod otlp;
mod scrape;

pub use exposition::{BuildError, CONTENT_TYPE, Exposition, RenderError};
pub use otlp::{Attribute, Otlp, Span};

#[cfg(test)]
#[path = "../tests/fixture/mod.rs"]
mod fixture;
