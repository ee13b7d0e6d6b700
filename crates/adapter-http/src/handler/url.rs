//! [`HandlerUrl`]: the address of a service.

use domain::ledger::Fingerprint;
use hyper::Uri;
use std::fmt;

const NO_HOST: &str = "a host is required after the scheme";

/// An `http` or `https` URL: host, port, path and query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandlerUrl {
    scheme: Scheme,
    /// Host for a connection; an IPv6 address has no brackets.
    host: String,
    port: u16,
    /// Host and port as written, for the Host header.
    authority: String,
    path: String,
    query: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

impl Scheme {
    fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
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
        let scheme = match uri.scheme_str() {
            Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            Some(_) | None => return wrong("a URL that begins with http:// or https:// is required"),
        };
        let Some(authority) = uri.authority() else { return wrong(NO_HOST) };
        if authority.as_str().contains('@') {
            return wrong(
                "the URL must not contain a user and password, because it is shown in logs and on pages: a bearer token \
                 or a signature identifies this instance instead (signals.handler_token_file, signals.handler_key_file)",
            );
        }
        let host = authority.host();
        let port = match authority.as_str()[host.len()..].strip_prefix(':') {
            None => scheme.default_port(),
            Some(port) => match port.parse() {
                Ok(port) if port > 0 => port,
                _ => return wrong("a port from 1 to 65535 is required after the host"),
            },
        };
        let name = host.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(host);
        if name.is_empty() {
            return wrong(NO_HOST);
        }
        Ok(Self {
            scheme,
            host: name.to_owned(),
            port,
            authority: authority.to_string(),
            path: uri.path().to_owned(),
            query: uri.query().map(ToOwned::to_owned),
        })
    }

    /// Whether the connection uses TLS.
    pub fn is_https(&self) -> bool {
        self.scheme == Scheme::Https
    }

    /// Name or address of the host; an IPv6 address has no brackets.
    pub fn host(&self) -> &str {
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
        write!(f, "{}://{}{}", self.scheme.as_str(), self.authority, self.target())
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
            ("https://broker.example/orders", "broker.example", 443, "/orders"),
            ("https://[::1]:8443/", "::1", 8443, "/"),
        ] {
            let url = HandlerUrl::parse(text).expect(text);
            assert_eq!((url.host(), url.port(), url.target().as_str()), (host, port, target), "{text}");
            assert_eq!(url.is_https(), text.starts_with("https"), "{text}");
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
            ("http://user:s3cret@h/", "signals.handler_token_file"),
            ("https://user:s3cret@h/", "user and password"),
            ("http://s3cret@h/", "user and password"),
            ("ftp://s3cret/", "begins with http:// or https://"),
            ("/s3cret", "begins with http:// or https://"),
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
