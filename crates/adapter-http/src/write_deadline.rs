//! [`WriteDeadline`]: a stream whose other end must continue to read.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// Slowest reader in bytes per second. What fits into the buffers of the kernel needs no reader.
const RATE_MIN: u64 = 16 * 1024;

/// Fails a write when the client has let the server wait for too long in total. Each byte that the client accepts gives
/// it time back, as much as a reader at the slowest rate needs for it. Otherwise a client that never reads, or reads a
/// byte now and then, would hold its connection, and the answer, for ever.
pub(crate) struct WriteDeadline<S> {
    stream: S,
    after: Duration,
    /// Time that the server still waits.
    left: Duration,
    /// Runs while a write waits, since that time.
    deadline: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl<S> WriteDeadline<S> {
    pub(crate) fn new(stream: S, after: Duration) -> Self {
        Self { stream, after, left: after, deadline: None }
    }

    /// Passes on a finished operation that moved `sent` bytes. An unfinished one fails after it has waited too long.
    fn within<T>(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<T>>,
        sent: impl Fn(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(result) = result {
            if let Some((since, _)) = self.deadline.take() {
                self.left = self.left.saturating_sub(since.elapsed());
            }
            let sent = result.as_ref().map_or(0, |value| sent(value) as u64);
            let earned = Duration::from_micros(sent.saturating_mul(1_000_000) / RATE_MIN);
            self.left = self.left.saturating_add(earned).min(self.after);
            return Poll::Ready(result);
        }
        let left = self.left;
        let (_, deadline) = self.deadline.get_or_insert_with(|| (Instant::now(), Box::pin(sleep(left))));
        ready!(deadline.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteDeadline<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, data);
        self.within(cx, result, |sent| *sent)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        self.within(cx, result, |()| 0)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.within(cx, result, |()| 0)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, data);
        self.within(cx, result, |sent| *sent)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteDeadline<S> {
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
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    const AFTER: Duration = Duration::from_secs(5);

    /// Whether a client that reads `len` bytes each second receives all of a megabyte.
    async fn is_served(len: usize) -> bool {
        let (server, mut client) = duplex(1024);
        let writing = tokio::spawn(async move {
            WriteDeadline::new(server, AFTER).write_all(&vec![b'x'; 1024 * 1024]).await.is_ok()
        });
        let mut read = vec![0; len];
        while client.read_exact(&mut read).await.is_ok() {
            // Virtual time: how fast this client reads.
            sleep(Duration::from_secs(1)).await;
        }
        writing.await.expect("no panic")
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_is_cut_and_one_that_keeps_up_is_not() {
        assert!(is_served(32 * 1024).await);
        assert!(!is_served(1).await);
        assert!(!is_served(8 * 1024).await);
    }
}
