//! Logs on standard error: text on a terminal, JSON otherwise. `RUST_LOG` filters them.

use crate::compose::CommitWarnings;
use crate::lines::Lines;
use std::io::{IsTerminal, stderr};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

/// Environment variable with the level of the logs.
const VARIABLE: &str = "RUST_LOG";
/// Level without it.
const LEVEL_DEFAULT: &str = "warn,coordinator=info,app=info,adapter_http=info";

/// Installs the logs of this process. The default level is `info`, and `warn` for libraries; `RUST_LOG`
/// changes it. `errors` drops lines rather than wait for a reader, because a renewal must not wait for a
/// terminal. A panic is logged in the same way, for the same reason.
pub fn init(errors: &Lines) {
    let written = std::env::var(VARIABLE).ok().filter(|level| !level.is_empty());
    let chosen = written.map(|level| EnvFilter::try_new(level).map_err(|error| error.to_string()));
    let (filter, refused) = match chosen {
        None => (EnvFilter::new(LEVEL_DEFAULT), None),
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => (EnvFilter::new(LEVEL_DEFAULT), Some(error)),
    };
    let human = stderr().is_terminal();
    let errors = errors.clone();
    let writer = move || errors.clone();
    let lines = if human {
        fmt::layer().with_writer(writer).with_target(false).with_ansi(true).boxed()
    } else {
        fmt::layer().json().flatten_event(true).with_writer(writer).with_target(false).boxed()
    };
    tracing_subscriber::registry().with(lines.with_filter(filter)).with(CommitWarnings).init();
    if let Some(error) = refused {
        tracing::warn!("{VARIABLE} has no effect: {error}");
    }
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
}
