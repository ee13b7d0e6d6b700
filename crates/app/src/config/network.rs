//! [`Network`]: the addresses of the HTTP server, its TLS, and the rule that keeps it from a network without either.

use super::fault::{Fault, shown};
use super::layers::LIST_SEPARATOR;
use super::{Config, Judge, Key, parse};
use adapter_http::TlsFiles;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// Default port of the page.
const PORT_DEFAULT: u16 = 5000;
/// Most addresses; a host has few networks.
const ADDRESSES_MAX: usize = 16;
/// Longest host name, as in DNS.
const HOST_LEN_MAX: usize = 253;

/// Settings of the HTTP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Addresses to listen on, at least one; port 0: any free port.
    pub listen: Vec<SocketAddr>,
    /// Address under which others reach the server; `None`: made from `listen`.
    pub advertise: Option<Advertised>,
    /// Further names of the header `Host`, without ports and brackets.
    pub allowed_hosts: Vec<String>,
    /// Whether an address in `listen` may be reachable without TLS or without a credential.
    pub insecure: bool,
    /// TLS; `None`: connections are not encrypted.
    pub tls: Option<TlsFiles>,
}

/// An address that others use: a scheme, a host, and perhaps a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advertised {
    scheme: &'static str,
    /// A name or an address, without brackets.
    host: String,
    port: Option<u16>,
}

impl Advertised {
    /// The address of a server on that host and port.
    pub fn of(tls: bool, host: String, port: u16) -> Self {
        Self { scheme: if tls { "https" } else { "http" }, host, port: Some(port) }
    }

    /// The host, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            "not an address such as https://desk-1.example.com:5000: http or https, a host, and perhaps a port; no \
             user and no path"
                .to_owned()
        };
        let (scheme, rest) = match text.split_once("://") {
            Some(("http", rest)) => ("http", rest),
            Some(("https", rest)) => ("https", rest),
            _ => return Err(wrong()),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let end = if rest.starts_with('[') { rest.find(']').map(|at| at + 1) } else { rest.find(':') };
        let (host, port) = rest.split_at(end.unwrap_or(rest.len()));
        let host = host_name(host).map_err(|_| wrong())?;
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => None,
            Some(port) => Some(port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?),
            None => return Err(wrong()),
        };
        if host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified()) {
            return Err(format!("{}, which no other host can connect to", shown(&host)));
        }
        Ok(Self { scheme, host, port })
    }
}

impl fmt::Display for Advertised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scheme, host, port } = self;
        let (open, close) = if host.contains(':') { ("[", "]") } else { ("", "") };
        write!(f, "{scheme}://{open}{host}{close}")?;
        port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// Whether clients have to prove who they are, by a token or a certificate.
pub fn has_credential(config: &Config) -> bool {
    config.tokens_file.is_some() || config.network.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some())
}

impl Judge {
    pub(super) fn network(&mut self) -> Option<Network> {
        let listen = self.take(Key::Listen, listen, || vec![(Ipv4Addr::LOCALHOST, PORT_DEFAULT).into()]);
        let advertise = self.take(Key::Advertise, |text| Advertised::parse(text).map(Some), || None);
        let allowed_hosts = self.take(Key::AllowedHosts, hosts, Vec::new);
        let insecure = self.take(Key::InsecureNetwork, switch, || false);
        let tls = self.tls();
        Some(Network {
            listen: listen?,
            advertise: advertise?,
            allowed_hosts: allowed_hosts?,
            insecure: insecure?,
            tls: tls?,
        })
    }

    #[expect(
        clippy::option_option,
        reason = "the outer one is whether the value is valid, as for every setting"
    )]
    fn tls(&mut self) -> Option<Option<TlsFiles>> {
        let [certificate, key, client_ca] = [Key::TlsCertificate, Key::TlsKeyFile, Key::TlsClientCa]
            .map(|key| self.take(key, |text| file(text).map(Some), || None));
        let written = |key| self.written.contains_key(&key);
        let needs = match [Key::TlsCertificate, Key::TlsKeyFile, Key::TlsClientCa].map(written) {
            [true, false, _] => Some((Key::TlsCertificate, "needs tls.key, the file with its private key")),
            [false, true, _] => {
                Some((Key::TlsKeyFile, "needs tls.certificate, the file with its certificate"))
            }
            [false, false, true] => {
                Some((Key::TlsClientCa, "has no effect without tls.certificate and tls.key"))
            }
            _ => None,
        };
        if let Some((key, message)) = needs {
            self.faults.push(Fault::new(self.place(key), message));
        }
        let (certificate, key, client_ca) = (certificate?, key?, client_ca?);
        Some(certificate.zip(key).map(|(certificate, key)| TlsFiles { certificate, key, client_ca }))
    }

    /// Other hosts may reach the server only through TLS and with a credential, or by consent.
    pub(super) fn network_is_protected(&mut self, config: &Config) {
        let network = &config.network;
        let reachable = network.listen.iter().find(|address| !address.ip().to_canonical().is_loopback());
        let Some(address) = reachable.filter(|_| !network.insecure) else { return };
        let lacks = match (network.tls.is_some(), has_credential(config)) {
            (true, true) => return,
            (false, _) => {
                "without TLS a third party in the network can read and change what is sent: set tls.certificate and \
                 tls.key, and access.tokens_file or tls.client_ca"
            }
            (true, false) => {
                "without a credential every client that reaches it may read everything and submit signals: set access.tokens_file \
                 or tls.client_ca"
            }
        };
        let message = format!(
            "{address} can be reached by other hosts, and {lacks}; or listen on loopback (127.0.0.1); or accept the \
             risk with --insecure-network (insecure_network = true)"
        );
        self.faults.push(Fault::new(self.place(Key::Listen), message));
    }
}

fn listen(text: &str) -> Result<Vec<SocketAddr>, String> {
    let mut all: Vec<SocketAddr> = Vec::new();
    for one in parts(text) {
        let Ok(address) = one.parse::<SocketAddr>() else {
            return Err(format!(
                "{}, not IP-ADDRESS:PORT such as 127.0.0.1:5000, 0.0.0.0:5000 or [::1]:5000",
                shown(one)
            ));
        };
        if address.port() != 0 && all.contains(&address) {
            return Err(format!("{address} twice: write each address once"));
        }
        all.push(address);
    }
    // Linux accepts IPv4 on the unspecified address of IPv6.
    let any = |all: &[SocketAddr], ipv6: bool, port| {
        all.iter().any(|one| one.is_ipv6() == ipv6 && one.ip().is_unspecified() && one.port() == port)
    };
    if let Some(four) =
        all.iter().find(|one| one.port() != 0 && any(&all, false, one.port()) && any(&all, true, one.port()))
    {
        let port = four.port();
        return Err(format!(
            "both 0.0.0.0:{port} and [::]:{port}: leave 0.0.0.0:{port} out, [::] has IPv4 as well"
        ));
    }
    match all.len() {
        1..=ADDRESSES_MAX => Ok(all),
        0 => Err("an empty list, not at least one IP-ADDRESS:PORT such as 127.0.0.1:5000".to_owned()),
        _ => Err(format!("a list of more than {ADDRESSES_MAX} addresses")),
    }
}

fn hosts(text: &str) -> Result<Vec<String>, String> {
    parts(text).map(host_name).collect()
}

/// A host name or an address, with or without brackets; returned without them.
fn host_name(text: &str) -> Result<String, String> {
    let six = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let is_address = six.unwrap_or(text).parse::<IpAddr>().is_ok();
    let is_name = (1..=HOST_LEN_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    match six {
        Some(six) if is_address => Ok(six.to_owned()),
        None if is_address || is_name => Ok(text.to_ascii_lowercase()),
        _ => Err(format!(
            "{}, not a host name or an address such as desk-1.example.com or 10.0.0.7, without a port",
            shown(text)
        )),
    }
}

/// The values of a list that is written as one text.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let is_empty = text.trim().is_empty();
    text.split(LIST_SEPARATOR).map(str::trim).filter(move |_| !is_empty)
}

fn switch(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| format!("{}, neither true nor false", shown(text)))
}

/// The path of a file; a key that was written in its place is not shown.
fn file(text: &str) -> Result<PathBuf, String> {
    if text.contains("-----BEGIN") { Err("not the path of a file".to_owned()) } else { parse::file(text) }
}
