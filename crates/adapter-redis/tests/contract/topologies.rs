//! Cases with Sentinel and with Cluster, on real servers.

use crate::hints::{listening, reach};
use crate::peer::Peer;
use crate::server::{Server, eventually};
use domain::ports::{LeaderStore, TicketRenewal};
use testkit::backend::free_port;

/// Number of slots of a cluster.
const SLOTS: u32 = 16_384;

pub async fn a_cluster_takes_tickets_and_hints() {
    // The default port of a cluster's bus is another one that was not reserved.
    let buses = [free_port().to_string(), free_port().to_string()];
    let node = |bus: usize| {
        let port = buses[bus].clone();
        async move {
            let own = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--cluster-port", &port];
            Server::start(&own).await
        }
    };
    let (first, second) = (node(0).await, node(1).await);
    let operators = [first.operator().await, second.operator().await];
    operators[0].line(&format!("CLUSTER ADDSLOTSRANGE 0 {}", SLOTS / 2 - 1)).await;
    operators[1].line(&format!("CLUSTER ADDSLOTSRANGE {} {}", SLOTS / 2, SLOTS - 1)).await;
    operators[0].line(&format!("CLUSTER MEET 127.0.0.1 {} {}", second.port(), buses[1])).await;
    for operator in &operators {
        eventually("the cluster is whole", || async {
            operator.text("CLUSTER INFO").await.contains("cluster_state:ok").then_some(())
        })
        .await;
    }

    let url = format!("redis-cluster://127.0.0.1:{}?node=127.0.0.1:{}", first.port(), second.port());
    // Enough groups for both nodes to hold some.
    for group in ["desk", "desk2", "desk3", "desk4"] {
        let (a, b) = (Peer::new(&url, group, "a"), Peer::new(&url, group, "b"));
        a.back().await;
        b.back().await;
        let claim = a.take().await;
        assert_eq!(b.holder().await, Some(claim));
        assert_eq!(a.renew(claim).await, Ok(TicketRenewal::Renewed));
        reach(&b, || async { a.release(claim).await.expect("release") }).await;
    }
    let sizes = [operators[0].line("DBSIZE").await, operators[1].line("DBSIZE").await];
    assert!(sizes.iter().all(|size| size.as_i64() == Some(0)), "released everywhere: {sizes:?}");

    let single = Peer::new(&first.url(), "desk", "a");
    let other = Peer::new(&second.url(), "desk", "a");
    let answers = [single.inspect().await, other.inspect().await];
    assert!(answers.iter().any(|answer| {
        answer.as_ref().is_err_and(|error| error.to_string().contains("redis-cluster://"))
    }));
}

pub async fn sentinels_lead_to_the_next_primary() {
    let mut primary = Server::start(&["--repl-diskless-sync-delay", "0"]).await;
    let replica = Server::start(&["--replicaof", &format!("127.0.0.1 {}", primary.port())]).await;
    eventually("the replica follows", || async {
        replica.operator().await.replicates("master_link_status:up").await.then_some(())
    })
    .await;
    let (_config, sentinel) = sentinel(primary.port()).await;
    let watching = sentinel.operator().await;
    eventually("the sentinel knows the replica", || async {
        let answer = watching.line("SENTINEL MASTER desk").await.into_array();
        let at = answer.iter().position(|word| word.as_str().as_deref() == Some("num-slaves"))?;
        (answer.get(at + 1)?.as_string()? == "1").then_some(())
    })
    .await;

    let url = format!("redis-sentinel://127.0.0.1:{}?sentinelServiceName=desk", sentinel.port());
    let (a, b) = (Peer::new(&url, "desk", "a"), Peer::new(&url, "desk", "b"));
    let claim = a.take().await;
    assert_eq!(b.holder().await, Some(claim));
    primary.stop();
    // A promotion closes all connections, the test's own included.
    eventually("the replica is the primary", || async {
        replica.operator().await.replicates("role:master").await.then_some(())
    })
    .await;
    a.back().await;
    b.back().await;
    // The ticket may or may not have reached the replica in time. In both cases it can be acquired.
    let next = b.claim();
    b.acquire(next, Some(claim)).await.expect("acquire");
    assert_eq!(b.holder().await, Some(next));
    listening(&replica.operator().await, "desk", 2).await;
    reach(&a, || async { b.release(next).await.expect("release") }).await;
}

/// Starts a sentinel that alone decides that the primary is down. It waits for longer than a busy machine lets a healthy
/// primary wait for a processor.
async fn sentinel(primary: u16) -> (tempfile::NamedTempFile, Server) {
    let file = tempfile::NamedTempFile::new().expect("a file for the sentinel");
    let text = format!(
        "sentinel monitor desk 127.0.0.1 {primary} 1\nsentinel down-after-milliseconds desk 5000\n\
         sentinel failover-timeout desk 2000\n"
    );
    std::fs::write(file.path(), text).expect("the sentinel's file");
    let path = file.path().to_str().expect("a path in UTF-8").to_owned();
    let server = Server::start(&[&path, "--sentinel"]).await;
    (file, server)
}
