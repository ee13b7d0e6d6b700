//! Posts alerts that cannot wait for a scrape to the webhook when they happen, and repeats them until they
//! arrive.

use adapter_http::AlertWebhook;
use domain::metrics::Urgent;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::sleep;

/// Pause after the first failure; it doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Posts what `happening` receives until its senders are dropped. While the webhook does not answer, only the latest event
/// of each kind is kept, so an outage of hours costs no memory.
pub async fn post_alerts(mut happening: Receiver<(Urgent, i64)>, webhook: AlertWebhook) {
    let mut pending: BTreeMap<Urgent, i64> = BTreeMap::new();
    let mut pause = PAUSE_MIN;
    loop {
        if pending.is_empty() {
            match happening.recv().await {
                Ok((urgent, at_ms)) => pending.extend([(urgent, at_ms)]),
                // Only the latest of each kind counts, and the latest have not been received yet.
                Err(RecvError::Lagged(_)) => continue,
                Err(RecvError::Closed) => return,
            }
        }
        loop {
            match happening.try_recv() {
                Ok((urgent, at_ms)) => pending.extend([(urgent, at_ms)]),
                Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        let happened: Vec<(Urgent, i64)> = pending.iter().map(|(urgent, at_ms)| (*urgent, *at_ms)).collect();
        match webhook.post(&happened).await {
            Ok(()) => {
                pending.clear();
                pause = PAUSE_MIN;
            }
            Err(why) => {
                let named: Vec<String> = happened.iter().map(|(urgent, _)| urgent.to_string()).collect();
                tracing::warn!("not posted yet: {}: {why}", named.join("; "));
                sleep(pause).await;
                pause = PAUSE_MAX.min(pause * 2);
            }
        }
    }
}
