//! A minimal HTTP client: it sends what a test requires, and reads the answer.

use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

pub fn get(path: &str) -> String {
    request("GET", path, &[])
}

pub fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> String {
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    for (name, value) in headers {
        for part in [*name, ": ", *value, "\r\n"] {
            request.push_str(part);
        }
    }
    request + "\r\n"
}

/// A request with a body.
pub fn post(path: &str, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Vec<u8> {
    let length = body.as_ref().len().to_string();
    let headers = [headers, &[("Content-Length", &length)]].concat();
    [request("POST", path, &headers).as_bytes(), body.as_ref()].concat()
}

/// An answer, read until the server closed the connection.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub async fn read(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.expect("the server closes after the answer");
        Self::parse(&String::from_utf8(bytes).expect("text"))
    }

    /// Reads to the end of the body that the head announces. A server that does not read a request's body may
    /// cut the connection after its answer.
    pub async fn read_one(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        loop {
            let read = stream.read_buf(&mut bytes).await.expect("an answer comes first");
            let text = String::from_utf8_lossy(&bytes);
            if let Some((_, body)) = text.split_once("\r\n\r\n") {
                let answer = Self::parse(&text);
                let length = answer.header("content-length").and_then(|length| length.parse().ok());
                if length.is_some_and(|length: usize| body.len() >= length) {
                    return answer;
                }
            }
            assert!(read > 0, "the answer broke off: {text}");
        }
    }

    /// Reads to the end of the head, for an answer that does not end; the body is what has arrived until then.
    pub async fn read_head(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        loop {
            let read = stream.read_buf(&mut bytes).await.expect("an answer");
            let text = String::from_utf8_lossy(&bytes);
            if text.contains("\r\n\r\n") {
                return Self::parse(&text);
            }
            assert!(read > 0, "the answer broke off: {text}");
        }
    }

    pub fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status line");
        let headers = lines.map(|line| line.split_once(": ").expect("a header"));
        Self {
            status: status.parse().expect("a status"),
            headers: headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect(),
            body: body.to_owned(),
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }

    /// Asserts an RFC 9457 document of that status.
    #[track_caller]
    pub fn problem(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let body = self.json();
        assert_eq!((&body["status"], &body["type"]), (&json!(status), &json!("about:blank")));
        assert!(body["title"].is_string() && body["detail"].is_string(), "{body}");
        body
    }
}
