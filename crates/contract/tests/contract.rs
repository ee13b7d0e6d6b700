//! The contract suites, run against the fakes.

use contract::fake::{FakeDatabase, FakeTickets};
use contract::{
    LeaderStores, Opened, Opening, Refused, StateStores, Tamper, TicketTamper, leader_store, signal_ledger,
    state_store,
};
use domain::id::GroupId;
use domain::ports::LeaderStore;
use std::process::ExitCode;
use std::sync::Arc;

/// Both stores in memory.
struct Fakes {
    database: FakeDatabase,
    tickets: FakeTickets,
}

#[async_trait::async_trait]
impl StateStores for Fakes {
    async fn fresh(&self) -> Arc<dyn StateStores> {
        self.database.fresh().await
    }

    async fn open(&self, opening: &Opening) -> Opened {
        StateStores::open(&self.database, opening).await
    }

    async fn tamper(&self, what: &Tamper) -> Result<(), Refused> {
        StateStores::tamper(&self.database, what).await
    }
}

#[async_trait::async_trait]
impl LeaderStores for Fakes {
    async fn open(&self, opening: &Opening) -> Arc<dyn LeaderStore> {
        LeaderStores::open(&self.tickets, opening).await
    }

    async fn tamper(&self, group: &GroupId, what: &TicketTamper) {
        LeaderStores::tamper(&self.tickets, group, what).await;
    }
}

fn main() -> ExitCode {
    let fakes = async { Fakes { database: FakeDatabase::new(), tickets: FakeTickets::new() } };
    contract::main(fakes, [state_store::suite(), signal_ledger::suite(), leader_store::suite()])
}
