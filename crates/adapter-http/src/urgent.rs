//! [`AlertWebhook`]: posts alerts that cannot wait for a scrape to an Alertmanager when they happen.

use crate::handler::exchange::{Failure, exchange};
use crate::handler::{HandlerUrl, TlsSource};
use crate::json::rfc3339;
use axum::body::Body;
use domain::id::{GroupId, InstanceId};
use domain::metrics::{URGENT_SHOWN, Urgent};
use hyper::header::{ACCEPT, CONTENT_TYPE};
use hyper::{Method, Request};
use jiff::Timestamp;
use monitoring::rules::{JOB, Severity};
use monitoring::urgent;
use serde_json::{Value, json};
use std::time::Duration;

/// Timeout of a call, from its start to the end of its answer.
const TIME_MAX: Duration = Duration::from_secs(5);

/// Address of the runbooks of an instance with the default settings.
const RUNBOOKS_DEFAULT: &str = "http://localhost:5000/runbooks";

/// Posts alerts in the form of Alertmanager's API (`/api/v2/alerts`: a list of labels and annotations), so
/// that its routes deliver them. Any other receiver of such a list works too.
#[derive(Debug, Clone)]
pub struct AlertWebhook {
    url: HandlerUrl,
    group: GroupId,
    instance: InstanceId,
    job: String,
    runbooks: String,
    tls: Option<TlsSource>,
}

impl AlertWebhook {
    /// Posts the events on `instance` of `group` to `url`; connects to nothing yet.
    pub fn new(url: HandlerUrl, group: GroupId, instance: InstanceId) -> Self {
        Self { url, group, instance, job: JOB.to_owned(), runbooks: RUNBOOKS_DEFAULT.to_owned(), tls: None }
    }

    /// Sets the TLS settings for an `https` address, which cannot be reached without them.
    #[must_use]
    pub fn tls(self, tls: TlsSource) -> Self {
        Self { tls: Some(tls), ..self }
    }

    /// Sets the Prometheus job that scrapes the group [default: `portfolio_manager`]. Alertmanager groups and silences
    /// alerts by the labels `job` and `group`.
    #[must_use]
    pub fn job(self, job: impl Into<String>) -> Self {
        Self { job: job.into(), ..self }
    }

    /// Sets the address under which the runbooks are served [default: `http://localhost:5000/runbooks`].
    #[must_use]
    pub fn runbooks(self, base: &str) -> Self {
        Self { runbooks: base.trim_end_matches('/').to_owned(), ..self }
    }

    /// Posts the events in one request, each with its time in unix milliseconds. Cancellation safe: an event
    /// that is posted twice is one alert.
    ///
    /// # Errors
    /// Why the request may not have arrived, as a sentence. Post it again.
    ///
    /// # Panics
    /// Never: the URL was checked when it was parsed.
    pub async fn post(&self, happened: &[(Urgent, i64)]) -> Result<(), String> {
        let alerts: Vec<Value> = happened.iter().map(|(urgent, at_ms)| self.alert(*urgent, *at_ms)).collect();
        let request = Request::builder()
            .method(Method::POST)
            .uri(self.url.target())
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/json");
        let request = request.body(Body::from(Value::from(alerts).to_string()));
        let request = request.expect("the parts of a request are checked texts");
        match exchange(&self.url, self.tls.as_ref(), request, TIME_MAX).await {
            Ok(reply) if reply.status.is_success() => Ok(()),
            Ok(reply) => Err(reply.status_text()),
            Err(Failure::NotConnected(why) | Failure::Unanswered(why)) => Err(why),
        }
    }

    fn alert(&self, urgent: Urgent, at_ms: i64) -> Value {
        let rule = urgent::rule(urgent);
        // Starts now: the event may have waited for hours, and Alertmanager does not notify about an alert
        // that is over.
        let from_ms = at_ms.max(Timestamp::now().as_millisecond());
        let shown_ms = i64::try_from(URGENT_SHOWN.as_millis()).unwrap_or(i64::MAX);
        json!({
            "labels": {
                "alertname": rule.alert,
                "severity": Severity::Critical.as_str(),
                "component": rule.component.as_str(),
                "condition": rule.condition,
                "job": self.job,
                "group": self.group.as_str(),
                "instance_id": self.instance.as_str(),
            },
            "annotations": {
                "summary": format!("{}: {urgent}", self.instance),
                "impact": rule.impact,
                "runbook_url": rule.runbook_url(&self.runbooks),
            },
            "startsAt": rfc3339(at_ms),
            "endsAt": rfc3339(from_ms.saturating_add(shown_ms)),
        })
    }
}
