//! Tests of an instance with TLS: its files are read again without a restart, and its own probe works.

use crate::TTL;
use crate::command::coordinator;
use crate::group::Group;
use crate::wait::{PATIENCE, until};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use testkit::authority::Authority;
use testkit::directory::write_secret;
use testkit::process::Signal;

/// The line in the log after each read of the files.
const READ_AGAIN: &str = "TLS: new connections use the files as they are now";

/// The first line of the answer to a client that trusts only this authority; `None` if the client refuses the instance.
fn answer(address: &str, authority: &Authority) -> Option<String> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(authority.chain().as_bytes()).expect("PEM"))
        .expect("an authority");
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let connection = ClientConnection::new(Arc::new(config), name).expect("a client");
    let stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut stream = StreamOwned::new(connection, stream);
    stream.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    text.lines().next().map(str::to_owned)
}

#[test]
fn new_certificates_are_used_without_a_restart() {
    const OK: &str = "HTTP/1.1 200 OK";
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let (certificate, key) = old.write("a", &old.issue(&["localhost"]));
    let files = [("COORDINATOR_TLS_CERTIFICATE", &certificate), ("COORDINATOR_TLS_KEY", &key)];
    let files = files.map(|(name, path)| (name, path.to_str().expect("text")));
    let mut group = Group::embedded(TTL);
    for (name, path) in files {
        group.set(name, path);
    }
    group.start("a");
    let lead = group.wait_lead(0);
    let address = group.process("a").address();
    until("it answers", || answer(&address, &old).filter(|line| line == OK));
    assert_eq!(answer(&address, &new), None);

    let next = new.issue(&["localhost"]);
    write_secret(&certificate, next.chain());
    write_secret(&key, next.key());
    until("the new certificate is used", || answer(&address, &new).filter(|line| line == OK));
    assert_eq!(answer(&address, &old), None);

    let url = format!("https://localhost:{}", address.rsplit(':').next().expect("a port"));
    let status = |authority: &Authority| {
        let file = authority.file();
        coordinator(&["status", "--server", &url])
            .environment("SSL_CERT_FILE", file.to_str().expect("text"))
            .run()
    };
    assert_eq!(status(&new).code, Some(0), "{:?}", status(&new));
    let refused = status(&old);
    assert_ne!(refused.code, Some(0));
    assert!(refused.stderr.contains("the TLS handshake failed"), "{refused:?}");

    // The files are the same, so only the signal causes another read.
    let reads = |group: &mut Group| group.process("a").log().matches(READ_AGAIN).count();
    let before = reads(&mut group);
    group.process("a").signal(Signal::HUP);
    until("the files are read again", || (reads(&mut group) > before).then_some(()));

    let health = coordinator(&["health", "--listen", &address]);
    let health = files.into_iter().fold(health, |call, (name, path)| call.environment(name, path)).run();
    assert_eq!(health.code, Some(0), "{health:?}");
    group.assert_undisturbed(&lead);
    group.finish();
}

#[test]
fn an_address_that_others_reach_is_refused_without_tls_and_without_a_credential() {
    let said = coordinator(&["run", "--listen", "0.0.0.0:0"]).run();
    said.refused(&["0.0.0.0:0", "without TLS", "--insecure-network"]);
}
