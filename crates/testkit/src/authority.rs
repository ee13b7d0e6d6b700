//! Certificate authorities for tests, and the certificates that they issue: valid, expired, or of any name.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use std::path::PathBuf;
use tempfile::TempDir;

/// An authority that no system trusts. Its files are removed with it.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    chain: String,
    files: TempDir,
}

/// A certificate and its key, in PEM.
#[derive(Debug, Clone)]
pub struct Certificate {
    chain: String,
    key: String,
}

impl Certificate {
    /// The certificate.
    pub fn chain(&self) -> &str {
        &self.chain
    }

    /// Its private key.
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl Authority {
    /// A new authority with its own key.
    ///
    /// # Panics
    /// If its file cannot be written.
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut parameters = CertificateParams::new(Vec::new()).expect("no names");
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let chain = parameters.self_signed(&key).expect("a certificate").pem();
        let files = tempfile::Builder::new().prefix("coordinator-test-").tempdir().expect("a directory");
        std::fs::write(files.path().join("ca.pem"), &chain).expect("its file");
        Self { issuer: Issuer::new(parameters, key), chain, files }
    }

    /// Its certificate in PEM.
    pub fn chain(&self) -> &str {
        &self.chain
    }

    /// The file with its certificate.
    pub fn file(&self) -> PathBuf {
        self.files.path().join("ca.pem")
    }

    /// Issues a certificate for these DNS names and IP addresses that is valid for centuries.
    pub fn issue(&self, names: &[&str]) -> Certificate {
        self.issue_until(names, 3000)
    }

    /// As [`Self::issue`], but it expired long ago.
    pub fn issue_expired(&self, names: &[&str]) -> Certificate {
        self.issue_until(names, 2001)
    }

    /// Writes a certificate and its key to files named `name`, which only this user may read; returns their paths.
    ///
    /// # Panics
    /// If they cannot be written.
    pub fn write(&self, name: &str, certificate: &Certificate) -> (PathBuf, PathBuf) {
        let paths = ["crt", "key"].map(|kind| self.files.path().join(format!("{name}.{kind}")));
        for (path, text) in paths.iter().zip([certificate.chain(), certificate.key()]) {
            crate::directory::write_secret(path, text);
        }
        let [chain, key] = paths;
        (chain, key)
    }

    fn issue_until(&self, names: &[&str], year: i32) -> Certificate {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut parameters = CertificateParams::new(names).expect("names of hosts");
        parameters.distinguished_name.push(DnType::CommonName, "a test");
        parameters.not_before = date_time_ymd(2000, 1, 1);
        parameters.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let chain = parameters.signed_by(&key, &self.issuer).expect("a certificate").pem();
        Certificate { chain, key: key.serialize_pem() }
    }
}
