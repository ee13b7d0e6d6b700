//! [`RedisConfig`]: the URL of Redis, and the group and instance that use it. No text made here shows a
//! password.

use domain::identity::Identity;
use domain::transport::{Protection, is_this_host};
use fred::types::config::Config;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Default prefix of every key and channel.
pub const PREFIX_DEFAULT: &str = "coordinator";

/// Accepted schemes. fred would treat any other scheme as a single server without TLS.
const SCHEMES: [&str; 6] =
    ["redis", "rediss", "redis-sentinel", "rediss-sentinel", "redis-cluster", "rediss-cluster"];

/// Returns the TLS settings for the next connection, so that renewed certificates need no restart. The error says which
/// file cannot be used.
pub type TlsSource = Arc<dyn Fn() -> Result<Arc<rustls::ClientConfig>, String> + Send + Sync>;

/// Configuration of a [`RedisStore`](crate::RedisStore).
#[derive(Clone)]
pub struct RedisConfig {
    /// URL of Redis. `rediss` instead of `redis` means TLS with the system's root certificates:
    /// - `redis://[user:password@]host[:port][/database]`: one server,
    /// - `redis-sentinel://[user:password@]host[:port][/database]?sentinelServiceName=NAME[&node=host:port]`
    ///   `[&sentinelUsername=U&sentinelPassword=P]`: the primary that the sentinels know,
    /// - `redis-cluster://[user:password@]host[:port][?node=host:port]`: a cluster.
    ///
    /// In a user, a password or a query value, each of the characters `/ ? # @` must be percent-encoded.
    pub url: String,
    /// Authorities and client certificate for a `rediss` URL; `None`: the system's authorities, and no client
    /// certificate.
    pub tls: Option<TlsSource>,
    /// First part of every key and channel, so that several systems can share a Redis.
    pub prefix: String,
    /// The process that takes the ticket. A ticket lasts LEADER_TTL; one that lasts longer is reported as a fault, so every
    /// instance of a group has the same.
    pub identity: Identity,
    /// How long one request, or one attempt to connect to one server, may take.
    pub request_timeout: Duration,
}

impl RedisConfig {
    /// The URL without user, password and query, which is safe to print and log.
    pub fn masked_url(&self) -> String {
        masked(&self.url)
    }

    /// The lease key. Every script uses only this key, so a cluster needs no hash tag in it.
    pub(crate) fn key(&self) -> String {
        format!("{}:{}:leader", self.prefix, self.identity.group)
    }

    /// The channel of hints.
    pub(crate) fn channel(&self) -> String {
        format!("{}:{}:hints", self.prefix, self.identity.group)
    }
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig")
            .field("url", &self.masked_url())
            .field("tls", &self.tls.is_some())
            .field("prefix", &self.prefix)
            .field("identity", &self.identity)
            .field("request_timeout", &self.request_timeout)
            .finish()
    }
}

/// Error for a URL that names no Redis. The message says what is wrong and shows no part of a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a Redis URL: {0}")]
pub struct InvalidUrl(pub String);

/// The protection of every connection that `url` leads to; that of the least protected server.
///
/// # Errors
/// The URL cannot be used.
pub fn protection(url: &str) -> Result<Protection, InvalidUrl> {
    // Without TLS, because its settings would read the system's certificates.
    let plain = url.strip_prefix("rediss").map_or_else(|| url.to_owned(), |rest| format!("redis{rest}"));
    let server = parse(&plain)?.server;
    let servers = server.hosts();
    let place = match servers.iter().find(|server| !is_this_host(&server.host)) {
        Some(remote) => format!("Redis at {} is not on this host", remote.host),
        None if server.is_centralized() => return Ok(Protection::Local),
        // Also sentinels and nodes on this host name servers on any other host.
        None => "the sentinels or nodes may name a Redis on another host".to_owned(),
    };
    if url.starts_with("rediss") {
        return Ok(Protection::Verified);
    }
    Ok(Protection::Unprotected(format!(
        "{place}, and the URL does without TLS, so a third party on the network could read the password and change the \
         ticket"
    )))
}

/// Parses the URL into fred's configuration. For `rediss` it also reads the system's root certificates.
pub(crate) fn parse(url: &str) -> Result<Config, InvalidUrl> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(InvalidUrl("it does not start with redis:// or rediss://".to_owned()));
    };
    if !SCHEMES.contains(&scheme) {
        return Err(InvalidUrl(format!("the scheme is none of {}", SCHEMES.join(", "))));
    }
    let (_, tail) = split_authority(rest);
    if tail.contains('@') {
        // Otherwise the first half of a password would become the host, and messages print hosts.
        return Err(InvalidUrl(
            "a user, password or query value has one of / ? # @ in it: write it percent-encoded".to_owned(),
        ));
    }
    Config::from_url(url).map_err(|error| InvalidUrl(error.details().to_owned()))
}

/// `host:port` of every server in the URL.
pub(crate) fn endpoint(config: &Config) -> String {
    let hosts: Vec<String> =
        config.server.hosts().iter().map(|server| format!("{}:{}", server.host, server.port)).collect();
    hosts.join(",")
}

/// Splits the text after `://` into the authority and the rest.
fn split_authority(rest: &str) -> (&str, &str) {
    rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()))
}

/// Scheme, hosts and path of a URL. If the end of a password is unclear, the result is empty.
fn masked(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return "***".to_owned() };
    let (authority, tail) = split_authority(rest);
    if tail.contains('@') {
        return format!("{scheme}://***");
    }
    let path = tail.split(['?', '#']).next().unwrap_or_default();
    match authority.rsplit_once('@') {
        Some((_, hosts)) => format!("{scheme}://***@{hosts}{path}"),
        None => format!("{scheme}://{authority}{path}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::id::{GroupId, InstanceId, Nonce};
    use fred::types::config::ServerConfig;

    #[test]
    fn every_form_of_url_is_parsed() {
        let single = parse("redis://me:p%40ss@10.0.0.1:7000/3").unwrap();
        assert!(single.server.is_centralized() && single.tls.is_none());
        assert_eq!(endpoint(&single), "10.0.0.1:7000");
        assert_eq!(single.database, Some(3));
        assert_eq!((single.username.as_deref(), single.password.as_deref()), (Some("me"), Some("p@ss")));

        assert_eq!(endpoint(&parse("redis://localhost").unwrap()), "localhost:6379");

        let sentinel = parse(
            "redis-sentinel://:data@a:26379/1?sentinelServiceName=mymaster&node=b:26380&sentinelPassword=s",
        )
        .unwrap();
        assert_eq!((sentinel.password.as_deref(), sentinel.database), (Some("data"), Some(1)));
        let ServerConfig::Sentinel { hosts, service_name, password, .. } = sentinel.server else {
            panic!("not read as sentinels")
        };
        assert_eq!((hosts.len(), service_name.as_str(), password.as_deref()), (2, "mymaster", Some("s")));

        let cluster = parse("redis-cluster://a:7000?node=b:7001&node=c:7002").unwrap();
        assert!(cluster.server.is_clustered());
        assert_eq!(cluster.server.hosts().len(), 3);
    }

    #[test]
    fn a_remote_server_needs_rediss() {
        for local in ["redis://localhost", "redis://u:p@127.0.0.1:1/0", "rediss://[::1]"] {
            assert_eq!(protection(local), Ok(Protection::Local), "{local}");
        }
        for verified in
            ["rediss://h", "rediss-sentinel://h?sentinelServiceName=m", "rediss-cluster://10.0.0.1"]
        {
            assert_eq!(protection(verified), Ok(Protection::Verified), "{verified}");
        }
        for (open, host) in [
            ("redis://cache.example", "Redis at cache.example"),
            ("redis-sentinel://127.0.0.1?sentinelServiceName=m&node=s2:26379", "Redis at s2"),
            ("redis-cluster://0.0.0.0", "Redis at 0.0.0.0"),
            ("redis-sentinel://127.0.0.1?sentinelServiceName=m", "may name a Redis on another host"),
            ("redis-cluster://127.0.0.1", "may name a Redis on another host"),
        ] {
            let Ok(Protection::Unprotected(why)) = protection(open) else { panic!("{open}") };
            assert!(why.contains(host), "{why}");
        }
    }

    #[test]
    fn an_invalid_url_is_refused_without_being_shown() {
        for url in [
            "",
            "secret",
            "http://:secret@host",
            "redis+unix:///secret",
            "redis://:sec/ret@host",
            "redis://:sec?ret@host",
            "redis://sec#ret@host",
            "redis://:secret@host:port",
            "redis://:secret@host/database",
            "redis-sentinel://:secret@host",
            "redis-sentinel://h?sentinelServiceName=m&sentinelPassword=sec@ret",
        ] {
            let refusal = parse(url).expect_err(url).to_string();
            assert!(!refusal.contains("sec"), "{refusal}");
        }
    }

    #[test]
    fn debug_and_masked_url_show_no_password() {
        for url in [
            "secret",
            "redis://:secret@host:6379/2",
            "redis://user:se@cret@host",
            "redis://:se/cret@host",
            "redis://:se?cret@host",
            "redis://:se#cret@host",
            "rediss-sentinel://u:secret@a?sentinelServiceName=m&sentinelPassword=secret",
            "redis-sentinel://a?sentinelServiceName=m&sentinelPassword=se@cret",
        ] {
            let config = config(url);
            let shown = format!("{config:?} {}", config.masked_url());
            assert!(!shown.contains("secret") && !shown.contains("cret@"), "{shown}");
            assert!(!shown.contains("@cret"), "{shown}");
        }
        assert_eq!(config("redis://:pw@host:6379/2?x=y").masked_url(), "redis://***@host:6379/2");
        assert_eq!(config("redis://host").masked_url(), "redis://host");
    }

    #[test]
    fn key_and_channel_have_the_documented_names() {
        let config = config("redis://host");
        assert_eq!(config.key(), "coordinator:desk:leader");
        assert_eq!(config.channel(), "coordinator:desk:hints");
    }

    fn config(url: &str) -> RedisConfig {
        RedisConfig {
            url: url.to_owned(),
            tls: None,
            prefix: PREFIX_DEFAULT.to_owned(),
            identity: Identity {
                group: GroupId::parse("desk").unwrap(),
                id: InstanceId::parse("a-1").unwrap(),
                nonce: Nonce::new(7),
                host: "h".to_owned(),
                ttl: Duration::from_secs(10),
            },
            request_timeout: Duration::from_secs(3),
        }
    }
}
