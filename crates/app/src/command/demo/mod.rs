//! `coordinator demo`: three instances, a leader that is killed again and again, and signals each of which
//! must be executed exactly once.

mod child;
mod tally;

use crate::broker::Broker;
use crate::compose;
use crate::config::{Config, Key, Origin};
use crate::failure::Failure;
use crate::identity::{DataDir, identity};
use child::{Children, Lead};
use domain::id::InstanceId;
use domain::ledger::{Actor, Instruction, Label, NewSignal, SignalId};
use domain::ports::{Migrate, Submit};
use leader_coordinator::Stores;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tally::Tally;
use tokio::signal::ctrl_c;
use tokio::time::{sleep, timeout};

/// LEADER_TTL of the demonstration unless one is configured: short enough to watch.
pub const TTL: Duration = Duration::from_secs(2);
/// Pause before the next kill, to see the page.
const CALM: Duration = Duration::from_secs(2);
/// Signals sent while an instance leads, and while none leads.
const SIGNALS_LED: u32 = 2;
const SIGNALS_LEADERLESS: u32 = 1;
/// Longest failover, in LEADER_TTLs; a longer one is a failure.
const PATIENCE_TTLS: u32 = 10;

/// Runs `rounds` rounds, or until it is interrupted. Fails if a round did not have exactly one leader, or if
/// a signal was lost or executed twice.
pub async fn demo(config: &Config, rounds: Option<u32>) -> Result<(), Failure> {
    let directory = Directory::new()?;
    let outcome = tokio::select! {
        outcome = play(config, rounds, &directory.0) => outcome,
        _ = ctrl_c() => Err(Failure { message: "interrupted".into(), exit_code: 130 }),
    };
    drop(directory);
    outcome
}

async fn play(config: &Config, rounds: Option<u32>, directory: &Path) -> Result<(), Failure> {
    let mut config = config.clone();
    config.data_dir = directory.to_owned();
    (config.redis, config.postgres) = (None, None);
    if *config.origin(Key::LeaderTtl) == Origin::Default {
        config.leader_ttl = TTL;
        config.heartbeat = TTL / 3;
    }
    let broker = directory.join("broker");
    let stores = stores(&config).await?;
    println!(
        "Three instances on one embedded store, LEADER_TTL {:?}. The kernel reports the end of a killed leader, so another",
        config.leader_ttl
    );
    println!("instance need not wait for its lease; every signal must reach the broker exactly once.\n");
    let mut children = Children::new(&config, &broker);
    for _ in 0..3 {
        children.start()?;
    }
    let first = children.next_lead(config.leader_ttl * PATIENCE_TTLS).await?;
    println!("{} leads (epoch {}); pages: {}\n", children.name(&first), first.epoch, children.pages().await);

    let mut tally = Tally::new(Broker::new(broker));
    let played = rounds_of(&config, rounds, &stores, &mut children, first, &mut tally).await;
    children.stop().await;
    stores.close().await;
    played?;
    tally.verdict()
}

async fn rounds_of(
    config: &Config,
    rounds: Option<u32>,
    stores: &Stores,
    children: &mut Children,
    mut leader: Lead,
    tally: &mut Tally,
) -> Result<(), Failure> {
    let mut round = 0;
    while rounds.is_none_or(|rounds| round < rounds) {
        round += 1;
        submit(stores, tally, SIGNALS_LED).await?;
        sleep(CALM).await;
        let killed = children.kill(&leader)?;
        submit(stores, tally, SIGNALS_LEADERLESS).await?;
        let next = children.next_lead(config.leader_ttl * PATIENCE_TTLS).await?;
        let took = Duration::from_nanos(next.t.saturating_sub(killed.t));
        tally.failover(took);
        if next.t < killed.t || next.epoch <= leader.epoch {
            tally.fault(format!(
                "round {round}: {} led before {} had ended",
                children.name(&next),
                children.name(&leader)
            ));
        }
        println!(
            "round {round}: kill -9 {} -> {} leads (epoch {}) after {:.1} ms, {}",
            children.name(&leader),
            children.name(&next),
            next.epoch,
            took.as_secs_f64() * 1e3,
            match killed.past_lease_ms(next.t, config.leader_ttl) {
                past if past < 0.0 => format!("{:.0} ms before the end of the lease", -past),
                past => format!("{past:.0} ms past the end of the lease"),
            }
        );
        children.start()?;
        leader = next;
    }
    settled(config, stores, tally).await
}

async fn stores(config: &Config) -> Result<Stores, Failure> {
    let data_dir = DataDir::open(&config.data_dir).map_err(|error| Failure::other(error.to_string()))?;
    let identity = identity(config, InstanceId::parse("demo").expect("a word")).map_err(Failure::other)?;
    let stores = compose::stores(config, &data_dir, &identity).map_err(Failure::other)?;
    super::ask("the embedded store", stores.state.migrate(Migrate::Apply)).await?;
    Ok(stores)
}

/// Submits `count` signals, with or without a leader. A signal is counted when it is durable.
async fn submit(stores: &Stores, tally: &mut Tally, count: u32) -> Result<(), Failure> {
    let actor = Actor { who: "demo".to_owned(), origin: "this terminal".to_owned() };
    for _ in 0..count {
        let signal = signal(tally.accepted.len() + 1);
        let id = signal.id();
        match super::ask("the ledger", stores.ledger.submit_one(&signal, &actor)).await? {
            Submit::Accepted(_) => tally.accepted.push(id.to_string()),
            Submit::Repeated(_) | Submit::Folded(_) | Submit::Conflict(_) => {
                tally.fault(format!("{id} existed before it was submitted"));
            }
        }
    }
    Ok(())
}

fn signal(number: usize) -> NewSignal {
    let label = |text: &str| Label::parse(text).expect("a short word");
    let instruction = Instruction {
        instrument: label("NIFTY"),
        signal_type: label("ENTRY"),
        position: label(&format!("Long_{number}")),
        timestamp_s: coordinator::clock::calendar_ms() / 1_000,
        payload: r#"{"quantity":50}"#.to_owned(),
        expires_ms: None,
    };
    let id = SignalId::parse(&format!("signal-{number}")).expect("a word and a number");
    NewSignal { id: Some(id), instruction, hook: None }
}

/// Waits until the leader has processed every signal.
async fn settled(config: &Config, stores: &Stores, tally: &mut Tally) -> Result<(), Failure> {
    let done = async {
        loop {
            let counts = super::ask("the ledger", stores.ledger.counts()).await?;
            if counts.received + counts.claimed + counts.in_doubt == 0 {
                return Ok(());
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    match timeout(config.leader_ttl * PATIENCE_TTLS, done).await {
        Ok(settled) => settled,
        Err(_) => {
            tally.fault("some signals have no outcome".into());
            Ok(())
        }
    }
}

/// A temporary directory, removed at the end.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("coordinator-demo-{}", std::process::id()));
        std::fs::create_dir_all(&path)
            .map_err(|error| Failure::other(format!("cannot create {}: {error}", path.display())))?;
        Ok(Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("{} was not removed: {error}", self.0.display());
        }
    }
}
