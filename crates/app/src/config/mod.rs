//! The configuration: flags override the environment, which overrides a TOML file.
//!
//! [`load`] returns a [`Config`] or all faults at once; it reads only the files that `url_file` names. It
//! checks every value, even one that a later source overrides: such a fault would take effect when the flag
//! is removed.

mod about;
mod fault;
mod hooks;
mod key;
mod layers;
mod nearest;
mod network;
mod parse;
mod protection;
mod reference;
mod render;
mod signals;
mod store_url;
mod url_file;

pub use fault::{Fault, Origin};
pub use hooks::ConfiguredHook;
pub use key::Key;
pub use network::{Advertised, Network, has_credential};
pub use parse::{Schema, written};
pub use protection::system_tls;
pub use reference::{reference, sample};
pub use render::{as_json, render};
use signals::HandlerProtection;
pub use signals::Signals;
pub use store_url::{Engine, StoreUrl};
pub use url_file::read as read_secret_line;

use crate::cli::Flags;
use adapter_http::HandlerUrl;
use domain::id::{GroupId, InstanceId};
use domain::lease::{TTL_DEFAULT, TTL_MAX, TTL_MIN, margin};
use domain::ledger::Limits;
use domain::metrics::{SignalsConfig, WINDOW_DEFAULT};
use domain::recovery::RelationName;
use domain::transport::TlsPolicy;
use fault::one_line;
use layers::Layers;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Default prefix of every key in Redis.
const REDIS_PREFIX_DEFAULT: &str = "coordinator";
/// Default schema of the tables in PostgreSQL.
const SCHEMA_DEFAULT: &str = "public";
/// Largest configuration file, in bytes: a hundred times the size of all settings.
const FILE_LEN_MAX: u64 = 256 * 1024;

// A lease is useful only if it lasts longer than its margins, whatever TTL is configured.
const _: () = assert!(TTL_MIN.as_nanos() > 2 * margin(TTL_MIN).as_nanos());
const _: () = assert!(TTL_MAX.as_nanos() > 2 * margin(TTL_MAX).as_nanos());

/// Every setting, checked. No output of it shows a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Election group.
    pub group: GroupId,
    /// Id of this instance; `None`: made from the identity in the data directory and the process id.
    pub instance_id: Option<InstanceId>,
    /// The HTTP server.
    pub network: Network,
    /// Directory of the identity and the embedded store.
    pub data_dir: PathBuf,
    /// Directory of the lock files that show the end of a process; `None`: the one of the database.
    pub lock_dir: Option<PathBuf>,
    /// LEADER_TTL: time to live of the lease after its last renewal.
    pub leader_ttl: Duration,
    /// Time between renewals, at most a third of `leader_ttl`.
    pub heartbeat: Duration,
    /// Redis; `None`: the state store elects without it.
    pub redis: Option<Redis>,
    /// PostgreSQL; `None`: the embedded store decides.
    pub postgres: Option<StoreUrl>,
    /// Schema of the tables in PostgreSQL; `search_path` has no effect.
    pub postgres_schema: Schema,
    /// Whether PostgreSQL on another host needs verified TLS.
    pub postgres_tls: TlsPolicy,
    /// Relation with the open positions.
    pub positions: RelationName,
    /// Relation with the portfolio's totals.
    pub portfolio: RelationName,
    /// How many syncs the rolling window of the metrics holds.
    pub metrics_window: usize,
    /// Receiver of urgent alerts, which cannot wait for a scrape; `None`: they are not posted.
    pub alerts_webhook: Option<HandlerUrl>,
    /// Prometheus job that scrapes the group, a label of the posted alerts; `None`: the job in docker/prometheus.
    pub alerts_job: Option<String>,
    /// Address of the runbooks in the posted alerts; `None`: the page of this instance.
    pub alerts_runbooks: Option<String>,
    /// Receiver of metrics and spans; `None`: they are not pushed.
    pub telemetry_otlp: Option<HandlerUrl>,
    /// The handler of signals, and its limits.
    pub signals: Signals,
    /// File with the credentials of clients; `None`: requests need none.
    pub tokens_file: Option<PathBuf>,
    /// Hooks to which other systems post alerts.
    pub hooks: Vec<ConfiguredHook>,
    /// Places of the values that were written.
    origins: BTreeMap<Key, Origin>,
}

/// Settings of Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redis {
    /// URL of Redis.
    pub url: StoreUrl,
    /// Prefix of every key.
    pub prefix: String,
    /// Whether Redis on another host needs TLS.
    pub tls: TlsPolicy,
    /// Authority of Redis; `None`: those of the system.
    pub ca: Option<PathBuf>,
    /// Certificate of this client, if Redis requires one.
    pub certificate: Option<PathBuf>,
    /// Key of the certificate.
    pub certificate_key: Option<PathBuf>,
}

impl Config {
    /// The configuration if no value is written.
    fn of_defaults() -> Self {
        load(None, [], &Flags::default()).expect("our defaults are valid")
    }

    /// Place of the value of a setting.
    pub fn origin(&self, key: Key) -> &Origin {
        self.origins.get(&key).unwrap_or(&Origin::Default)
    }
}

/// Reads the environment of this process and the file that the flags name, and [`load`]s them. The caller
/// prints the faults, one a line, and exits with 2.
pub fn load_from_process(flags: &Flags) -> Result<Config, Vec<Fault>> {
    let environment = std::env::vars_os();
    let Some(path) = &flags.config else { return load(None, environment, flags) };
    match read(path) {
        Ok(text) => load(Some((&path.to_string_lossy(), &text)), environment, flags),
        Err(error) => {
            let message = format!("{}: {error}", one_line(&path.to_string_lossy()));
            let mut faults = vec![Fault::new(Origin::Flag("--config"), message)];
            faults.extend(load(None, environment, flags).err().unwrap_or_default());
            Err(faults)
        }
    }
}

/// Checks all values that were written, and returns all faults at once. `file` is the path, for messages, and
/// the text.
pub fn load(
    file: Option<(&str, &str)>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    flags: &Flags,
) -> Result<Config, Vec<Fault>> {
    let Layers { written, hooks, faults } = Layers::read(file, environment, flags);
    let mut judge = Judge { written, faults };

    let group = judge.take(Key::Group, parse::group, group_default);
    let instance_id = judge.take(Key::InstanceId, |text| parse::instance(text).map(Some), || None);
    let network = judge.network();
    let (data_dir, lock_dir) = judge.directories();
    let leader_ttl = judge.take(Key::LeaderTtl, parse::ttl, || TTL_DEFAULT);
    let heartbeat = judge.take(Key::Heartbeat, |text| parse::heartbeat(text).map(Some), || None);
    let redis_url = judge.store(Engine::Redis, Key::RedisUrl, Key::RedisUrlFile);
    let prefix = judge.take(Key::RedisPrefix, parse::prefix, || REDIS_PREFIX_DEFAULT.to_owned());
    let redis_tls = judge.take(Key::RedisTls, parse::tls, TlsPolicy::default);
    let file = |text: &str| parse::file(text).map(Some);
    let [ca, certificate, certificate_key] = Redis::FILES.map(|key| judge.take(key, file, || None));
    let postgres = judge.store(Engine::Postgres, Key::PostgresUrl, Key::PostgresUrlFile);
    let schema = || Schema::parse(SCHEMA_DEFAULT).expect("our default is a name");
    let postgres_schema = judge.take(Key::PostgresSchema, Schema::parse, schema);
    let postgres_tls = judge.take(Key::PostgresTls, parse::tls, TlsPolicy::default);
    let (positions, portfolio) = judge.relations();
    let metrics_window = judge.take(Key::MetricsWindow, parse::window, || WINDOW_DEFAULT);
    let alerts_webhook = judge.take(Key::AlertsWebhook, |text| parse::webhook(text).map(Some), || None);
    let alerts_job = judge.take(Key::AlertsJob, |text| parse::job(text).map(Some), || None);
    let alerts_runbooks = judge.take(Key::AlertsRunbooks, |text| parse::runbooks(text).map(Some), || None);
    let telemetry_otlp = judge.take(Key::TelemetryOtlp, |text| parse::otlp(text).map(Some), || None);
    let signals = judge.signals();
    let tokens_file = judge.take(Key::AccessTokensFile, file, || None);

    judge.one_lease_in_the_environment();
    judge.stores_fit((&redis_url, redis_tls), (&postgres, postgres_tls));
    if let (Some(ttl), Some(Some(heartbeat))) = (leader_ttl, heartbeat) {
        judge.heartbeat_fits(heartbeat, ttl);
    }

    let origins = judge.origins();
    let config = (|| {
        let (leader_ttl, prefix, tls, ca) = (leader_ttl?, prefix?, redis_tls?, ca?);
        let (certificate, certificate_key) = (certificate?, certificate_key?);
        let redis = redis_url.ok()?;
        let redis = redis.map(|url| Redis { url, prefix, tls, ca, certificate, certificate_key });
        judge.redis_files(redis.as_ref());
        Some(Config {
            group: group?,
            instance_id: instance_id?,
            network: network?,
            data_dir: data_dir?,
            lock_dir: lock_dir?,
            leader_ttl,
            heartbeat: heartbeat?.unwrap_or(heartbeat_max(leader_ttl)),
            redis,
            postgres: postgres.ok()?,
            postgres_schema: postgres_schema?,
            postgres_tls: postgres_tls?,
            positions: positions?,
            portfolio: portfolio?,
            metrics_window: metrics_window?,
            alerts_webhook: alerts_webhook?,
            alerts_job: alerts_job?,
            alerts_runbooks: alerts_runbooks?,
            telemetry_otlp: telemetry_otlp?,
            signals: signals?,
            tokens_file: tokens_file?,
            hooks,
            origins,
        })
    })();
    if let Some(config) = &config {
        judge.network_is_protected(config);
    }
    match config {
        Some(config) if judge.faults.is_empty() => Ok(config),
        Some(_) | None => Err(judge.faults),
    }
}

fn group_default() -> GroupId {
    GroupId::parse("default").expect("our default is an id")
}

/// The longest heartbeat: two renewals may be lost before the lease expires. Whole milliseconds, as in the
/// file.
fn heartbeat_max(ttl: Duration) -> Duration {
    Duration::from_millis(u64::try_from(ttl.as_millis() / 3).expect("a TTL is at most TTL_MAX"))
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(FILE_LEN_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_LEN_MAX {
        return Err(io::Error::other(format!("larger than {FILE_LEN_MAX} bytes")));
    }
    Ok(text)
}

/// A setting has a fault, which was recorded.
struct Refused;

/// The URL of a store and the policy of its connection; `None`: it has a fault.
type StoreSetting<'a> = (&'a Result<Option<StoreUrl>, Refused>, Option<TlsPolicy>);

/// Parses texts into values and records the faults.
struct Judge {
    written: BTreeMap<Key, Vec<(Origin, String)>>,
    faults: Vec<Fault>,
}

impl Judge {
    /// The data directory, and the directory of the lock files.
    #[expect(
        clippy::option_option,
        reason = "the outer one is whether the value is valid, as for every setting"
    )]
    fn directories(&mut self) -> (Option<PathBuf>, Option<Option<PathBuf>>) {
        let data_dir = self.take(Key::DataDir, parse::directory, || PathBuf::from("./coordinator-data"));
        let lock_dir = self.take(Key::LockDir, |text| parse::directory(text).map(Some), || None);
        (data_dir, lock_dir)
    }

    /// The value that was written last, or the default if none was written; `None` if the last one is
    /// invalid.
    fn take<T>(
        &mut self,
        key: Key,
        parse: impl Fn(&str) -> Result<T, String>,
        default: impl FnOnce() -> T,
    ) -> Option<T> {
        let Some(written) = self.written.get(&key) else { return Some(default()) };
        let mut last = None;
        for (origin, text) in written {
            last = match parse(text) {
                Ok(value) => Some(value),
                Err(what) => {
                    self.faults.push(Fault::new(origin.clone(), format!("is {what}")));
                    None
                }
            };
        }
        last
    }

    /// The URL of a store, written as a setting or in a separate file. Both are refused, because one day the
    /// wrong one would be used.
    fn store(&mut self, engine: Engine, url: Key, file: Key) -> Result<Option<StoreUrl>, Refused> {
        if self.written.contains_key(&url) && self.written.contains_key(&file) {
            let message = format!(
                "contradicts {} ({}): set {} or {}, not both",
                url.in_file(),
                self.place(url),
                url.in_file(),
                file.in_file()
            );
            self.faults.push(Fault::new(self.place(file), message));
        }
        let written = self.take(url, |text| StoreUrl::parse(engine, text).map(Some), || None);
        let read = self.take(file, |path| StoreUrl::read(engine, path).map(Some), || None);
        Ok(written.ok_or(Refused)?.or(read.ok_or(Refused)?))
    }

    /// Whether the URL of a store was written, in either way.
    fn names(&self, engine: Engine) -> bool {
        engine.keys().iter().any(|key| self.written.contains_key(key))
    }

    /// The place of each value that was written: the last one.
    fn origins(&self) -> BTreeMap<Key, Origin> {
        let last = |(key, written): (&Key, &Vec<(Origin, String)>)| Some((*key, written.last()?.0.clone()));
        self.written.iter().filter_map(last).collect()
    }

    /// The place of a value that contradicts another one.
    fn place(&self, key: Key) -> Origin {
        self.origins().remove(&key).unwrap_or(Origin::Default)
    }

    fn one_lease_in_the_environment(&mut self) {
        let written = self.written.get(&Key::LeaderTtl).map_or(&[][..], Vec::as_slice);
        let mut variables = written.iter().filter(|(origin, _)| matches!(origin, Origin::Environment(_)));
        if let (Some((first, one)), Some((second, other))) = (variables.next(), variables.next())
            && parse::ttl(one) != parse::ttl(other)
        {
            let fault = Fault::new(second.clone(), format!("contradicts {first}: set one of them"));
            self.faults.push(fault);
        }
    }

    /// The relations of crash recovery.
    fn relations(&mut self) -> (Option<RelationName>, Option<RelationName>) {
        let positions = self.take(Key::RecoveryPositions, parse::relation, RelationName::positions_default);
        let portfolio = self.take(Key::RecoveryPortfolio, parse::relation, RelationName::portfolio_default);
        if let (Some(positions), Some(portfolio)) = (&positions, &portfolio) {
            self.relations_differ(positions, portfolio);
        }
        (positions, portfolio)
    }

    fn signals(&mut self) -> Option<Signals> {
        let file = |text: &str| parse::file(text).map(Some);
        let tls = self.take(Key::SignalsHandlerTls, parse::tls, TlsPolicy::default);
        let [ca, certificate, certificate_key] =
            HandlerProtection::FILES.map(|key| self.take(key, file, || None));
        let token_file = self.take(Key::SignalsHandlerTokenFile, file, || None);
        let key_file = self.take(Key::SignalsHandlerKeyFile, file, || None);
        let defaults = Signals::LIMITS_DEFAULT;
        let handler = self.take(Key::SignalsHandler, |text| signals::url(text).map(Some), || None);
        let lookup = self.take(Key::SignalsLookup, |text| signals::url(text).map(Some), || None);
        let timeout = self
            .take(Key::SignalsHandlerTimeout, signals::handler_timeout, || Signals::HANDLER_TIMEOUT_DEFAULT);
        let per_minute = self.take(Key::SignalsMaxPerMinute, signals::limit, || defaults.per_minute);
        let per_day = self.take(Key::SignalsMaxPerDay, signals::limit, || defaults.per_day);
        let value = self.take(Key::SignalsValueRupees, signals::rupees, || SignalsConfig::default().value);
        let retention =
            self.take(Key::SignalsRetentionDays, signals::retention, || Signals::RETENTION_DEFAULT);
        if self.written.contains_key(&Key::SignalsLookup) && !self.written.contains_key(&Key::SignalsHandler)
        {
            let message =
                "has no effect without signals.handler: a service that pulls signals knows their outcomes";
            self.faults.push(Fault::new(self.place(Key::SignalsLookup), message));
        }
        let protection = HandlerProtection {
            tls: tls?,
            ca: ca?,
            certificate: certificate?,
            certificate_key: certificate_key?,
            token_file: token_file?,
            key_file: key_file?,
        };
        let signals = Signals {
            handler: handler?,
            lookup: lookup?,
            handler_timeout: timeout?,
            protection,
            limits: Limits { per_minute: per_minute?, per_day: per_day? },
            value_rupees: value?,
            retention: retention?,
        };
        self.handler_is_protected(&signals);
        Some(signals)
    }

    /// The rules about the stores together.
    fn stores_fit(&mut self, redis: StoreSetting<'_>, postgres: StoreSetting<'_>) {
        self.settings_need_their_store();
        self.is_protected(Engine::Redis, redis);
        self.is_protected(Engine::Postgres, postgres);
        self.redis_needs_postgres();
    }

    /// Redis suggests instances on several hosts, but only one host shares an embedded store: two data
    /// directories would have two leaders, and both would deliver the same signal.
    fn redis_needs_postgres(&mut self) {
        if self.names(Engine::Redis) && !self.names(Engine::Postgres) {
            let message = "needs postgres.url (COORDINATOR_POSTGRES_URL, --postgres): without PostgreSQL the embedded \
                           store of each data_dir decides, and every data_dir would have a leader. Set postgres.url \
                           as well, or leave Redis out";
            let place =
                [Key::RedisUrl, Key::RedisUrlFile].into_iter().find(|key| self.written.contains_key(key));
            self.faults.push(Fault::new(self.place(place.unwrap_or(Key::RedisUrl)), message));
        }
    }

    fn heartbeat_fits(&mut self, heartbeat: Duration, ttl: Duration) {
        if heartbeat > ttl / 3 {
            let (is, max, ttl_written) = (written(heartbeat), written(heartbeat_max(ttl)), written(ttl));
            let ttl_place = self.place(Key::LeaderTtl);
            let message = format!(
                "is {is}, more than a third of leader_ttl ({ttl_written}, {ttl_place}): at most {max}"
            );
            self.faults.push(Fault::new(self.place(Key::Heartbeat), message));
        }
    }

    fn relations_differ(&mut self, positions: &RelationName, portfolio: &RelationName) {
        if positions.to_string().eq_ignore_ascii_case(&portfolio.to_string()) {
            // The defaults differ, so at least one of them was written.
            let written = [Key::RecoveryPortfolio, Key::RecoveryPositions].map(|key| self.place(key));
            let place =
                written.into_iter().find(|place| *place != Origin::Default).unwrap_or(Origin::Default);
            let message = format!("positions and portfolio are the same relation, {positions}");
            self.faults.push(Fault::new(place, message));
        }
    }
}

#[cfg(test)]
mod tests;
