//! The HTTP server's sockets, its address for others, its TLS and its limits, for [`run`](crate::run).

use crate::config::{Advertised, Config, Network, has_credential};
use crate::failure::Failure;
use adapter_http::{Clients, Limits, Pages, Serving, Tls};
use rustix::process::{Resource, getrlimit};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// File descriptors that are reserved for other uses than HTTP: 24 for the stores (on PostgreSQL 8 and Redis
/// 4; on SQLite 14), 8 for the stores of operators, 32 for signals at their handler, 16 for the process itself (runtimes, timers, streams,
/// one listener).
pub const DESCRIPTORS_KEPT: u64 = 24 + 8 + 32 + 16;
/// File descriptors of each further listener: its own, and one of a connection that waits for a seat.
const DESCRIPTORS_OF_LISTENER: u64 = 2;
/// Fewest connections, so that probes and the operator get an answer.
const CONNECTIONS_MIN: usize = 8;
/// Divisor of the connections: this share is reserved for probes.
const RESERVED_OF: usize = 8;

/// Addresses for documentation, which belong to no host: the route to them is the default route.
const ELSEWHERE: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))];

/// Reads the files of TLS; `None` if there are none.
///
/// # Errors
/// The file that cannot be used, the reason and the remedy.
pub fn tls(network: &Network) -> Result<Option<Arc<Tls>>, String> {
    network.tls.clone().map(|files| Tls::load(files).map(Arc::new)).transpose()
}

/// Binds every address.
pub async fn listen(network: &Network) -> Result<Vec<TcpListener>, Failure> {
    let mut listeners = Vec::new();
    for wanted in &network.listen {
        let listener = TcpListener::bind(wanted).await.map_err(|error| {
            let hint = match error.kind() {
                std::io::ErrorKind::AddrInUse => {
                    ": another instance or program uses this port; choose another one with --listen 127.0.0.1:PORT"
                }
                std::io::ErrorKind::AddrNotAvailable => {
                    ": no interface of this host has this address; `ip address` lists those that it has"
                }
                _ => "",
            };
            Failure::usage(format!("cannot listen on {wanted}: {error}{hint}"))
        })?;
        listeners.push(listener);
    }
    Ok(listeners)
}

/// The address under which others reach this instance: the setting, else the first address that is not loopback, else
/// the first one. If it is the address of all interfaces, the one that the default route uses, or the host name if there
/// is no such route.
pub fn advertised(network: &Network, listeners: &[TcpListener], host: &str) -> Result<Advertised, Failure> {
    if let Some(advertise) = &network.advertise {
        return Ok(advertise.clone());
    }
    let bound: Result<Vec<SocketAddr>, _> = listeners.iter().map(TcpListener::local_addr).collect();
    let bound = bound.map_err(|error| Failure::other(error.to_string()))?;
    let for_others = bound.iter().find(|address| !address.ip().to_canonical().is_loopback());
    let address = for_others.or(bound.first()).ok_or_else(|| Failure::usage("listen has no address"))?;
    let host = match address.ip() {
        ip if !ip.is_unspecified() => ip.to_canonical().to_string(),
        ip => match outgoing(ip) {
            Some(ip) => ip.to_string(),
            None => {
                tracing::warn!(
                    "this host has no default route, so its address for others is unknown, and its name {host} is \
                     advertised; set advertise (--advertise) if others cannot resolve it"
                );
                host.to_owned()
            }
        },
    };
    Ok(Advertised::of(network.tls.is_some(), host, address.port()))
}

/// The address of this host on its default route. The unspecified address of IPv6 accepts IPv4 as well. Nothing is sent.
fn outgoing(unspecified: IpAddr) -> Option<IpAddr> {
    let usable = ELSEWHERE.into_iter().filter(|there| there.is_ipv4() || unspecified.is_ipv6());
    let mut own = usable.filter_map(|there| {
        let any: IpAddr =
            if there.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 0)).ok()?;
        socket.connect((there, 9)).ok()?;
        Some(socket.local_addr().ok()?.ip())
    });
    own.find(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

/// Logs what an operator should know about the network of this instance.
pub fn warn_of_risks(config: &Config, advertised: &Advertised, tls: Option<&Tls>) {
    let network = &config.network;
    if let Some(open) = network.listen.iter().find(|address| !address.ip().to_canonical().is_loopback()) {
        let lacks = match (network.tls.is_some(), has_credential(config)) {
            (true, true) => None,
            (false, _) => Some("without TLS"),
            (true, false) => Some("without a credential"),
        };
        if let Some(lacks) = lacks {
            tracing::warn!(
                "insecure_network: other hosts reach this instance on {open} {lacks}, and may submit signals and change \
                 what it does"
            );
        }
    }
    if let Some(tls) = tls
        && !tls.is_valid_for(advertised.host())
    {
        tracing::warn!(
            "the certificate in tls.certificate is not for {}, the host that this instance advertises, so clients will \
             refuse it: set advertise (--advertise) to a name in the certificate",
            advertised.host()
        );
    }
}

/// Settings of the HTTP server.
pub fn serving(config: &Config, advertised: &Advertised, tls: Option<Arc<Tls>>) -> Serving {
    let network = &config.network;
    let mut hosts = network.allowed_hosts.clone();
    hosts.push(advertised.host().to_owned());
    let clients = match &tls {
        Some(tls) if tls.verifies_clients() => Clients::WithCertificate,
        _ => Clients::All,
    };
    Serving { limits: limits(network.listen.len()), pages: Pages { hosts, clients, ..Pages::default() }, tls }
}

/// Reads the files of TLS again when they change, and on SIGHUP. Never ends; cancellation safe.
pub async fn follow(tls: Arc<Tls>) {
    let Ok(mut hangups) = signal(SignalKind::hangup()) else {
        tracing::warn!("SIGHUP cannot be received; the files of TLS are still read when they change");
        return tls.follow().await;
    };
    let on_request = async {
        while hangups.recv().await.is_some() {
            tls.report(&tls.reload());
        }
        std::future::pending::<()>().await;
    };
    tokio::join!(tls.follow(), on_request);
}

/// Number of HTTP connections that leaves enough of `descriptors` for everything else.
fn connections_max(descriptors: Option<u64>, listeners: usize) -> usize {
    let most = Limits::default().connections;
    let further = (listeners as u64).saturating_sub(1) * DESCRIPTORS_OF_LISTENER;
    let left = descriptors.map_or(most, |all| {
        usize::try_from(all.saturating_sub(DESCRIPTORS_KEPT + further)).unwrap_or(usize::MAX)
    });
    left.clamp(CONNECTIONS_MIN, most)
}

/// Limits of the pages, with the connections that the operating system's limit of file descriptors allows.
fn limits(listeners: usize) -> Limits {
    let descriptors = getrlimit(Resource::Nofile).current;
    let connections = connections_max(descriptors, listeners);
    let allowed = descriptors.map_or_else(|| "any number of".to_owned(), |all| all.to_string());
    tracing::info!(
        connections,
        "HTTP: at most {connections} connections at a time; {allowed} file descriptors"
    );
    if descriptors.is_some_and(|all| all < DESCRIPTORS_KEPT + CONNECTIONS_MIN as u64) {
        tracing::warn!(
            "{allowed} file descriptors (RLIMIT_NOFILE) are too few for a leader under load: allow at least {}",
            DESCRIPTORS_KEPT + CONNECTIONS_MIN as u64
        );
    }
    Limits {
        connections,
        reserved: connections / RESERVED_OF,
        per_address: connections / 2,
        ..Limits::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Flags;
    use crate::config::load;

    #[test]
    fn http_leaves_file_descriptors_to_the_election() {
        for (descriptors, listeners, connections) in [
            (Some(20), 1, CONNECTIONS_MIN),
            (Some(64), 1, CONNECTIONS_MIN),
            (Some(DESCRIPTORS_KEPT + 20), 1, 20),
            (Some(DESCRIPTORS_KEPT + 20), 3, 16),
            (Some(1_024), 1, 128),
            (None, 1, 128),
        ] {
            assert_eq!(connections_max(descriptors, listeners), connections, "{descriptors:?} {listeners}");
        }
    }

    async fn advertised_for(listen: &[&str], advertise: Option<&str>) -> Advertised {
        let flags = Flags {
            listen: listen.iter().map(|&one| one.to_owned()).collect(),
            advertise: advertise.map(str::to_owned),
            insecure_network: true,
            ..Flags::default()
        };
        let network = load(None, [], &flags).expect("sound").network;
        let listeners = super::listen(&network).await.expect("free");
        advertised(&network, &listeners, "desk-1").expect("an address")
    }

    #[tokio::test]
    async fn the_address_for_others_is_never_loopback_if_they_can_connect() {
        let own = advertised_for(&["127.0.0.1:0"], None).await;
        assert_eq!(own.host(), "127.0.0.1");
        for listen in [&["0.0.0.0:0"][..], &["127.0.0.1:0", "[::]:0"]] {
            let derived = advertised_for(listen, None).await;
            let ip = derived.host().parse::<IpAddr>();
            // Without a default route it is the name.
            let reaches =
                ip.map_or(derived.host() == "desk-1", |ip| !ip.is_loopback() && !ip.is_unspecified());
            assert!(reaches, "{derived}");
            assert!(!derived.to_string().ends_with(":0"), "{derived}");
        }
        let written = advertised_for(&["0.0.0.0:0"], Some("https://Desk-1.example.com")).await;
        assert_eq!(written.to_string(), "https://desk-1.example.com");
    }

    #[tokio::test]
    async fn an_address_that_this_host_has_not_is_refused_with_advice() {
        let flags =
            Flags { listen: vec!["192.0.2.1:0".to_owned()], insecure_network: true, ..Flags::default() };
        let network = load(None, [], &flags).expect("sound").network;
        let error = listen(&network).await.expect_err("refused").message;
        assert!(error.contains("192.0.2.1:0") && error.contains("no interface of this host"), "{error}");
    }
}
