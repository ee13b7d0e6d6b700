//! Logs on standard error: for a person on a terminal, JSON otherwise. `RUST_LOG` filters them.

use crate::compose::CommitWarnings;
use std::io::{IsTerminal, stderr};
use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

/// Installs the logs of this process. Nothing below `info` unless `RUST_LOG` says so; libraries only warn.
/// Lines go through a bounded queue, and are lost rather than waited for when nobody reads them: a renewal
/// must not stand behind a terminal. What is queued is written when the guard is dropped, so keep it.
pub fn init() -> WorkerGuard {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("warn,coordinator=info,app=info,adapter_http=info"));
    let human = stderr().is_terminal();
    let (writer, guard) = tracing_appender::non_blocking(stderr());
    let lines = if human {
        fmt::layer().with_writer(writer).with_target(false).with_ansi(true).boxed()
    } else {
        fmt::layer().json().flatten_event(true).with_writer(writer).with_target(false).boxed()
    };
    tracing_subscriber::registry().with(lines.with_filter(filter)).with(CommitWarnings).init();
    guard
}
