//! Facts about one certificate: its name, its hosts and its end.

use rustls::pki_types::CertificateDer;
use std::net::IpAddr;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Longest name of a client, in characters; the audit shows it.
const NAME_LEN_MAX: usize = 128;

/// The end of its validity, in unix seconds.
///
/// # Errors
/// Why it cannot be read.
pub(super) fn expires_s(certificate: &CertificateDer<'_>) -> Result<i64, String> {
    Ok(parsed(certificate).ok_or("is no certificate that can be read")?.validity().not_after.timestamp())
}

/// The name of the subject: its common name, else its first DNS name or URI; `certificate` if it has none. Characters
/// that would break a line are replaced.
pub(super) fn name_of(certificate: &CertificateDer<'_>) -> String {
    let name = parsed(certificate).and_then(|certificate| {
        let common = certificate.subject().iter_common_name().find_map(|name| name.as_str().ok());
        let common = common.filter(|name| !name.is_empty()).map(str::to_owned);
        common.or_else(|| {
            names(&certificate).into_iter().find_map(|name| match name {
                GeneralName::DNSName(name) | GeneralName::URI(name) => Some((*name).to_owned()),
                _ => None,
            })
        })
    });
    let name = name.unwrap_or_else(|| "certificate".to_owned());
    name.chars().take(NAME_LEN_MAX).map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// Whether it is for that host: a name, also with a wildcard for its first label, or an address.
pub(super) fn is_valid_for(certificate: &CertificateDer<'_>, host: &str) -> bool {
    let Some(certificate) = parsed(certificate) else { return false };
    let address = host.parse::<IpAddr>().ok().map(|ip| match ip {
        IpAddr::V4(four) => four.octets().to_vec(),
        IpAddr::V6(six) => six.octets().to_vec(),
    });
    names(&certificate).into_iter().any(|name| match (name, &address) {
        (GeneralName::IPAddress(bytes), Some(address)) => *bytes == address.as_slice(),
        (GeneralName::DNSName(name), None) => {
            let wild = |name: &str| {
                let below = host.split_once('.').map(|(_, below)| below);
                name.strip_prefix("*.")
                    .is_some_and(|name| below.is_some_and(|it| it.eq_ignore_ascii_case(name)))
            };
            name.eq_ignore_ascii_case(host) || wild(name)
        }
        _ => false,
    })
}

fn parsed<'a>(certificate: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    X509Certificate::from_der(certificate).ok().map(|(_, parsed)| parsed)
}

fn names<'a>(certificate: &'a X509Certificate<'a>) -> Vec<&'a GeneralName<'a>> {
    let found = certificate.subject_alternative_name().ok().flatten();
    found.map_or_else(Vec::new, |names| names.value.general_names.iter().collect())
}
