//! `coordinator health`: a probe of the instance on this host, for containers without another HTTP client.

use super::{Form, print_json};
use crate::config::Config;
use crate::failure::Failure;
use crate::output::line;
use adapter_http::get;
use serde::Serialize;
use std::time::Duration;

/// Timeout of the instance; a probe must not wait.
const TIME_MAX: Duration = Duration::from_secs(2);
const OK: u16 = 200;

/// Question of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// The process serves.
    Alive,
    /// It could take over leadership.
    Ready,
    /// It is the active leader.
    Leader,
}

impl Probe {
    fn path(self) -> &'static str {
        match self {
            Self::Alive => "/livez",
            Self::Ready => "/readyz",
            Self::Leader => "/leader",
        }
    }

    fn yes(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Ready => "ready",
            Self::Leader => "leads",
        }
    }
}

#[derive(Serialize)]
struct HealthJson<'a> {
    healthy: bool,
    probe: &'static str,
    status: Option<u16>,
    detail: Option<&'a str>,
}

/// Queries the address in the settings. Fails if the answer is no.
pub async fn health(config: &Config, probe: Probe, form: Form) -> Result<(), Failure> {
    let address = config.listen;
    if address.port() == 0 {
        return Err(Failure::usage("listen has port 0, so the port of the instance is unknown: set a port"));
    }
    let answer = get(&format!("http://{address}"), probe.path(), None, TIME_MAX).await;
    let (status, refusal) = match &answer {
        Ok((OK, _)) => (Some(OK), None),
        Ok((status, body)) => (Some(*status), Some(detail(body).unwrap_or_else(|| format!("HTTP {status}")))),
        Err(why) => (None, Some(why.clone())),
    };
    if form == Form::Json {
        print_json(&HealthJson {
            healthy: refusal.is_none(),
            probe: probe.path(),
            status,
            detail: refusal.as_deref(),
        })?;
    }
    match refusal {
        Some(why) => Err(Failure::other(format!("{address}: {why}"))),
        None if form == Form::Json => Ok(()),
        None => line(probe.yes()),
    }
}

/// The sentence of a problem document.
fn detail(body: &[u8]) -> Option<String> {
    let problem: serde_json::Value = serde_json::from_slice(body).ok()?;
    Some(problem.get("detail")?.as_str()?.to_owned())
}
