//! [`Broker`]: a service that handles connections as a test requires, and records the requests.

use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Treatment of every connection.
#[derive(Clone)]
pub enum Does {
    /// Reads the request, writes this, and closes.
    Answers(Vec<u8>),
    /// Closes without reading the request.
    CutsAtOnce,
    /// Reads the request and closes.
    CutsAfterReading,
    /// Reads the request, writes this, and keeps the connection open for ever.
    Stalls(Vec<u8>),
    /// Reads the request, and then writes for ever.
    Babbles,
}

/// The service; it ends when this value is dropped.
pub struct Broker {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Broker {
    pub async fn start(does: Does) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let asked = Arc::default();
        let task = tokio::spawn(serve(listener, does, Arc::clone(&asked)));
        Self { port, asked, task }
    }

    /// Answers with this status and body.
    pub async fn answering(status: &str, body: &str) -> Self {
        let length = body.len();
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}");
        Self::start(Does::Answers(answer.into_bytes())).await
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Every connection's request as it arrived; empty if it was not read.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no panic").clone()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, does: Does, asked: Arc<Mutex<Vec<String>>>) {
    let mut stalled = Vec::new();
    loop {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let request = match does {
            Does::CutsAtOnce => String::new(),
            _ => read(&mut stream).await,
        };
        asked.lock().expect("no panic").push(request);
        match &does {
            Does::CutsAtOnce | Does::CutsAfterReading => {}
            // The client may have disconnected.
            Does::Answers(bytes) => drop(stream.write_all(bytes).await),
            Does::Stalls(bytes) => {
                drop(stream.write_all(bytes).await);
                stalled.push(stream);
            }
            Does::Babbles => {
                let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
                drop(stream.write_all(head.as_bytes()).await);
                while stream.write_all(b"8\r\n        \r\n").await.is_ok() {}
            }
        }
    }
}

/// Reads the head, and the body to the announced length.
async fn read(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().expect("a length")) {
                return text;
            }
        }
        if stream.read_buf(&mut bytes).await.expect("a request") == 0 {
            return text;
        }
    }
}
