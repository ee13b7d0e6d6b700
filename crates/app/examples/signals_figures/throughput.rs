//! Accept, claim and done: the adapter compared with pgbench.

use crate::figure::{Spread, count};
use crate::pgbench::{self, Client, Script};
use adapter_postgres::{PostgresConfig, PostgresStore};
use domain::id::{GroupId, InstanceId, Nonce};
use domain::identity::Identity;
use domain::lease::Token;
use domain::ledger::{Actor, Instruction, Label, Limits, NewSignal, Outcome, Signal};
use domain::ports::{
    Claim, ClaimRequest, LeaseStore, Migrate, Recorded, Report, SignalClaim, SignalLedger, StateStore, Submit,
};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use testkit::backend::{self, Postgres};
use tokio::runtime::Runtime;

/// Longer than a run, so that no session is probed.
const TTL: Duration = Duration::from_mins(5);
/// Runs of each.
const RUNS: usize = 7;
/// Finished signals before the run, on both sides, so that the tables and the planner's statistics are as in
/// a used database.
const BEFORE: usize = 1_000;
/// Desired part of pgbench's rate.
const WANTED: f64 = 0.70;

/// Number of signals in a call and of calls in a run.
struct Shape {
    name: &'static str,
    /// Signals at a time.
    slice: usize,
    /// Calls in a run.
    times: usize,
}

const SHAPES: [Shape; 2] = [
    Shape { name: "one at a time", slice: 1, times: 1_000 },
    Shape { name: "slices of 100", slice: 100, times: 60 },
];

/// Measures and prints.
pub fn measure(postgres: &Postgres, runtime: &Runtime) {
    let program = match runtime.block_on(pgbench::find(postgres)) {
        Ok(program) => program,
        Err(sentence) => return println!("accept + claim + done: {sentence}"),
    };
    for shape in &SHAPES {
        compare(shape, &program, postgres, runtime);
    }
}

fn compare(shape: &Shape, program: &PathBuf, postgres: &Postgres, runtime: &Runtime) {
    let statements = Script::of_the_adapter(shape.slice);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        ours.push(runtime.block_on(adapter(shape, postgres)));
        let ready = runtime.block_on(Ready::new(postgres));
        let rate = ready.client(program, shape).run(&statements, shape.slice, shape.times);
        runtime.block_on(ready.assert_done(shape));
        theirs.push(rate * count(shape.slice));
    }
    let ratios: Spread = ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs).collect();
    let (ours, theirs): (Spread, Spread) = (ours.into_iter().collect(), theirs.into_iter().collect());
    let (slice, times) = (shape.slice, shape.times);
    println!("accept + claim + done, {}, {RUNS} runs of {} signals each:", shape.name, slice * times);
    for (who, rates) in [("the adapter", &ours), ("pgbench, the same statements", &theirs)] {
        let (median, least, most) = (rates.median(), rates.least(), rates.most());
        println!("  {who}: median {median:.0} a second (least {least:.0}, most {most:.0})");
    }
    println!(
        "  of pgbench, run by run: median {:.2} (least {:.2}, most {:.2}); wanted is {WANTED:.2}",
        ratios.median(),
        ratios.least(),
        ratios.most()
    );
    let ready = runtime.block_on(Ready::new(postgres));
    let time_us = |script: &Script| 1e6 / ready.client(program, shape).run(script, slice, shape.times * 10);
    let extra = time_us(&Script::of_the_expressions(slice)) - time_us(&Script::of_nothing());
    let whole = 1e6 * count(slice) / theirs.median();
    println!(
        "  pgbench makes its arguments in SQL, which takes it {extra:.0} us of {whole:.0} ({:.1} %)",
        100.0 * extra / whole
    );
}

/// A new database with a held lease.
struct Ready {
    database: String,
    token: Token,
}

impl Ready {
    async fn new(postgres: &Postgres) -> Self {
        let database = postgres.create_database().await;
        let store = store(&database);
        store.migrate(Migrate::Apply).await.expect("the database is empty");
        let seen = store.observe().await.expect("the database is there");
        let holder = InstanceId::parse(pgbench::INSTANCE).expect("an id");
        let request = ClaimRequest {
            observed: seen.version,
            claim: Nonce::new(1).claim(1),
            holder,
            ttl: TTL,
            floor: domain::lease::Epoch(0),
            forgotten: false,
            former: domain::ports::FormerTerm::Expired,
        };
        let Ok(Claim::Granted(token)) = store.claim(&request).await else { panic!("the lease is free") };
        work(&store, &token, &signals(0..BEFORE), pgbench::INSTRUMENTS).await;
        store.close().await;
        for statement in ["VACUUM ANALYZE", "CHECKPOINT"] {
            backend::execute(&database, statement).await.expect("no constraint forbids it");
        }
        Self { database, token }
    }

    fn client<'a>(&'a self, program: &'a PathBuf, shape: &Shape) -> Client<'a> {
        // A slice begins with a signal's number, so the first one is beyond all existing signals.
        Client { program, database: &self.database, token: self.token, after: BEFORE / shape.slice }
    }

    /// Asserts that both sides have done the same.
    async fn assert_done(&self, shape: &Shape) {
        let query = "SELECT count(*)::text FROM coordinator_signal WHERE state = 'done'";
        let done = backend::text(&self.database, query).await;
        assert_eq!(done, Some((BEFORE + shape.slice * shape.times).to_string()), "signals are done");
    }
}

/// Signals a second of the adapter, in a task as in a service; without the opening of the connection.
async fn adapter(shape: &Shape, postgres: &Postgres) -> f64 {
    let ready = Ready::new(postgres).await;
    let (store, token, slice) = (store(&ready.database), ready.token, shape.slice);
    let new = signals(BEFORE..BEFORE + slice * shape.times);
    let total = count(new.len());
    let working = tokio::spawn(async move {
        store.counts().await.expect("the database is there");
        let began = Instant::now();
        work(&store, &token, &new, slice).await;
        let took = began.elapsed();
        store.close().await;
        took
    });
    let took = working.await.expect("it does not panic");
    ready.assert_done(shape).await;
    total / took.as_secs_f64()
}

/// Processes all signals through the port, `slice` at a time.
async fn work(store: &PostgresStore, token: &Token, new: &[NewSignal], slice: usize) {
    let actor = Actor { who: pgbench::WHO.to_owned(), origin: pgbench::ORIGIN.to_owned() };
    let most = u16::try_from(slice).expect("a slice is at most what one claim takes");
    for new in new.chunks(slice) {
        let accepted = store.submit(new, &actor).await.expect("the database is there");
        assert!(accepted.iter().all(|answer| matches!(answer, Submit::Accepted(_))), "they are new");
        let claim = store.claim_signals(token, Limits::NONE, most).await.expect("the database is there");
        let SignalClaim::Claimed(claimed) = claim else { panic!("signals wait: {claim:?}") };
        let reports: Vec<Report> = claimed.into_iter().map(done).collect();
        let recorded = store.record(token, &reports).await.expect("the database is there");
        let recorded = recorded.expect("the lease is held");
        assert!(recorded.len() == new.len() && recorded.iter().all(|answer| *answer == Recorded::Recorded));
    }
}

fn done(claimed: Signal) -> Report {
    let Signal { id, attempt, .. } = claimed;
    Report { id, attempt, outcome: Outcome::Done, note: Some(pgbench::NOTE.to_owned()) }
}

fn store(database: &str) -> PostgresStore {
    let identity = Identity {
        group: GroupId::parse(pgbench::GROUP).expect("an id"),
        id: InstanceId::parse(pgbench::INSTANCE).expect("an id"),
        nonce: Nonce::new(1),
        host: pgbench::HOST.to_owned(),
        ttl: TTL,
    };
    let store = PostgresStore::new(PostgresConfig::new(database, identity));
    store.expect("a good URL")
}

/// Signals without names, as most clients submit them.
fn signals(numbers: std::ops::Range<usize>) -> Vec<NewSignal> {
    let label = |text: &str| Label::parse(text).expect("a short text");
    let new = |number: usize| {
        let arose = i64::try_from(number).expect("a small number");
        let instruction = Instruction {
            instrument: label(&format!("I{}", number % pgbench::INSTRUMENTS)),
            signal_type: label(pgbench::SIGNAL_TYPE),
            position: label(pgbench::POSITION),
            timestamp_s: pgbench::AROSE_S + arose,
            payload: pgbench::PAYLOAD.to_owned(),
            expires_ms: None,
        };
        NewSignal { id: None, instruction, hook: None }
    };
    numbers.map(new).collect()
}
