//! One request and its answer, on a separate connection.

use super::{HandlerUrl, TlsSource};
use axum::body::{Body, Bytes, to_bytes};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, HOST, HeaderValue, TRANSFER_ENCODING};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::pin::pin;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

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

/// A connection, with TLS or without.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Sends a request and reads the whole answer within `time`; `tls` is used for an `https` URL. If the future is dropped,
/// the connection is closed.
pub(crate) async fn exchange(
    url: &HandlerUrl,
    tls: Option<&TlsSource>,
    request: Request<Body>,
    time: Duration,
) -> Result<Reply, Failure> {
    exchange_up_to(url, tls, request, time, ANSWER_LEN_MAX).await
}

/// As [`exchange`], for an answer of at most `len_max` bytes.
pub(crate) async fn exchange_up_to(
    url: &HandlerUrl,
    tls: Option<&TlsSource>,
    mut request: Request<Body>,
    time: Duration,
    len_max: usize,
) -> Result<Reply, Failure> {
    let (began, ms) = (Instant::now(), time.as_millis());
    let stream = timeout(time, connect(url, tls))
        .await
        .unwrap_or_else(|_| Err(format!("could not connect within {ms} ms")))
        .map_err(Failure::NotConnected)?;
    let headers = request.headers_mut();
    headers.insert(HOST, HeaderValue::from_str(url.authority()).expect("it was checked as a URL"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    let left = time.saturating_sub(began.elapsed());
    timeout(left, converse(stream, request, len_max))
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {ms} ms")))
        .map_err(Failure::Unanswered)
}

/// Connects; for `https` also proves that the server has a certificate for the host of the URL. Until then, nothing of a
/// request is sent, so every error means that nothing was executed.
async fn connect(url: &HandlerUrl, tls: Option<&TlsSource>) -> Result<Box<dyn Stream>, String> {
    let settings = match (url.is_https(), tls) {
        (false, _) => None,
        (true, Some(source)) => Some(source.get()?),
        (true, None) => {
            return Err("https is not possible here, because no TLS settings are given".to_owned());
        }
    };
    let stream = TcpStream::connect((url.host(), url.port()));
    let stream = stream.await.map_err(|error| format!("could not connect: {error}"))?;
    // A failure only costs time.
    let _ = stream.set_nodelay(true);
    let Some(settings) = settings else { return Ok(Box::new(stream)) };
    let name = ServerName::try_from(url.host().to_owned())
        .map_err(|_| "the host of the URL is not a name that a certificate can have".to_owned())?;
    let stream = TlsConnector::from(settings).connect(name, stream).await;
    Ok(Box::new(stream.map_err(|error| format!("the TLS handshake failed: {error}"))?))
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
