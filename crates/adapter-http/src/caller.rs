//! [`Caller`]: where a request comes from and what proves it, and the checks of its host and origin, before those of its
//! credential. A web page in a browser can reach what the browser's user can reach, loopback included, but must not do
//! anything.

use axum::extract::{ConnectInfo, Request};
use axum::http::header::{HOST, HeaderName, ORIGIN};
use axum::http::{HeaderMap, Method};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Both ends of a connection, as far as the server that accepted it says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Caller {
    /// Where it comes from.
    pub(crate) remote: Option<SocketAddr>,
    /// The address that it came in on.
    pub(crate) local: Option<IpAddr>,
    /// Whether the connection has TLS.
    pub(crate) secure: bool,
    /// The name in the client's certificate, which was verified; `None` if it presented none.
    pub(crate) certificate: Option<Arc<str>>,
    /// The name of its credential, once that was checked; `None` if none is required.
    pub(crate) credential: Option<Arc<str>>,
}

impl Caller {
    /// Our own server says both; another one that nests the router may say where the connection comes from
    /// ([`ConnectInfo`]).
    pub(crate) fn of(request: &Request) -> Self {
        let extensions = request.extensions();
        extensions.get::<Self>().cloned().unwrap_or_else(|| Self {
            remote: extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0),
            ..Self::default()
        })
    }
}

/// The reason to refuse a request, whatever its path; `None` to accept it.
///
/// A name that an attacker has pointed at this host (DNS rebinding) is not one of ours, so its pages cannot read
/// what is here. What changes something comes from no page but our own: a browser says where it comes from, and
/// everything that is no browser says nothing of the kind.
pub(crate) fn refusal(request: &Request, caller: &Caller, names: &[String]) -> Option<&'static str> {
    let authority = request.uri().authority().map(|authority| Some(authority.as_str()));
    let mut hosts = values(request.headers(), &HOST).chain(authority);
    if !hosts.all(|host| host.is_some_and(|host| is_ours(host, caller.local, names))) {
        return Some(
            "the Host header names neither loopback, nor the address that the request came in on, nor the advertised \
             address, nor a name in the setting allowed_hosts: add the name to allowed_hosts, or let a proxy in front \
             of this instance set Host to the address that it connects to",
        );
    }
    let changes_nothing = matches!(*request.method(), Method::GET | Method::HEAD);
    if !changes_nothing && !is_from_here(request.headers(), caller.secure) {
        return Some("a page of another origin must not send this request");
    }
    None
}

/// Whether no header says that a page of another origin sends the request.
fn is_from_here(headers: &HeaderMap, secure: bool) -> bool {
    let scheme = if secure { "https" } else { "http" };
    let own = headers.get(HOST).and_then(|host| host.to_str().ok()).map(|host| format!("{scheme}://{host}"));
    let is_own = |origin: &str| own.as_ref().is_some_and(|own| own.eq_ignore_ascii_case(origin));
    let sites = |site: Option<&str>| matches!(site, Some("same-origin" | "none"));
    values(headers, &ORIGIN).all(|origin| origin.is_some_and(is_own))
        && values(headers, &SEC_FETCH_SITE).all(sites)
}

/// All headers with that name; `None` for one that is not text.
fn values<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = Option<&'a str>> {
    headers.get_all(name).into_iter().map(|value| value.to_str().ok())
}

/// Whether a host, with or without a port, is loopback, the `local` address or one of the `names`. Any port will do: a
/// tunnel to this host has its own.
fn is_ours(host: &str, local: Option<IpAddr>, names: &[String]) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let six = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let is_named = |known: &String| known.eq_ignore_ascii_case(six.unwrap_or(name));
    if name.eq_ignore_ascii_case("localhost") || names.iter().any(is_named) {
        return true;
    }
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
            assert!(is_ours(host, local, &[]), "{host}");
        }
    }

    #[test]
    fn a_name_of_the_service_is_ours_with_any_port() {
        let names = ["desk.internal".to_owned()];
        for host in ["desk.internal", "DESK.internal:8080"] {
            assert!(is_ours(host, None, &names), "{host}");
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
            assert!(!is_ours(host, local, &["desk.internal".to_owned()]), "{host}");
        }
    }
}
