//! Evidence of exit (M24): the reports of the kernel that a killed process has ended.
//!
//! In half of the runs all instances are on one host, and most kills are reported, some of them late. In the other
//! half no kill is reported, as on separate hosts, so that every killed leader's lease has to expire.

use crate::rng::Rng;
use async_trait::async_trait;
use coordinator::Exits;
use domain::id::Nonce;
use std::collections::BTreeMap;
use std::future::pending;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// One kill in this number is not reported, as if the lock file were missing.
const UNREPORTED: u64 = 4;
/// One report in this number is late.
const LATE: u64 = 3;

/// The reports; see the [module](self).
#[derive(Debug)]
pub struct Ends {
    /// The earliest moment of the report about each ended process.
    ended: watch::Sender<BTreeMap<Nonce, Instant>>,
    on_one_host: bool,
    late_max: Duration,
}

impl Ends {
    /// No process has ended. `late_max` is the longest delay of a report.
    pub fn new(mut rng: Rng, late_max: Duration) -> Self {
        Self { ended: watch::Sender::default(), on_one_host: rng.once_in(2), late_max }
    }

    /// A process was killed. Returns whether that will be reported.
    pub fn killed(&self, nonce: Nonce, mut rng: Rng) -> bool {
        if !self.on_one_host || rng.once_in(UNREPORTED) {
            return false;
        }
        let late_max = u64::try_from(self.late_max.as_millis()).unwrap_or(u64::MAX);
        let late = if rng.once_in(LATE) { rng.between(1, late_max.max(1)) } else { 0 };
        let at = Instant::now() + Duration::from_millis(late);
        self.ended.send_modify(|ended| {
            ended.insert(nonce, at);
        });
        true
    }
}

#[async_trait]
impl Exits for Ends {
    async fn ended(&self, nonce: Nonce) {
        let mut ended = self.ended.subscribe();
        let Ok(at) = ended.wait_for(|ended| ended.contains_key(&nonce)).await.map(|ended| ended[&nonce])
        else {
            return pending().await;
        };
        sleep_until(at).await;
    }
}
