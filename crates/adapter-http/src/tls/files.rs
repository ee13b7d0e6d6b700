//! [`TlsFiles`]: the files of [`Tls`](super::Tls). Invariant: no message shows anything of their content.

use rustix::fs::OFlags;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Largest file in bytes; a chain has a few kilobytes, and all public authorities together have 250.
const FILE_LEN_MAX: u64 = 1024 * 1024;
/// Permission bits of group and others.
const OTHERS: u32 = 0o077;
/// Permission bits of any file, without its type.
const PERMISSIONS: u32 = 0o7777;

/// The files, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate of this instance, and those of the authorities between it and the root.
    pub certificate: PathBuf,
    /// Its private key; only the owner of the file may have permissions.
    pub key: PathBuf,
    /// The authorities that sign the certificates of clients; `None`: clients present none.
    pub client_ca: Option<PathBuf>,
}

/// The content of the files.
pub(super) struct Read {
    pub(super) certificates: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    pub(super) client_ca: Option<Vec<CertificateDer<'static>>>,
}

/// Device, inode, size and time of the last change of each file, behind its links; `None` if it is not there.
pub(super) type Versions = Vec<Option<[i128; 7]>>;

impl TlsFiles {
    pub(super) fn versions(&self) -> Versions {
        let paths = [Some(&self.certificate), Some(&self.key), self.client_ca.as_ref()];
        let version = |path: &PathBuf| {
            let seen = std::fs::metadata(path).ok()?;
            let [dev, ino, size] = [seen.dev(), seen.ino(), seen.size()].map(i128::from);
            // A change of the mode or the owner, which may be the remedy, changes only the second time.
            let times = [seen.mtime(), seen.mtime_nsec(), seen.ctime(), seen.ctime_nsec()];
            let [written, written_ns, changed, changed_ns] = times.map(i128::from);
            Some([dev, ino, size, written, written_ns, changed, changed_ns])
        };
        paths.into_iter().flatten().map(version).collect()
    }

    pub(super) fn read(&self) -> Result<Read, String> {
        let certificates = certificates("tls.certificate", &self.certificate)?;
        let fault = |why: String| fault("tls.key", &self.key, &why);
        let pem = open(&self.key, OTHERS).map_err(fault)?;
        let key = PrivateKeyDer::from_pem_slice(&pem)
            .map_err(|_| fault("contains no private key in PEM (its content is not shown)".to_owned()))?;
        let authorities = self.client_ca.as_ref().map(|path| self::certificates("tls.client_ca", path));
        Ok(Read { certificates, key, client_ca: authorities.transpose()? })
    }
}

fn fault(setting: &str, path: &Path, why: &str) -> String {
    format!("{setting} ({}) {why}", path.display().to_string().escape_debug())
}

fn certificates(setting: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = open(path, 0).map_err(|why| fault(setting, path, &why))?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(fault(setting, path, "contains no certificate in PEM")),
        Err(_) => Err(fault(setting, path, "is no valid PEM")),
    }
}

/// Reads a regular file whose mode has none of the `forbidden` bits. Never waits, as it would for a pipe.
fn open(path: &Path, forbidden: u32) -> Result<Vec<u8>, String> {
    let unreadable = |error: io::Error| format!("cannot be read: {error}");
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).expect("a flag of open(2) is an int");
    let file: File = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(unreadable)?;
    let seen = file.metadata().map_err(unreadable)?;
    if !seen.is_file() {
        return Err("is not a regular file".to_owned());
    }
    if seen.mode() & forbidden != 0 {
        let mode = seen.mode() & PERMISSIONS;
        let path = path.display().to_string();
        return Err(format!(
            "has permissions for other users (mode {mode:03o}): chmod 600 {}",
            path.escape_debug()
        ));
    }
    let mut bytes = Vec::new();
    file.take(FILE_LEN_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_LEN_MAX {
        return Err(format!("is larger than {FILE_LEN_MAX} bytes"));
    }
    Ok(bytes)
}
