//! Requests to another instance's pages, for commands: its alerts and its probes.

use crate::access::Token;
use crate::handler::exchange::{Failure, converse, exchange_up_to};
use crate::handler::{HandlerUrl, TlsSource};
use crate::server_client::Reply;
use crate::tls::unverified;
use axum::body::Body;
use domain::id::InstanceId;
use domain::member::Health;
use domain::recovery::RecoveryCode;
use hyper::header::{ACCEPT, AUTHORIZATION, CONNECTION, HOST, HeaderValue};
use hyper::http::request::Builder;
use hyper::{Method, Request};
use monitoring::rules::{GROUPS, Severity};
use serde::Deserialize;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Largest answer in bytes: a full list of signals with large payloads.
const ANSWER_LEN_MAX: usize = 64 * 1024 * 1024;

/// The condition whose alerts differ by its value.
const RECOVERY_FAILED: &str = "recovery_failed";

/// An alert that one instance evaluates and that fires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceAlert {
    /// Its name in Prometheus, which also names the runbook; the condition if Prometheus has no such alert.
    pub alert: String,
    /// The severity.
    pub level: Health,
    /// The condition as a sentence.
    pub message: String,
}

/// The alerts that fire on the instance `id`, from its page. `page` is the address in the instance table.
///
/// # Errors
/// Why they are unknown, as a sentence. A page of another instance is an error: the port may have a new owner.
pub async fn alerts_of(
    page: &str,
    id: &InstanceId,
    token: Option<&Token>,
    time: Duration,
) -> Result<Vec<InstanceAlert>, String> {
    let url = HandlerUrl::parse(page).map_err(|_| "its address is no http URL".to_owned())?;
    let request = request(&url, Method::GET, "/coordinator/metrics", token);
    let Reply { status, body } = send(&url, None, request.body(Body::empty()), time).await?;
    if status != 200 {
        return Err(format!("its page answers HTTP {status}"));
    }
    let read: Page =
        serde_json::from_slice(&body).map_err(|_| "its page is of another version".to_owned())?;
    if read.this_instance != id.as_str() {
        return Err("another instance has its address now".to_owned());
    }
    let alerts = read.alerts.into_iter().filter_map(|(condition, alert)| {
        let One::Alert { status, value, message } = alert else { return None };
        let level = [Health::Warning, Health::Critical].into_iter().find(|level| level.as_str() == status)?;
        let alert = in_prometheus(&condition, value, level).map_or(condition, str::to_owned);
        Some(InstanceAlert { alert, level, message })
    });
    let mut alerts: Vec<InstanceAlert> = alerts.collect();
    alerts.sort_by_key(|alert| Reverse(alert.level));
    Ok(alerts)
}

/// The status and the body of one page of an instance.
///
/// # Errors
/// Why there is no answer, as a sentence.
pub async fn get(
    page: &str,
    path: &str,
    token: Option<&Token>,
    time: Duration,
) -> Result<(u16, Vec<u8>), String> {
    let url = HandlerUrl::parse(page).map_err(|_| "its address is no http URL".to_owned())?;
    let request = request(&url, Method::GET, path, token).body(Body::empty());
    send(&url, None, request, time).await.map(|reply| (reply.status, reply.body))
}

/// A request for JSON. The token is in a header that no log shows.
pub(crate) fn request(url: &HandlerUrl, method: Method, path: &str, token: Option<&Token>) -> Builder {
    let request =
        Request::builder().method(method).uri(url.target_below(path)).header(ACCEPT, "application/json");
    let Some(token) = token else { return request };
    let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose())).expect("a token is ASCII");
    value.set_sensitive(true);
    request.header(AUTHORIZATION, value)
}

/// Sends a request and reads the answer.
pub(crate) async fn send(
    url: &HandlerUrl,
    tls: Option<&TlsSource>,
    request: Result<Request<Body>, hyper::http::Error>,
    time: Duration,
) -> Result<Reply, String> {
    let request = request.map_err(|error| error.to_string())?;
    match exchange_up_to(url, tls, request, time, ANSWER_LEN_MAX).await {
        Ok(reply) => Ok(Reply { status: reply.status.as_u16(), body: reply.body.to_vec() }),
        Err(Failure::NotConnected(why) | Failure::Unanswered(why)) => Err(why),
    }
}

/// The status and the body of one page of the instance at an address of this host. With `tls` the connection is
/// encrypted, and the certificate is not verified: the request contains no secret.
///
/// # Errors
/// Why there is no answer, as a sentence.
pub async fn probe(
    address: SocketAddr,
    tls: bool,
    path: &str,
    time: Duration,
) -> Result<(u16, Vec<u8>), String> {
    let request = Request::builder()
        .method(Method::GET)
        .uri(path)
        .header(ACCEPT, "application/json")
        .header(HOST, address.to_string())
        .header(CONNECTION, "close")
        .body(Body::empty())
        .map_err(|error| error.to_string())?;
    let answered = async {
        let stream =
            TcpStream::connect(address).await.map_err(|error| format!("could not connect: {error}"))?;
        if !tls {
            return converse(stream, request, ANSWER_LEN_MAX).await;
        }
        let stream = unverified::connect(stream, address.ip()).await;
        converse(
            stream.map_err(|error| format!("the TLS handshake failed: {error}"))?,
            request,
            ANSWER_LEN_MAX,
        )
        .await
    };
    let reply = timeout(time, answered)
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {} ms", time.as_millis())))?;
    Ok((reply.status.as_u16(), reply.body.to_vec()))
}

/// `value` is the code of the error, if a recovery has failed: each code has its own alert.
fn in_prometheus(condition: &str, value: Option<f64>, level: Health) -> Option<&'static str> {
    let code = value.filter(|_| condition == RECOVERY_FAILED).unwrap_or(0.0);
    let is = |wanted: RecoveryCode| (code - f64::from(wanted.as_number())).abs() < 0.5;
    let condition = match condition {
        RECOVERY_FAILED if is(RecoveryCode::DbUnavailable) => "recovery_db_unavailable",
        RECOVERY_FAILED if is(RecoveryCode::DataCorrupt) => "recovery_data_corrupt",
        RECOVERY_FAILED if is(RecoveryCode::ValidationFailed) => "recovery_validation_failed",
        other => other,
    };
    let severity = if level == Health::Critical { Severity::Critical } else { Severity::Warning };
    let mut rules = GROUPS.iter().flat_map(|group| group.rules);
    rules.find(|rule| rule.condition == condition && rule.severity == severity).map(|rule| rule.alert)
}

#[derive(Deserialize)]
struct Page {
    this_instance: String,
    alerts: BTreeMap<String, One>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum One {
    Alert {
        status: String,
        value: Option<f64>,
        message: String,
    },
    /// The worst status of all.
    #[allow(dead_code, reason = "the form must be read to be left out")]
    Overall(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::alert::RULES;

    #[test]
    fn an_alert_has_the_name_of_its_runbook() {
        let named = |condition, value| in_prometheus(condition, value, Health::Critical);
        assert_eq!(named("signals_in_doubt", Some(1.0)), Some("SignalsInDoubt"));
        assert_eq!(named("nothing", None), None);
        assert_eq!(named("recovery_failed", Some(2.0)), Some("RecoveryDataCorrupt"));
        for rule in RULES {
            let levels = [Health::Warning, Health::Critical];
            let found = levels.iter().any(|level| in_prometheus(rule.name, Some(3.0), *level).is_some());
            assert!(found, "{} has no alert in Prometheus", rule.name);
        }
    }
}
