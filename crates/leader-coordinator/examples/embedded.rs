//! A service that embeds coordinator: it accepts signals on every instance, executes each once on the leader, and serves
//! the pages next to its own. Start it in two terminals, with two ports, and stop one with ctrl-c.
//!
//! ```sh
//! cargo run -p leader-coordinator --all-features --example embedded -- 8080
//! curl -s http://127.0.0.1:8080/coordinator/leader
//! ```

use axum::Router;
use axum::routing::get;
use leader_coordinator::domain::lease::Token;
use leader_coordinator::domain::ledger::{Outcome, Signal};
use leader_coordinator::domain::ports::{Answer, SignalHandler};
use leader_coordinator::http::Delivery;
use leader_coordinator::{LedgerSettings, Sqlite, async_trait, builder};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port = std::env::args().nth(1).unwrap_or_else(|| "8080".to_owned());
    let directory = std::env::temp_dir().join("leader-coordinator-example");
    let coordinator = builder("example", Sqlite::new(directory.join("example.db")))
        .ttl(Duration::from_secs(3))
        .address(format!("http://127.0.0.1:{port}/coordinator"))
        .start()?;
    let ledger = coordinator.ledger(LedgerSettings::default());
    let executing = ledger.clone();
    tokio::spawn(async move { executing.run(Some(Arc::new(Broker))).await });

    let pages = coordinator.pages().signals(ledger, Delivery::Pushed).router()?;
    let router =
        Router::new().route("/", get(async || "the service's own page\n")).nest("/coordinator", pages);
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("{} serves http://127.0.0.1:{port}/coordinator; ctrl-c hands over", coordinator.id());
    let serving = axum::serve(listener, router);
    tokio::select! {
        served = serving => served?,
        stopped = tokio::signal::ctrl_c() => stopped?,
    }
    coordinator.shutdown().await;
    Ok(())
}

/// Where a real service calls its broker.
struct Broker;

#[async_trait]
impl SignalHandler for Broker {
    async fn execute(&self, signal: &Signal, token: &Token) -> Answer {
        println!("{} under {token}: {}", signal.id, signal.instruction.instrument);
        Answer { outcome: Outcome::Done, note: "order-1".to_owned() }
    }
}
