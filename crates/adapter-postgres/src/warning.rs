//! Detection of a synchronous commit that was cancelled.
//!
//! When a commit waits for a synchronous standby and an operator cancels the wait, PostgreSQL answers success
//! with a warning (SQLSTATE 01000): the effect is on the primary, and may be lost with it. sqlx reports
//! notices only to `tracing`, so a layer receives them there and marks the request that was being polled. No
//! statement of ours causes another warning, so any warning makes the outcome of a request unknown. This does
//! not depend on the server's language, and is never wrong.

use crate::error;
use domain::ports::StoreError;
use std::cell::Cell;
use std::future::Future;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Target under which sqlx logs the server's notices.
const NOTICES: &str = "sqlx::postgres::notice";

/// Message of the error that replaces the success.
const MESSAGE: &str =
    "PostgreSQL answered with a warning: the commit may not have reached the synchronous standby";

tokio::task_local! {
    /// Whether the server sent a warning during the request that is being polled.
    static WARNED: Cell<bool>;
}

/// A layer of `tracing_subscriber` that makes a cancelled synchronous commit count as unknown, not as
/// success. Install it once per process, without a filter in front of it that hides warnings of the target
/// `sqlx::postgres::notice`. It writes nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct CommitWarnings;

impl<S: Subscriber> Layer<S> for CommitWarnings {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        if metadata.target() == NOTICES && *metadata.level() <= Level::WARN {
            // Outside of a request (while connecting) no outcome can be in doubt.
            let _ = WARNED.try_with(|warned| warned.set(true));
        }
    }
}

/// Runs a request and translates its error; a warning during the request is an error too.
pub(crate) async fn watch<T>(request: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, StoreError> {
    let watched = async {
        let answer = request.await;
        (answer, WARNED.with(Cell::get))
    };
    match WARNED.scope(Cell::new(false), watched).await {
        (Ok(value), false) => Ok(value),
        (Ok(_), true) => Err(StoreError::Unknown(MESSAGE.to_owned())),
        (Err(error), _) => Err(error::after_sending(&error)),
    }
}
