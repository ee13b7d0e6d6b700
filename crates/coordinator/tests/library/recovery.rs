//! Crash recovery as a port: nothing to recover, the portfolio of a store, and what a service loads itself.

use super::{eventually, opening, reached, start};
use async_trait::async_trait;
use contract::fake::{Call, FakeDatabase};
use coordinator::Coordinator;
use domain::member::MemberState;
use domain::ports::Recovery;
use domain::recovery::{Recovered, RecoveryCode, RecoveryFault};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

#[tokio::test]
async fn a_service_without_a_portfolio_leads_and_reads_none() {
    let database = FakeDatabase::new();
    let opening = opening("no-desk");
    let store = database.process(&opening);
    let faults = store.faults().clone();
    let builder = Coordinator::builder(store);
    let coordinator = builder.start().expect("a valid start");
    let portfolio = coordinator.run_while_leader(async |leader| leader.portfolio().cloned());
    assert_eq!(eventually("it leads", portfolio).await, Ok(None));
    assert_eq!(coordinator.recovered(), Some(Ok(Recovered::Nothing)));
    assert!(!faults.calls().contains(&Call::Portfolio), "its database may have no such relations");
    coordinator.shutdown().await;
}

#[tokio::test]
async fn the_work_gets_the_portfolio_of_the_store_that_the_builder_was_given() {
    let opening = opening("desk");
    let store = FakeDatabase::new().process(&opening);
    let builder = Coordinator::builder(store.clone()).recovery(store);
    let coordinator = builder.start().expect("a valid start");
    let count =
        coordinator.run_while_leader(async |leader| leader.portfolio().map(|portfolio| portfolio.count));
    assert_eq!(eventually("it leads", count).await, Ok(Some(0)));
    coordinator.shutdown().await;
}

/// A recovery of a service that is no trading desk.
struct Warehouse {
    is_sound: AtomicBool,
}

#[async_trait]
impl Recovery for Warehouse {
    async fn recover(&self) -> Result<Recovered, RecoveryFault> {
        if self.is_sound.load(Relaxed) {
            Ok(Recovered::Nothing)
        } else {
            Err(RecoveryFault::new(RecoveryCode::ValidationFailed, "shelf 7 is listed twice"))
        }
    }
}

#[tokio::test]
async fn a_leader_whose_own_recovery_fails_halts_and_reports_the_finding() {
    let database = FakeDatabase::new();
    let opening = opening("warehouse");
    let warehouse = Arc::new(Warehouse { is_sound: AtomicBool::new(false) });
    let builder = Coordinator::builder(database.process(&opening));
    let first = builder.recovery(warehouse.clone()).start().expect("a valid start");
    reached(&first, MemberState::Halted).await;
    let fault = first.recovered().expect("it was called").expect_err("it fails");
    assert_eq!(fault.to_string(), "VALIDATION_FAILED: shelf 7 is listed twice");
    first.shutdown().await;

    warehouse.is_sound.store(true, Relaxed);
    let second = start(&database, &super::opening("repaired"));
    reached(&second, MemberState::Active).await;
    second.shutdown().await;
}
