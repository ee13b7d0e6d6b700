//! Serves connections: their number, their timeouts, and their end.

use crate::backend::Backend;
use crate::caller::Caller;
use crate::page::Closing;
use crate::pages::{Pages, STREAMS_DEFAULT};
use crate::routes::router;
use crate::write_deadline::WriteDeadline;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::future::Future;
use std::io::ErrorKind;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Largest request head in bytes: far more than a scraper or a browser sends.
const HEAD_LEN_MAX: usize = 16 * 1024;

/// Pause after a failed accept. Without a free file descriptor, an immediate retry would only use a core.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Timeout from a request to its answer. A store's own timeouts are shorter.
pub(crate) const ANSWER_TIME_DEFAULT: Duration = Duration::from_secs(5);

/// Limits on what clients may use of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Time from the start of a connection, or from the last answer, to the end of the next request's head.
    pub head: Duration,
    /// Time from the request to the answer.
    pub answer: Duration,
    /// Longest time in which a client accepts no byte of the answer.
    pub stalled_write: Duration,
    /// Time for open requests after shutdown began.
    pub drain: Duration,
    /// Connections at a time. Further ones wait in the listener's queue and use no file descriptor. At most half of them
    /// are streams of `/events`.
    pub connections: usize,
}

impl Default for Limits {
    /// 5 s for a head and 5 s for an answer (a store's own timeouts are shorter); a client that reads nothing
    /// for 5 s is gone. 128 connections are ten times what scrapers, probes and operators need, and far fewer
    /// than the usual 1,024 file descriptors, which the stores' connections need too.
    fn default() -> Self {
        Self {
            head: Duration::from_secs(5),
            answer: ANSWER_TIME_DEFAULT,
            stalled_write: Duration::from_secs(5),
            drain: Duration::from_secs(2),
            connections: 128,
        }
    }
}

/// Serves the pages with the default [`Limits`] until `shutdown` resolves, then lets open requests end.
///
/// Dropping the future closes every connection at once.
pub async fn serve(listener: TcpListener, backend: Arc<dyn Backend>, shutdown: impl Future) {
    serve_within(Limits::default(), listener, backend, shutdown).await;
}

/// As [`serve`], with other limits.
pub async fn serve_within(
    limits: Limits,
    listener: TcpListener,
    backend: Arc<dyn Backend>,
    shutdown: impl Future,
) {
    let streams = STREAMS_DEFAULT.min(limits.connections / 2);
    let router = router(backend, Pages { answer: limits.answer, streams, ..Pages::default() });
    let free = Arc::new(Semaphore::new(limits.connections));
    let (closing, closed) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            _ = &mut shutdown => break,
            (stream, caller, permit) = accept(&listener, &free) => {
                let router = router.clone().layer(Extension(caller)).layer(Extension(Closing(closed.clone())));
                connections.spawn(connection(limits, stream, router, closed.clone(), permit));
            }
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    drop(closing);
    let drained = timeout(limits.drain, async { while connections.join_next().await.is_some() {} }).await;
    if drained.is_err() {
        tracing::info!(open = connections.len(), "HTTP requests were cut at shutdown");
    }
}

/// The next connection, once there is room for it. Cancellation safe: a connection is either returned or
/// still in the listener's queue.
async fn accept(listener: &TcpListener, free: &Arc<Semaphore>) -> (TcpStream, Caller, OwnedSemaphorePermit) {
    let permit = Arc::clone(free).acquire_owned().await.expect("the semaphore is never closed");
    loop {
        let accepted = listener.accept().await;
        match accepted.and_then(|(stream, remote)| {
            let local = Some(stream.local_addr()?.ip());
            Ok((Caller { remote: Some(remote), local, ..Caller::default() }, stream))
        }) {
            Ok((caller, stream)) => return (stream, caller, permit),
            // The client disconnected while it waited.
            Err(error)
                if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) => {}
            Err(error) => {
                tracing::warn!(%error, "accepting an HTTP connection failed");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves one connection until it ends, or, once `closed` has no sender, until its current request is
/// answered.
async fn connection(
    limits: Limits,
    stream: TcpStream,
    router: Router,
    mut closed: watch::Receiver<()>,
    _permit: OwnedSemaphorePermit,
) {
    let io = TokioIo::new(WriteDeadline::new(stream, limits.stalled_write));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(limits.head).max_buf_size(HEAD_LEN_MAX);
    let mut connection = pin!(builder.serve_connection(io, TowerToHyperService::new(router)));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        // There is never a value: the channel only closes.
        _ = closed.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP connection was cut");
    }
}
