//! One request and its answer, on a separate connection.

use super::HandlerUrl;
use axum::body::{Body, Bytes, to_bytes};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, HOST, HeaderValue, TRANSFER_ENCODING};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use std::pin::pin;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// Largest answer in bytes; an outcome and a note are two lines.
const ANSWER_LEN_MAX: usize = 64 * 1024;
/// Largest head of an answer in bytes.
const HEAD_LEN_MAX: usize = 16 * 1024;

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
    /// The `Content-Encoding`, unless it is `identity`.
    pub(crate) encoding: Option<String>,
    /// Whether the head says where the body ends, so that an empty body was not cut off.
    pub(crate) is_delimited: bool,
}

impl Reply {
    pub(crate) fn status_text(&self) -> String {
        format!("HTTP {}", self.status.as_u16())
    }
}

/// The reason why there is no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// There was no connection, so nothing was sent.
    NotConnected(String),
    /// The request may have arrived.
    Unanswered(String),
}

/// Sends a request and reads the whole answer within `time`. If the future is dropped, the connection is
/// closed.
pub(crate) async fn exchange(
    url: &HandlerUrl,
    request: Request<Body>,
    time: Duration,
) -> Result<Reply, Failure> {
    exchange_up_to(url, request, time, ANSWER_LEN_MAX).await
}

/// As [`exchange`], for an answer of at most `len_max` bytes.
pub(crate) async fn exchange_up_to(
    url: &HandlerUrl,
    mut request: Request<Body>,
    time: Duration,
    len_max: usize,
) -> Result<Reply, Failure> {
    let (began, ms) = (Instant::now(), time.as_millis());
    let stream = match timeout(time, TcpStream::connect((url.host(), url.port()))).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(Failure::NotConnected(format!("could not connect: {error}"))),
        Err(_) => return Err(Failure::NotConnected(format!("could not connect within {ms} ms"))),
    };
    // A failure only costs time.
    let _ = stream.set_nodelay(true);
    let headers = request.headers_mut();
    headers.insert(HOST, HeaderValue::from_str(url.authority()).expect("it was checked as a URL"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    // A failure only costs time.
    let _ = stream.set_nodelay(true);
    let left = time.saturating_sub(began.elapsed());
    timeout(left, converse(stream, request, len_max))
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {ms} ms")))
        .map_err(Failure::Unanswered)
}

/// Sends a request on a connection and reads the whole answer.
pub(crate) async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    request: Request<Body>,
    len_max: usize,
) -> Result<Reply, String> {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_LEN_MAX);
    let broken = |error: hyper::Error| format!("the connection broke: {error}");
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let mut reply = pin!(async move {
        let response = sender.send_request(request).await.map_err(broken)?;
        let (status, headers) = (response.status(), response.headers());
        let encoding = headers.get(CONTENT_ENCODING).map(|value| String::from_utf8_lossy(value.as_bytes()));
        let encoding = encoding.map(|name| name.trim().to_owned());
        let encoding = encoding.filter(|name| !name.eq_ignore_ascii_case("identity"));
        let is_delimited = status == StatusCode::NO_CONTENT
            || headers.contains_key(CONTENT_LENGTH)
            || headers.contains_key(TRANSFER_ENCODING);
        let body = to_bytes(Body::new(response.into_body()), len_max).await.map_err(|_| {
            format!("HTTP {}, then the answer broke off or had more than {len_max} bytes", status.as_u16())
        })?;
        Ok(Reply { status, body, encoding, is_delimited })
    });
    // The connection moves the bytes. If it ends first, the answer has arrived or never will.
    tokio::select! {
        biased;
        reply = &mut reply => reply,
        _ = connection => reply.await,
    }
}
