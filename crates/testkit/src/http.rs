//! A blocking HTTP client for tests that query a process from outside.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Timeout of a test's own request; generous, because its speed is not under test.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);
/// Largest answer: more than any of our pages, so that an endless answer fails the test instead of filling
/// the memory.
const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Names in lower case, values as sent.
    pub headers: Vec<(String, String)>,
    /// The body as text; bytes that are not UTF-8 are replaced.
    pub body: String,
}

impl Response {
    /// The first header with that name, given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(has, _)| has == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// If it is not JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.body))
    }
}

/// Sends one request to `address` (host and port), on a separate connection. Blocks.
///
/// # Errors
/// If no server listens there, or the answer is not HTTP.
pub fn request(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> std::io::Result<Response> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(ANSWER_TIME_MAX))?;
    // HTTP/1.0: the end of the connection is the end of the body, and nothing is sent in chunks.
    let mut head =
        format!("{method} {path} HTTP/1.0\r\nHost: {address}\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    stream.write_all(format!("{head}\r\n{body}").as_bytes())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    parse(&answer).ok_or_else(|| std::io::Error::other(format!("not HTTP: {answer:.200}")))
}

/// Sends one request with a JSON document to a server that speaks only HTTP/1.1 and states the length of its answer, as
/// ChromeDriver does. Blocks.
///
/// # Errors
/// If no server listens there, or the answer is not complete within `patience`.
pub fn exchange(
    address: &str,
    method: &str,
    path: &str,
    body: &str,
    patience: Duration,
) -> std::io::Result<Response> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(patience))?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Type: application/json; charset=utf-8\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes())?;
    // The server may keep the connection open, so the stated length is the end.
    let mut answer = BufReader::new(stream.take(ANSWER_BYTES_MAX));
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if answer.read_line(&mut head)? == 0 {
            return Err(std::io::Error::other(format!("the answer is cut off: {head}")));
        }
    }
    let mut response = parse(&head).ok_or_else(|| std::io::Error::other(format!("not HTTP: {head:.200}")))?;
    let length = response.header("content-length").and_then(|length| length.parse().ok());
    let mut body = vec![0; length.ok_or_else(|| std::io::Error::other("the answer states no length"))?];
    answer.read_exact(&mut body)?;
    response.body = String::from_utf8_lossy(&body).into_owned();
    Ok(response)
}

fn parse(answer: &str) -> Option<Response> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let status = lines.next()?.strip_prefix("HTTP/")?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    Some(Response { status, headers, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_parsed() {
        let answer =
            "HTTP/1.0 503 Service Unavailable\r\nContent-Type: application/json\r\n\r\n{\"a\": \"b:\\r\\n\"}";
        let response = parse(answer).unwrap();
        assert_eq!((response.status, response.header("content-type")), (503, Some("application/json")));
        assert_eq!(response.json()["a"], "b:\r\n");
        assert_eq!(parse("SSH-2.0-x\r\n\r\n"), None);
    }
}
