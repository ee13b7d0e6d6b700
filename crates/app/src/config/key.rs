//! [`Key`]: every setting by name. The names in the file, the environment and the flags are written only
//! here.

use std::net::IpAddr;

/// A setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// Election group.
    Group,
    /// Id of this instance.
    InstanceId,
    /// Addresses of the page.
    Listen,
    /// Address under which others reach the page.
    Advertise,
    /// Further host names of requests.
    AllowedHosts,
    /// Consent to a network without TLS or credentials.
    InsecureNetwork,
    /// Directory of the identity and the embedded store.
    DataDir,
    /// Directory of the lock files.
    LockDir,
    /// Time to live of the lease.
    LeaderTtl,
    /// Time between renewals.
    Heartbeat,
    /// URL of Redis.
    RedisUrl,
    /// File that contains the URL of Redis.
    RedisUrlFile,
    /// Prefix of every key in Redis.
    RedisPrefix,
    /// Protection of the connection to Redis.
    RedisTls,
    /// Authority of Redis.
    RedisCa,
    /// Certificate that is shown to Redis.
    RedisCertificate,
    /// Key of that certificate.
    RedisKeyFile,
    /// URL of PostgreSQL.
    PostgresUrl,
    /// File that contains the URL of PostgreSQL.
    PostgresUrlFile,
    /// Schema of the tables in PostgreSQL.
    PostgresSchema,
    /// Protection of the connection to PostgreSQL.
    PostgresTls,
    /// Relation with the open positions.
    RecoveryPositions,
    /// Relation with the portfolio's totals.
    RecoveryPortfolio,
    /// Number of syncs in the rolling window.
    MetricsWindow,
    /// Receiver of urgent alerts.
    AlertsWebhook,
    /// Prometheus job of the group.
    AlertsJob,
    /// Address of the runbooks.
    AlertsRunbooks,
    /// Receiver of metrics and spans.
    TelemetryOtlp,
    /// Receiver of signals.
    SignalsHandler,
    /// Address of the handler's lookup.
    SignalsLookup,
    /// Timeout of the handler.
    SignalsHandlerTimeout,
    /// Protection of the connection to the handler.
    SignalsHandlerTls,
    /// Authorities that sign the certificate of the handler.
    SignalsHandlerCa,
    /// Certificate that the handler asks for.
    SignalsHandlerCertificate,
    /// Private key of that certificate.
    SignalsHandlerKeyOfCertificate,
    /// Bearer token for the handler.
    SignalsHandlerTokenFile,
    /// Key of the signature for the handler.
    SignalsHandlerKeyFile,
    /// Most signals that are sent in a minute.
    SignalsMaxPerMinute,
    /// Most signals that are sent in a day.
    SignalsMaxPerDay,
    /// Amount that one signal puts at risk.
    SignalsValueRupees,
    /// Retention of finished signals.
    SignalsRetentionDays,
    /// File with the certificate of the page.
    TlsCertificate,
    /// File with the private key of the certificate.
    TlsKeyFile,
    /// File with the authorities of clients.
    TlsClientCa,
    /// File with the credentials of clients.
    AccessTokensFile,
}

impl Key {
    /// Every setting, in the order in which the configuration is printed: sections last.
    pub const ALL: [Self; 45] = [
        Self::Group,
        Self::InstanceId,
        Self::Listen,
        Self::Advertise,
        Self::AllowedHosts,
        Self::InsecureNetwork,
        Self::DataDir,
        Self::LockDir,
        Self::LeaderTtl,
        Self::Heartbeat,
        Self::RedisUrl,
        Self::RedisUrlFile,
        Self::RedisPrefix,
        Self::RedisTls,
        Self::RedisCa,
        Self::RedisCertificate,
        Self::RedisKeyFile,
        Self::PostgresUrl,
        Self::PostgresUrlFile,
        Self::PostgresSchema,
        Self::PostgresTls,
        Self::RecoveryPositions,
        Self::RecoveryPortfolio,
        Self::MetricsWindow,
        Self::AlertsWebhook,
        Self::AlertsJob,
        Self::AlertsRunbooks,
        Self::TelemetryOtlp,
        Self::SignalsHandler,
        Self::SignalsLookup,
        Self::SignalsHandlerTimeout,
        Self::SignalsHandlerTls,
        Self::SignalsHandlerCa,
        Self::SignalsHandlerCertificate,
        Self::SignalsHandlerKeyOfCertificate,
        Self::SignalsHandlerTokenFile,
        Self::SignalsHandlerKeyFile,
        Self::SignalsMaxPerMinute,
        Self::SignalsMaxPerDay,
        Self::SignalsValueRupees,
        Self::SignalsRetentionDays,
        Self::TlsCertificate,
        Self::TlsKeyFile,
        Self::TlsClientCa,
        Self::AccessTokensFile,
    ];

    /// Its name in the file, with its section.
    pub fn in_file(self) -> &'static str {
        match self {
            Self::Group => "group",
            Self::InstanceId => "instance_id",
            Self::Listen => "listen",
            Self::Advertise => "advertise",
            Self::AllowedHosts => "allowed_hosts",
            Self::InsecureNetwork => "insecure_network",
            Self::DataDir => "data_dir",
            Self::LockDir => "lock_dir",
            Self::LeaderTtl => "leader_ttl",
            Self::Heartbeat => "heartbeat",
            Self::RedisUrl => "redis.url",
            Self::RedisUrlFile => "redis.url_file",
            Self::RedisPrefix => "redis.prefix",
            Self::RedisTls => "redis.tls",
            Self::RedisCa => "redis.ca",
            Self::RedisCertificate => "redis.certificate",
            Self::RedisKeyFile => "redis.certificate_key",
            Self::PostgresUrl => "postgres.url",
            Self::PostgresUrlFile => "postgres.url_file",
            Self::PostgresSchema => "postgres.schema",
            Self::PostgresTls => "postgres.tls",
            Self::RecoveryPositions => "recovery.positions",
            Self::RecoveryPortfolio => "recovery.portfolio",
            Self::MetricsWindow => "metrics.window",
            Self::AlertsWebhook => "alerts.webhook",
            Self::AlertsJob => "alerts.job",
            Self::AlertsRunbooks => "alerts.runbooks",
            Self::TelemetryOtlp => "telemetry.otlp",
            Self::SignalsHandler => "signals.handler",
            Self::SignalsLookup => "signals.lookup",
            Self::SignalsHandlerTimeout => "signals.handler_timeout",
            Self::SignalsHandlerTls => "signals.handler_tls",
            Self::SignalsHandlerCa => "signals.handler_ca",
            Self::SignalsHandlerCertificate => "signals.handler_certificate",
            Self::SignalsHandlerKeyOfCertificate => "signals.handler_certificate_key",
            Self::SignalsHandlerTokenFile => "signals.handler_token_file",
            Self::SignalsHandlerKeyFile => "signals.handler_key_file",
            Self::SignalsMaxPerMinute => "signals.max_per_minute",
            Self::SignalsMaxPerDay => "signals.max_per_day",
            Self::SignalsValueRupees => "signals.value_rupees",
            Self::SignalsRetentionDays => "signals.retention_days",
            Self::TlsCertificate => "tls.certificate",
            Self::TlsKeyFile => "tls.key",
            Self::TlsClientCa => "tls.client_ca",
            Self::AccessTokensFile => "access.tokens_file",
        }
    }

    /// Its environment variables: `COORDINATOR_` and its name in the file, and a second one where another
    /// name is customary.
    pub fn in_environment(self) -> Vec<String> {
        let own = format!("{PREFIX}{}", self.in_file().replace('.', "_").to_ascii_uppercase());
        match self {
            Self::LeaderTtl => vec![own, LEADER_TTL.to_owned()],
            _ => vec![own],
        }
    }

    /// Its flag; `None` if it is only in the file and the environment.
    pub fn flag(self) -> Option<&'static str> {
        match self {
            Self::DataDir => Some("--data-dir"),
            Self::RedisUrl => Some("--redis"),
            Self::RedisUrlFile => Some("--redis-url-file"),
            Self::RedisTls => Some("--redis-tls"),
            Self::PostgresUrl => Some("--postgres"),
            Self::PostgresUrlFile => Some("--postgres-url-file"),
            Self::PostgresSchema => Some("--postgres-schema"),
            Self::PostgresTls => Some("--postgres-tls"),
            Self::Group => Some("--group"),
            Self::LeaderTtl => Some("--leader-ttl"),
            Self::Listen => Some("--listen"),
            Self::Advertise => Some("--advertise"),
            Self::InsecureNetwork => Some("--insecure-network"),
            Self::InstanceId => Some("--instance-id"),
            Self::SignalsHandler => Some("--handler"),
            _ => None,
        }
    }

    /// Whether it has several values: an array in the file, several flags, or one text with commas.
    pub fn is_list(self) -> bool {
        matches!(self, Self::Listen | Self::AllowedHosts)
    }

    /// Whether its value is true or false.
    pub fn is_switch(self) -> bool {
        matches!(self, Self::InsecureNetwork)
    }

    /// Its section and its name there.
    pub fn section_and_name(self) -> (Option<&'static str>, &'static str) {
        match self.in_file().split_once('.') {
            Some((section, name)) => (Some(section), name),
            None => (None, self.in_file()),
        }
    }
}

/// Prefix of our environment variables.
pub const PREFIX: &str = "COORDINATOR_";

/// Customary name of the time to live of the lease.
pub const LEADER_TTL: &str = "LEADER_TTL";

/// Whether Kubernetes (or a docker link) injects the variable for a Service called `coordinator`: the address
/// of the Service and of each of its ports. Only a variable of exactly that form.
pub fn is_of_a_service(variable: &str, value: &str) -> bool {
    let is_port = |text: &str| text.parse::<u16>().is_ok();
    let is_address = |text: &str| text.parse::<IpAddr>().is_ok();
    let is_url = |text: &str| {
        let (scheme, rest) = text.split_once("://").unwrap_or_default();
        matches!(scheme, "tcp" | "udp" | "sctp")
            && rest.rsplit_once(':').is_some_and(|(_, port)| is_port(port))
    };
    match variable.strip_prefix(PREFIX) {
        Some("SERVICE_HOST") => is_address(value),
        Some("SERVICE_PORT") => is_port(value),
        Some("PORT") => is_url(value),
        Some(rest) if rest.starts_with("SERVICE_PORT_") => is_port(value),
        Some(rest) => {
            match rest.strip_prefix("PORT_").map(|rest| rest.split('_').collect::<Vec<_>>()).as_deref() {
                Some([port, "TCP" | "UDP" | "SCTP"]) => is_port(port) && is_url(value),
                Some([port, "TCP" | "UDP" | "SCTP", "ADDR"]) => is_port(port) && is_address(value),
                Some([port, "TCP" | "UDP" | "SCTP", "PORT"]) => is_port(port) && is_port(value),
                Some([port, "TCP" | "UDP" | "SCTP", "PROTO"]) => {
                    is_port(port) && matches!(value, "tcp" | "udp" | "sctp")
                }
                Some(_) | None => false,
            }
        }
        None => false,
    }
}

/// Whether a variable with our prefix is not a setting: `exec` sets it for its child, or a test for another
/// process.
pub fn is_no_setting(variable: &str) -> bool {
    matches!(variable, "COORDINATOR_FENCE" | "COORDINATOR_EPOCH") || variable.starts_with("COORDINATOR_TEST_")
}
