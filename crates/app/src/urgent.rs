//! What cannot wait for a scrape is posted when it happens, until it has arrived.

use adapter_http::AlertWebhook;
use domain::metrics::Urgent;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::sleep;

/// After a first failure; doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Runs while whoever tells it what is `happening` lives. Of each thing that could not be told yet only the latest is kept, so a receiver
/// that is away for hours costs nothing.
pub async fn tell(mut happening: Receiver<(Urgent, i64)>, webhook: AlertWebhook) {
    let mut untold: BTreeMap<Urgent, i64> = BTreeMap::new();
    let mut pause = PAUSE_MIN;
    loop {
        if untold.is_empty() {
            match happening.recv().await {
                Ok((urgent, at_ms)) => untold.extend([(urgent, at_ms)]),
                // Only the latest of each kind counts, and the latest are still to come.
                Err(RecvError::Lagged(_)) => continue,
                Err(RecvError::Closed) => return,
            }
        }
        loop {
            match happening.try_recv() {
                Ok((urgent, at_ms)) => untold.extend([(urgent, at_ms)]),
                Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        let happened: Vec<(Urgent, i64)> = untold.iter().map(|(urgent, at_ms)| (*urgent, *at_ms)).collect();
        match webhook.post(&happened).await {
            Ok(()) => {
                untold.clear();
                pause = PAUSE_MIN;
            }
            Err(why) => {
                let told: Vec<String> = happened.iter().map(|(urgent, _)| urgent.to_string()).collect();
                tracing::warn!("not told yet: {}: {why}", told.join("; "));
                sleep(pause).await;
                pause = PAUSE_MAX.min(pause * 2);
            }
        }
    }
}
