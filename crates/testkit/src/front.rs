//! A front that ends TLS before a service, as a proxy does, and keeps what clients have sent to the service.

use crate::authority::{Authority, Certificate};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

/// A running front on loopback; it ends when this value is dropped.
#[derive(Debug)]
pub struct TlsFront {
    address: SocketAddr,
    seen: Arc<Seen>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Seen {
    refusals: AtomicU64,
    sent: Mutex<Vec<u8>>,
}

impl TlsFront {
    /// Starts one before the service at `service` (host and port). It shows `certificate`; with `clients`, it requires a
    /// certificate of that authority.
    ///
    /// # Panics
    /// If it cannot listen, or outside a tokio runtime.
    pub async fn start(certificate: &Certificate, clients: Option<&Authority>, service: String) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let acceptor = TlsAcceptor::from(Arc::new(settings(certificate, clients)));
        let seen = Arc::new(Seen::default());
        let kept = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, acceptor.clone(), service.clone(), Arc::clone(&kept)));
            }
        });
        Self { address, seen, task }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Handshakes that failed.
    pub fn refusals(&self) -> u64 {
        self.seen.refusals.load(SeqCst)
    }

    /// Everything that clients have sent to the service, without TLS.
    ///
    /// # Panics
    /// If one of its tasks has panicked.
    pub fn sent(&self) -> String {
        String::from_utf8_lossy(&self.seen.sent.lock().expect("no panic under it")).into_owned()
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn settings(certificate: &Certificate, clients: Option<&Authority>) -> ServerConfig {
    let pem = |text: &str| CertificateDer::from_pem_slice(text.as_bytes()).expect("a certificate");
    let builder = ServerConfig::builder();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(pem(authority.chain())).expect("an authority");
            let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().expect("an authority");
            builder.with_client_cert_verifier(verifier)
        }
    };
    let key = PrivateKeyDer::from_pem_slice(certificate.key().as_bytes()).expect("a key");
    builder.with_single_cert(vec![pem(certificate.chain())], key).expect("they fit")
}

async fn forward(client: TcpStream, acceptor: TlsAcceptor, service: String, seen: Arc<Seen>) {
    let Ok(session) = acceptor.accept(client).await else {
        seen.refusals.fetch_add(1, SeqCst);
        return;
    };
    let Ok(mut service) = TcpStream::connect(service).await else { return };
    let (mut from_client, mut to_client) = split(session);
    let (mut from_service, mut to_service) = service.split();
    let request = async {
        let mut received = [0; 4_096];
        while let Ok(len @ 1..) = from_client.read(&mut received).await {
            seen.sent.lock().expect("no panic under it").extend(&received[..len]);
            if to_service.write_all(&received[..len]).await.is_err() {
                break;
            }
        }
    };
    let answer = async {
        // The client may have gone.
        let _ = tokio::io::copy(&mut from_service, &mut to_client).await;
        let _ = to_client.shutdown().await;
    };
    // The answer is whole before the service ends the connection.
    tokio::select! {
        () = answer => {}
        () = request => {}
    }
}
