//! The definition of the ports, as tests: what every adapter of a port must do, as named cases.
//!
//! - [`state_store`], [`leader_store`], [`signal_ledger`]: one suite per port, run against every adapter and against the
//!   fakes. Where two adapters could differ, there is a case.
//! - [`fake`]: the ports in memory, shared by several "processes", with faults on demand.
//! - [`event`]: what a process reports about its role, as values.
//! - [`invariants`]: named judgements over the events of several processes.
//! - [`raw_portfolio`]: what recovery reads, all rows at once.
//!
//! No server is started here: the crate `testkit` does that. The simulation and the tests of the driver therefore build
//! without a database client and without containers.
//!
//! An adapter's `tests/contract.rs` (with `harness = false` in its manifest) starts its server once and
//! runs the suites that concern it:
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
//! Cases run beside each other on one runtime; each plays in a group of its own, or, where it touches
//! what all groups share, in a database of its own ([`StateStores::fresh`]).

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

/// Longer than any case takes on a busy machine with two cores: beyond it, it hangs.
pub const CASE_TIME_MAX: Duration = Duration::from_mins(2);

/// How long a case waits for what is only promised to be fast (a hint, an expiry). Not an assertion
/// about speed: whoever exceeds it has lost the hint.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What an adapter of `StateStore` and `SignalLedger` lends to the suites: one database.
#[async_trait]
pub trait StateStores: Send + Sync + 'static {
    /// Another database of the same kind, empty: not even a schema.
    async fn fresh(&self) -> Arc<dyn StateStores>;

    /// What one process of the group would open: its own connections, nothing shared but the database.
    async fn open(&self, opening: &Opening) -> Opened;

    /// What an operator, or an attacker with the database's password, does to the tables behind our
    /// back. An SQL adapter executes `what.to_string()`. [`Refused`] only when a constraint of the
    /// schema forbids it; any other failure is a fault of the test and panics.
    async fn tamper(&self, what: &Tamper) -> Result<(), Refused>;
}

/// What an adapter of `LeaderStore` lends to the suite: one server.
#[async_trait]
pub trait LeaderStores: Send + Sync + 'static {
    /// What one process of the group would open.
    async fn open(&self, opening: &Opening) -> Arc<dyn LeaderStore>;

    /// Writes into the group's key behind our back. A Redis adapter sends `what.commands(key)`.
    async fn tamper(&self, group: &GroupId, what: &TicketTamper);
}

type Run<A> = Box<dyn FnOnce(Arc<A>) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// A named promise about `A`.
pub struct Case<A> {
    name: String,
    run: Run<A>,
}

impl<A: 'static> Case<A> {
    /// A case of an adapter's own.
    pub fn new<F>(name: &str, run: impl FnOnce(Arc<A>) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self { name: name.to_owned(), run: Box::new(move |adapter| Box::pin(run(adapter))) }
    }
}

/// The body of an adapter's `tests/contract.rs`: starts the adapter, runs the cases (with the filters and
/// flags of the command line, as `cargo test` passes them), drops the adapter, and tells how it went.
///
/// `start` is not even polled when nothing is to be run (`--list`).
///
/// # Panics
/// When no runtime can be had.
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
    // The stores' tasks end with the runtime, and only then does the server go away.
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

/// A suite from its case functions: `cases!(StateStores, "state_store": a, b, c)`.
macro_rules! cases {
    ($prefix:literal, $scene:ty: $($case:ident),* $(,)?) => {
        vec![$($crate::Case::new(
            concat!($prefix, "::", stringify!($case)),
            |adapter: std::sync::Arc<A>| async move { $case(<$scene>::new(stringify!($case), adapter)).await },
        )),*]
    };
}
pub(crate) use cases;
