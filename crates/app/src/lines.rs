//! [`Lines`]: standard output and standard error of an instance. A separate thread writes them, so that a
//! reader that is slow, stopped or gone neither delays nor ends anything. What does not fit into the queue is
//! dropped and counted.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::thread;
use std::time::Duration;

/// Texts in the queue for a slow reader: some minutes of a busy instance, and about 1 MB.
const QUEUED: usize = 4_096;
/// Longest wait for the last texts to be read when the process ends.
const FLUSH_TIME_MAX: Duration = Duration::from_secs(1);

/// Writes texts in order, in the background. Clones write to the same output.
#[derive(Debug, Clone)]
pub struct Lines {
    queue: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Message {
    Text(Vec<u8>),
    /// Notifies when everything before it was written.
    Flush(Sender<()>),
}

impl Lines {
    /// Writes to `output`, whose name in logs is `name`. Without a thread everything is dropped.
    pub fn to(name: &'static str, output: impl Write + Send + 'static) -> Self {
        let (queue, messages) = sync_channel(QUEUED);
        let dropped = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&dropped);
        let writer = thread::Builder::new().name("output".to_owned());
        // Fails if the system has no thread left, which the election's own start reports.
        let _ = writer.spawn(move || write_all(name, output, &messages, &counted));
        Self { queue, dropped }
    }

    /// Writes a line, or several. Returns at once.
    pub fn line(&self, text: impl std::fmt::Display) {
        self.send(format!("{text}\n").into_bytes());
    }

    /// Waits until everything so far was written, for at most 1 s.
    pub fn flush(&self) {
        let (done, written) = channel();
        // If the queue is full, the output is not being read.
        if self.queue.try_send(Message::Flush(done)).is_ok() {
            let _ = written.recv_timeout(FLUSH_TIME_MAX);
        }
    }

    fn send(&self, text: Vec<u8>) {
        match self.queue.try_send(Message::Text(text)) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// For the logs: each write is a whole line.
impl Write for Lines {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.send(text.to_vec());
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_all(name: &str, mut output: impl Write, messages: &Receiver<Message>, dropped: &AtomicU64) {
    let mut fails = false;
    for message in messages {
        let text = match message {
            Message::Text(text) => text,
            Message::Flush(done) => {
                // The caller stops waiting after a second.
                let _ = done.send(());
                continue;
            }
        };
        let written = output.write_all(&text).and_then(|()| output.flush());
        match (&written, fails) {
            (Ok(()), _) => {
                let lost = dropped.swap(0, Ordering::Relaxed);
                if lost > 0 {
                    tracing::warn!("{name}: {lost} lines were dropped because they were not read in time");
                }
            }
            (Err(error), false) => {
                tracing::warn!("{name} cannot be written; the instance continues: {error}");
            }
            (Err(_), true) => {}
        }
        fails = written.is_err();
        dropped.fetch_add(u64::from(fails), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, pipe};

    #[test]
    fn a_reader_that_does_not_read_delays_nothing_and_gets_what_fits_in_order() {
        let (mut reader, writer) = pipe().expect("a pipe");
        let lines = Lines::to("the pipe", writer);
        // More than the pipe and the queue can hold together: the writer would block for ever.
        for number in 0..QUEUED * 20 {
            lines.line(number);
        }
        drop(lines);
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("the writer ends with its queue");
        let numbers: Vec<usize> = text.lines().map(|line| line.parse().expect("a number")).collect();
        assert!(numbers.len() >= QUEUED && numbers.is_sorted(), "{} lines", numbers.len());
        // The counter is useless here: when the writer runs, it reports the dropped lines and counts from 0.
        assert!(numbers.len() < QUEUED * 20, "the queue has an end");
    }

    #[test]
    fn an_output_that_fails_is_tried_again() {
        struct Full(Sender<usize>, usize);
        impl Write for Full {
            fn write(&mut self, text: &[u8]) -> io::Result<usize> {
                self.1 += 1;
                self.0.send(self.1).expect("the test listens");
                if self.1 > 2 { Ok(text.len()) } else { Err(io::Error::other("full")) }
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (tell, told) = channel();
        let lines = Lines::to("the disk", Full(tell, 0));
        (0..3).for_each(|number| lines.line(number));
        lines.flush();
        assert_eq!(told.try_iter().collect::<Vec<_>>(), [1, 2, 3]);
    }
}
