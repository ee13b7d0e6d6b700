//! The description of every setting: its meaning, the form of its value and its default. The help, the reference
//! (docs/settings.md) and the sample file (docs/coordinator.toml) are made of it.

use super::parse::{HEARTBEAT_MIN, written};
use super::render::value;
use super::signals::{HANDLER_TIME_MAX, HANDLER_TIME_MIN, RETENTION_DAYS_MAX, RETENTION_DAYS_MIN};
use super::{Config, Key, REDIS_PREFIX_DEFAULT, SCHEMA_DEFAULT};
use domain::lease::{TTL_MAX, TTL_MIN};
use domain::metrics::{WINDOW_MAX, WINDOW_MIN};
use domain::transport::TlsPolicy;
use toml::Value;

/// The form of an id.
const ID: &str = "1 to 128 of the characters A-Z a-z 0-9 . _ : -";
/// The form of an address of an HTTP server.
const HTTP: &str = "http://HOST:PORT/PATH";

impl Key {
    /// The meaning, without a full stop.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Group => "Election group; exactly one of its instances leads",
            Self::InstanceId => "Id of this instance, unique in the group",
            Self::Listen => {
                "Addresses and ports of the HTTP server, also several (port 0: any free port); one that is not loopback needs [tls] and a credential"
            }
            Self::Advertise => {
                "Address under which clients and other hosts reach the HTTP server; /leader, status and the page show it"
            }
            Self::AllowedHosts => {
                "Further names that the header Host of a request may have, such as the name of a proxy"
            }
            Self::InsecureNetwork => {
                "Allows an address in listen that is not loopback without TLS or without a credential; third parties can then read and change what is sent, or use the routes"
            }
            Self::DataDir => "Directory of the instance's identity and of the embedded store",
            Self::LockDir => {
                "Directory on a local disk or in memory with the lock files that show the end of a process; one for all instances of a host, so that a killed leader is replaced at once"
            }
            Self::LeaderTtl => "Time to live of the lease after its last renewal (LEADER_TTL)",
            Self::Heartbeat => "Time between two renewals of the lease, at most a third of leader_ttl",
            Self::RedisUrl
            | Self::RedisUrlFile
            | Self::RedisPrefix
            | Self::RedisTls
            | Self::RedisCa
            | Self::RedisCertificate
            | Self::RedisKeyFile
            | Self::PostgresUrl
            | Self::PostgresUrlFile
            | Self::PostgresSchema
            | Self::PostgresTls => self.meaning_for_stores(),
            Self::RecoveryPositions => "Table or view with the open positions, which crash recovery reads",
            Self::RecoveryPortfolio => {
                "Table or view with the portfolio's totals, which crash recovery reads"
            }
            Self::MetricsWindow => {
                "Number of the latest heartbeats from which rates and latencies are computed; below 100, p95 and p99 are judged once the window is full"
            }
            Self::AlertsWebhook => {
                "Address to which an instance posts urgent alerts, which cannot wait for a scrape"
            }
            Self::AlertsJob => "Prometheus job of the group; posted alerts carry it as the label `job`",
            Self::AlertsRunbooks => {
                "Base address of the runbooks; the link of an alert is this address and the name of the runbook"
            }
            Self::TelemetryOtlp => {
                "Address to which an instance pushes metrics and spans (OTLP; /v1/metrics and /v1/traces are added)"
            }
            Self::TlsCertificate => {
                "File with the certificate of the HTTP server and its chain, in PEM; read again when it changes and on SIGHUP"
            }
            Self::TlsKeyFile => {
                "File with the private key of tls.certificate, in PEM; only its owner may have permissions"
            }
            Self::TlsClientCa => {
                "File with the authorities of clients, in PEM; a certificate of them is a credential (access.md)"
            }
            Self::AccessTokensFile => {
                "File with the tokens and certificates of clients and their roles (access.md); read again when it changes"
            }
            _ => self.meaning_for_signals(),
        }
    }

    /// The meaning of a setting of `[redis]` or `[postgres]`.
    fn meaning_for_stores(self) -> &'static str {
        match self {
            Self::RedisUrl => "URL of Redis, which makes failover faster; needs PostgreSQL",
            Self::RedisUrlFile => {
                "File that contains the URL of Redis on one line; only its owner may have permissions"
            }
            Self::RedisPrefix => "Prefix of every key in Redis",
            Self::RedisTls => {
                "Whether Redis on another host needs TLS with a verified certificate; `insecure` permits connections that third parties can read and change"
            }
            Self::RedisCa => {
                "File with the certificate authority of Redis, trusted instead of the system's; needs a rediss URL"
            }
            Self::RedisCertificate => {
                "File with the certificate that Redis requires of its clients; needs redis.certificate_key"
            }
            Self::RedisKeyFile => "File with the private key of redis.certificate",
            Self::PostgresUrl => "URL of PostgreSQL, which decides which instance leads",
            Self::PostgresUrlFile => {
                "File that contains the URL of PostgreSQL on one line; only its owner may have permissions"
            }
            Self::PostgresSchema => "Schema of the tables in PostgreSQL; `search_path` has no effect",
            Self::PostgresTls => {
                "Whether PostgreSQL on another host needs sslmode=verify-full in its URL; `insecure` permits connections that third parties can read and change"
            }
            // Not of these sections.
            _ => "",
        }
    }

    /// The meaning of a setting of `[signals]`.
    fn meaning_for_signals(self) -> &'static str {
        match self {
            Self::SignalsHandler => "Address to which the leader sends signals",
            Self::SignalsLookup => {
                "Address at which the leader looks up the outcome of a signal in doubt; needs signals.handler"
            }
            Self::SignalsHandlerTimeout => {
                "Timeout of the handler; a signal that it has not answered by then is in doubt"
            }
            Self::SignalsHandlerTls => {
                "Whether a handler on another host needs https; `insecure` permits connections that third parties can read and change"
            }
            Self::SignalsHandlerCa => {
                "File with the certificate authorities of the handler, instead of those of the system"
            }
            Self::SignalsHandlerCertificate => {
                "File with the certificate that the handler requires of its clients; needs signals.handler_certificate_key"
            }
            Self::SignalsHandlerKeyOfCertificate => {
                "File with the private key of signals.handler_certificate"
            }
            Self::SignalsHandlerTokenFile => {
                "File with the bearer token for the handler on one line; it is read for every call, and only its owner may have permissions"
            }
            Self::SignalsHandlerKeyFile => {
                "File with the key of the signature (Coordinator-Signature) on one line; it is read for every call, and only its owner may have permissions"
            }
            Self::SignalsMaxPerMinute => "Largest number of signals that are sent in any 60 seconds",
            Self::SignalsMaxPerDay => "Largest number of signals that are sent in any 24 hours",
            Self::SignalsValueRupees => {
                "Amount that one signal puts at risk; the page, alerts and metrics compute the exposure from it"
            }
            Self::SignalsRetentionDays => {
                "Retention of finished signals; a signal with an older timestamp is refused"
            }
            // Not of that section.
            _ => "",
        }
    }

    /// The form of its value, with the unit and the range.
    pub fn form(self) -> String {
        let between =
            |min, max| format!("seconds, or as 10s or 1500ms: {} to {}", written(min), written(max));
        let relation = || "NAME or SCHEMA.NAME".to_owned();
        match self {
            Self::Group | Self::InstanceId | Self::AlertsJob => ID.to_owned(),
            Self::RedisPrefix => "1 to 64 of the characters A-Z a-z 0-9 . _ : -".to_owned(),
            Self::Listen => "IP-ADDRESS:PORT, or a list of them".to_owned(),
            Self::Advertise => "http://HOST:PORT or https://HOST:PORT".to_owned(),
            Self::AllowedHosts => "list of host names and addresses, without ports".to_owned(),
            Self::InsecureNetwork => "true or false".to_owned(),
            Self::DataDir | Self::LockDir => "path of a directory".to_owned(),
            Self::RedisUrlFile
            | Self::PostgresUrlFile
            | Self::SignalsHandlerTokenFile
            | Self::SignalsHandlerKeyFile
            | Self::AccessTokensFile
            | Self::TlsCertificate
            | Self::TlsKeyFile
            | Self::TlsClientCa => "path of a file".to_owned(),
            Self::RedisCa
            | Self::RedisCertificate
            | Self::RedisKeyFile
            | Self::SignalsHandlerCa
            | Self::SignalsHandlerCertificate
            | Self::SignalsHandlerKeyOfCertificate => "path of a file in PEM".to_owned(),
            Self::RedisTls | Self::PostgresTls | Self::SignalsHandlerTls => {
                "\"required\" or \"insecure\"".to_owned()
            }
            Self::LeaderTtl => between(TTL_MIN, TTL_MAX),
            Self::Heartbeat => between(HEARTBEAT_MIN, TTL_MAX / 3),
            Self::SignalsHandlerTimeout => between(HANDLER_TIME_MIN, HANDLER_TIME_MAX),
            Self::RedisUrl => "redis://USER:PASSWORD@HOST:PORT/DATABASE".to_owned(),
            Self::PostgresUrl => "postgres://USER:PASSWORD@HOST:PORT/DATABASE".to_owned(),
            Self::PostgresSchema => "name of a schema".to_owned(),
            Self::RecoveryPositions | Self::RecoveryPortfolio => relation(),
            Self::MetricsWindow => format!("syncs: {WINDOW_MIN} to {WINDOW_MAX}"),
            Self::AlertsWebhook | Self::TelemetryOtlp | Self::SignalsHandler | Self::SignalsLookup => {
                HTTP.to_owned()
            }
            Self::AlertsRunbooks => "http://HOST:PORT/PATH or https://HOST/PATH".to_owned(),
            Self::SignalsMaxPerMinute | Self::SignalsMaxPerDay => "signals, or \"none\"".to_owned(),
            Self::SignalsValueRupees => "rupees, also with decimals in quotes".to_owned(),
            Self::SignalsRetentionDays => format!("days: {RETENTION_DAYS_MIN} to {RETENTION_DAYS_MAX}"),
        }
    }

    /// The default, or the behaviour without a value.
    pub fn default_value(self) -> Result<Value, String> {
        match self {
            // Without a value it follows another setting.
            Self::Heartbeat => Err("a third of leader_ttl".to_owned()),
            Self::RedisUrlFile | Self::PostgresUrlFile => Err("no file is read".to_owned()),
            Self::RedisCa => Err("the authorities of the system".to_owned()),
            Self::RedisCertificate | Self::RedisKeyFile => Err("no certificate is shown".to_owned()),
            // These have an effect only with their store.
            Self::RedisTls | Self::PostgresTls => Ok(Value::String(TlsPolicy::default().as_str().to_owned())),
            Self::RedisPrefix => Ok(Value::String(REDIS_PREFIX_DEFAULT.to_owned())),
            Self::PostgresSchema => Ok(Value::String(SCHEMA_DEFAULT.to_owned())),
            _ => value(&Config::of_defaults(), self),
        }
    }

    /// An example of a value, for a setting without a default.
    pub fn example(self) -> &'static str {
        match self {
            Self::InstanceId => "desk-1",
            Self::LockDir => "/run/coordinator",
            Self::Heartbeat => "3s",
            Self::RedisUrl => "redis://127.0.0.1:6379",
            Self::RedisUrlFile => "/etc/coordinator/redis.url",
            Self::RedisCa => "/etc/coordinator/redis-ca.pem",
            Self::RedisCertificate => "/etc/coordinator/redis-client.pem",
            Self::RedisKeyFile => "/etc/coordinator/redis-client.key",
            Self::PostgresUrl => "postgres://coordinator@127.0.0.1:5432/coordinator",
            Self::PostgresUrlFile => "/etc/coordinator/postgres.url",
            Self::AlertsWebhook => "http://127.0.0.1:9093/api/v2/alerts",
            Self::AlertsJob => "portfolio_manager",
            Self::AlertsRunbooks => "https://runbooks.example.com/coordinator",
            Self::TelemetryOtlp => "http://127.0.0.1:4318",
            Self::SignalsHandler => "http://127.0.0.1:8080/execute",
            Self::SignalsHandlerCa => "/etc/coordinator/handler-ca.pem",
            Self::SignalsHandlerCertificate => "/etc/coordinator/handler-client.pem",
            Self::SignalsHandlerKeyOfCertificate => "/etc/coordinator/handler-client.key",
            Self::SignalsHandlerTokenFile => "/etc/coordinator/handler.token",
            Self::SignalsHandlerKeyFile => "/etc/coordinator/handler.key",
            Self::SignalsLookup => "http://127.0.0.1:8080/lookup",
            Self::Advertise => "https://desk-1.example.com:5000",
            Self::TlsCertificate => "/etc/coordinator/tls.crt",
            Self::TlsKeyFile => "/etc/coordinator/tls.key",
            Self::TlsClientCa => "/etc/coordinator/clients.crt",
            Self::AccessTokensFile => "/etc/coordinator/tokens.toml",
            _ => "",
        }
    }

    /// The default in words, for the help and the reference.
    pub fn default_in_words(self) -> String {
        match self.default_value() {
            Ok(Value::String(text)) => text,
            Ok(value) => value.to_string(),
            Err(instead) => format!("none, {instead}"),
        }
    }
}
