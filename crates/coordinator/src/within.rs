//! The time that a request to a store may take. Used by the driver for every request, so that none makes progress when its
//! time is over.

use crate::clock;
use domain::time::Time;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::time::timeout;

/// The outcome of `call`, or `None` when it has not come `limit` after `sent`.
///
/// The clock is compared before each poll, because the runtime polls a future before its timer: a renewal that waited
/// for a connection in a process that was stopped must not be sent when its lease is over (M17).
pub(crate) async fn within<T>(sent: Time, limit: Duration, call: impl Future<Output = T>) -> Option<T> {
    let mut call = pin!(call);
    let in_time = poll_fn(|context| {
        if clock::now() >= sent + limit {
            return Poll::Ready(None);
        }
        call.as_mut().poll(context).map(Some)
    });
    timeout(limit, in_time).await.ok().flatten()
}

#[cfg(all(test, not(simulated)))]
mod tests {
    use super::*;

    /// As after a stop of the process: the time is over when the future is polled next.
    #[tokio::test]
    async fn a_request_makes_no_progress_when_its_time_is_over() {
        let limit = Duration::from_secs(1);
        let mut sent = false;
        let late = within(clock::now() - limit, limit, async { sent = true }).await;
        assert_eq!((late, sent), (None, false));
        assert_eq!(within(clock::now(), limit, async { 7 }).await, Some(7));
    }
}
