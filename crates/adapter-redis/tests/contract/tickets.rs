//! Cases that the port's suite does not cover: keys, scripts, and the rights of a Redis user.

use crate::hints::{listening, reach};
use crate::peer::{Peer, config, key, unavailable};
use crate::server::Server;
use adapter_redis::{ACL_COMMANDS, RedisConfig, RedisStore};
use domain::ports::{Acquire, LeaderStore, TicketRenewal};

pub async fn prefixes_are_apart() {
    let server = Server::start(&[]).await;
    let a = Peer::new(&server.url(), "desk", "a");
    a.take().await;
    let staging = RedisConfig { prefix: "staging".to_owned(), ..config(&server.url(), "desk", "a") };
    let claim = staging.identity.nonce.claim(1);
    let staging = RedisStore::new(staging).expect("a URL");
    assert_eq!(staging.inspect().await, Ok(None));
    assert_eq!(staging.acquire(claim, None).await, Ok(Acquire::Granted));
}

pub async fn the_key_and_its_value_are_the_documented_ones() {
    let server = Server::start(&[]).await;
    let operator = server.operator().await;
    let claim = Peer::new(&server.url(), "default", "a-1").take().await;
    assert_eq!(operator.text("GET coordinator:default:leader").await, format!("a-1 {claim}"));
    assert_eq!(operator.line("DBSIZE").await.as_i64(), Some(1));
}

pub async fn a_flushed_script_cache_or_database_is_no_error() {
    let server = Server::start(&[]).await;
    let a = Peer::new(&server.url(), "desk", "a");
    let claim = a.take().await;
    let operator = server.operator().await;
    operator.line("SCRIPT FLUSH").await;
    assert_eq!(a.renew(claim).await, Ok(TicketRenewal::Renewed));
    operator.line("FLUSHALL").await;
    assert_eq!(a.renew(claim).await, Ok(TicketRenewal::Lost(None)));
    assert_eq!(a.acquire(claim, None).await, Ok(Acquire::Granted));
}

pub async fn the_documented_acl_is_enough_and_a_smaller_one_is_reported() {
    let server = Server::start(&[]).await;
    let operator = server.operator().await;
    let scope = "on >pw resetkeys ~coordinator:desk:leader resetchannels &coordinator:desk:hints -@all";
    operator.line(&format!("ACL SETUSER desk {scope} {ACL_COMMANDS}")).await;
    let url = format!("redis://desk:pw@127.0.0.1:{}", server.port());
    let (a, b) = (Peer::new(&url, "desk", "a"), Peer::new(&url, "desk", "b"));
    b.inspect().await.expect("allowed");
    listening(&operator, "desk", 1).await;
    let claim = a.take().await;
    assert_eq!(a.renew(claim).await, Ok(TicketRenewal::Renewed));
    reach(&b, || async { a.release(claim).await.expect("allowed") }).await;
    assert_eq!(b.inspect().await, Ok(None));

    let other = Peer::new(&url, "other", "a");
    let message = unavailable(other.acquire(other.claim(), None).await);
    assert!(message.contains("give its ACL user"), "{message}");

    // Without the channel the release still succeeds; only its hint is missing.
    let claim = a.take().await;
    operator.line("ACL SETUSER desk resetchannels").await;
    a.release(claim).await.expect("the key was deleted");
    assert_eq!(operator.line(&format!("EXISTS {}", key("desk"))).await.as_i64(), Some(0));
}
