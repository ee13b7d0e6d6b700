//! The definition of the ports, as tests: named cases that every adapter of a port must pass.
//!
//! - [`state_store`], [`leader_store`], [`signal_ledger`]: one suite per port, run against every adapter and against
//!   the fakes. There is a case wherever two adapters could differ.
//! - [`fake`]: the ports in memory, shared by several "processes", with injected faults.
//! - [`event`]: the reports of a process about its role, as values.
//! - [`invariants`]: named invariants over the events of several processes.
//! - [`raw_portfolio`]: all rows that recovery reads, at once.
//!
//! This crate starts no server: the crate `testkit` does that. So the simulation and the tests of the driver build
//! without a database client and without containers.
//!
//! An adapter's `tests/contract.rs` (with `harness = false` in its manifest) starts its server once and runs its
//! suites:
//!
//! ```no_run
//! use std::process::ExitCode;
//! use contract::fake::FakeDatabase;
//! use contract::{signal_ledger, state_store};
//!
//! fn main() -> ExitCode {
//!     contract::main(async { FakeDatabase::new() }, [state_store::suite(), signal_ledger::suite()])
//! }
//! ```
//!
//! Cases run concurrently on one runtime. Each has a separate group or, if it changes data that all groups share, a
//! separate database ([`StateStores::fresh`]).

pub mod event;
pub mod fake;
pub mod invariants;
pub mod leader_store;
pub mod raw_portfolio;
pub mod signal_ledger;
pub mod state_store;

mod scene;
mod tamper;

pub use scene::{Opened, Opening, Process, Scene, TTL};
pub use tamper::{LeaseColumn, Refused, Tamper, TicketTamper, Value};

use async_trait::async_trait;
use domain::id::GroupId;
use domain::ports::LeaderStore;
use std::future::Future;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// Longer than any case takes on a busy machine with two cores: a case that exceeds it hangs.
pub const CASE_TIME_MAX: Duration = Duration::from_mins(2);

/// The time for which a case waits for an event that should be fast (a hint, an expiry). It is not an assertion about
/// speed: after this time the hint is lost.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The interface between an adapter of `StateStore` and `SignalLedger` and the suites: one database.
#[async_trait]
pub trait StateStores: Send + Sync + 'static {
    /// Another database of the same kind: empty and without a schema.
    async fn fresh(&self) -> Arc<dyn StateStores>;

    /// The connection of one process of the group; processes share only the database.
    async fn open(&self, opening: &Opening) -> Opened;

    /// Writes to the tables directly, as an operator or an attacker with the database's password could. An SQL
    /// adapter executes `what.to_string()`. Returns [`Refused`] only if a constraint of the schema forbids the write;
    /// any other failure is a fault of the test and panics.
    async fn tamper(&self, what: &Tamper) -> Result<(), Refused>;
}

/// The interface between an adapter of `LeaderStore` and the suite: one server.
#[async_trait]
pub trait LeaderStores: Send + Sync + 'static {
    /// The connection of one process of the group.
    async fn open(&self, opening: &Opening) -> Arc<dyn LeaderStore>;

    /// Writes to the group's key directly. A Redis adapter sends `what.commands(key)`.
    async fn tamper(&self, group: &GroupId, what: &TicketTamper);
}

type Run<A> = Box<dyn FnOnce(Arc<A>) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// A named guarantee about `A`.
pub struct Case<A> {
    name: String,
    run: Run<A>,
}

impl<A: 'static> Case<A> {
    /// An additional case of an adapter.
    pub fn new<F>(name: &str, run: impl FnOnce(Arc<A>) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self { name: name.to_owned(), run: Box::new(move |adapter| Box::pin(run(adapter))) }
    }
}

/// The body of an adapter's `tests/contract.rs`: starts the adapter, runs the cases (with the filters and flags of
/// the command line, as `cargo test` passes them), drops the adapter, and returns the result.
///
/// `start` is not polled if no case runs (`--list`).
///
/// # Panics
/// If there is no runtime.
pub fn main<A: Send + Sync + 'static>(
    start: impl Future<Output = A>,
    suites: impl IntoIterator<Item = Vec<Case<A>>>,
) -> ExitCode {
    let arguments = libtest_mimic::Arguments::from_args();
    let cases = suites.into_iter().flatten();
    if arguments.list {
        let listed = cases.map(|case| libtest_mimic::Trial::test(case.name, || Ok(()))).collect();
        return libtest_mimic::run(&arguments, listed).exit_code();
    }

    let runtime = Arc::new(
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .expect("a tokio runtime for the suites"),
    );
    let adapter = Arc::new(runtime.block_on(start));
    let trials = cases.map(|case| trial(case, &runtime, &adapter)).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    // The stores' tasks end with the runtime, and the server stops only after that.
    if let Some(runtime) = Arc::into_inner(runtime) {
        runtime.shutdown_timeout(PATIENCE);
    }
    drop(adapter);
    conclusion.exit_code()
}

fn trial<A: Send + Sync + 'static>(
    case: Case<A>,
    runtime: &Arc<tokio::runtime::Runtime>,
    adapter: &Arc<A>,
) -> libtest_mimic::Trial {
    let (runtime, adapter) = (runtime.clone(), adapter.clone());
    libtest_mimic::Trial::test(case.name, move || {
        runtime
            .block_on(async { tokio::time::timeout(CASE_TIME_MAX, (case.run)(adapter)).await })
            .map_err(|_| libtest_mimic::Failed::from(format!("hangs: not done after {CASE_TIME_MAX:?}")))
    })
}

/// Builds a suite from its case functions: `cases!(StateStores, "state_store": a, b, c)`.
macro_rules! cases {
    ($prefix:literal, $scene:ty: $($case:ident),* $(,)?) => {
        vec![$($crate::Case::new(
            concat!($prefix, "::", stringify!($case)),
            |adapter: std::sync::Arc<A>| async move { $case(<$scene>::new(stringify!($case), adapter)).await },
        )),*]
    };
}
pub(crate) use cases;
