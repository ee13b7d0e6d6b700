//! Prints the effective configuration as a file with the source of each value.

use super::Config;
use super::hooks::{self, ConfiguredHook};
use super::key::Key;
use super::parse::written;
use super::signals::{NO_LIMIT, Signals};
use super::store_url::StoreUrl;
use adapter_http::TlsFiles;
use domain::member::heartbeat_interval;
use domain::overview::age;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::Value;

/// The effective configuration as TOML, each value with its source as a comment, secrets masked. With the
/// secrets put back, it is a file that results in the same configuration.
pub fn render(config: &Config) -> String {
    let settings = file("# The effective configuration, and where each value comes from.", |key, name| {
        let line = match value(config, key) {
            Ok(value) => format!("{name} = {value} # {}", config.origin(key)),
            Err(instead) => format!("# {name} is not set: {instead}"),
        };
        [line].into_iter().chain(in_effect(config, key)).collect()
    });
    settings + &hooks::render(&config.hooks)
}

/// A file in TOML: `head`, and below the name of each section the lines of its settings.
pub fn file(head: &str, lines_of: impl Fn(Key, &str) -> Vec<String>) -> String {
    let mut lines = vec![head.to_owned()];
    let mut section = None;
    for key in Key::ALL {
        let (in_section, name) = key.section_and_name();
        if in_section != section {
            section = in_section;
            lines.push(format!("\n[{}]", section.unwrap_or_default()));
        }
        lines.extend(lines_of(key, name));
    }
    lines.join("\n") + "\n"
}

/// One setting in [`as_json`].
#[derive(Serialize)]
struct SettingJson {
    /// `null` if it is not set.
    value: Option<Value>,
    /// The place of the value.
    origin: String,
    /// The behaviour without a value.
    instead: Option<String>,
}

/// The effective configuration as a JSON object on one line: every setting by its name in the file, secrets masked.
pub fn as_json(config: &Config) -> String {
    let setting = |key: Key| {
        let (value, instead) = match value(config, key) {
            Ok(value) => (Some(value), None),
            Err(instead) => (None, Some(instead)),
        };
        (key.in_file().to_owned(), SettingJson { value, origin: config.origin(key).to_string(), instead })
    };
    let hook = |hook: &ConfiguredHook| {
        let (value, origin) = (Some(Value::Table(hook.table.clone())), hook.origin.to_string());
        (format!("{}.{}", hooks::SECTION, hook.hook.name()), SettingJson { value, origin, instead: None })
    };
    let settings: BTreeMap<String, SettingJson> =
        Key::ALL.into_iter().map(setting).chain(config.hooks.iter().map(hook)).collect();
    serde_json::to_string(&settings).expect("texts and numbers are JSON")
}

/// Every value, without its place.
#[cfg(test)]
pub fn values(config: &Config) -> Vec<Result<Value, String>> {
    Key::ALL.into_iter().map(|key| value(config, key)).collect()
}

/// What the value means in time, as a comment.
fn in_effect(config: &Config, key: Key) -> Option<String> {
    match key {
        Key::Heartbeat => Some(format!(
            "#   renews or reads the lease every {}; writes its entry in the instance table every {}",
            age(config.heartbeat),
            age(heartbeat_interval(config.leader_ttl)),
        )),
        Key::MetricsWindow => {
            let samples = u32::try_from(config.metrics_window).unwrap_or(u32::MAX);
            Some(format!("#   covers {}", age(config.heartbeat.saturating_mul(samples))))
        }
        _ => None,
    }
}

/// The value, or the behaviour without it.
pub fn value(config: &Config, key: Key) -> Result<Value, String> {
    let redis = config.redis.as_ref().ok_or("the state store elects without Redis");
    let postgres = config.postgres.as_ref().ok_or("the embedded store in data_dir decides");
    match key {
        Key::Group => Ok(text(config.group.as_str())),
        Key::InstanceId => {
            let id =
                config.instance_id.as_ref().ok_or("made from the identity in data_dir and the process id")?;
            Ok(text(id.as_str()))
        }
        Key::Listen
        | Key::Advertise
        | Key::AllowedHosts
        | Key::InsecureNetwork
        | Key::TlsCertificate
        | Key::TlsKeyFile
        | Key::TlsClientCa => network(config, key),
        Key::DataDir => Ok(text(&config.data_dir.to_string_lossy())),
        Key::LockDir => path(
            config.lock_dir.as_deref(),
            "next to the embedded store, or /dev/shm/coordinator-UID with PostgreSQL",
        ),
        Key::LeaderTtl => Ok(text(&written(config.leader_ttl))),
        Key::Heartbeat => Ok(text(&written(config.heartbeat))),
        Key::RedisUrl => url(&redis?.url),
        Key::RedisUrlFile => url_file(&redis?.url),
        Key::RedisPrefix => Ok(text(&redis?.prefix)),
        Key::RedisTls => Ok(text(redis?.tls.as_str())),
        Key::RedisCa => path(redis?.ca.as_deref(), "the authorities of the system"),
        Key::RedisCertificate => path(redis?.certificate.as_deref(), "no certificate is shown"),
        Key::RedisKeyFile => path(redis?.certificate_key.as_deref(), "no certificate is shown"),
        Key::PostgresUrl => url(postgres?),
        Key::PostgresUrlFile => url_file(postgres?),
        Key::PostgresSchema => postgres.map(|_| text(config.postgres_schema.as_str())).map_err(str::to_owned),
        Key::PostgresTls => postgres.map(|_| text(config.postgres_tls.as_str())).map_err(str::to_owned),
        Key::RecoveryPositions => Ok(text(&config.positions.to_string())),
        Key::RecoveryPortfolio => Ok(text(&config.portfolio.to_string())),
        Key::MetricsWindow => Ok(serialised(&config.metrics_window)),
        Key::AlertsWebhook => {
            let url = config.alerts_webhook.as_ref().ok_or("alerts are reported only by scrapes")?;
            Ok(text(&url.to_string()))
        }
        Key::AlertsJob => {
            let job = config.alerts_job.as_ref().ok_or("portfolio_manager, the job in docker/prometheus")?;
            Ok(text(job))
        }
        Key::AlertsRunbooks => {
            let base = config.alerts_runbooks.as_ref().ok_or("/runbooks on the page of this instance")?;
            Ok(text(base))
        }
        Key::TelemetryOtlp => {
            let url = config.telemetry_otlp.as_ref().ok_or("metrics are reported only by scrapes")?;
            Ok(text(&url.to_string()))
        }
        Key::AccessTokensFile => {
            let path = config.tokens_file.as_ref();
            let path = path.ok_or("every process on this host can read, submit and claim signals over HTTP, and none can act as an operator")?;
            Ok(text(&path.to_string_lossy()))
        }
        _ => signals(&config.signals, key),
    }
}

/// One value as itself, several as a list.
fn list(values: &[impl ToString]) -> Value {
    match values {
        [one] => text(&one.to_string()),
        all => Value::Array(all.iter().map(|one| text(&one.to_string())).collect()),
    }
}

/// A file of TLS.
fn tls(
    config: &Config,
    instead: &str,
    file: impl Fn(&TlsFiles) -> Option<&PathBuf>,
) -> Result<Value, String> {
    let path = config.network.tls.as_ref().and_then(file).ok_or(instead)?;
    Ok(text(&path.to_string_lossy()))
}

/// The value of a setting of the HTTP server, or the behaviour without it.
fn network(config: &Config, key: Key) -> Result<Value, String> {
    match key {
        Key::Listen => Ok(list(&config.network.listen)),
        Key::Advertise => {
            let url = config.network.advertise.as_ref();
            let url =
                url.ok_or("made from the first address in listen that is not loopback, else the first")?;
            Ok(text(&url.to_string()))
        }
        Key::AllowedHosts => {
            Ok(Value::Array(config.network.allowed_hosts.iter().map(|name| text(name)).collect()))
        }
        Key::InsecureNetwork => Ok(Value::Boolean(config.network.insecure)),
        Key::TlsCertificate => tls(config, "connections are not encrypted", |tls| Some(&tls.certificate)),
        Key::TlsKeyFile => tls(config, "connections are not encrypted", |tls| Some(&tls.key)),
        Key::TlsClientCa => tls(config, "clients need no certificate", |tls| tls.client_ca.as_ref()),
        _ => Err("a setting of another part".to_owned()),
    }
}

/// The value of a setting of `[signals]`, or the behaviour without it.
fn signals(signals: &Signals, key: Key) -> Result<Value, String> {
    match key {
        Key::SignalsHandler => {
            let url = signals.handler.as_ref().ok_or("a service pulls signals (POST /signals/claim)")?;
            Ok(text(&url.to_string()))
        }
        Key::SignalsLookup => {
            let url = signals.lookup.as_ref().ok_or("the operator resolves signals in doubt")?;
            Ok(text(&url.to_string()))
        }
        Key::SignalsHandlerTimeout => Ok(text(&written(signals.handler_timeout))),
        Key::SignalsHandlerTls => Ok(text(signals.protection.tls.as_str())),
        Key::SignalsHandlerCa => path(signals.protection.ca.as_deref(), "the authorities of the system"),
        Key::SignalsHandlerCertificate => {
            path(signals.protection.certificate.as_deref(), "no certificate is shown")
        }
        Key::SignalsHandlerKeyOfCertificate => {
            path(signals.protection.certificate_key.as_deref(), "no certificate is shown")
        }
        Key::SignalsHandlerTokenFile => path(signals.protection.token_file.as_deref(), "no token is sent"),
        Key::SignalsHandlerKeyFile => path(signals.protection.key_file.as_deref(), "requests are not signed"),
        Key::SignalsMaxPerMinute => Ok(limit(signals.limits.per_minute)),
        Key::SignalsMaxPerDay => Ok(limit(signals.limits.per_day)),
        Key::SignalsValueRupees => Ok(text(&signals.value_rupees.to_string())),
        Key::SignalsRetentionDays => Ok(serialised(&signals.retention_days())),
        _ => Err("a setting of another section".to_owned()),
    }
}

/// The URL of a store, if it is a setting.
fn url(url: &StoreUrl) -> Result<Value, String> {
    match url.file() {
        None => Ok(serialised(url)),
        Some(_) => Err(format!("url_file has {url}")),
    }
}

/// The file that contains the URL of a store.
fn url_file(url: &StoreUrl) -> Result<Value, String> {
    match url.file() {
        Some(path) => Ok(text(&path.to_string_lossy())),
        None => Err("url has the address".to_owned()),
    }
}

/// A file, or the behaviour without it.
fn path(path: Option<&Path>, instead: &str) -> Result<Value, String> {
    path.map(|path| text(&path.to_string_lossy())).ok_or_else(|| instead.to_owned())
}

fn limit(limit: Option<u32>) -> Value {
    limit.map_or_else(|| text(NO_LIMIT), |limit| serialised(&limit))
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn serialised(value: &impl Serialize) -> Value {
    Value::try_from(value).expect("a text or a number is a TOML value")
}
