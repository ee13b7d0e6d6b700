//! A service that embeds the coordinator: start it in two terminals and stop one with ctrl-c.
//!
//! ```sh
//! cargo run -p coordinator --example embedded
//! ```

use adapter_sqlite::{SqliteConfig, SqliteStore};
use coordinator::{Coordinator, Ended, Leader};
use domain::id::{GroupId, InstanceId};
use domain::identity::Identity;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

const TTL: Duration = Duration::from_secs(3);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let id = InstanceId::parse(&format!("example-{}", std::process::id()))?;
    let store = Arc::new(SqliteStore::new(SqliteConfig::new(
        std::env::temp_dir().join("coordinator-example.db"),
        Identity {
            group: GroupId::parse("example")?,
            id: id.clone(),
            nonce: coordinator::fresh_nonce()?,
            host: "localhost".to_owned(),
            ttl: TTL,
        },
    )));
    let coordinator = Coordinator::builder(store).start()?;
    println!("{id} takes part; ctrl-c hands over");
    let worker = coordinator.clone();
    let work = tokio::spawn(async move { worker.run_while_leader(lead).await });
    tokio::signal::ctrl_c().await?;
    coordinator.shutdown().await;
    match work.await? {
        Ok(()) | Err(Ended::Stopped) => Ok(()),
        Err(ended) => Err(ended.into()),
    }
}

/// Runs on one instance at a time, and is dropped when the leadership of this instance ends.
async fn lead(leader: Leader) {
    println!("leading in epoch {}", leader.epoch());
    // While this instance leads, the token goes into the statement of each effect. Afterwards there is none: the work ends,
    // and `run_while_leader` calls it again with the next leadership.
    while let Ok(token) = leader.token() {
        println!("acting under {token}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
