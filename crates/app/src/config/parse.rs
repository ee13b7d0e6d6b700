//! Parses the texts of settings. Every error says what is allowed, and completes a sentence that begins with
//! "is".

use super::fault::shown;
use adapter_http::HandlerUrl;
use domain::id::{GroupId, InstanceId};
use domain::lease::{TTL_MAX, TTL_MIN};
use domain::metrics::{WINDOW_MAX, WINDOW_MIN};
use domain::recovery::{RELATION_PART_LEN_MAX, RelationName, is_relation_part};
use domain::transport::TlsPolicy;
use std::path::PathBuf;
use std::time::Duration;

/// Shortest heartbeat. More than ten renewals a second would load the store without making anything safer.
pub const HEARTBEAT_MIN: Duration = Duration::from_millis(100);

// The shortest lease leaves room for the shortest heartbeat.
const _: () = assert!(HEARTBEAT_MIN.as_nanos() * 3 <= TTL_MIN.as_nanos());

/// Longest prefix of keys, in characters; every request contains it.
const PREFIX_LEN_MAX: usize = 64;

/// A schema of PostgreSQL, which becomes part of statements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema(String);

impl Schema {
    /// The name, unquoted.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Parses a name. PostgreSQL reserves the names that begin with `pg_`.
    pub fn parse(text: &str) -> Result<Self, String> {
        if is_relation_part(text) && !text.starts_with("pg_") && text != "information_schema" {
            Ok(Self(text.to_owned()))
        } else {
            let one = format!("1 to {RELATION_PART_LEN_MAX} of the characters A-Z a-z 0-9 _, no digit first");
            Err(format!(
                "{}, not the name of a schema: {one}, and not PostgreSQL's own (pg_...)",
                shown(text)
            ))
        }
    }
}

/// A table or view of recovery: `name` or `schema.name`.
pub fn relation(text: &str) -> Result<RelationName, String> {
    RelationName::parse(text).map_err(|_| {
        let one = format!("1 to {RELATION_PART_LEN_MAX} of the characters A-Z a-z 0-9 _, no digit first");
        format!("{}, not NAME or SCHEMA.NAME, each {one}", shown(text))
    })
}

const ID: &str = "1 to 128 of the characters A-Z a-z 0-9 . _ : -";

/// The address to which alerts are posted.
pub fn webhook(text: &str) -> Result<HandlerUrl, String> {
    HandlerUrl::parse(text)
        .map_err(|why| format!("not an address such as http://127.0.0.1:9093/api/v2/alerts: {why}"))
}

/// The name of a Prometheus job.
pub fn job(text: &str) -> Result<String, String> {
    match GroupId::parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(format!("{}, not {ID}", shown(text))),
    }
}

/// The address of the runbooks, for a browser, so https is supported; without a slash at its end.
pub fn runbooks(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._~:/[]".contains(c);
    match rest {
        Some(rest)
            if rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[')
                && rest.chars().all(allowed) =>
        {
            Ok(text.trim_end_matches('/').to_owned())
        }
        // The text is not shown: it may contain a password.
        _ => {
            Err("not an address such as https://wiki.example/runbooks, without a user, a query or a fragment"
                .to_owned())
        }
    }
}

/// The address of a receiver of OTLP.
pub fn otlp(text: &str) -> Result<HandlerUrl, String> {
    let wrong = |why: &str| format!("not an address such as http://127.0.0.1:4318: {why}");
    let path = text.split(['?', '#']).next().unwrap_or(text).trim_end_matches('/');
    if path.ends_with("/v1/metrics") || path.ends_with("/v1/traces") {
        return Err(wrong("leave /v1/metrics or /v1/traces away, both are added to it"));
    }
    HandlerUrl::parse(text).map_err(|why| wrong(&why))
}

/// The name of a group.
pub fn group(text: &str) -> Result<GroupId, String> {
    GroupId::parse(text).map_err(|_| format!("{}, not {ID}", shown(text)))
}

/// The id of an instance.
pub fn instance(text: &str) -> Result<InstanceId, String> {
    InstanceId::parse(text).map_err(|_| format!("{}, not {ID}", shown(text)))
}

/// A prefix of keys. It has the characters of an id, which have no meaning in a pattern or a hash tag.
pub fn prefix(text: &str) -> Result<String, String> {
    match GroupId::parse(text) {
        Ok(_) if text.len() <= PREFIX_LEN_MAX => Ok(text.to_owned()),
        Ok(_) | Err(_) => {
            let allowed = format!("1 to {PREFIX_LEN_MAX} of the characters A-Z a-z 0-9 . _ : -");
            Err(format!("{}, not {allowed}", shown(text)))
        }
    }
}

/// The protection of a connection.
pub fn tls(text: &str) -> Result<TlsPolicy, String> {
    TlsPolicy::parse(text).ok_or_else(|| format!("{}, neither \"required\" nor \"insecure\"", shown(text)))
}

/// The path of a file.
pub fn file(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() || text.contains('\0') || text.contains("://") {
        return Err(format!("{}, not the path of a file", shown(text)));
    }
    Ok(PathBuf::from(text))
}

/// A directory.
pub fn directory(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() || text.contains('\0') {
        return Err(format!("{}, not the path of a directory", shown(text)));
    }
    Ok(PathBuf::from(text))
}

/// The time to live of the lease.
pub fn ttl(text: &str) -> Result<Duration, String> {
    duration(text, TTL_MIN, TTL_MAX)
}

/// The time between renewals. Its upper limit depends on the time to live of the lease.
pub fn heartbeat(text: &str) -> Result<Duration, String> {
    duration(text, HEARTBEAT_MIN, TTL_MAX / 3)
}

/// The number of syncs in the rolling window.
pub fn window(text: &str) -> Result<usize, String> {
    let fits = |window: &usize| (WINDOW_MIN..=WINDOW_MAX).contains(window);
    let window = text.parse().ok().filter(fits);
    window.ok_or_else(|| format!("{}, not a whole number from {WINDOW_MIN} to {WINDOW_MAX}", shown(text)))
}

/// Seconds, with up to three decimals, or a number with its unit: `10`, `10s`, `2.5s`, `1500ms`.
pub fn duration(text: &str, min: Duration, max: Duration) -> Result<Duration, String> {
    let parse =
        |number: &str| number.bytes().all(|b| b.is_ascii_digit()).then(|| number.parse().ok()).flatten();
    let parsed = match text.strip_suffix("ms") {
        Some(number) => parse(number).map(Duration::from_millis),
        None => {
            let seconds = text.strip_suffix('s').unwrap_or(text);
            match seconds.split_once('.') {
                None => parse(seconds).map(Duration::from_secs),
                Some((whole, decimals)) if (1..=3).contains(&decimals.len()) => {
                    parse(whole).zip(parse(&format!("{decimals:0<3}"))).map(|(whole, millis)| {
                        Duration::from_secs(whole).saturating_add(Duration::from_millis(millis))
                    })
                }
                Some(_) => None,
            }
        }
    };
    let fitting = parsed.filter(|duration| (min..=max).contains(duration));
    fitting.ok_or_else(|| {
        let (min, max) = (written(min), written(max));
        format!("{}, not a time from {min} to {max}, written as 10, 10s or 1500ms", shown(text))
    })
}

/// A duration as the configuration writes it. Parts of a millisecond are cut off.
pub fn written(duration: Duration) -> String {
    match duration.subsec_millis() {
        0 => format!("{}s", duration.as_secs()),
        _ => format!("{}ms", duration.as_millis()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_may_have_decimals() {
        let read = |text| duration(text, Duration::ZERO, TTL_MAX).ok().map(|time| time.as_millis());
        for (text, ms) in [("2.0s", 2_000), ("2.0", 2_000), ("2.25s", 2_250), ("0.001s", 1), ("2s", 2_000)] {
            assert_eq!(read(text), Some(ms), "{text}");
        }
        for text in ["2.", ".5s", "2.0001s", "2.0.0", "2.-1s", "-2.0s", "2.0ms", "2,0s", ""] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_receiver_of_otlp_is_an_address_without_a_secret() {
        for fine in ["http://127.0.0.1:4318/", "http://prometheus:9090/api/v1/otlp", "https://h:4318/"] {
            assert_eq!(otlp(fine).map(|url| url.to_string()).as_deref(), Ok(fine));
        }
        for (text, advice) in [
            ("grpc://h:4318/s3cret", "http:// or https://"),
            ("http://s3cret:x@h:4318", "user and password"),
            ("h:4318", "http://"),
            ("", "required"),
            ("http://h:4318/v1/metrics", "leave /v1/metrics or /v1/traces away"),
            ("http://h:4318/v1/traces/?s3cret", "leave /v1/metrics or /v1/traces away"),
        ] {
            let error = otlp(text).expect_err(text);
            assert!(
                error.contains(advice) && error.contains("such as http://127.0.0.1:4318"),
                "{text}: {error}"
            );
            assert!(!error.contains("s3cret"), "{text}: {error}");
        }
    }
}
