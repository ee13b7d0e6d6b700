//! HTTP/1.1 on a connection that is kept open, as a client with frequent requests uses it.

use std::io::{BufRead, BufReader, Error, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Largest answer in bytes: a full page of the list.
const BODY_LEN_MAX: usize = 16 * 1024 * 1024;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body as text.
    pub body: String,
}

/// A connection to one server. It is opened by a request, and again after a failure.
pub struct Wire {
    address: SocketAddr,
    patience: Duration,
    open: Option<BufReader<TcpStream>>,
}

impl Wire {
    /// A server at `address` with the timeout `patience`; nothing is connected yet.
    pub fn new(address: SocketAddr, patience: Duration) -> Self {
        Self { address, patience, open: None }
    }

    /// Sends one request. After an error it is unknown whether the request arrived.
    ///
    /// # Errors
    /// If no server listens there, there is no answer in time, or the answer is not HTTP.
    pub fn ask(&mut self, method: &str, path: &str, body: &str) -> Result<Answer> {
        let mut stream = match self.open.take() {
            Some(stream) => stream,
            None => self.connect()?,
        };
        let (host, length) = (self.address, body.len());
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n");
        stream.get_mut().write_all([head.as_bytes(), body.as_bytes()].concat().as_slice())?;
        let (answer, stays) = read(&mut stream)?;
        self.open = stays.then_some(stream);
        Ok(answer)
    }

    fn connect(&self) -> Result<BufReader<TcpStream>> {
        let stream = TcpStream::connect_timeout(&self.address, self.patience)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(self.patience))?;
        stream.set_write_timeout(Some(self.patience))?;
        Ok(BufReader::new(stream))
    }
}

/// The answer, and whether the connection can be reused.
fn read(stream: &mut BufReader<TcpStream>) -> Result<(Answer, bool)> {
    let first = line(stream)?;
    let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| Error::other(format!("not HTTP: {first:?}")))?;
    let (mut length, mut stays) = (0, true);
    loop {
        let line = line(stream)?;
        let Some((name, value)) = line.split_once(':') else { break };
        match (name.to_ascii_lowercase().as_str(), value.trim()) {
            ("content-length", value) => length = value.parse().unwrap_or(usize::MAX),
            ("connection", "close") => stays = false,
            ("transfer-encoding", _) => return Err(Error::other("an answer in chunks")),
            _ => {}
        }
    }
    if length > BODY_LEN_MAX {
        return Err(Error::other(format!("an answer of {length} bytes")));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok((Answer { status, body: String::from_utf8_lossy(&body).into_owned() }, stays))
}

/// A line without its end; a line that the end of the connection cut is an error.
fn line(stream: &mut BufReader<TcpStream>) -> Result<String> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let whole = line.strip_suffix('\n').ok_or_else(|| Error::other("the connection was closed"))?;
    Ok(whole.trim_end_matches('\r').to_owned())
}
