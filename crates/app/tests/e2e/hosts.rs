//! [`Hosts`]: three hosts for a test. Each is a network namespace with its own loopback and address; the test itself is
//! a fourth host in the same network. Where network namespaces are not permitted, they are three loopback addresses of
//! one host, and standard error says so.

use crate::command::BINARY;
use crate::wait::block_on;
use std::io::Write;
use std::path::Path;
use std::process::{Command, id};
use testkit::backend::free_port;
use testkit::process::Launch;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

/// Number of hosts.
pub const HOSTS: usize = 3;
/// Starts the binary in a namespace.
const ON_HOST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/testdata/on-host");
/// Begin of the names of namespaces; the process id of the test and the host follow.
const NAME: &str = "coordinator-test-";
/// Default port of an instance, free in a new namespace.
const PORT: u16 = 5000;

/// The hosts. Their namespaces are removed with this value.
pub enum Hosts {
    /// Network namespaces at the addresses 1, 2, 3 of this network; the test has the address 254.
    Namespaces { network: String },
    /// Loopback addresses with this port.
    Loopback { port: u16 },
}

impl Hosts {
    /// Creates the namespaces if this user may, and reports the choice.
    pub fn new() -> Self {
        remove_leftovers();
        // A range for tests between networks (RFC 2544). Tests that run at the same time have different networks.
        let network = format!("198.18.{}", id() % 256);
        let (hosts, how) = match namespaces(&network) {
            Ok(()) => (Self::Namespaces { network }, "three network namespaces".to_owned()),
            Err(why) => {
                remove(id());
                let how = format!("three loopback addresses, because network namespaces failed: {why}");
                (Self::Loopback { port: free_port() }, how)
            }
        };
        // Not `eprintln`, which the output of a test that passes does not show.
        let _ = writeln!(std::io::stderr(), "hosts of this test: {how}");
        hosts
    }

    /// The address of an instance on the host with that number, from 0, for clients on every host.
    pub fn address(&self, host: usize) -> String {
        match self {
            Self::Namespaces { network } => format!("{network}.{}:{PORT}", host + 1),
            Self::Loopback { port } => format!("127.0.0.{}:{port}", host + 2),
        }
    }

    /// The launch of an instance on that host, without TLS. On a namespace it listens on all interfaces, and derives its
    /// address for others.
    pub fn launch(&self, host: usize, name: &str) -> Launch {
        match self {
            Self::Namespaces { .. } => Launch::new(ON_HOST, name)
                .environment("ON_HOST", &namespace(id(), &(host + 1).to_string()))
                .environment("TESTED", BINARY)
                .argument("--insecure-network")
                .argument("--listen")
                .argument(format!("0.0.0.0:{PORT}")),
            Self::Loopback { .. } => Launch::new(BINARY, name)
                .argument("--advertise")
                .argument(format!("http://{}", self.address(host)))
                .argument("--listen")
                .argument(self.address(host)),
        }
    }

    /// The URL at which all hosts reach the server of `url`, which is on the test's own loopback.
    pub fn reach(&self, url: &str) -> String {
        let Self::Namespaces { network } = self else { return url.to_owned() };
        let (_, rest) = url.split_once("://").expect("a URL");
        let authority = rest.split('/').next().expect("a host");
        let server = authority.rsplit('@').next().expect("a host").to_owned();
        let relay = block_on(async {
            let listener = TcpListener::bind(format!("{network}.254:0")).await.expect("the test's address");
            let relay = listener.local_addr().expect("bound").to_string();
            let to = server.clone();
            tokio::spawn(async move {
                while let Ok((mut from, _)) = listener.accept().await {
                    let to = to.clone();
                    tokio::spawn(async move {
                        if let Ok(mut to) = TcpStream::connect(to).await {
                            // It ends when one of them closes.
                            let _ = copy_bidirectional(&mut from, &mut to).await;
                        }
                    });
                }
            });
            relay
        });
        url.replacen(&server, &relay, 1)
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        if matches!(self, Self::Namespaces { .. }) {
            remove(id());
        }
    }
}

fn namespace(pid: u32, host: &str) -> String {
    format!("{NAME}{pid}-{host}")
}

fn ip(arguments: &str) -> Result<String, String> {
    let output = Command::new("ip").args(arguments.split(' ')).output();
    let output = output.map_err(|error| format!("ip (package iproute2): {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("ip {arguments}: {}", String::from_utf8_lossy(&output.stderr).trim()))
    }
}

/// A namespace with a bridge, to which the hosts and the test are connected.
fn namespaces(network: &str) -> Result<(), String> {
    let (hub, own) = (namespace(id(), "hub"), format!("ct{}", id()));
    ip(&format!("netns add {hub}"))?;
    ip(&format!("-n {hub} link add hub type bridge"))?;
    ip(&format!("-n {hub} link set hub up"))?;
    ip(&format!("link add {own} type veth peer name test netns {hub}"))?;
    ip(&format!("addr add {network}.254/24 dev {own}"))?;
    ip(&format!("link set {own} up"))?;
    ip(&format!("-n {hub} link set test master hub up"))?;
    for host in 1..=HOSTS {
        let name = namespace(id(), &host.to_string());
        ip(&format!("netns add {name}"))?;
        ip(&format!("-n {name} link set lo up"))?;
        ip(&format!("-n {name} link add eth0 type veth peer name host{host} netns {hub}"))?;
        ip(&format!("-n {name} addr add {network}.{host}/24 dev eth0"))?;
        ip(&format!("-n {name} link set eth0 up"))?;
        ip(&format!("-n {name} route add default via {network}.254"))?;
        ip(&format!("-n {hub} link set host{host} master hub up"))?;
    }
    Ok(())
}

/// Removes the namespaces of a test process, and with them their links.
fn remove(pid: u32) {
    for host in ["hub", "1", "2", "3"] {
        // Some were not created if the creation failed.
        let _ = ip(&format!("netns del {}", namespace(pid, host)));
    }
}

/// Removes the namespaces of tests that were killed.
fn remove_leftovers() {
    let names = ip("netns list").unwrap_or_default();
    let of_tests = names.lines().filter_map(|line| line.strip_prefix(NAME)?.split('-').next()?.parse().ok());
    for pid in of_tests.filter(|pid: &u32| !Path::new(&format!("/proc/{pid}")).exists()) {
        remove(pid);
    }
}
