//! [`ClientTls`]: the authorities that a client checks servers with, and the certificate that it shows them. Redis and
//! the HTTP handler use it.
//!
//! Invariants: a server is always checked, its name included. The files are read again after they changed, so renewed
//! certificates need no restart; until they can be read again, connections fail and none is made with fewer checks.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Largest file, in bytes: a bundle of every public authority has a quarter of it.
const FILE_LEN_MAX: u64 = 1 << 20;

/// The permissions of everybody but the owner.
const OTHERS: u32 = 0o077;
/// The permission bits of a mode.
const PERMISSIONS: u32 = 0o7777;

/// TLS settings of a client: the system's authorities and no certificate unless set. A clone shares what was read.
#[derive(Clone, Default)]
pub struct ClientTls {
    ca: Option<PathBuf>,
    /// The certificate and its key.
    certificate: Option<(PathBuf, PathBuf)>,
    read: Arc<Mutex<Option<Loaded>>>,
}

/// The result of the last read.
struct Loaded {
    stamps: Vec<Stamp>,
    config: Arc<ClientConfig>,
}

/// State of a file that changes with its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    len: u64,
    modified: (i64, i64),
}

impl ClientTls {
    /// Trusts only the authorities in this file (PEM), instead of those of the system.
    #[must_use]
    pub fn ca(self, path: impl Into<PathBuf>) -> Self {
        Self { ca: Some(path.into()), read: Arc::default(), ..self }
    }

    /// Shows the server this certificate, with the authorities between it and the root (PEM), and proves it with `key`.
    #[must_use]
    pub fn certificate(self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self { certificate: Some((certificate.into(), key.into())), read: Arc::default(), ..self }
    }

    /// The settings as the files have them now.
    ///
    /// # Errors
    /// The file that cannot be used, and why; shows nothing of its content.
    pub fn config(&self) -> Result<Arc<ClientConfig>, String> {
        let stamps = self.stamps()?;
        // A panic under this lock leaves what was there before.
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Loaded { config, .. }) = read.as_ref().filter(|read| read.stamps == stamps) {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(self.read_files()?);
        *read = Some(Loaded { stamps, config: Arc::clone(&config) });
        Ok(config)
    }

    fn stamps(&self) -> Result<Vec<Stamp>, String> {
        let own = self.certificate.iter().flat_map(|(certificate, key)| [certificate, key]);
        self.ca.iter().chain(own).map(|path| stamp(path).map_err(|error| unreadable(path, &error))).collect()
    }

    fn read_files(&self) -> Result<ClientConfig, String> {
        let roots = match &self.ca {
            Some(path) => roots_in(path)?,
            None => system_roots()?,
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has every cipher suite of the default versions")
            .with_root_certificates(roots);
        let Some((certificate, key)) = &self.certificate else { return Ok(builder.with_no_client_auth()) };
        let chain = certificates_in(certificate)?;
        let secret = PrivateKeyDer::from_pem_slice(&private_content(key)?)
            .map_err(|_| format!("{}: no private key in PEM", key.display()))?;
        builder
            .with_client_auth_cert(chain, secret)
            .map_err(|error| format!("{} does not fit {}: {error}", key.display(), certificate.display()))
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ca, certificate, read: _ } = self;
        f.debug_struct("ClientTls").field("ca", ca).field("certificate", certificate).finish_non_exhaustive()
    }
}

fn stamp(path: &Path) -> io::Result<Stamp> {
    let seen = fs::metadata(path)?;
    let modified = (seen.mtime(), seen.mtime_nsec());
    Ok(Stamp { device: seen.dev(), inode: seen.ino(), len: seen.len(), modified })
}

fn system_roots() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
        return Err(format!(
            "this host has no certificate authorities{why}: install ca-certificates, or name the file of the authority"
        ));
    }
    Ok(roots)
}

fn roots_in(path: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates_in(path)? {
        roots.add(certificate).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(roots)
}

fn certificates_in(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&content(path)?).collect();
    match read {
        Ok(list) if !list.is_empty() => Ok(list),
        Ok(_) | Err(_) => Err(format!("{}: no certificate in PEM", path.display())),
    }
}

/// The content of a file that only its owner may read.
fn private_content(path: &Path) -> Result<Vec<u8>, String> {
    let mode = fs::metadata(path).map_err(|error| unreadable(path, &error))?.mode() & PERMISSIONS;
    if mode & OTHERS != 0 {
        let path = path.display();
        return Err(format!(
            "{path} is a file that other users have permissions for (mode {mode:03o}): chmod 600 {path}"
        ));
    }
    content(path)
}

/// Reads only a regular file, because a pipe without a writer would never answer.
fn content(path: &Path) -> Result<Vec<u8>, String> {
    let seen = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    if !seen.is_file() {
        return Err(format!("{} is not a regular file", path.display()));
    }
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FILE_LEN_MAX).read_to_end(&mut bytes));
    read.map(|_| bytes).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &io::Error) -> String {
    format!("{} cannot be read: {error}", path.display())
}
