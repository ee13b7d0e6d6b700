//! Protection of a connection to another program: the one rule for stores and handlers. A connection that leaves this
//! host needs TLS with a verified certificate, unless the operator permits it by name.
//!
//! Invariant: a host that is not certainly this host counts as remote.

use alloc::format;
use alloc::string::String;
use core::net::IpAddr;

/// The operator's choice for one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsPolicy {
    /// A connection to another host needs TLS with a verified certificate.
    #[default]
    Required,
    /// Every connection is permitted: readable, and changeable on its way.
    Insecure,
}

impl TlsPolicy {
    /// Every policy.
    pub const ALL: [Self; 2] = [Self::Required, Self::Insecure];

    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Insecure => "insecure",
        }
    }

    /// Parses the word; `None` if it is another one.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.as_str() == text)
    }

    /// Whether a connection with this protection is permitted. The error completes a sentence that begins with "is":
    /// the reason, `remedy`, and the setting that permits it.
    pub fn permits(self, protection: &Protection, remedy: &str, setting: &str) -> Result<(), String> {
        match (self, protection) {
            (Self::Insecure, _) | (_, Protection::Local | Protection::Verified) => Ok(()),
            (Self::Required, Protection::Unprotected(why)) => Err(format!(
                "not safe: {why}. {remedy}. On a network that you trust completely, {setting} = \"insecure\" permits it"
            )),
        }
    }
}

/// Protection of a connection, as its address defines it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Protection {
    /// It does not leave this host: a loopback address or a Unix socket.
    Local,
    /// TLS; the certificate must be valid and belong to the name of the host.
    Verified,
    /// It leaves this host, and a third party could read or change it. The text says why, as a clause.
    Unprotected(String),
}

/// Whether `host` is certainly this host: a loopback address, also in brackets, or `localhost`.
pub fn is_this_host(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let loops = |address: IpAddr| address.to_canonical().is_loopback();
    bare.eq_ignore_ascii_case("localhost") || bare.parse().is_ok_and(loops)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn only_loopback_is_this_host() {
        for host in ["localhost", "LocalHost", "127.0.0.1", "127.9.9.9", "::1", "[::1]", "::ffff:127.0.0.1"] {
            assert!(is_this_host(host), "{host}");
        }
        for host in ["", "0.0.0.0", "::", "10.0.0.1", "localhost.example", "db", "127.0.0.1.example", "[::2]"]
        {
            assert!(!is_this_host(host), "{host}");
        }
    }

    #[test]
    fn an_unprotected_connection_is_permitted_only_by_name() {
        let open = Protection::Unprotected("db is another host".to_string());
        for protection in [Protection::Local, Protection::Verified] {
            assert_eq!(TlsPolicy::Required.permits(&protection, "", "x"), Ok(()));
        }
        assert_eq!(TlsPolicy::Insecure.permits(&open, "", "x"), Ok(()));
        let refused = TlsPolicy::Required.permits(&open, "Use TLS", "redis.tls").unwrap_err();
        for part in ["db is another host", "Use TLS.", "redis.tls = \"insecure\""] {
            assert!(refused.contains(part), "{part}: {refused}");
        }
        for policy in TlsPolicy::ALL {
            assert_eq!(TlsPolicy::parse(policy.as_str()), Some(policy));
        }
        assert_eq!(TlsPolicy::parse("off"), None);
    }
}
