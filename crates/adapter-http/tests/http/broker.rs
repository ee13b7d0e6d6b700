//! A service that does with a connection what a test wants, and remembers what it was asked.

use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What it does with every connection.
#[derive(Clone)]
pub enum Does {
    /// Reads the request, writes this, and closes.
    Answers(Vec<u8>),
    /// Closes without a look at the request.
    CutsAtOnce,
    /// Reads the request and closes.
    CutsAfterReading,
    /// Reads the request, writes this, and goes on for ever.
    Stalls(Vec<u8>),
    /// Reads the request, and then writes for ever.
    Babbles,
}

/// The service; it ends with this value.
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

    /// Every connection's request as it came; empty for one that was not read.
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
            // The client may have gone.
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

/// The head and as much of a body as it announces.
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
