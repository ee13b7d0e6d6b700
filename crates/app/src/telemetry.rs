//! Pushes metrics and spans to a receiver of OTLP, in addition to the scrape. The instance never waits for
//! it: what the receiver does not accept in time is dropped.

use crate::config::{Config, system_tls};
use crate::elections::Elections;
use adapter_http::{HandlerUrl, NotTaken, Upload};
use adapter_otel::{Otlp, Span};
use coordinator::Coordinator;
use domain::id::InstanceId;
use domain::ports::MemberStore;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// Pause between two pushes of the metrics, and before spans are sent again.
const EVERY: Duration = Duration::from_secs(15);
/// Timeout of the last push, after the release of the lease.
const FLUSH_TIME_MAX: Duration = Duration::from_secs(2);
/// Spans that wait while a push is under way.
const SPANS_QUEUED: usize = 64;
/// Spans kept for a receiver that does not answer, a few for each leadership. Beyond this number the oldest
/// are dropped.
const SPANS_KEPT: usize = 256;

/// The pushes of one process.
pub struct Telemetry {
    finish: oneshot::Sender<()>,
    pushing: JoinHandle<()>,
}

impl Telemetry {
    /// Pushes the metrics and spans of `coordinator` in the instance `id` to `receiver`, until
    /// [`finish`](Self::finish).
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(
        receiver: HandlerUrl,
        config: &Config,
        id: &InstanceId,
        coordinator: &Coordinator,
        members: Arc<dyn MemberStore>,
    ) -> Self {
        let (finish, finished) = oneshot::channel();
        let (tell, spans) = mpsc::channel(SPANS_QUEUED);
        let elections = Elections::new(coordinator, members, config.leader_ttl, tell);
        tokio::spawn(elections.follow(finished));
        let push = Push {
            coordinator: coordinator.clone(),
            otlp: Otlp::new(&config.group, id, env!("CARGO_PKG_VERSION")),
            upload: Upload::new(receiver, Otlp::CONTENT_TYPE).tls(system_tls()),
            unsent: VecDeque::new(),
            metrics: Outage::of("metrics"),
            spans: Outage::of("spans"),
        };
        Self { finish, pushing: tokio::spawn(push.run(spans)) }
    }

    /// Pushes the rest, for at most 2 s. Call it after the release of the lease.
    pub async fn finish(mut self) {
        // The receiver has ended if the coordinator has ended.
        let _ = self.finish.send(());
        if timeout(FLUSH_TIME_MAX, &mut self.pushing).await.is_err() {
            self.pushing.abort();
        }
    }
}

struct Push {
    coordinator: Coordinator,
    otlp: Otlp,
    upload: Upload,
    /// The oldest first.
    unsent: VecDeque<Span>,
    metrics: Outage,
    spans: Outage,
}

impl Push {
    /// Ends with a last push when the sender of spans is dropped.
    async fn run(mut self, mut spans: mpsc::Receiver<Span>) {
        let mut seen = self.coordinator.leadership();
        tokio::select! {
            biased;
            // Before the start there are no metrics.
            _ = seen.wait_for(|seen| seen.started) => {}
            _ = spans.recv() => return,
        }
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let more = tokio::select! {
                biased;
                span = spans.recv() => match span {
                    Some(span) => {
                        self.unsent.push_back(span);
                        true
                    }
                    None => false,
                },
                _ = ticks.tick() => {
                    self.push_metrics().await;
                    true
                }
            };
            while let Ok(span) = spans.try_recv() {
                self.unsent.push_back(span);
            }
            self.push_spans().await;
            if !more {
                return self.push_metrics().await;
            }
        }
    }

    async fn push_metrics(&mut self) {
        let Some(report) = self.coordinator.report() else { return };
        let pushed = match self.otlp.metrics(&report) {
            Ok(body) => self.upload.post(Otlp::METRICS_PATH, body).await,
            Err(error) => Err(NotTaken::Refused(error.to_string())),
        };
        self.metrics.tell(pushed.as_ref().err());
    }

    async fn push_spans(&mut self) {
        let beyond = self.unsent.len().saturating_sub(SPANS_KEPT);
        self.unsent.drain(..beyond);
        if self.unsent.is_empty() {
            return;
        }
        let body = self.otlp.traces(self.unsent.make_contiguous());
        let pushed = self.upload.post(Otlp::TRACES_PATH, body).await;
        self.spans.tell(pushed.as_ref().err());
        // A refused span would be refused again, and delay all later ones.
        if !matches!(pushed, Err(NotTaken::Failed(_))) {
            self.unsent.clear();
        }
    }
}

/// Whether a push is known to fail. The log shows the begin and the end of an outage, not every attempt.
struct Outage {
    what: &'static str,
    lasts: bool,
}

impl Outage {
    fn of(what: &'static str) -> Self {
        Self { what, lasts: false }
    }

    fn tell(&mut self, error: Option<&NotTaken>) {
        let what = self.what;
        match error {
            Some(why) if !self.lasts => {
                tracing::warn!("OTLP: {what} are not accepted; the instance continues: {why}");
            }
            None if self.lasts => tracing::info!("OTLP: {what} are accepted again"),
            Some(_) | None => {}
        }
        self.lasts = error.is_some();
    }
}
