//! [`HandlerUrl`]: the address of a service.

use domain::ledger::Fingerprint;
use hyper::Uri;
use std::fmt;

/// HTTP's default port.
const PORT_DEFAULT: u16 = 80;

/// An `http` URL: host, port, path and query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandlerUrl {
    /// Host for a connection; an IPv6 address has no brackets.
    host: String,
    port: u16,
    /// Host and port as written, for the Host header.
    authority: String,
    path: String,
    query: Option<String>,
}

impl HandlerUrl {
    /// Parses a URL. The error says what is required, on one line, and repeats nothing of the URL, which may
    /// contain a secret.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |wanted: &str| Err(wanted.to_owned());
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return wrong(
                "a URL of printable ASCII without spaces is required; percent-encode everything else",
            );
        }
        if text.contains('#') {
            return wrong("a URL without a # part is required: that part is never sent");
        }
        let Ok(uri) = text.parse::<Uri>() else {
            return wrong("that is no URL; one like http://127.0.0.1:8080/execute is required");
        };
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => {
                return wrong(
                    "https is not supported here: let a proxy on this host speak TLS to the service, and name \
                     the proxy's http address",
                );
            }
            Some(_) | None => return wrong("a URL that begins with http:// is required"),
        }
        let Some(authority) = uri.authority() else { return wrong("a host is required after http://") };
        if authority.as_str().contains('@') {
            return wrong(
                "the URL must not contain a user and password, because it is shown in logs and on pages: let the \
                 service listen on an address that only this host can reach, or let a proxy on this host add them",
            );
        }
        let host = authority.host();
        let port = match authority.as_str()[host.len()..].strip_prefix(':') {
            None => PORT_DEFAULT,
            Some(port) => match port.parse() {
                Ok(port) if port > 0 => port,
                _ => return wrong("a port from 1 to 65535 is required after the host"),
            },
        };
        let name = host.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(host);
        if name.is_empty() {
            return wrong("a host is required after http://");
        }
        Ok(Self {
            host: name.to_owned(),
            port,
            authority: authority.to_string(),
            path: uri.path().to_owned(),
            query: uri.query().map(ToOwned::to_owned),
        })
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    /// Path and query, as in the first line of a request.
    pub(crate) fn target(&self) -> String {
        self.with_query(self.path.clone())
    }

    /// Path and query for the lookup of a signal under this URL.
    pub(super) fn target_of(&self, fingerprint: &Fingerprint) -> String {
        self.target_below(&format!("/{fingerprint}"))
    }

    /// Path and query for a path under this URL.
    pub(crate) fn target_below(&self, path: &str) -> String {
        self.with_query(format!("{}{path}", self.path.trim_end_matches('/')))
    }

    fn with_query(&self, path: String) -> String {
        match &self.query {
            Some(query) => path + "?" + query,
            None => path,
        }
    }
}

impl fmt::Display for HandlerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.target())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart_and_written_back() {
        for (text, host, port, target) in [
            ("http://127.0.0.1:8080/execute", "127.0.0.1", 8080, "/execute"),
            ("http://broker/orders/?desk=1&x=%20", "broker", 80, "/orders/?desk=1&x=%20"),
            ("http://[::1]:9/", "::1", 9, "/"),
            ("HTTP://Broker.example:65535", "Broker.example", 65_535, "/"),
        ] {
            let url = HandlerUrl::parse(text).expect(text);
            assert_eq!((url.host(), url.port(), url.target().as_str()), (host, port, target), "{text}");
            assert_eq!(HandlerUrl::parse(&url.to_string()), Ok(url), "{text}");
        }
    }

    #[test]
    fn a_signal_is_looked_up_below_the_path() {
        let label = |text| domain::ledger::Label::parse(text).expect("a label");
        let fingerprint = Fingerprint::of(&domain::ledger::Instruction {
            instrument: label("NIFTY"),
            signal_type: label("EXIT"),
            position: label("Long_1"),
            timestamp_s: 1,
            payload: "{}".to_owned(),
            expires_ms: None,
        });
        for (text, expected) in [
            ("http://h", format!("/{fingerprint}")),
            ("http://h/", format!("/{fingerprint}")),
            ("http://h/orders/?desk=1", format!("/orders/{fingerprint}?desk=1")),
        ] {
            assert_eq!(HandlerUrl::parse(text).expect(text).target_of(&fingerprint), expected);
        }
    }

    #[test]
    fn everything_else_is_refused_with_advice_and_without_the_url() {
        for (text, advice) in [
            ("https://s3cret.example/", "let a proxy on this host"),
            ("http://user:s3cret@h/", "let a proxy on this host"),
            ("http://s3cret@h/", "user and password"),
            ("ftp://s3cret/", "begins with http://"),
            ("/s3cret", "begins with http://"),
            ("s3cret:8080", "http://"),
            ("http:///s3cret", "required"),
            ("http://:80/s3cret", "required"),
            ("http://s3cret:/", "a port from 1 to 65535"),
            ("http://s3cret:0/", "a port from 1 to 65535"),
            ("http://s3cret:65536/", "a port from 1 to 65535"),
            ("http://s3cret:x/", "required"),
            ("http://h/s3cret#x", "# part"),
            ("http://h/ s3cret", "printable ASCII"),
            ("http://h/s3cret\r\nX: y", "printable ASCII"),
            ("http://h/₹s3cret", "printable ASCII"),
            ("http://[s3cret/", "required"),
            ("", "required"),
        ] {
            let error = HandlerUrl::parse(text).expect_err(text);
            assert!(error.contains(advice) && !error.contains("s3cret"), "{text}: {error}");
        }
    }
}
