//! A man in the middle: it takes the place of a server, completes the handshake with any client that accepts its
//! certificate, and counts what clients then send.

use crate::authority::Certificate;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Length of the request for TLS with which a session of PostgreSQL begins.
const SSL_REQUEST_LEN: usize = 8;

/// What it does before the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guise {
    /// TLS from the first byte: Redis, HTTPS.
    Tls,
    /// PostgreSQL that agrees to TLS.
    Postgres,
    /// PostgreSQL that answers that it has no TLS, so that the client continues without.
    PostgresWithoutTls,
}

/// A running impostor on loopback.
#[derive(Debug)]
pub struct Impostor {
    address: SocketAddr,
    seen: Arc<Seen>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Seen {
    connections: AtomicU64,
    refusals: AtomicU64,
    bytes: AtomicU64,
}

impl Impostor {
    /// Starts one that shows this certificate.
    ///
    /// # Panics
    /// If it cannot listen.
    pub async fn start(guise: Guise, certificate: &Certificate) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let chain = CertificateDer::pem_slice_iter(certificate.chain().as_bytes());
        let chain: Vec<_> = chain.collect::<Result<_, _>>().expect("a certificate");
        let key = PrivateKeyDer::from_pem_slice(certificate.key().as_bytes()).expect("a key");
        let config =
            ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).expect("they fit");
        let (acceptor, seen) = (TlsAcceptor::from(Arc::new(config)), Arc::new(Seen::default()));
        let counted = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                counted.connections.fetch_add(1, SeqCst);
                tokio::spawn(deceive(client, guise, acceptor.clone(), Arc::clone(&counted)));
            }
        });
        Self { address, seen, task }
    }

    /// Host and port.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Connections so far.
    pub fn connections(&self) -> u64 {
        self.seen.connections.load(SeqCst)
    }

    /// Connections that clients have ended before they sent anything.
    pub fn refusals(&self) -> u64 {
        self.seen.refusals.load(SeqCst)
    }

    /// Bytes that clients have sent to it after the handshake, or without one: what a man in the middle learns.
    pub fn bytes(&self) -> u64 {
        self.seen.bytes.load(SeqCst)
    }
}

impl Drop for Impostor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn deceive(mut client: TcpStream, guise: Guise, acceptor: TlsAcceptor, seen: Arc<Seen>) {
    if guise != Guise::Tls {
        let mut request = [0; SSL_REQUEST_LEN];
        if client.read_exact(&mut request).await.is_err() {
            seen.refusals.fetch_add(1, SeqCst);
            return;
        }
        let answer: &[u8] = if guise == Guise::Postgres { b"S" } else { b"N" };
        if client.write_all(answer).await.is_err() {
            return;
        }
        if guise == Guise::PostgresWithoutTls {
            return count(client, &seen).await;
        }
    }
    match acceptor.accept(client).await {
        Ok(session) => count(session, &seen).await,
        Err(_) => {
            seen.refusals.fetch_add(1, SeqCst);
        }
    }
}

async fn count(mut session: impl AsyncRead + Unpin, seen: &Seen) {
    let mut received = [0; 1_024];
    let mut is_silent = true;
    while let Ok(len @ 1..) = session.read(&mut received).await {
        is_silent = false;
        seen.bytes.fetch_add(len as u64, SeqCst);
    }
    if is_silent {
        seen.refusals.fetch_add(1, SeqCst);
    }
}
