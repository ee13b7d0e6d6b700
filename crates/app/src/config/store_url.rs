//! [`StoreUrl`]: the URL of a store, which may contain a password.

use super::Key;
use super::fault::shown;
use super::url_file;
use crate::secret::{MASK, Secret};
use domain::transport::TlsPolicy;
use leader_coordinator::{Postgres, Redis};
use serde::{Serialize, Serializer};
use std::fmt;
use std::path::{Path, PathBuf};

/// Longest URL in bytes: enough for several hosts and every option.
const LEN_MAX: usize = 2_048;

/// A kind of store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// Redis, alone, behind Sentinel or as a Cluster.
    Redis,
    /// PostgreSQL.
    Postgres,
}

impl Engine {
    fn schemes(self) -> &'static [&'static str] {
        match self {
            Self::Redis => {
                &["redis", "rediss", "redis-sentinel", "rediss-sentinel", "redis-cluster", "rediss-cluster"]
            }
            Self::Postgres => &["postgres", "postgresql"],
        }
    }

    /// The settings with its URL: as a text, and in a file.
    pub fn keys(self) -> [Key; 2] {
        match self {
            Self::Redis => [Key::RedisUrl, Key::RedisUrlFile],
            Self::Postgres => [Key::PostgresUrl, Key::PostgresUrlFile],
        }
    }

    fn example(self) -> &'static str {
        match self {
            Self::Redis => "redis://host:6379",
            Self::Postgres => "postgres://user@host:5432/database",
        }
    }
}

/// The URL of a store, checked for its form. The password is masked in every output.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreUrl {
    url: Secret,
    /// The file that it was read from; `None` if it was a setting.
    file: Option<PathBuf>,
}

impl StoreUrl {
    /// Checks the scheme and the form. The error says what is allowed, completes a sentence that begins with
    /// "is", and shows nothing of `text`.
    pub fn parse(engine: Engine, text: &str) -> Result<Self, String> {
        check(engine, text).map_err(|what| format!("{what} (the value is not shown)"))?;
        Ok(Self { url: Secret::new(text.to_owned()), file: None })
    }

    /// Reads the file at `path` and [`parse`](Self::parse)s its one line. The error shows nothing of the
    /// content.
    pub fn read(engine: Engine, path: &str) -> Result<Self, String> {
        let text = url_file::read(path)?;
        let url = Self::parse(engine, &text)
            .map_err(|what| format!("{}, a file whose content is {what}", shown(path)))?;
        Ok(Self { file: Some(PathBuf::from(path)), ..url })
    }

    /// Whether `policy` permits the connections that this URL leads to. The error says why not and what to do, completes
    /// a sentence that begins with "is", and shows no secret.
    pub fn check_protection(&self, engine: Engine, policy: TlsPolicy) -> Result<(), String> {
        let (protection, remedy, setting) = match engine {
            Engine::Redis => (Redis::protection(self.expose()), Redis::REMEDY, Key::RedisTls),
            Engine::Postgres => (Postgres::protection(self.expose()), Postgres::REMEDY, Key::PostgresTls),
        };
        let protection = protection.map_err(|reason| format!("not usable: {reason}"))?;
        policy.permits(&protection, remedy, setting.in_file())
    }

    /// Whether it requires TLS by its scheme.
    pub fn is_rediss(&self) -> bool {
        self.expose().starts_with("rediss")
    }

    /// The file that it was read from; `None` if it was a setting.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The URL with its password: only for opening the connection, never for a message.
    pub fn expose(&self) -> &str {
        self.url.expose()
    }
}

/// Prints `***` in place of the password and of every option that may contain one.
impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = Parts::of(self.url.expose());
        write!(f, "{}://", parts.scheme)?;
        match (parts.login, parts.login.and_then(|login| login.split_once(':'))) {
            (None, _) => {}
            (Some(_), Some((user, _))) => write!(f, "{user}:{MASK}@")?,
            // Redis's own tools treat a single word before `@` as the password.
            (Some(_), None) if parts.scheme.starts_with("redis") => write!(f, "{MASK}@")?,
            (Some(user), None) => write!(f, "{user}@")?,
        }
        write!(f, "{}{}", parts.hosts, parts.path)?;
        for (at, option) in parts.options.split('&').filter(|option| !option.is_empty()).enumerate() {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            let value = if may_be_secret(name) { MASK } else { value };
            write!(f, "{}{name}={value}", if at == 0 { '?' } else { '&' })?;
        }
        Ok(())
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for StoreUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The parts of a URL; none of them is decoded.
struct Parts<'a> {
    scheme: &'a str,
    login: Option<&'a str>,
    hosts: &'a str,
    path: &'a str,
    options: &'a str,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Self {
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        let (rest, options) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (login, hosts) = match authority.rsplit_once('@') {
            Some((login, hosts)) => (Some(login), hosts),
            None => (None, authority),
        };
        Self { scheme, login, hosts, path, options }
    }
}

/// Whether an option may contain a secret. The drivers decode names, so an encoded name may be any.
fn may_be_secret(option: &str) -> bool {
    let option = option.to_ascii_lowercase();
    ["pass", "secret", "token", "key", "%"].iter().any(|part| option.contains(part))
}

fn check(engine: Engine, text: &str) -> Result<(), String> {
    let shape = format!("not a URL such as {}", engine.example());
    if text.len() > LEN_MAX {
        return Err(format!("longer than {LEN_MAX} bytes"));
    }
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) || !text.contains("://") {
        return Err(shape);
    }
    let parts = Parts::of(text);
    if !engine.schemes().contains(&parts.scheme) {
        return Err(format!("not of one of the schemes {}", engine.schemes().join(", ")));
    }
    // The end of the login is uncertain then, and a part of the password might be treated as a host and
    // printed.
    let encode = "a URL with one of / ? # @ in the user or the password, which must be percent-encoded";
    if parts.login.is_some_and(|login| login.contains('@')) || text.contains('#') {
        return Err(encode.to_owned());
    }
    if parts.path.contains('@') || parts.options.contains('@') {
        return Err(encode.to_owned());
    }
    match engine {
        Engine::Redis => check_redis(&parts, shape),
        Engine::Postgres => {
            check_postgres(&parts, shape)?;
            Postgres::check_url(text).map_err(|reason| format!("not usable: {reason}"))
        }
    }
}

fn check_redis(parts: &Parts<'_>, shape: String) -> Result<(), String> {
    if !is_host_and_port(parts.hosts) {
        return Err(shape);
    }
    match parts.path.trim_start_matches('/') {
        "" => Ok(()),
        number if number.parse::<u8>().is_ok() => Ok(()),
        _ => {
            Err("not a URL with the number of a database behind the host, such as redis://host:6379/0"
                .to_owned())
        }
    }
}

fn check_postgres(parts: &Parts<'_>, shape: String) -> Result<(), String> {
    // The host may be an option: the directory of the server's socket.
    let host_is_option = parts.hosts.is_empty() && parts.options.split('&').any(|o| o.starts_with("host="));
    if !host_is_option && !parts.hosts.split(',').all(is_host_and_port) {
        return Err(shape);
    }
    let database = parts.path.strip_prefix('/').unwrap_or_default();
    if database.is_empty() || database.contains('/') {
        return Err(format!("not a URL with the name of a database, such as {}", Engine::Postgres.example()));
    }
    Ok(())
}

/// A name, an IPv4 address, an IPv6 address in brackets, or an encoded socket directory; a port may follow.
fn is_host_and_port(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        // The colons inside brackets are part of the address.
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let port_fits = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port != 0));
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '%');
    let host_fits = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.chars().all(allowed),
    };
    port_fits && host_fits
}

#[cfg(test)]
mod tests {
    use super::*;

    const REDIS: [&str; 7] = [
        "redis://localhost",
        "redis://127.0.0.1:6379",
        "rediss://user:canary@redis.example:6380/0",
        "redis://:canary@[::1]:6379/15",
        "redis://canary@host",
        "redis-sentinel://u:canary@a:26379/0?node=b:26379&sentinelServiceName=m&sentinelPassword=canary",
        "redis-cluster://a:7000?node=b:7001",
    ];
    const POSTGRES: [&str; 7] = [
        "postgres://localhost/trading",
        "postgresql://user@host/trading",
        "postgres://user:canary@host:5432/trading",
        "postgres://user:canary:canary@a:5432,b:5433/trading?target_session_attrs=read-write",
        "postgres:///trading?host=/run/postgresql&user=u&password=canary",
        "postgres://host/trading?sslmode=verify-full&sslkey=canary",
        "postgres://user:canary@%2Frun%2Fpostgresql/trading",
    ];

    #[test]
    fn known_shapes_are_accepted_and_show_no_secret() {
        let all = REDIS
            .map(|url| (Engine::Redis, url))
            .into_iter()
            .chain(POSTGRES.map(|url| (Engine::Postgres, url)));
        for (engine, text) in all {
            let url = StoreUrl::parse(engine, text).expect(text);
            assert_eq!(url.expose(), text);
            let outputs = format!("{url} {url:?} {}", serde_json::to_string(&url).expect("a string"));
            assert!(!outputs.contains("canary"), "{outputs}");
            assert_eq!(outputs.contains(MASK), text.contains("canary"), "{outputs}");
        }
    }

    #[test]
    fn only_the_secret_is_masked() {
        let shown = |engine, text| StoreUrl::parse(engine, text).expect(text).to_string();
        assert_eq!(shown(Engine::Postgres, "postgres://user:canary@h/db"), "postgres://user:***@h/db");
        assert_eq!(
            shown(Engine::Postgres, "postgres://h/db?password=canary&sslmode=require"),
            "postgres://h/db?password=***&sslmode=require"
        );
        assert_eq!(shown(Engine::Redis, "redis://canary@h:1/2"), "redis://***@h:1/2");
        assert_eq!(shown(Engine::Redis, "redis://h:1/2"), "redis://h:1/2");
    }

    #[test]
    fn wrong_shapes_are_refused_without_being_shown() {
        let redis = [
            "",
            "canary",
            "canary:6379",
            "postgres://canary/db",
            "redis://",
            "redis://:canary@",
            "redis://h:0",
            "redis://h:65536",
            "redis://h:canary",
            "redis://h/canary",
            "redis://h/0/canary",
            "redis://can ary@h",
            "redis://canary\n@h",
            "redis://u:can/ary@h",
            "redis://u:can?ary@h",
            "redis://u:can#ary@h",
            "redis://u:can@ary@h",
            "redis://[canary]:1",
            "REDIS://canary",
        ];
        let postgres = [
            "redis://canary/db",
            "postgres://canary",
            "postgres://canary/",
            "postgres:///canary",
            "postgres://h/db/canary",
            "postgres://a,,canary/db",
            "postgres://a:x,canary/db",
            "mysql://canary/db",
            // The driver refuses this one when it connects.
            "postgres://h/db?connect_timeout=canary",
            "postgres://h/db?application_name=canary",
            "postgres://h/db?pass%77ord=canary",
            "postgres://user@h/db?PASSWORD=canary",
            "postgres://h/db?canary",
            "postgres://h/db?sslmode=canary",
        ];
        let all = redis
            .map(|url| (Engine::Redis, url))
            .into_iter()
            .chain(postgres.map(|url| (Engine::Postgres, url)));
        for (engine, text) in all {
            let fault = StoreUrl::parse(engine, text).expect_err(text);
            assert!(!fault.contains("canary") && !fault.contains("ary"), "{text}: {fault}");
        }
        let standby = StoreUrl::parse(Engine::Postgres, "postgres://h/db?target_session_attrs=any");
        assert!(standby.expect_err("a standby cannot be used").contains("read-write or primary"));
        let long = format!("redis://{}", "h".repeat(LEN_MAX));
        assert!(StoreUrl::parse(Engine::Redis, &long).expect_err("too long").contains("2048 bytes"));
    }
}
