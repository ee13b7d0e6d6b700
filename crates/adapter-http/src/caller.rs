//! Checks of the caller. There are no tokens yet, and the listener is on loopback: every process on this host
//! may do everything. A web page in a browser on this host can reach loopback too, but must not do anything.

use axum::extract::Request;
use axum::http::header::{HOST, HeaderName, ORIGIN};
use axum::http::{HeaderMap, Method};
use std::net::{IpAddr, SocketAddr};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Both ends of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller {
    /// Address of the client.
    pub(crate) remote: SocketAddr,
    /// Address on which the connection arrived.
    pub(crate) local: SocketAddr,
}

/// The reason to refuse a request, whatever its path; `None` to accept it.
///
/// A name that an attacker has pointed at this host (DNS rebinding) is not one of ours, so the attacker's
/// pages cannot read from here. Only our own pages may change anything: a browser sends the origin of a page,
/// and other clients send no origin.
pub(crate) fn refusal(request: &Request) -> Option<&'static str> {
    let local = request.extensions().get::<Caller>().map(|caller| caller.local.ip());
    let authority = request.uri().authority().map(|authority| Some(authority.as_str()));
    let mut hosts = values(request.headers(), &HOST).chain(authority);
    if !hosts.all(|host| host.is_some_and(|host| is_ours(host, local))) {
        return Some(
            "the Host header names neither loopback nor the address that the request came in on; a proxy in \
             front of this instance has to set it to the address that it connects to",
        );
    }
    let changes_nothing = matches!(*request.method(), Method::GET | Method::HEAD);
    if !changes_nothing && !is_from_here(request.headers()) {
        return Some("a page of another origin must not send this request");
    }
    None
}

/// Whether no header says that a page of another origin sends the request.
fn is_from_here(headers: &HeaderMap) -> bool {
    let own = headers.get(HOST).and_then(|host| host.to_str().ok()).map(|host| format!("http://{host}"));
    let is_own = |origin: &str| own.as_ref().is_some_and(|own| own.eq_ignore_ascii_case(origin));
    let sites = |site: Option<&str>| matches!(site, Some("same-origin" | "none"));
    values(headers, &ORIGIN).all(|origin| origin.is_some_and(is_own))
        && values(headers, &SEC_FETCH_SITE).all(sites)
}

/// All headers with that name; `None` for one that is not text.
fn values<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = Option<&'a str>> {
    headers.get_all(name).into_iter().map(|value| value.to_str().ok())
}

/// Whether a host, with or without a port, is loopback or the `local` address. The port does not matter,
/// because a tunnel to this host has a different one.
fn is_ours(host: &str, local: Option<IpAddr>) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    if name.eq_ignore_ascii_case("localhost") {
        return true;
    }
    let six = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let ip = match six {
        Some(six) => six.parse().map(IpAddr::V6),
        None => name.parse().map(IpAddr::V4),
    };
    ip.is_ok_and(|ip| {
        let ip = ip.to_canonical();
        ip.is_loopback() || local.is_some_and(|local| local.to_canonical() == ip)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_and_the_address_it_came_in_on_are_ours() {
        let local = Some("10.0.0.7".parse().expect("an address"));
        for host in [
            "localhost",
            "LOCALHOST:5000",
            "127.0.0.1:5000",
            "127.8.9.10",
            "[::1]:5000",
            "[::1]",
            "[::ffff:127.0.0.1]:80",
            "10.0.0.7:5000",
            "[::ffff:10.0.0.7]",
        ] {
            assert!(is_ours(host, local), "{host}");
        }
    }

    #[test]
    fn every_other_name_may_be_an_attackers() {
        let local = Some("10.0.0.7".parse().expect("an address"));
        for host in [
            "",
            "evil.example",
            "evil.example:5000",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "localhost:",
            "localhost:x",
            "0.0.0.0:5000",
            "10.0.0.8",
            "::1",
            "[::1",
            "[127.0.0.1]",
            "[::2]:5000",
            "user@localhost",
        ] {
            assert!(!is_ours(host, local), "{host}");
        }
    }
}
