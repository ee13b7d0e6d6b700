//! The suites of both ports on real files, and cases that only this adapter needs.

mod agreement;
mod audit;
mod faults;
mod files;
mod hints;
mod interruption;
mod migration;
mod rows;
mod signals;
mod upgrade;

use contract::{signal_ledger, state_store};
use files::Files;
use std::process::ExitCode;

fn main() -> ExitCode {
    contract::main(
        async { Files::new() },
        [
            state_store::suite(),
            signal_ledger::suite(),
            migration::suite(),
            rows::suite(),
            faults::suite(),
            hints::suite(),
            interruption::suite(),
            agreement::suite(),
            signals::suite(),
            audit::suite(),
            upgrade::suite(),
        ],
    )
}
