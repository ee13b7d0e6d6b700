//! `coordinator health`: a probe of the instance on this host, for containers without another HTTP client.

use super::{Form, print_json};
use crate::config::{Config, Network};
use crate::failure::Failure;
use crate::output::line;
use adapter_http::probe as query;
use serde::Serialize;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
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

/// The address at which this host reaches its own instance: one on loopback if there is one.
fn address(network: &Network) -> Option<SocketAddr> {
    let own = |address: &SocketAddr| match address.ip() {
        ip if !ip.is_unspecified() => *address,
        ip if ip.is_ipv4() => (Ipv4Addr::LOCALHOST, address.port()).into(),
        _ => (Ipv6Addr::LOCALHOST, address.port()).into(),
    };
    let mut all = network.listen.iter().map(own);
    let first = all.next()?;
    Some([first].into_iter().chain(all).find(|address| address.ip().is_loopback()).unwrap_or(first))
}

/// Queries the address in the settings. Fails if the answer is no.
pub async fn health(config: &Config, probe: Probe, form: Form) -> Result<(), Failure> {
    let Some(address) = address(&config.network).filter(|address| address.port() != 0) else {
        return Err(Failure::usage("listen has port 0, so the port of the instance is unknown: set a port"));
    };
    let answer = query(address, config.network.tls.is_some(), probe.path(), TIME_MAX).await;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Flags;
    use crate::config::load;

    #[test]
    fn a_probe_prefers_loopback() {
        for (listen, expected) in [
            ("10.0.0.7:5000", "10.0.0.7:5000"),
            ("10.0.0.7:5000,127.0.0.1:5001", "127.0.0.1:5001"),
            ("0.0.0.0:5000", "127.0.0.1:5000"),
            ("[::]:5000", "[::1]:5000"),
        ] {
            let flags = Flags { listen: vec![listen.to_owned()], insecure_network: true, ..Flags::default() };
            let network = load(None, [], &flags).expect("sound").network;
            assert_eq!(address(&network).map(|own| own.to_string()).as_deref(), Some(expected));
        }
    }
}
