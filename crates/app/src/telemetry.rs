//! Metrics and spans are pushed to a receiver of OTLP, beside the scrape. Nothing waits for it: what it does not take
//! in time is dropped.

use crate::config::Config;
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

/// Between two pushes of the metrics; also how soon spans are tried again.
const EVERY: Duration = Duration::from_secs(15);
/// How long the last push may take, when leadership is given back already.
const FLUSH_TIME_MAX: Duration = Duration::from_secs(2);
/// Spans that wait for a push that is going on.
const SPANS_QUEUED: usize = 64;
/// Spans that an absent receiver may get later, a few for each leadership; of more the oldest are dropped.
const SPANS_KEPT: usize = 256;

/// The pushing of one process.
pub struct Telemetry {
    finish: oneshot::Sender<()>,
    pushing: JoinHandle<()>,
}

impl Telemetry {
    /// Pushes to `receiver` what `coordinator` of the instance `id` tells, until [`finish`](Self::finish).
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
            upload: Upload::new(receiver, Otlp::CONTENT_TYPE),
            untold: VecDeque::new(),
            metrics: Outage::of("metrics"),
            spans: Outage::of("spans"),
        };
        Self { finish, pushing: tokio::spawn(push.run(spans)) }
    }

    /// Pushes what there is left, for 2 s at the most. Call it when leadership is given back.
    pub async fn finish(mut self) {
        // The receiver is gone when the coordinator is.
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
    untold: VecDeque<Span>,
    metrics: Outage,
    spans: Outage,
}

impl Push {
    /// Ends with a last push when nobody makes spans any more.
    async fn run(mut self, mut spans: mpsc::Receiver<Span>) {
        let mut seen = self.coordinator.leadership();
        tokio::select! {
            biased;
            // Before that there is nothing to tell.
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
                        self.untold.push_back(span);
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
                self.untold.push_back(span);
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
        let beyond = self.untold.len().saturating_sub(SPANS_KEPT);
        self.untold.drain(..beyond);
        if self.untold.is_empty() {
            return;
        }
        let body = self.otlp.traces(self.untold.make_contiguous());
        let pushed = self.upload.post(Otlp::TRACES_PATH, body).await;
        self.spans.tell(pushed.as_ref().err());
        // Those that are refused would be so again, and hold up all that come after them.
        if !matches!(pushed, Err(NotTaken::Failed(_))) {
            self.untold.clear();
        }
    }
}

/// Whether a push is known to fail: its beginning and its end are told, not every try.
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
                tracing::warn!("OTLP: {what} are not taken, which holds nothing up: {why}");
            }
            None if self.lasts => tracing::info!("OTLP: {what} are taken again"),
            Some(_) | None => {}
        }
        self.lasts = error.is_some();
    }
}
