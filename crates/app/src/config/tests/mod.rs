use super::*;
use crate::secret::Secret;

mod alerts;
mod faults;
mod hooks;
mod network;
mod protection;
mod secrets;
mod stores;
mod url_files;

const PATH: &str = "coordinator.toml";
const CANARY: &str = "canary";

fn environment(variables: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect()
}

fn with(file: &str, variables: &[(&str, &str)], flags: &Flags) -> Result<Config, Vec<Fault>> {
    load(Some((PATH, file)), environment(variables), flags)
}

fn from_file(file: &str) -> Result<Config, Vec<Fault>> {
    with(file, &[], &Flags::default())
}

/// The faults as they are printed.
#[track_caller]
fn lines(result: Result<Config, Vec<Fault>>) -> Vec<String> {
    let faults = result.expect_err("faults");
    faults.iter().map(ToString::to_string).inspect(|line| assert!(!line.contains('\n'), "{line:?}")).collect()
}

#[allow(clippy::unnecessary_wraps, reason = "a flag that was given")]
fn secret(text: &str) -> Option<Secret> {
    Some(Secret::new(text.to_owned()))
}

/// Both stores; a setting of Redis may follow.
const BOTH: &str = "[postgres]\nurl = \"postgres://localhost/d\"\n[redis]\nurl = \"redis://localhost\"\n";

/// The settings in [`FULL`]. It contains the URLs of the stores, so it contains no files of URLs.
fn all_of_full() -> impl Iterator<Item = Key> {
    Key::ALL
        .into_iter()
        .filter(|key| !matches!(key, Key::RedisUrlFile | Key::PostgresUrlFile) && !OF_TLS.contains(key))
}

/// The files of TLS and of secrets, which must exist.
const OF_TLS: [Key; 8] = [
    Key::RedisCa,
    Key::RedisCertificate,
    Key::RedisKeyFile,
    Key::SignalsHandlerCa,
    Key::SignalsHandlerCertificate,
    Key::SignalsHandlerKeyOfCertificate,
    Key::SignalsHandlerTokenFile,
    Key::SignalsHandlerKeyFile,
];

/// Every setting, in the form of the file.
const FULL: &str = r#"
group = "desk"
instance_id = "a-1"
listen = ["[::1]:5001", "10.0.0.7:5001"]
advertise = "https://desk-1.example.com:5001"
allowed_hosts = ["desk.example.com", "10.0.0.9"]
insecure_network = true
data_dir = "/var/lib/coordinator"
lock_dir = "/run/coordinator"
leader_ttl = 30
heartbeat = "2500ms"
[redis]
url = "redis://localhost:6379/1"
prefix = "desk"
tls = "required"
[postgres]
url = "postgres://localhost/trading"
schema = "desk"
tls = "insecure"
[recovery]
positions = "risk.open_positions"
portfolio = "risk.portfolio"
[metrics]
window = 50
[alerts]
webhook = "http://127.0.0.1:9093/api/v2/alerts"
job = "trading"
runbooks = "https://wiki.example/runbooks/"
[telemetry]
otlp = "http://127.0.0.1:4318/"
[signals]
handler = "http://127.0.0.1:8080/orders"
lookup = "http://127.0.0.1:8080/orders"
handler_timeout = "2500ms"
handler_tls = "insecure"
max_per_minute = 5
max_per_day = "none"
value_rupees = "99999.50"
retention_days = 30
[tls]
certificate = "/etc/coordinator/tls.crt"
key = "/etc/coordinator/tls.key"
client_ca = "/etc/coordinator/clients.crt"
[access]
tokens_file = "/etc/coordinator/tokens.toml"
"#;

#[test]
fn an_empty_configuration_is_one_instance_on_this_host() {
    let config = load(None, [], &Flags::default()).expect("defaults are sound");
    assert_eq!(config.group.as_str(), "default");
    assert_eq!((config.instance_id, config.redis, config.postgres), (None, None, None));
    assert_eq!(config.network.listen, ["127.0.0.1:5000".parse().expect("an address")]);
    assert_eq!(config.data_dir, Path::new("./coordinator-data"));
    assert_eq!(
        (config.leader_ttl, config.heartbeat),
        (Duration::from_secs(10), Duration::from_millis(3_333))
    );
    assert_eq!(
        (config.positions.to_string().as_str(), config.portfolio.to_string().as_str()),
        ("portfolio_positions", "portfolio_state")
    );
    assert_eq!(config.metrics_window, 100);
    let signals = config.signals;
    assert_eq!((signals.handler, signals.lookup), (None, None), "a service pulls");
    assert_eq!(signals.limits, Limits { per_minute: Some(60), per_day: Some(1_000) });
    assert_eq!(
        (signals.value_rupees.to_string().as_str(), signals.retention.as_secs()),
        ("100000", 400 * 86_400)
    );
}

#[test]
fn the_section_of_signals_is_checked() {
    let file = "[signals]\nlookup = \"http://127.0.0.1:1/\"\nmax_per_minute = \"many\"\nmax_per_day = -1\n\
                value_rupees = \"a lakh\"\nretention_days = 6\nhandler_timeout = \"1h\"\nhandle = 1";
    let faults = lines(from_file(file));
    for (name, why) in [
        ("signals.lookup", "has no effect without signals.handler"),
        ("signals.max_per_minute", "not a whole number of signals, nor \"none\""),
        ("signals.max_per_day", "not a whole number of signals"),
        ("signals.value_rupees", "not an amount in rupees"),
        ("signals.retention_days", "from 7 to 3653"),
        ("signals.handler_timeout", "a time from 100ms to 300s"),
        ("signals.handle", "did you mean signals.handler?"),
    ] {
        assert!(faults.iter().any(|line| line.contains(name) && line.contains(why)), "{name}: {faults:#?}");
    }
    for url in ["ftp://broker/orders", "orders", "http://user:canary@h/", "https://user:canary@h/"] {
        let faults = lines(from_file(&format!("[signals]\nhandler = {url:?}")));
        assert!(faults[0].contains("signals.handler") && !faults[0].contains(CANARY), "{faults:?}");
    }
}

#[test]
fn every_setting_can_be_written_in_the_file() {
    let config = from_file(FULL).expect("sound");
    assert_eq!(config.group.as_str(), "desk");
    assert_eq!(config.instance_id.as_ref().map(InstanceId::as_str), Some("a-1"));
    let network = &config.network;
    let listen: Vec<String> = network.listen.iter().map(ToString::to_string).collect();
    assert_eq!(listen, ["[::1]:5001", "10.0.0.7:5001"]);
    let advertise = network.advertise.as_ref().map(ToString::to_string);
    assert_eq!(advertise.as_deref(), Some("https://desk-1.example.com:5001"));
    assert_eq!(
        (network.allowed_hosts.join(" ").as_str(), network.insecure),
        ("desk.example.com 10.0.0.9", true)
    );
    let tls = network.tls.as_ref().expect("written");
    assert_eq!(tls.client_ca.as_deref(), Some(Path::new("/etc/coordinator/clients.crt")));
    assert_eq!(config.data_dir, Path::new("/var/lib/coordinator"));
    assert_eq!(config.lock_dir.as_deref(), Some(Path::new("/run/coordinator")));
    assert_eq!(
        (config.leader_ttl, config.heartbeat),
        (Duration::from_secs(30), Duration::from_millis(2_500))
    );
    let redis = config.redis.as_ref().expect("written");
    assert_eq!((redis.url.expose(), redis.prefix.as_str()), ("redis://localhost:6379/1", "desk"));
    assert_eq!(config.postgres.as_ref().map(StoreUrl::expose), Some("postgres://localhost/trading"));
    assert_eq!((redis.tls, config.postgres_tls), (TlsPolicy::Required, TlsPolicy::Insecure));
    assert_eq!(config.postgres_schema.as_str(), "desk");
    assert_eq!(
        (config.positions.to_string().as_str(), config.portfolio.to_string().as_str()),
        ("risk.open_positions", "risk.portfolio")
    );
    assert_eq!(config.metrics_window, 50);
    assert_eq!(
        config.alerts_webhook.as_ref().map(ToString::to_string).as_deref(),
        Some("http://127.0.0.1:9093/api/v2/alerts")
    );
    assert_eq!(config.alerts_job.as_deref(), Some("trading"));
    assert_eq!(config.alerts_runbooks.as_deref(), Some("https://wiki.example/runbooks"));
    let otlp = config.telemetry_otlp.as_ref().map(ToString::to_string);
    assert_eq!(otlp.as_deref(), Some("http://127.0.0.1:4318/"));
    let signals = &config.signals;
    assert_eq!(
        signals.handler.as_ref().map(ToString::to_string).as_deref(),
        Some("http://127.0.0.1:8080/orders")
    );
    assert_eq!(signals.lookup, signals.handler);
    assert_eq!(signals.handler_timeout, Duration::from_millis(2_500));
    assert_eq!(signals.limits, Limits { per_minute: Some(5), per_day: None });
    assert_eq!((signals.value_rupees.to_string().as_str(), signals.retention_days()), ("99999.50", 30));
    for key in all_of_full() {
        assert_eq!(*config.origin(key), Origin::File(PATH.to_owned(), key.in_file().to_owned()));
    }
}

#[test]
fn every_setting_can_be_written_in_the_environment() {
    let from_environment = |key: Key| {
        let table: toml::Table = FULL.parse().expect("TOML");
        let value = match key.section_and_name() {
            (Some(section), name) => &table[section][name],
            (None, name) => &table[name],
        };
        match value {
            toml::Value::Array(all) => {
                all.iter().filter_map(toml::Value::as_str).collect::<Vec<_>>().join(", ")
            }
            toml::Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    };
    let variables: Vec<_> =
        all_of_full().map(|key| (key.in_environment().remove(0), from_environment(key))).collect();
    let variables: Vec<_> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let mut config = with("", &variables, &Flags::default()).expect("sound");
    for key in all_of_full() {
        assert!(matches!(config.origin(key), Origin::Environment(_)), "{key:?}");
    }
    config.origins = from_file(FULL).expect("sound").origins;
    assert_eq!(config, from_file(FULL).expect("sound"));
}

#[test]
fn flags_win_over_the_environment_and_the_environment_over_the_file() {
    let file = "group = \"file\"\nleader_ttl = 20\ndata_dir = \"file\"";
    let variables = [("COORDINATOR_GROUP", "environment"), ("LEADER_TTL", "30"), ("PATH", "/bin")];
    let flags = Flags { group: Some("flag".to_owned()), ..Flags::default() };
    let config = with(file, &variables, &flags).expect("sound");
    assert_eq!(
        (config.group.as_str(), config.origin(Key::Group).to_string()),
        ("flag", "--group".to_owned())
    );
    assert_eq!(config.leader_ttl, Duration::from_secs(30));
    assert_eq!(config.origin(Key::LeaderTtl).to_string(), "environment LEADER_TTL");
    assert_eq!(config.data_dir, Path::new("file"));
    assert_eq!(config.origin(Key::DataDir).to_string(), "coordinator.toml:data_dir");
    assert_eq!(*config.origin(Key::Listen), Origin::Default);
}

#[test]
fn every_flag_is_a_setting() {
    let text = |text: &str| Some(text.to_owned());
    let flags = Flags {
        config: None,
        data_dir: text("d"),
        redis: secret("redis://localhost"),
        redis_url_file: text("r"),
        redis_tls: text("insecure"),
        postgres: secret("postgres://localhost/d"),
        postgres_url_file: text("p"),
        postgres_schema: text("desk"),
        postgres_tls: text("insecure"),
        group: text("g"),
        leader_ttl: text("1500ms"),
        listen: vec!["127.0.0.2:0".to_owned(), "[::1]:0".to_owned()],
        advertise: text("http://h"),
        insecure_network: true,
        instance_id: text("i"),
        handler: Some("https://flag:1/x".to_owned()),
    };
    let Layers { written, hooks: _, faults } = Layers::read(None, [], &flags);
    assert_eq!((written.len(), faults.len()), (15, 0), "every flag is written once");
    let flags = Flags { redis_url_file: None, postgres_url_file: None, ..flags };
    let config = load(None, [], &flags).expect("sound");
    assert_eq!(config.leader_ttl, Duration::from_millis(1_500));
    let flags = Key::ALL.into_iter().filter(|key| matches!(config.origin(*key), Origin::Flag(_)));
    assert_eq!(flags.count(), 13);
}

#[test]
fn the_ttl_of_a_lease_is_from_one_second_to_five_minutes() {
    for (written, ms) in
        [("1", 1_000), ("1s", 1_000), ("1000ms", 1_000), ("300", 300_000), ("300000ms", 300_000)]
    {
        let config = from_file(&format!("leader_ttl = \"{written}\"")).expect(written);
        assert_eq!(config.leader_ttl, Duration::from_millis(ms));
    }
    let wrong = ["0", "999ms", "301", "300001ms", "", "s", "ms", "-1", "+5", "1.5555s", "10 s", "10m", "ten"];
    for written in wrong.into_iter().chain(["18446744073709551616", "18446744073709551615"]) {
        let faults = lines(from_file(&format!("leader_ttl = \"{written}\"")));
        let allowed = "not a time from 1s to 300s, written as 10, 10s or 1500ms";
        assert_eq!(faults, [format!("coordinator.toml:leader_ttl: is {written:?}, {allowed}")]);
    }
}

#[test]
fn the_heartbeat_is_at_most_a_third_of_the_lease() {
    let load = |ttl: &str, heartbeat: &str| {
        from_file(&format!("leader_ttl = \"{ttl}\"\nheartbeat = \"{heartbeat}\""))
    };
    assert_eq!(load("9s", "3s").expect("a third").heartbeat, Duration::from_secs(3));
    load("10s", "3333ms").expect("just below a third");
    assert_eq!(
        lines(load("10s", "3334ms")),
        [
            "coordinator.toml:heartbeat: is 3334ms, more than a third of leader_ttl (10s, coordinator.toml:leader_ttl): \
          at most 3333ms"
        ]
    );
    assert!(lines(load("10s", "99ms"))[0].contains("from 100ms to 100s"));
    // One fault, and not a second one about a TTL that was not written.
    assert_eq!(lines(load("ten", "5s")).len(), 1);
    let by_default = lines(from_file("heartbeat = 4"));
    assert!(by_default[0].contains("leader_ttl (10s, default)"), "{by_default:?}");
}

#[test]
fn both_names_of_the_lease_must_agree() {
    let variables = |own, other| [("COORDINATOR_LEADER_TTL", own), ("LEADER_TTL", other)];
    with("", &variables("10", "10000ms"), &Flags::default()).expect("the same");
    assert_eq!(
        lines(with("", &variables("10", "20"), &Flags::default())),
        ["environment LEADER_TTL: contradicts environment COORDINATOR_LEADER_TTL: set one of them"]
    );
}

#[test]
fn ids_and_prefixes_have_no_characters_with_a_meaning() {
    for key in ["group = ", "instance_id = ", &format!("{BOTH}prefix = ")] {
        for wrong in ["", "a b", "a/b", "{a}", "a*", "\u{20b9}"] {
            assert_eq!(lines(from_file(&format!("{key}\"{wrong}\""))).len(), 1, "{key}{wrong}");
        }
    }
    let prefix = |length| from_file(&format!("{BOTH}prefix = \"{}\"", "p".repeat(length)));
    prefix(64).expect("as long as allowed");
    assert_eq!(lines(prefix(65)).len(), 1);
}

#[test]
fn relations_are_identifiers() {
    let load = |name: &str| from_file(&format!("[recovery]\npositions = '{name}'"));
    for fine in ["positions", "_p1", "risk.positions", &"p".repeat(63)] {
        assert_eq!(load(fine).expect(fine).positions.to_string(), fine);
    }
    let long = "p".repeat(64);
    for wrong in
        ["", ".", "a.", ".a", "a.b.c", "1a", "a b", "a;drop table a", "a\"", "a-b", "\u{20b9}", &long]
    {
        let faults = lines(load(wrong));
        assert!(faults[0].contains("not NAME or SCHEMA.NAME"), "{faults:?}");
    }
}

#[test]
fn the_window_has_limits() {
    for (written, fits) in [("1", true), ("10000", true), ("0", false), ("10001", false), ("\"many\"", false)]
    {
        let result = from_file(&format!("[metrics]\nwindow = {written}"));
        assert_eq!(result.is_ok(), fits, "{written}");
    }
}

#[test]
fn contradictions_are_refused() {
    assert_eq!(
        lines(from_file("[redis]\nprefix = \"p\"")),
        ["coordinator.toml:redis.prefix: has no effect without redis.url (COORDINATOR_REDIS_URL, --redis)"]
    );
    assert_eq!(
        lines(from_file("[recovery]\npositions = \"Portfolio_State\"")),
        [
            "coordinator.toml:recovery.positions: positions and portfolio are the same relation, Portfolio_State"
        ]
    );
}

#[test]
fn the_printed_configuration_can_be_read_again() {
    for file in [FULL, "", "leader_ttl = \"1001ms\"", "data_dir = \"a \\\"b\\n# c\""] {
        let config = from_file(file).expect(file);
        let mut again = from_file(&render(&config)).expect("the rendering is sound");
        again.origins.clone_from(&config.origins);
        assert_eq!(again, config, "{}", render(&config));
    }
    let rendered = render(&from_file("leader_ttl = 20").expect("sound"));
    assert!(rendered.contains("leader_ttl = \"20s\" # coordinator.toml:leader_ttl\n"), "{rendered}");
    assert!(rendered.contains("heartbeat = \"6666ms\" # default\n"), "{rendered}");
    assert!(rendered.contains("# instance_id is not set: "), "{rendered}");
}

#[test]
fn a_file_that_cannot_be_read_is_a_fault_of_the_flag() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let missing = directory.path().join("missing.toml");
    let flags = |path: &Path| Flags { config: Some(path.to_owned()), ..Flags::default() };
    let faults = load_from_process(&flags(&missing)).expect_err("missing");
    assert!(faults[0].to_string().starts_with("--config: "), "{faults:?}");

    let large = directory.path().join("large.toml");
    std::fs::write(&large, "#".repeat(256 * 1024 + 1)).expect("written");
    let faults = load_from_process(&flags(&large)).expect_err("too large");
    assert!(faults[0].message.ends_with("larger than 262144 bytes"), "{faults:?}");
}

#[test]
fn variables_that_kubernetes_sets_for_a_service_are_ignored() {
    let injected = [
        ("COORDINATOR_SERVICE_HOST", "10.0.0.1"),
        ("COORDINATOR_SERVICE_PORT", "5000"),
        ("COORDINATOR_SERVICE_PORT_HTTP", "5000"),
        ("COORDINATOR_PORT", "tcp://10.0.0.1:5000"),
        ("COORDINATOR_PORT_5000_TCP", "tcp://10.0.0.1:5000"),
        ("COORDINATOR_PORT_5000_TCP_PROTO", "tcp"),
        ("COORDINATOR_PORT_5000_TCP_PORT", "5000"),
        ("COORDINATOR_PORT_5000_TCP_ADDR", "10.0.0.1"),
    ];
    let read = |variables: &[(&str, &str)]| {
        let variables = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        load(None, variables.collect::<Vec<_>>(), &Flags::default())
    };
    assert!(read(&injected).is_ok());
    for other in [
        ("COORDINATOR_PORT", "5000"),
        ("COORDINATOR_SERVICE_HOST", "x"),
        ("COORDINATOR_PORT_X_TCP", "tcp://a:1"),
    ] {
        assert!(read(&[other]).is_err(), "{other:?} is a mistake");
    }
}
