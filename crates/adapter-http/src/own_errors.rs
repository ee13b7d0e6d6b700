//! [`OwnErrors`]: a stream that adds our headers to the answers that hyper writes itself: 400, 414 and 431 for a head
//! that it cannot read. hyper has no setting for them.
//!
//! Such an answer is one write of a whole head without a body and without our headers. Every answer of a route has our
//! headers, so it passes unchanged.

use crate::headers;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Largest head that hyper writes itself, in bytes; more than it needs.
const HEAD_LEN_MAX: usize = 256;

pub(crate) struct OwnErrors<S> {
    stream: S,
    /// The rest of a changed answer, and the length of the original.
    unsent: Option<(Vec<u8>, usize)>,
}

impl<S> OwnErrors<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, unsent: None }
    }
}

/// The answer with our headers if hyper wrote it itself.
fn with_headers(written: &[u8]) -> Option<Vec<u8>> {
    if written.len() > HEAD_LEN_MAX || !written.starts_with(b"HTTP/1.1 4") {
        return None;
    }
    let head = std::str::from_utf8(written).ok()?.strip_suffix("\r\n\r\n")?;
    let is_bare = head.contains("\r\ncontent-length: 0") && !head.contains("\r\nx-content-type-options");
    let is_head = !head.contains("\r\n\r\n");
    (is_bare && is_head).then(|| format!("{head}\r\n{}\r\n", headers::lines()).into_bytes())
}

impl<S: AsyncWrite + Unpin> OwnErrors<S> {
    /// Writes the rest of a changed answer. Returns the length of the original once all of it is written.
    fn poll_unsent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<usize>>> {
        let Some((unsent, original)) = &mut self.unsent else { return Poll::Ready(Ok(None)) };
        while !unsent.is_empty() {
            let sent = ready!(Pin::new(&mut self.stream).poll_write(cx, unsent))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            unsent.drain(..sent);
        }
        let original = *original;
        self.unsent = None;
        Poll::Ready(Ok(Some(original)))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for OwnErrors<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        if self.unsent.is_none() {
            self.unsent = with_headers(data).map(|changed| (changed, data.len()));
        }
        match ready!(self.poll_unsent(cx))? {
            Some(original) => Poll::Ready(Ok(original)),
            None => Pin::new(&mut self.stream).poll_write(cx, data),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    /// hyper writes its own answers as one slice.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut filled = data.iter().filter(|slice| !slice.is_empty());
        match (filled.next(), filled.next()) {
            (Some(only), None) => self.poll_write(cx, only),
            _ => Pin::new(&mut self.stream).poll_write_vectored(cx, data),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for OwnErrors<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_of_hyper_itself_is_changed() {
        let own = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\ndate: now\r\n\r\n";
        let changed = String::from_utf8(with_headers(own.as_bytes()).expect("changed")).expect("text");
        assert!(changed.starts_with("HTTP/1.1 400 Bad Request\r\nconnection: close\r\n"), "{changed}");
        assert!(changed.contains("\r\nx-content-type-options: nosniff\r\n") && changed.ends_with("\r\n\r\n"));
        assert_eq!(with_headers(changed.as_bytes()), None, "once");
        for other in [
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}",
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nx-content-type-options: nosniff\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n",
            "{}",
            "",
        ] {
            assert_eq!(with_headers(other.as_bytes()), None, "{other:?}");
        }
    }
}
