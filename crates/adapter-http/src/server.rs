//! Serves connections: their number, their timeouts, and their end.

use crate::arriving::Arriving;
use crate::backend::Backend;
use crate::caller::Caller;
use crate::headers;
use crate::own_errors::OwnErrors;
use crate::page::Closing;
use crate::pages::{Pages, STREAMS_DEFAULT};
use crate::problem::Problem;
use crate::routes::router;
use crate::seats::{Full, Seat, Seats};
use crate::tls::{Tls, client_of};
use crate::write_deadline::WriteDeadline;
use axum::body::{Body, HttpBody};
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::future::Future;
use std::io::ErrorKind;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
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
    /// Connections at a time. For a further one, the connection that has waited longest for its client is closed. If none
    /// waits, the further one waits in the listener's queue and uses no file descriptor. At most half of the connections
    /// are streams of `/events`.
    pub connections: usize,
    /// Connections that only probes use: other requests get 503 while all the others are busy. At most half of the
    /// connections.
    pub reserved: usize,
    /// Requests of one address at a time, except for probes; further ones get 503. Loopback has no such limit, because a
    /// proxy on this host has the requests of many clients.
    pub per_address: usize,
}

/// What is served, and how.
#[derive(Debug, Default)]
pub struct Serving {
    /// Limits on what clients may use. They override the times and the number of streams in `pages`.
    pub limits: Limits,
    /// Settings of the pages.
    pub pages: Pages,
    /// TLS; `None`: connections are not encrypted.
    pub tls: Option<Arc<Tls>>,
}

impl Default for Limits {
    /// 5 s for a head and 5 s for an answer (a store's own timeouts are shorter); a client that reads nothing
    /// for 5 s is gone. 128 connections are ten times what scrapers, probes and operators need, and far fewer
    /// than the usual 1,024 file descriptors, which the stores' connections need too. 16 of them answer only probes, and
    /// one address has at most half of them.
    fn default() -> Self {
        Self {
            head: Duration::from_secs(5),
            answer: ANSWER_TIME_DEFAULT,
            stalled_write: Duration::from_secs(5),
            drain: Duration::from_secs(2),
            connections: 128,
            reserved: 16,
            per_address: 64,
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
    serve_all(vec![listener], Serving { limits, ..Serving::default() }, backend, shutdown).await;
}

/// As [`serve`], on several listeners, which share the limits, and with all settings.
pub async fn serve_all(
    listeners: Vec<TcpListener>,
    serving: Serving,
    backend: Arc<dyn Backend>,
    shutdown: impl Future,
) {
    let Serving { limits, pages, tls } = serving;
    let streams = STREAMS_DEFAULT.min(limits.connections / 2);
    let router = router(backend, Pages { answer: limits.answer, streams, ..pages });
    let (closing, closed) = watch::channel(());
    let server = Arc::new(Server { limits, router, tls, seats: Seats::new(limits), closed });
    let mut listening = JoinSet::new();
    for listener in listeners {
        listening.spawn(Arc::clone(&server).listen(listener));
    }
    drop(server);
    shutdown.await;
    drop(closing);
    while listening.join_next().await.is_some() {}
}

/// What all connections share.
struct Server {
    limits: Limits,
    router: Router,
    tls: Option<Arc<Tls>>,
    seats: Arc<Seats>,
    /// Has no sender once shutdown began. There is never a value.
    closed: watch::Receiver<()>,
}

impl Server {
    /// Serves the connections of one listener until shutdown, and then the open requests.
    async fn listen(self: Arc<Self>, listener: TcpListener) {
        let mut closed = self.closed.clone();
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                _ = closed.changed() => break,
                (stream, caller) = accept(&listener) => {
                    let remote = caller.remote.map(|remote| remote.ip());
                    let seat = tokio::select! {
                        _ = closed.changed() => break,
                        seat = self.seats.take(remote) => seat,
                    };
                    if let Some(seat) = seat {
                        connections.spawn(Arc::clone(&self).connection(stream, caller, Arc::new(seat)));
                    }
                }
                Some(_) = connections.join_next() => {}
            }
        }
        drop(listener);
        let drained =
            timeout(self.limits.drain, async { while connections.join_next().await.is_some() {} }).await;
        if drained.is_err() {
            tracing::info!(open = connections.len(), "HTTP requests were cut at shutdown");
        }
    }

    /// Serves one connection until it ends, or, once shutdown began, until its current request is answered, or until
    /// another connection needs its seat.
    async fn connection(self: Arc<Self>, stream: TcpStream, mut caller: Caller, seat: Arc<Seat>) {
        let stream = WriteDeadline::new(stream, self.limits.stalled_write);
        let served = async {
            let Some(tls) = &self.tls else { return self.requests(stream, caller, &seat).await };
            match timeout(self.limits.head, tls.accept(stream)).await {
                Ok(Ok(stream)) => {
                    (caller.secure, caller.certificate) = (true, client_of(&stream));
                    self.requests(stream, caller, &seat).await;
                }
                Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                Err(_) => tracing::debug!("a TLS handshake was not completed in time"),
            }
        };
        tokio::select! {
            () = served => {}
            () = seat.is_needed() => tracing::debug!("an HTTP connection was closed for another one"),
        }
    }

    async fn requests(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
        caller: Caller,
        seat: &Arc<Seat>,
    ) {
        let closing = Closing(self.closed.clone());
        let router = self.router.clone().layer(Extension(caller)).layer(Extension(closing));
        let router = TowerToHyperService::new(router);
        let service = service_fn(|request| answer(router.clone(), Arc::clone(seat), request));
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(self.limits.head).max_buf_size(HEAD_LEN_MAX);
        let io = TokioIo::new(OwnErrors::new(stream));
        let mut connection = pin!(builder.serve_connection(io, service));
        let mut closed = self.closed.clone();
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            _ = closed.changed() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "an HTTP connection was cut");
        }
    }
}

/// The answer to a request, if the seat may have one.
async fn answer(
    router: TowerToHyperService<Router>,
    seat: Arc<Seat>,
    request: Request<Incoming>,
) -> Result<Response, Infallible> {
    let (head, body) = request.into_parts();
    let (body, awaited) = Arriving::watched(Body::new(body));
    if let Err(full) = seat.admit(head.uri.path(), awaited) {
        return Ok(refusal(full));
    }
    let response = router.call(Request::from_parts(head, body)).await?;
    seat.answered(response.body().size_hint().exact().is_none());
    Ok(response)
}

/// The answer to a request that finds too many others.
fn refusal(full: Full) -> Response {
    let detail = match full {
        Full::Server => "this instance answers as many requests as it may; send the request again later",
        Full::Address => {
            "this instance answers as many requests of this address as it may; send the request again later"
        }
    };
    let mut response = Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).into_response();
    let headers = response.headers_mut();
    headers::secure(headers);
    // Its body is not read.
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// The next connection. Cancellation safe: a connection is either returned or still in the listener's queue.
async fn accept(listener: &TcpListener) -> (TcpStream, Caller) {
    loop {
        let accepted = listener.accept().await;
        match accepted.and_then(|(stream, remote)| {
            let local = Some(stream.local_addr()?.ip());
            Ok((Caller { remote: Some(remote), local, ..Caller::default() }, stream))
        }) {
            Ok((caller, stream)) => return (stream, caller),
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
