//! `coordinator run`: one instance, from its start to its end.

use crate::access;
use crate::broker::Broker;
use crate::compose;
use crate::config::{Config, ConfiguredHook, Signals, system_tls};
use crate::events;
use crate::failure::Failure;
use crate::identity::{DataDir, identity};
use crate::lines::Lines;
use crate::network;
use crate::stops::Stops;
use crate::telemetry::Telemetry;
use adapter_http::{Access, AlertWebhook, HandlerUrl, Hooks, HttpHandler, HttpHandlerConfig};
use adapter_otel::Exposition;
use coordinator::{Coordinator, Ended, Ledger, LedgerSettings};
use domain::id::InstanceId;
use domain::identity::Identity;
use domain::metrics::SignalsConfig;
use domain::ports::SignalHandler;
use domain::settings::SharedSettings;
use leader_coordinator::http::{Delivery, Operations, Page, post_alerts};
use leader_coordinator::{EpochFile, StoreKind, Stores};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Environment variable with the file to which a demonstration's leader writes its orders; not a setting for
/// users.
pub const DEMO_BROKER: &str = "COORDINATOR_TEST_BROKER";

/// Longest wait for the last lines to be read.
const PRINTING_TIME_MAX: Duration = Duration::from_secs(1);

/// Time within which the work and the coordinator end if they end for the same reason.
const ENDS_TOGETHER_MAX: Duration = Duration::from_secs(1);

/// Content of standard output of `run`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// For the operator at a terminal: this instance, its page, and the leader. Otherwise nothing: the logs have it.
    Text,
    /// Role changes, one JSON object a line.
    Events,
}

/// Runs until a signal, or until the instance cannot continue.
pub async fn run(config: &Config, output: Output, errors: &Lines) -> Result<(), Failure> {
    // First, because a signal during the start must not end the process without a message either.
    let mut stops =
        Stops::catch().map_err(|error| Failure::other(format!("signals cannot be received: {error}")))?;
    let printed = Lines::to("standard output", std::io::stdout());
    let data_dir = DataDir::open(&config.data_dir).map_err(|error| Failure::usage(error.to_string()))?;
    let store = if config.postgres.is_some() { StoreKind::Postgres } else { StoreKind::Sqlite };
    let epochs = data_dir.epochs(store, &config.group).map_err(Failure::usage)?;
    let id = config.instance_id.clone().unwrap_or_else(|| data_dir.instance());
    let identity = identity(config, id).map_err(Failure::other)?;
    let tls = network::tls(&config.network).map_err(Failure::usage)?;
    let access = config.tokens_file.as_ref().map(|path| access::open(path)).transpose()?;
    let listeners = network::listen(&config.network).await?;
    let stores = compose::stores(config, &data_dir, &identity).map_err(Failure::usage)?;
    let operator_stores = operator_stores(config)?;
    let advertised = network::advertised(&config.network, &listeners, &identity.host)?;
    network::warn_of_risks(config, &advertised, tls.as_deref());
    let page_url = advertised.to_string();
    let for_operator = greet(output, &identity, &page_url, config, [&printed, errors]);

    let coordinator = start(config, &stores, &page_url, epochs)?;
    let (finish, finished) = oneshot::channel();
    let telling = print(output, for_operator, &coordinator, finished, &printed);
    let ledger = Ledger::new(coordinator.clone(), Arc::clone(&stores.ledger), ledger_settings(config))
        .map_err(|error| Failure::other(error.to_string()))?;
    let (handler, delivery) = handler(config)?;
    let urgent = urgent(config, &identity, &page_url, &coordinator);
    let start = |url| Telemetry::start(url, config, &identity.id, &coordinator, stores.state.clone());
    let telemetry = config.telemetry_otlp.clone().map(start);
    let worker = ledger.clone();
    let mut working = tokio::spawn(async move { worker.run(handler).await });
    let exposition = Exposition::new().map_err(|error| Failure::other(error.to_string()))?;
    let operations = Operations::new(operator_stores.state.clone(), operator_stores.recovery.clone());
    let page = Page::new(coordinator.clone(), stores.state.clone(), Some((ledger, delivery)), exposition)
        .with_operations(operations)
        .with_hooks(hooks(config, &page_url));
    let (page, reading) = guarded(page, config, access);
    crate::service_manager::report_ready(&coordinator);
    let page = Arc::new(page);
    let followed = Arc::clone(&page);
    let following = tokio::spawn(async move { followed.follow_the_leader().await });
    let serving = network::serving(config, &advertised, tls.clone());
    let reloading = tls.map(|tls| tokio::spawn(network::follow(tls)));
    let closing = Arc::new(Notify::new());
    let closed = Arc::clone(&closing);
    let serve = async move { adapter_http::serve_all(listeners, serving, page, closed.notified()).await };
    let served = tokio::spawn(serve);

    let ended = tokio::select! {
        ended = until_asked_to_stop(&coordinator, &mut stops) => ended,
        // An instance that leads and does not act would be worse than no leader: another instance must take
        // over.
        why = dead(&mut working, &coordinator) => {
            tracing::error!("the work on signals ended: {why}; releasing the lease");
            coordinator.shutdown().await;
            Err(Ended::Failed(format!("the work on signals ended: {why}")))
        }
    };
    following.abort();
    working.abort();
    reading.inspect(JoinHandle::abort);
    reloading.inspect(JoinHandle::abort);
    closing.notify_one();
    // A page that is being read may fail; the coordinator's own outcome counts.
    let _ = served.await;
    if let Some(telemetry) = telemetry {
        telemetry.finish().await;
    }
    stores.close().await;
    operator_stores.close().await;
    urgent.inspect(JoinHandle::abort);
    // All notices are printed, unless the output is not read. The receiver has ended if it has printed them
    // already.
    let _ = finish.send(());
    let _ = timeout(PRINTING_TIME_MAX, telling).await;
    printed.flush();
    ended.map_err(|ended| failure(&ended))
}

/// The task that posts urgent alerts; `None` without a receiver.
fn urgent(
    config: &Config,
    identity: &Identity,
    page_url: &str,
    coordinator: &Coordinator,
) -> Option<JoinHandle<()>> {
    let url = config.alerts_webhook.clone()?;
    let own = format!("{page_url}{}", adapter_http::RUNBOOKS);
    let webhook = AlertWebhook::new(url, config.group.clone(), identity.id.clone())
        .tls(system_tls())
        .runbooks(config.alerts_runbooks.as_ref().unwrap_or(&own));
    let webhook = match &config.alerts_job {
        Some(job) => webhook.job(job),
        None => webhook,
    };
    Some(tokio::spawn(post_alerts(coordinator.urgent(), webhook)))
}

/// The page with the credentials that requests need, and the task that reads their file again.
fn guarded(
    page: Page,
    config: &Config,
    access: Option<(Arc<Access>, String)>,
) -> (Page, Option<JoinHandle<()>>) {
    match access.zip(config.tokens_file.clone()) {
        Some(((access, text), path)) => {
            let reading = tokio::spawn(access::follow(path, Arc::clone(&access), text));
            (page.with_access(access), Some(reading))
        }
        None => (page, None),
    }
}

/// Stores for the actions of operators over HTTP, as a command has them. They connect when the first action needs them,
/// and no action waits for, or delays, a request of the election. The id differs from that of the instance, because an
/// instance ignores its own hints.
fn operator_stores(config: &Config) -> Result<Stores, Failure> {
    let id = InstanceId::parse(&format!("operator-{}", std::process::id())).expect("a word and a number");
    let identity = identity(config, id).map_err(Failure::other)?;
    let mut without_redis = config.clone();
    without_redis.redis = None;
    compose::existing_stores(&without_redis, &identity).map_err(Failure::usage)
}

/// The failure of a command whose coordinator has ended.
pub fn failure(ended: &Ended) -> Failure {
    match ended {
        Ended::SchemaNewer { .. } | Ended::SchemaOlder { .. } | Ended::Corrupt(_) | Ended::IdInUse { .. } => {
            Failure::usage(ended.to_string())
        }
        _ => Failure::other(ended.to_string()),
    }
}

/// Resolves if the work has panicked, or could not continue although the coordinator does. If the coordinator
/// has ended as well, the coordinator reports it.
async fn dead(working: &mut JoinHandle<Ended>, coordinator: &Coordinator) -> String {
    match working.await {
        Err(panicked) => panicked.to_string(),
        Ok(Ended::Failed(why)) if timeout(ENDS_TOGETHER_MAX, coordinator.ended()).await.is_err() => why,
        Ok(_) => std::future::pending().await,
    }
}

/// Starts the election of this instance, whose pages are at `page_url` (empty: it has none).
pub fn start(
    config: &Config,
    stores: &Stores,
    page_url: &str,
    epochs: EpochFile,
) -> Result<Coordinator, Failure> {
    let mut builder = Coordinator::builder(Arc::clone(&stores.state))
        .recovery(Arc::clone(&stores.recovery))
        .epochs(Arc::new(epochs))
        .heartbeat(config.heartbeat)
        .state_store_name(compose::state_store(config))
        .address(page_url)
        .version(env!("CARGO_PKG_VERSION"))
        .window(config.metrics_window)
        .published(published(&config.signals, &config.hooks))
        .signals(SignalsConfig { limits: config.signals.limits, value: config.signals.value_rupees });
    if let Some(leader) = &stores.leader {
        builder = builder.leader_store(Arc::clone(leader));
    }
    if let Some(exits) = stores.exits(config.lock_dir.as_deref()) {
        builder = builder.exits(exits);
    }
    builder.start().map_err(|error| Failure::usage(error.to_string()))
}

/// Settings that all instances of a group must share. Addresses may contain credentials in their path.
fn published(signals: &Signals, hooks: &[ConfiguredHook]) -> SharedSettings {
    // Without the secrets: while one is rotated, instances may differ.
    let written: Vec<String> =
        hooks.iter().map(|hook| format!("{} {}", hook.hook.name(), hook.hook.written())).collect();
    let written = (!written.is_empty()).then(|| written.join("\n"));
    let limit = |limit: Option<u32>| limit.map_or_else(|| "none".to_owned(), |limit| limit.to_string());
    let address = |url: &Option<HandlerUrl>| url.as_ref().map(ToString::to_string);
    SharedSettings::default()
        .with_hash_of("signals.handler", address(&signals.handler).as_deref())
        .with_hash_of("signals.lookup", address(&signals.lookup).as_deref())
        .with_hash_of("hooks", written.as_deref())
        .with("signals.max_per_minute", &limit(signals.limits.per_minute))
        .with("signals.max_per_day", &limit(signals.limits.per_day))
        .with("signals.retention_days", &signals.retention_days().to_string())
}

/// The hooks, whose paths the log names.
fn hooks(config: &Config, page_url: &str) -> Arc<Hooks> {
    for configured in &config.hooks {
        tracing::info!("hook {}: POST {page_url}{}", configured.hook.name(), configured.hook.path());
    }
    Arc::new(Hooks::new(config.hooks.iter().map(|configured| configured.hook.clone())))
}

/// Settings of the ledger.
pub fn ledger_settings(config: &Config) -> LedgerSettings {
    LedgerSettings::default()
        .with_limits(config.signals.limits)
        .with_handler_time_max(config.signals.handler_timeout)
        .with_retention(config.signals.retention)
}

/// The handler of signals.
fn handler(config: &Config) -> Result<(Option<Arc<dyn SignalHandler>>, Delivery), Failure> {
    if let Some(path) = std::env::var_os(DEMO_BROKER).map(PathBuf::from) {
        // An instance of a demonstration ends with the demonstration.
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
            .map_err(|error| Failure::other(error.to_string()))?;
        return Ok((Some(Arc::new(Broker::new(path))), Delivery::Pushed));
    }
    let signals = &config.signals;
    Ok(match &signals.handler {
        Some(url) => {
            let handler = HttpHandler::new(HttpHandlerConfig {
                execute: url.clone(),
                lookup: signals.lookup.clone(),
                timeout: signals.handler_timeout,
                tls: Some(signals.protection.tls_source()),
                credentials: signals.protection.credentials(),
            });
            (Some(Arc::new(handler)), Delivery::Pushed)
        }
        None => (None, Delivery::Pulled),
    })
}

/// Starts the task that fills standard output until `finished`.
fn print(
    output: Output,
    for_operator: bool,
    coordinator: &Coordinator,
    finished: oneshot::Receiver<()>,
    printed: &Lines,
) -> JoinHandle<()> {
    match (output, for_operator) {
        (Output::Events, _) => tokio::spawn(events::print(coordinator.notices(), finished, printed.clone())),
        (Output::Text, true) => tokio::spawn(narrate(coordinator.clone(), finished, printed.clone())),
        // The logs have every change of role.
        (Output::Text, false) => tokio::spawn(async move { drop(finished.await) }),
    }
}

/// Greets the operator at a terminal, or the reader of the logs. True if standard output is for the operator.
fn greet(
    output: Output,
    identity: &Identity,
    page_url: &str,
    config: &Config,
    [printed, errors]: [&Lines; 2],
) -> bool {
    // Text only for an operator; standard output may belong to the events.
    let for_operator = output == Output::Text && std::io::stdout().is_terminal();
    let text = || greeting(identity, page_url, config, &compose::described(config));
    if for_operator {
        printed.line(text());
    } else if std::io::stderr().is_terminal() {
        errors.line(text());
    } else {
        announce(identity, page_url, config);
    }
    for_operator
}

/// The greeting as a log record.
fn announce(identity: &Identity, page_url: &str, config: &Config) {
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        host = %identity.host,
        instance = %identity.id,
        page = page_url,
        stores = compose::described(config),
        handler = config.signals.handler.as_ref().map(ToString::to_string),
        group = %config.group,
        leader_ttl_ms = u64::try_from(config.leader_ttl.as_millis()).unwrap_or(u64::MAX),
        "started: page {page_url}"
    );
}

fn greeting(identity: &Identity, page_url: &str, config: &Config, stores: &str) -> String {
    format!(
        "coordinator {} on {}\n  instance  {}\n  page      {page_url}\n  stores    {}\n  signals   {}\n  group     {}, LEADER_TTL {:?}",
        env!("CARGO_PKG_VERSION"),
        identity.host,
        identity.id,
        stores,
        match &config.signals.handler {
            Some(url) => format!("POST {page_url}/signals, sent to {url}"),
            None => format!("POST {page_url}/signals, pulled from the leader's /signals/claim"),
        },
        config.group,
        config.leader_ttl
    )
}

/// Prints the leader whenever it changes.
async fn narrate(coordinator: Coordinator, mut finish: oneshot::Receiver<()>, output: Lines) {
    let mut seen = coordinator.leadership();
    let me = coordinator.id().clone();
    let mut told = None;
    loop {
        {
            let now = seen.borrow_and_update();
            let leads = (now.leader.clone(), now.state);
            if now.started && told.as_ref() != Some(&leads) {
                match &now.leader {
                    Some(leader) if *leader == me => {
                        output.line(format_args!("  leader    this instance, {}", now.state));
                    }
                    Some(leader) => output.line(format_args!("  leader    {leader}")),
                    None => output.line("  leader    none yet"),
                }
                told = Some(leads);
            }
        }
        tokio::select! {
            changed = seen.changed() => if changed.is_err() { return },
            _ = &mut finish => return,
        }
    }
}

/// The first signal requests a clean end; the second one ends the process at once.
async fn until_asked_to_stop(coordinator: &Coordinator, stops: &mut Stops) -> Result<(), Ended> {
    tokio::select! {
        ended = coordinator.ended() => return ended,
        () = stops.asked() => tracing::info!("stopping after a release of the lease; a second signal stops at once"),
    }
    crate::service_manager::report_stopping();
    tokio::select! {
        () = coordinator.shutdown() => {}
        () = stops.asked() => tracing::warn!("stopped at once; the lease expires without a release"),
    }
    Ok(())
}
