//! The blocking HTTP client of the tests, which queries a process from outside.

use std::io::{Error, Result};
use std::time::Duration;
use ureq::http::Request;
use ureq::{Agent, AsSendBody};

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

/// A client of one server. It keeps its connection open between requests, as a client with frequent requests does.
#[derive(Debug, Clone)]
pub struct Client {
    address: String,
    agent: Agent,
}

impl Client {
    /// A client of the server at `address` (host and port) that waits at most `patience` for a whole answer. Nothing is
    /// connected yet.
    pub fn new(address: impl Into<String>, patience: Duration) -> Self {
        let config = Agent::config_builder()
            .timeout_global(Some(patience))
            // What the server says is the answer, whatever its status.
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .build();
        Self { address: address.into(), agent: config.into() }
    }

    /// Sends one request. Blocks. After an error it is unknown whether the request arrived.
    ///
    /// # Errors
    /// If no server listens there, the answer is not HTTP, or it is not complete in time.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Result<Response> {
        // GET and HEAD have no body.
        if body.is_empty() && method != "POST" {
            self.run(method, path, headers, ())
        } else {
            self.run(method, path, headers, body)
        }
    }

    fn run(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl AsSendBody,
    ) -> Result<Response> {
        let request = Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let request = request.body(body).map_err(Error::other)?;
        let mut answer = self.agent.run(request).map_err(ureq::Error::into_io)?;
        let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        let body = body.map_err(ureq::Error::into_io)?;
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let headers = answer.headers().iter();
        let headers = headers.map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect();
        Ok(Response { status: answer.status().as_u16(), headers, body: text(&body) })
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
) -> Result<Response> {
    Client::new(address, ANSWER_TIME_MAX).send(method, path, headers, body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;

    /// Serves one connection with these answers, one for each request without a body, and returns the client.
    fn server(answers: &'static [&'static str]) -> Client {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            let mut stream = BufReader::new(listener.accept().unwrap().0);
            for answer in answers {
                let mut line = String::new();
                while line != "\r\n" {
                    line.clear();
                    stream.read_line(&mut line).unwrap();
                }
                stream.get_mut().write_all(answer.as_bytes()).unwrap();
            }
        });
        Client::new(address, ANSWER_TIME_MAX)
    }

    #[test]
    fn an_answer_of_any_status_is_returned() {
        let client = server(&[
            "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n\
             {\"a\": \"b:\\r\\n\"}",
            "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        ]);
        let response = client.send("GET", "/", &[], "").unwrap();
        assert_eq!((response.status, response.header("content-type")), (503, Some("application/json")));
        assert_eq!(response.json()["a"], "b:\r\n");
        // On the same connection, and the redirect is not followed.
        assert_eq!(client.send("GET", "/", &[], "").unwrap().status, 302);
    }

    #[test]
    fn what_is_not_http_is_an_error() {
        server(&["SSH-2.0-x\r\n\r\n"]).send("GET", "/", &[], "").unwrap_err();
    }
}
