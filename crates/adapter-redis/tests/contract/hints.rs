//! Cases with hints from other processes and from reopened connections.

use crate::peer::Peer;
use crate::server::{Operator, Server, eventually};
use adapter_redis::RedisStore;
use contract::PATIENCE;
use domain::ports::LeaderStore;
use std::future::Future;
use tokio::time::timeout;

/// At the start two connections open, and each may leave a hint. This number of rounds exceeds them.
const ROUNDS: usize = 5;

pub async fn a_lost_connection_hints_when_it_is_back() {
    let server = Server::start(&[]).await;
    let operator = server.operator().await;
    let (a, b) = (Peer::new(&server.url(), "desk", "a"), Peer::new(&server.url(), "desk", "b"));
    a.inspect().await.expect("release");
    reach(&a, || async {
        listening(&operator, "desk", 1).await;
        operator.line("CLIENT KILL TYPE pubsub").await;
    })
    .await;
    listening(&operator, "desk", 1).await;
    reach(&a, || async { b.release(b.claim()).await.expect("release") }).await;
}

pub async fn a_restarted_server_hints_and_is_listened_to_again() {
    let mut server = Server::start(&[]).await;
    let (a, b) = (Peer::new(&server.url(), "desk", "a"), Peer::new(&server.url(), "desk", "b"));
    a.inspect().await.expect("release");
    for _ in 0..ROUNDS {
        listening(&server.operator().await, "desk", 1).await;
        server.stop();
        assert!(server.start_again().await);
        timeout(PATIENCE, a.changed()).await.expect("a hint that Redis is back");
    }
    a.back().await;
    b.back().await;
    listening(&server.operator().await, "desk", 2).await;
    reach(&a, || async { b.release(b.claim()).await.expect("release") }).await;
}

/// Repeats until the hints can only come from the expected source.
pub async fn reach<H: Future<Output = ()>>(store: &RedisStore, mut hint: impl FnMut() -> H) {
    for _ in 0..ROUNDS {
        hint().await;
        timeout(PATIENCE, store.changed()).await.expect("a hint");
    }
}

/// Waits until `count` connections listen to the group's channel.
pub async fn listening(operator: &Operator, group: &str, count: i64) {
    let channel = format!("coordinator:{group}:hints");
    eventually("the stores listen", || async {
        let answer = operator.line(&format!("PUBSUB NUMSUB {channel}")).await.into_array();
        (answer.last()?.as_i64()? == count).then_some(())
    })
    .await;
}
