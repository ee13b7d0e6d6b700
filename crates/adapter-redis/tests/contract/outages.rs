//! Cases in which Redis refuses, does not answer, stops and starts again.

use crate::peer::{Peer, unavailable};
use crate::server::{Operator, Server, eventually};
use domain::ports::{Acquire, LeaderStore, StoreError, TicketRenewal};
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

pub async fn a_wrong_password_is_reported_without_being_shown() {
    let server = Server::start(&["--requirepass", "right-secret"]).await;
    for url in ["redis://:wrong-secret@", "redis://user:wrong-secret@", "redis://"] {
        let a = Peer::new(&format!("{url}127.0.0.1:{}", server.port()), "desk", "a");
        let message = unavailable(a.inspect().await);
        assert!(message.contains("password in the URL") && !message.contains("secret"), "{message}");
    }
    let right = Peer::new(&format!("redis://:right-secret@127.0.0.1:{}", server.port()), "desk", "a");
    right.take().await;
}

pub async fn a_server_without_tls_gets_no_password_if_the_url_requests_tls() {
    let server = Server::start(&["--requirepass", "secret"]).await;
    let address = format!("secret@127.0.0.1:{}", server.port());
    // The server waits for the end of a command and the client for a handshake: both until the timeout.
    unavailable(Peer::new(&format!("rediss://:{address}"), "desk", "a").inspect().await);
    let operator = Operator::connect(&format!("redis://:{address}")).await;
    let commands = operator.text("INFO commandstats").await;
    assert!(commands.contains("cmdstat_auth:calls=1,"), "only the test's own: {commands}");
}

pub async fn a_server_that_starts_later_is_found() {
    let mut server = Server::start(&[]).await;
    server.stop();
    let a = Peer::new(&server.url(), "desk", "a");
    let message = unavailable(a.acquire(a.claim(), None).await);
    assert!(message.contains("no server listens"), "{message}");
    assert!(server.start_again().await);
    assert_eq!(a.back().await, None, "the acquire was executed after it was refused");
    a.take().await;
}

pub async fn a_restarted_server_receives_no_late_request() {
    let mut server = Server::start(&[]).await;
    let a = Peer::new(&server.url(), "desk", "a");
    let claim = a.take().await;
    server.stop();
    for _ in 0..20 {
        let answer = a.acquire(a.claim(), Some(claim)).await;
        assert!(matches!(answer, Err(StoreError::Unavailable(_) | StoreError::Unknown(_))), "{answer:?}");
    }
    assert!(server.start_again().await);
    assert_eq!(a.back().await, None);
    assert_eq!(a.renew(claim).await, Ok(TicketRenewal::Lost(None)));
}

pub async fn a_silent_server_leaves_one_request_unknown_and_refuses_the_rest() {
    let server = Server::start(&[]).await;
    let a = Peer::new(&server.url(), "desk", "a");
    a.inspect().await.unwrap();
    server.pause();
    let unknown = a.claim();
    let answer = a.acquire(unknown, None).await;
    assert!(matches!(answer, Err(StoreError::Unknown(_))), "{answer:?}");
    // The first refusal may come a moment after the timeout is noticed. From then on the store sends nothing.
    let mut sent = vec![unknown];
    loop {
        let claim = a.claim();
        match a.acquire(claim, None).await {
            Err(StoreError::Unavailable(_)) => break,
            Err(StoreError::Unknown(_)) => sent.push(claim),
            other => panic!("{other:?}"),
        }
    }
    for _ in 0..20 {
        unavailable(a.acquire(a.claim(), None).await);
    }
    server.resume();
    if let Some(ticket) = a.back().await {
        let claim = ticket.claim.expect("ours");
        assert!(sent.contains(&claim), "a refused acquire was executed");
        assert_eq!(
            a.acquire(claim, None).await,
            Ok(Acquire::Granted),
            "after an unknown outcome the caller tries again"
        );
    }
}

pub async fn a_dropped_request_still_finds_the_server_silent() {
    let server = Server::start(&[]).await;
    let a = Peer::new(&server.url(), "desk", "a");
    a.inspect().await.unwrap();
    server.pause();
    // No caller waits for these requests. The store notices the missing answer anyway, long before it checks
    // an idle connection.
    eventually("the silence is noticed", || async { polled_once(a.inspect()).map(unavailable) }).await;
    server.resume();
    a.back().await;
}

pub async fn refusals_change_nothing_and_pass() {
    let server = Server::start(&[]).await;
    let operator = server.operator().await;
    let a = Peer::new(&server.url(), "desk", "a");
    a.inspect().await.unwrap();

    operator.line("CONFIG SET maxmemory 1").await;
    let message = unavailable(a.acquire(a.claim(), None).await);
    assert!(message.contains("maxmemory"), "{message}");
    operator.line("CONFIG SET maxmemory 0").await;
    assert_eq!(a.inspect().await, Ok(None));

    let connections = operator.number("INFO stats", "total_connections_received:").await;
    operator.line("REPLICAOF 127.0.0.1 1").await;
    let message = unavailable(a.acquire(a.claim(), None).await);
    assert!(message.contains("replica"), "{message}");
    // Behind a name or sentinels, the next connection leads to the new primary.
    eventually("it reconnects", || async {
        (operator.number("INFO stats", "total_connections_received:").await > connections).then_some(())
    })
    .await;
    operator.line("REPLICAOF NO ONE").await;
    assert_eq!(a.back().await, None);
    a.take().await;
}

pub async fn a_closed_or_dropped_store_has_no_connections() {
    let server = Server::start(&[]).await;
    let operator = server.operator().await;
    let (a, b) = (Peer::new(&server.url(), "desk", "a"), Peer::new(&server.url(), "desk", "b"));
    a.take().await;
    b.inspect().await.unwrap();
    crate::hints::listening(&operator, "desk", 2).await;
    a.close().await;
    let message = unavailable(a.inspect().await);
    assert!(message.contains("closed"), "{message}");
    drop(b);
    eventually("only the test's own connection is left", || async {
        (operator.text("CLIENT LIST").await.lines().count() == 1).then_some(())
    })
    .await;
}

/// Polls a request once and drops it; `None` if the request had to wait.
fn polled_once<T>(asked: impl Future<Output = T>) -> Option<T> {
    match pin!(asked).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    }
}
