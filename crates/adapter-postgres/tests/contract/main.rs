//! The suites of both ports against a real PostgreSQL, and cases that only PostgreSQL needs.

mod audit;
mod databases;
mod failover;
mod faults;
mod hostile;
mod large;
mod late;
mod members;
mod migration;
mod recovery;
mod roles;
mod sessions;
mod slices;
mod trap;
mod unfit;

use contract::{signal_ledger, state_store};
use databases::Databases;
use std::process::ExitCode;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

fn main() -> ExitCode {
    // A process that embeds the store installs this layer.
    tracing_subscriber::registry().with(adapter_postgres::CommitWarnings).init();
    let suites = [
        state_store::suite(),
        signal_ledger::suite(),
        audit::cases(),
        failover::cases(),
        faults::cases(),
        hostile::cases(),
        large::cases(),
        late::cases(),
        members::cases(),
        migration::cases(),
        recovery::cases(),
        roles::cases(),
        sessions::cases(),
        slices::cases(),
        trap::cases(),
        unfit::cases(),
    ];
    contract::main(Databases::start(), suites)
}

/// Cases of this adapter: `cases!("prefix": a, b)`.
macro_rules! cases {
    ($prefix:literal: $($case:ident),* $(,)?) => {
        vec![$(contract::Case::new(
            concat!("postgres::", $prefix, "::", stringify!($case)),
            |databases: std::sync::Arc<$crate::databases::Databases>| async move { $case(&databases).await },
        )),*]
    };
}
pub(crate) use cases;
