//! The hosts of a libpq-style URL, and the search for the one that is a primary.
//!
//! sqlx rejects URLs with several hosts, so this module splits them. It queries the role of every new
//! session, and refuses a standby and a read-only session.

use crate::{error, tls_files};
use domain::id::InstanceId;
use domain::ports::StoreError;
use domain::transport::{Protection, is_this_host};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Executor, Row};
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::time::timeout;

/// Most hosts in a URL; more than a cluster has. Each costs its share of the time to connect.
const HOSTS_MAX: usize = 8;
/// Longest wait for one host. A host that does not answer in this time counts as unreachable, however long
/// LEADER_TTL is.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Longest `application_name` that PostgreSQL keeps, in bytes.
const APPLICATION_NAME_LEN_MAX: usize = 63;
/// Seconds of silence after which the server probes the client, so that the session of a client that lost
/// power does not remain for two hours, the system's default.
const KEEPALIVE_IDLE_S: &str = "10";
/// Seconds between two probes.
const KEEPALIVE_INTERVAL_S: &str = "5";
/// Unanswered probes after which the server ends the session.
const KEEPALIVE_COUNT: &str = "3";

/// Parameters that sqlx accepts. This module handles `target_session_attrs` itself.
const PARAMETERS: [&str; 15] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "host",
    "port",
    "dbname",
    "user",
    "password",
    "options",
];

/// Error for a URL that cannot be used. The message shows neither the URL nor a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the PostgreSQL URL cannot be used: {0}")]
pub struct InvalidUrl(String);

impl InvalidUrl {
    pub(crate) fn because(reason: String) -> Self {
        Self(reason)
    }

    /// The reason alone, without the beginning of the message.
    pub fn reason(&self) -> &str {
        &self.0
    }
}

/// Checks a URL as [`PostgresStore::new`](crate::PostgresStore::new) does, without creating a store.
pub fn check_url(url: &str) -> Result<(), InvalidUrl> {
    let nobody = InstanceId::from_stored("check");
    Hosts::parse(url, &nobody).map(|_| ())
}

/// The protection of every connection that `url` leads to; that of the least protected host. It counts what the
/// environment adds (`PGHOST`, `PGSSLMODE`). Reads the files that the URL names for TLS, so that a wrong path is
/// noticed at the start.
///
/// # Errors
/// The URL or one of its files cannot be used.
pub fn protection(url: &str) -> Result<Protection, InvalidUrl> {
    let hosts = Hosts::parse(url, &InstanceId::from_stored("check"))?;
    tls_files::check(Parts::of(url)?.query)?;
    let each = hosts.list.iter().map(Host::protection).collect::<Vec<_>>();
    let first = |wanted: fn(&Protection) -> bool| each.iter().find(|one| wanted(one)).cloned();
    Ok(first(|one| matches!(one, Protection::Unprotected(_)))
        .or_else(|| first(|one| matches!(one, Protection::Verified)))
        .unwrap_or(Protection::Local))
}

/// Timeouts for opening a session and, at the server, for its statements.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SessionLimits {
    /// Opening the session, over all hosts.
    pub connect: Duration,
    /// Waiting for a row that another session has locked.
    pub lock: Duration,
    /// One statement. The commit's wait for a synchronous standby is not included.
    pub statement: Duration,
    /// Idling inside a transaction: a stopped process must not block its successor.
    pub idle_in_transaction: Duration,
    /// Waiting for the client to acknowledge what the server sends.
    pub unanswered: Duration,
}

/// The hosts of one URL.
#[derive(Debug)]
pub(crate) struct Hosts {
    list: Vec<Host>,
    /// Index of the host where the last primary was found. The next search starts there.
    first: AtomicUsize,
}

/// One host with the options to open a session there.
pub(crate) struct Host {
    label: String,
    pub(crate) options: PgConnectOptions,
}

/// The `Debug` of sqlx's options would print the password.
impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.label)
    }
}

impl Hosts {
    /// Splits `url` into its hosts.
    pub(crate) fn parse(url: &str, id: &InstanceId) -> Result<Self, InvalidUrl> {
        let parts = Parts::of(url)?;
        let query = parts.query_for_sqlx()?;
        let application: String =
            format!("coordinator {id}").chars().take(APPLICATION_NAME_LEN_MAX).collect();
        let hosts = parts
            .hosts
            .split(',')
            .map(|host| {
                let url = format!("postgres://{}{host}{}?{query}", parts.user, parts.path);
                // The URL parser's error may quote parts of the URL, so the message does not contain it.
                let options = PgConnectOptions::from_str(&url).map_err(|_| {
                    InvalidUrl(
                        "not of the form postgres://user:password@host:port/database \
                        (percent-encode special characters of the password)"
                            .to_owned(),
                    )
                })?;
                let label = if host.is_empty() { "the default host".to_owned() } else { host.to_owned() };
                let options = options.application_name(&application).disable_statement_logging();
                // PgBouncer's default configuration refuses this startup parameter; `admission` sets it
                // instead.
                let options = options.extra_float_digits(None);
                // In a certificate, an IPv6 address has no brackets.
                let bare = options.get_host().strip_prefix('[').and_then(|host| host.strip_suffix(']'));
                let options = match bare.map(str::to_owned) {
                    Some(address) => options.host(&address),
                    None => options,
                };
                Ok(Host { label, options })
            })
            .collect::<Result<Vec<_>, InvalidUrl>>()?;
        if hosts.len() > HOSTS_MAX {
            return Err(InvalidUrl(format!("it has {} hosts, more than {HOSTS_MAX}", hosts.len())));
        }
        Ok(Self { list: hosts, first: AtomicUsize::new(0) })
    }

    /// Opens a session on the first host that is a primary and sets `limits`. Returns the session and its
    /// host. Every failure is [`StoreError::Unavailable`], because no request was sent yet.
    pub(crate) async fn connect(&self, limits: SessionLimits) -> Result<(PgConnection, &Host), StoreError> {
        let first = self.first.load(Relaxed);
        let bound = self.bound_of_each(limits.connect);
        // In the order of the URL, whichever is tried first: one cause has one text, which is logged once.
        let mut refusals = vec![String::new(); self.list.len()];
        for turn in 0..self.list.len() {
            let at = (first + turn) % self.list.len();
            let host = &self.list[at];
            // If the caller drops this attempt, its next search begins at the next host.
            self.first.store(at + 1, Relaxed);
            let refusal = match timeout(bound, host.open(limits)).await {
                Ok(Ok(connection)) => {
                    self.first.store(at, Relaxed);
                    return Ok((connection, host));
                }
                Ok(Err(refusal)) => refusal,
                Err(_) => format!("no connection within {} ms", bound.as_millis()),
            };
            refusals[at] = format!("{}: {refusal}", host.label);
        }
        Err(StoreError::Unavailable(format!("PostgreSQL at {}", refusals.join("; "))))
    }

    /// Opens a connection to the host where the last primary was found, and sets nothing.
    pub(crate) async fn connect_plainly(&self) -> Result<(PgConnection, &Host), StoreError> {
        let host = &self.list[self.first.load(Relaxed) % self.list.len()];
        let unavailable =
            |what: String| StoreError::Unavailable(format!("PostgreSQL at {}: {what}", host.label));
        match timeout(CONNECT_MAX, host.options.connect()).await {
            Ok(Ok(connection)) => Ok((connection, host)),
            Ok(Err(error)) => Err(unavailable(error::while_connecting(&error))),
            Err(_) => Err(unavailable(format!("no connection within {} ms", CONNECT_MAX.as_millis()))),
        }
    }

    /// Every host's share of the time to connect.
    fn bound_of_each(&self, connect: Duration) -> Duration {
        let hosts = u32::try_from(self.list.len()).expect("at most HOSTS_MAX hosts");
        (connect / hosts).min(CONNECT_MAX)
    }
}

impl Host {
    /// Whether the connection stays on this host.
    pub(crate) fn is_local(&self) -> bool {
        let name = self.options.get_host();
        self.options.get_socket().is_some() || name.starts_with('/') || is_this_host(name)
    }

    fn protection(&self) -> Protection {
        let without = match self.options.get_ssl_mode() {
            _ if self.is_local() => return Protection::Local,
            PgSslMode::VerifyFull => return Protection::Verified,
            PgSslMode::VerifyCa => "does not check that the certificate is that of the host",
            PgSslMode::Require => "does not check the certificate",
            PgSslMode::Prefer | PgSslMode::Allow => "accepts a connection without TLS",
            PgSslMode::Disable => "does without TLS",
        };
        let host = self.options.get_host();
        Protection::Unprotected(format!(
            "PostgreSQL at {host} is not on this host, and sslmode={} {without}, so a third party on the network could \
             read the password, and read and change every statement",
            ssl_mode(self.options.get_ssl_mode())
        ))
    }

    async fn open(&self, limits: SessionLimits) -> Result<PgConnection, String> {
        let mut connection = self.options.connect().await.map_err(|error| error::while_connecting(&error))?;
        admit(&mut connection, limits).await?;
        Ok(connection)
    }
}

/// The statement that queries whether a new session is on a primary and sets its timeouts, in one round trip.
///
/// It uses `set_config` and not the startup packet, which connection poolers refuse, and no parameters,
/// because a prepared statement may fail at a pooler before the pooler can be recognised. The fence requires
/// READ COMMITTED, whatever the database's default is. Warnings must arrive for
/// [`CommitWarnings`](crate::CommitWarnings) to see them. synchronous_commit is left to the server, unless it
/// is off: with off, an answer would not even mean that the primary keeps what it acknowledges. Numbers that
/// recovery reads as texts are exact with extra_float_digits above 0.
///
/// The server reuses the plans of statements: the right index does not depend on the arguments, and planning
/// took longer than execution (a third of a signal's time). `pool` says how long a plan is kept.
///
/// tcp_user_timeout ends a session whose client does not acknowledge an answer (the client was stopped or cut
/// off). No other timeout of the server applies while it sends, and the session keeps its locks all that
/// time.
fn admission(limits: SessionLimits) -> String {
    let SessionLimits { connect: _, lock, statement, idle_in_transaction, unanswered } = limits;
    let [lock, statement, idle, unanswered] =
        [lock, statement, idle_in_transaction, unanswered].map(|limit| limit.as_millis());
    format!(
        "SELECT pg_is_in_recovery() AS standby, current_setting('transaction_read_only') = 'on' AS read_only,
                set_config('lock_timeout', '{lock}', false), set_config('statement_timeout', '{statement}', false),
                set_config('idle_in_transaction_session_timeout', '{idle}', false),
                set_config('default_transaction_isolation', 'read committed', false),
                set_config('client_min_messages', 'warning', false),
                set_config('extra_float_digits', '1', false),
                set_config('plan_cache_mode', 'force_generic_plan', false),
                set_config('synchronous_commit',
                           coalesce(nullif(current_setting('synchronous_commit'), 'off'), 'on'), false),
                set_config('tcp_keepalives_idle', '{KEEPALIVE_IDLE_S}', false),
                set_config('tcp_keepalives_interval', '{KEEPALIVE_INTERVAL_S}', false),
                set_config('tcp_keepalives_count', '{KEEPALIVE_COUNT}', false),
                set_config('tcp_user_timeout', '{unanswered}', false)"
    )
}

/// Sets the timeouts of a session; refuses a session that cannot write.
async fn admit(session: &mut PgConnection, limits: SessionLimits) -> Result<(), String> {
    let admission = sqlx::raw_sql(AssertSqlSafe(admission(limits)));
    let row: PgRow = session.fetch_one(admission).await.map_err(|error| error::while_connecting(&error))?;
    let flag = |column| row.try_get::<bool, _>(column).map_err(|error| error::while_connecting(&error));
    if flag("standby")? {
        return Err("is a standby (read-only)".to_owned());
    }
    if flag("read_only")? {
        return Err("is read-only (default_transaction_read_only is on)".to_owned());
    }
    Ok(())
}

/// The name of a mode in a URL.
fn ssl_mode(mode: PgSslMode) -> &'static str {
    match mode {
        PgSslMode::Disable => "disable",
        PgSslMode::Allow => "allow",
        PgSslMode::Prefer => "prefer (the default)",
        PgSslMode::Require => "require",
        PgSslMode::VerifyCa => "verify-ca",
        PgSslMode::VerifyFull => "verify-full",
    }
}

/// `url` without user, password and parameters, safe to print.
pub(crate) fn without_secrets(url: &str) -> String {
    let public = url.split(['?', '#']).next().unwrap_or_default();
    match (public.rsplit_once('@'), public.split_once("://")) {
        (Some((_, after)), Some((scheme, _))) => format!("{scheme}://***@{after}"),
        (None, Some((scheme, after))) => format!("{scheme}://{after}"),
        (Some(_) | None, None) => "***".to_owned(),
    }
}

/// A URL split into its parts; nothing is decoded.
struct Parts<'u> {
    /// `user:password@` or nothing.
    user: &'u str,
    hosts: &'u str,
    /// `/database` or nothing.
    path: &'u str,
    query: &'u str,
}

impl<'u> Parts<'u> {
    fn of(url: &'u str) -> Result<Self, InvalidUrl> {
        let rest = url
            .strip_prefix("postgres://")
            .or_else(|| url.strip_prefix("postgresql://"))
            .ok_or_else(|| InvalidUrl("it does not begin with postgres:// or postgresql://".to_owned()))?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (user, hosts) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
        Ok(Self { user, hosts, path, query })
    }

    /// The parameters without `target_session_attrs`. An unknown parameter is an error, because sqlx would
    /// print it with its value and continue.
    fn query_for_sqlx(&self) -> Result<String, InvalidUrl> {
        let mut kept = Vec::new();
        for parameter in self.query.split('&').filter(|parameter| !parameter.is_empty()) {
            let Some((key, value)) = parameter.split_once('=') else {
                // Not shown: it may be the end of a password.
                return Err(InvalidUrl("a parameter has no value".to_owned()));
            };
            if key == "target_session_attrs" {
                if !matches!(value, "read-write" | "primary") {
                    return Err(InvalidUrl(
                        "target_session_attrs can only be read-write or primary: a standby cannot be used"
                            .to_owned(),
                    ));
                }
            } else if PARAMETERS.contains(&key) {
                kept.push(parameter);
            } else {
                let key: String = key.chars().take(40).collect();
                return Err(InvalidUrl(format!("the parameter {key:?} is not supported")));
            }
        }
        Ok(kept.join("&"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(url: &str) -> Result<Vec<(String, u16, Option<String>)>, InvalidUrl> {
        let id = InstanceId::parse("i").unwrap();
        let hosts = Hosts::parse(url, &id)?.list;
        let seen = |host: Host| {
            let options = host.options;
            (options.get_host().to_owned(), options.get_port(), options.get_database().map(str::to_owned))
        };
        Ok(hosts.into_iter().map(seen).collect())
    }

    #[test]
    fn several_hosts_share_user_database_and_parameters() {
        let url =
            "postgres://u:p%40ss@h1:5001,[::1]:5002,h3/db?target_session_attrs=read-write&sslmode=disable";
        let db = Some("db".to_owned());
        assert_eq!(
            hosts(url).unwrap(),
            [("h1".into(), 5001, db.clone()), ("::1".into(), 5002, db.clone()), ("h3".into(), 5432, db)]
        );
    }

    #[test]
    fn a_connection_is_as_protected_as_its_least_protected_host() {
        let judged = |url: &str| protection(url).unwrap_or_else(|fault| panic!("{url}: {fault}"));
        for local in [
            "postgres://127.0.0.1/db",
            "postgres://[::1],localhost/db?sslmode=disable",
            "postgres:///db?host=/run/postgresql",
            "postgres://%2Frun%2Fpostgresql/db",
        ] {
            assert_eq!(judged(local), Protection::Local, "{local}");
        }
        for verified in ["postgres://db/d?sslmode=verify-full", "postgres://[::1],db/d?ssl-mode=verify-full"]
        {
            assert_eq!(judged(verified), Protection::Verified, "{verified}");
        }
        for (open, why) in [
            ("postgres://db/d", "sslmode=prefer (the default) accepts"),
            ("postgres://127.0.0.1,db/d", "PostgreSQL at db"),
            ("postgres://0.0.0.0/d?sslmode=disable", "sslmode=disable does without TLS"),
            ("postgres://db/d?sslmode=require", "does not check the certificate"),
            ("postgres://db/d?sslmode=verify-ca", "is that of the host"),
            ("postgres://db/d?sslmode=verify-full&sslmode=disable", "sslmode=disable"),
            ("postgres://127.0.0.1/d?host=db", "PostgreSQL at db"),
        ] {
            let Protection::Unprotected(found) = judged(open) else { panic!("{open}") };
            assert!(found.contains(why), "{open}: {found}");
        }
    }

    #[test]
    fn an_at_sign_in_the_password_is_not_the_end_of_it() {
        assert_eq!(hosts("postgresql://u:p@ss@h1,h2/db").unwrap()[1].0, "h2");
    }

    #[test]
    fn every_host_gets_its_share_of_the_time() {
        let id = InstanceId::parse("i").unwrap();
        let bound =
            |url, seconds| Hosts::parse(url, &id).unwrap().bound_of_each(Duration::from_secs(seconds));
        assert_eq!(bound("postgres://h1", 3), Duration::from_secs(3));
        assert_eq!(bound("postgres://h1,h2,h3", 3), Duration::from_secs(1));
        assert_eq!(bound("postgres://h1", 100), CONNECT_MAX);
    }

    /// The search begins at another host each time; what is logged once must not change with that.
    #[tokio::test]
    async fn the_refusals_of_several_hosts_are_one_text_wherever_the_search_began() {
        let id = InstanceId::parse("i").unwrap();
        // Nothing listens on these ports.
        let hosts = Hosts::parse("postgres://127.0.0.1:1,127.0.0.1:2,127.0.0.1:3/db", &id).unwrap();
        let limits = SessionLimits {
            connect: Duration::from_secs(9),
            lock: CONNECT_MAX,
            statement: CONNECT_MAX,
            idle_in_transaction: CONNECT_MAX,
            unanswered: CONNECT_MAX,
        };
        let mut told = Vec::new();
        for first in 0..3 {
            hosts.first.store(first, Relaxed);
            told.push(hosts.connect(limits).await.map(drop).unwrap_err().to_string());
        }
        assert!(told[0].starts_with("PostgreSQL at 127.0.0.1:1: "), "{told:?}");
        assert!(told.iter().all(|text| *text == told[0]), "{told:?}");
    }

    #[test]
    fn an_invalid_url_is_refused_without_showing_the_password() {
        let many = format!("postgres://{}", ["h"; 9].join(","));
        for url in [
            "mysql://u:s3cret@h/db",
            "postgres://u:s3cret@h/db?target_session_attrs=standby",
            "postgres://u:s3cret@h/db?target_session_attrs=any",
            "postgres://u:s3cret@h/db?connect_timeout=3",
            "postgres://u:s3cret#x@h/db",
            "postgres://u:s3cret@h:70000/db",
            many.as_str(),
        ] {
            let error = hosts(url).expect_err(url);
            assert!(
                !error.to_string().contains("s3cret") && !format!("{error:?}").contains("s3cret"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_url_in_a_message_has_no_secrets() {
        assert_eq!(without_secrets("postgres://u:p@ss@h1,h2/db?password=x"), "postgres://***@h1,h2/db");
        assert_eq!(without_secrets("postgres://h1/db"), "postgres://h1/db");
        assert_eq!(without_secrets("u:secret"), "***");
    }
}
