//! A Redis for one test.

use super::choice::{Kind, Way, native, way};
use super::container::{Container, Image};
use super::free_port;
use super::native::{Directory, Native, Program, User};
use super::resp::{Reply, command};
use super::server::{Order, Server};
use crate::authority::{Authority, Certificate};
use rustix::process::Signal;
use std::sync::OnceLock;

static WAY: OnceLock<Way> = OnceLock::new();
const KIND: Kind =
    Kind { name: "Redis", image: "redis", tag: "7", programs: &["redis-server"], package: "redis-server" };
/// Port inside a container.
const PORT: u16 = 6379;

/// A running Redis without persistence: a restart loses all data, which the protocol must tolerate.
#[derive(Debug)]
pub struct Redis {
    host: String,
    port: u16,
    tls_port: Option<u16>,
    server: Server,
}

/// Starts a Redis.
///
/// # Panics
/// If none is available, with a sentence that says what to install.
pub fn redis() -> Redis {
    let port = free_port();
    let way = way(&KIND, &WAY);
    let host = match &way {
        Way::Container { host } => host.clone(),
        Way::Native { .. } => "127.0.0.1".to_owned(),
    };
    let address = format!("{host}:{port}");
    let ready = move || match command(&address, &["PING"]) {
        Ok(Reply::Status(pong)) if pong == "PONG" => Ok(()),
        other => Err(format!("no PONG: {other:?}")),
    };
    let no_persistence = ["--save", "", "--appendonly", "no"].map(str::to_owned);
    let server = match way {
        Way::Native { directory } => Server::start(
            KIND.name,
            move || {
                let listen = ["--bind", "127.0.0.1", "--port", &port.to_string()].map(str::to_owned);
                let program = Program {
                    path: directory.join(KIND.programs[0]),
                    arguments: listen.into_iter().chain(no_persistence).collect(),
                    user: User::Ours,
                    stop: Signal::TERM,
                };
                Ok(Native::new(program, Directory::new(User::Ours)?))
            },
            ready,
        ),
        Way::Container { host } => Server::start(
            KIND.name,
            move || {
                Container::new(Image {
                    repository: KIND.image,
                    tag: KIND.tag,
                    host,
                    port: PORT,
                    host_port: port,
                    environment: Vec::new(),
                    // Inside the container's network the test is a remote client, which protected mode would
                    // refuse.
                    arguments: ["redis-server", "--protected-mode", "no"]
                        .map(str::to_owned)
                        .into_iter()
                        .chain(no_persistence)
                        .collect(),
                })
            },
            ready,
        ),
    };
    Redis { host, port, tls_port: None, server }
}

/// Starts a Redis as a child process that accepts only TLS, with this certificate, and only clients with a certificate
/// of the authority. [`Redis::command`] reaches it without TLS on another port.
///
/// # Panics
/// If it is not installed, with a sentence that says what to install.
pub fn tls_redis(certificate: &Certificate, clients: &Authority) -> Redis {
    let Way::Native { directory } = native(&KIND).unwrap_or_else(|sentence| panic!("{sentence}")) else {
        unreachable!("native was wanted")
    };
    let (port, plain) = (free_port(), free_port());
    let address = format!("127.0.0.1:{plain}");
    let ready = move || match command(&address, &["PING"]) {
        Ok(Reply::Status(pong)) if pong == "PONG" => Ok(()),
        other => Err(format!("no PONG: {other:?}")),
    };
    let (certificate, authority) = (certificate.clone(), clients.chain().to_owned());
    let make = move || {
        let files = Directory::new(User::Ours)?;
        let mut arguments: Vec<String> =
            ["--bind", "127.0.0.1", "--port", &plain.to_string()].map(str::to_owned).into();
        arguments.extend(["--tls-port".to_owned(), port.to_string(), "--save".to_owned(), String::new()]);
        for (flag, name, text) in [
            ("--tls-cert-file", "server.crt", certificate.chain()),
            ("--tls-key-file", "server.key", certificate.key()),
            ("--tls-ca-cert-file", "clients.crt", &authority),
        ] {
            let path = files.path().join(name);
            User::Ours.write(&path, text)?;
            arguments.extend([flag.to_owned(), path.to_string_lossy().into_owned()]);
        }
        let program = Program {
            path: directory.join(KIND.programs[0]),
            arguments,
            user: User::Ours,
            stop: Signal::TERM,
        };
        Ok(Native::new(program, files))
    };
    let server = Server::start(KIND.name, make, ready);
    Redis { host: "127.0.0.1".to_owned(), port: plain, tls_port: Some(port), server }
}

impl Redis {
    /// Port for clients that speak TLS.
    ///
    /// # Panics
    /// If it is not a [`tls_redis`].
    pub fn tls_port(&self) -> u16 {
        self.tls_port.expect("only tls_redis() speaks TLS")
    }

    /// URL for clients.
    pub fn url(&self) -> String {
        format!("redis://{}:{}", self.host, self.port)
    }

    /// Host and port, for a proxy.
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Sends a command without any adapter.
    ///
    /// # Panics
    /// If the server does not answer. An error answer is a [`Reply::Error`].
    pub fn command(&self, arguments: &[impl AsRef<[u8]>]) -> Reply {
        command(&self.address(), arguments)
            .unwrap_or_else(|error| panic!("Redis at {}: {error}", self.address()))
    }

    /// Ends the server in an orderly way.
    pub fn stop(&self) {
        self.server.order(Order::Stop);
    }

    /// Starts the server again on the same port after [`Self::stop`] or [`Self::kill`], empty; returns when
    /// it answers.
    pub fn start(&self) {
        self.server.order(Order::Start);
    }

    /// Ends the server as a power failure would.
    pub fn kill(&self) {
        self.server.order(Order::Kill);
    }

    /// Stops the server from running; its connections stay open without answers.
    pub fn pause(&self) {
        self.server.order(Order::Pause);
    }

    /// Lets the server run again; it then processes what was sent during the pause.
    pub fn resume(&self) {
        self.server.order(Order::Resume);
    }
}
