//! [`Tls`]: the certificate of the listener and the authority of its clients, from files that may change at any time.
//!
//! TLS 1.2 and 1.3 by rustls with ring. Each new connection uses the files as they were read last. Invariant: files that
//! cannot be used never replace those that can.

mod certificate;
mod files;
pub(crate) mod unverified;

pub use files::TlsFiles;

use crate::json::rfc3339;
use certificate::{expires_s, is_valid_for, name_of};
use files::{Read, Versions};
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Time between two polls of the files.
const POLL: Duration = Duration::from_secs(2);

/// TLS of a listener.
pub struct Tls {
    files: TlsFiles,
    now: Mutex<Now>,
}

/// What new connections use, and the files that it was read from.
struct Now {
    loaded: Arc<Loaded>,
    /// The versions of the files at the last attempt to read them.
    versions: Versions,
}

struct Loaded {
    config: Arc<ServerConfig>,
    /// The own certificate.
    certificate: CertificateDer<'static>,
    expires_s: i64,
}

/// The result of a poll of the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reloaded {
    /// The files are the same.
    Same,
    /// New connections use the new files.
    New,
    /// New connections still use the former files, for that reason.
    Kept(String),
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// The file that cannot be used, the reason and the remedy, as a sentence.
    pub fn load(files: TlsFiles) -> Result<Self, String> {
        let versions = files.versions();
        let loaded = Arc::new(Loaded::of(files.read()?)?);
        Ok(Self { files, now: Mutex::new(Now { loaded, versions }) })
    }

    /// Whether clients can present a certificate.
    pub fn verifies_clients(&self) -> bool {
        self.files.client_ca.is_some()
    }

    /// The end of the certificate's validity, in unix seconds.
    pub fn expires_s(&self) -> i64 {
        self.lock().loaded.expires_s
    }

    /// Whether the certificate is for that host, a name or an address without brackets.
    pub fn is_valid_for(&self, host: &str) -> bool {
        is_valid_for(&self.lock().loaded.certificate, host)
    }

    /// Reads the files again if they have changed since the last attempt.
    pub fn reload_if_changed(&self) -> Reloaded {
        if self.lock().versions == self.files.versions() { Reloaded::Same } else { self.reload() }
    }

    /// Reads the files again.
    pub fn reload(&self) -> Reloaded {
        let versions = self.files.versions();
        let loaded = self.files.read().and_then(Loaded::of);
        let mut now = self.lock();
        now.versions = versions;
        match loaded {
            Ok(loaded) => {
                now.loaded = Arc::new(loaded);
                Reloaded::New
            }
            Err(why) => Reloaded::Kept(why),
        }
    }

    /// Polls the files and logs what changes. Never ends; cancellation safe.
    pub async fn follow(&self) {
        loop {
            sleep(POLL).await;
            self.report(&self.reload_if_changed());
        }
    }

    /// Logs the result of a reload.
    pub fn report(&self, reloaded: &Reloaded) {
        match reloaded {
            Reloaded::Same => {}
            Reloaded::New => {
                let expires = rfc3339(self.expires_s().saturating_mul(1_000)).unwrap_or_default();
                tracing::info!(expires, "TLS: new connections use the files as they are now");
            }
            Reloaded::Kept(why) => {
                tracing::warn!("TLS: the new files cannot be used, so the former certificate stays: {why}");
            }
        }
    }

    /// Completes the handshake of a connection.
    pub(crate) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
    ) -> io::Result<TlsStream<S>> {
        let config = Arc::clone(&self.lock().loaded.config);
        TlsAcceptor::from(config).accept(stream).await
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name of the client by its certificate, which was verified; `None` if it presented none.
pub(crate) fn client_of<S>(stream: &TlsStream<S>) -> Option<Arc<str>> {
    let certificates = stream.get_ref().1.peer_certificates()?;
    Some(name_of(certificates.first()?).into())
}

impl Loaded {
    fn of(read: Read) -> Result<Self, String> {
        let Read { certificates, key, client_ca } = read;
        let provider = Arc::new(ring::default_provider());
        let certificate = certificates.first().cloned().ok_or("tls.certificate contains no certificate")?;
        let expires_s = expires_s(&certificate).map_err(|why| format!("tls.certificate: {why}"))?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|error| format!("TLS cannot be used: {error}"))?;
        let builder = match client_ca {
            None => builder.with_no_client_auth(),
            Some(authorities) => {
                let mut roots = RootCertStore::empty();
                for authority in authorities {
                    roots.add(authority).map_err(|error| format!("tls.client_ca: {error}"))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                    // Probes need no certificate; the guard refuses every other request without one.
                    .allow_unauthenticated()
                    .build()
                    .map_err(|error| format!("tls.client_ca: {error}"))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_single_cert(certificates, key).map_err(|error| {
            format!("tls.key does not fit the first certificate of tls.certificate: {error}")
        })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config), certificate, expires_s })
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}
