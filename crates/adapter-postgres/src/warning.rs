//! The sign of a synchronous commit that was cancelled.
//!
//! When a commit waits for a synchronous standby and somebody cancels the wait, PostgreSQL answers
//! success, with a warning (SQLSTATE 01000): the effect is on the primary, and may be lost with it. sqlx
//! gives notices to `tracing` and to nobody else, so a layer listens there and tells the request whose
//! poll brought the warning in. None of our statements warns otherwise, so any warning makes a request in
//! doubt; that is independent of the server's language, and never wrong.

use crate::error;
use domain::ports::StoreError;
use std::cell::Cell;
use std::future::Future;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Where sqlx sends the server's notices.
const NOTICES: &str = "sqlx::postgres::notice";

/// Said instead of a success.
const MESSAGE: &str =
    "PostgreSQL answered with a warning: the commit may not have reached the synchronous standby";

tokio::task_local! {
    /// Whether the server warned during the request that is being polled.
    static WARNED: Cell<bool>;
}

/// A layer of `tracing_subscriber` that lets a cancelled synchronous commit count as unknown, not as
/// success. Install it once per process, with no filter in front of it that hides warnings of the target
/// `sqlx::postgres::notice`. It writes nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct CommitWarnings;

impl<S: Subscriber> Layer<S> for CommitWarnings {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        if metadata.target() == NOTICES && *metadata.level() <= Level::WARN {
            // Outside of a request (while connecting) there is nothing to be in doubt about.
            let _ = WARNED.try_with(|warned| warned.set(true));
        }
    }
}

/// Runs a request, judges its error, and looks for warnings while it runs.
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
