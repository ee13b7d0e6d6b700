//! The section `[signals]`: the handler of signals, and its limits.

use super::fault::shown;
use super::protection::{client_tls, source};
use super::{Key, parse, url_file};
use adapter_http::{Credentials, HandlerUrl, Source, TlsSource};
use coordinator::{HANDLER_TIME_DEFAULT, RETENTION_DEFAULT, RETENTION_MIN};
use domain::ledger::Limits;
use domain::transport::TlsPolicy;
use leader_coordinator::ClientTls;
use rust_decimal::Decimal;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Shortest timeout of a handler.
pub const HANDLER_TIME_MIN: Duration = Duration::from_millis(100);
/// Longest timeout of a handler. A handler that takes longer answers "sent" and reports the result later.
pub const HANDLER_TIME_MAX: Duration = Duration::from_mins(5);
/// Longest retention, in days: ten years.
pub const RETENTION_DAYS_MAX: u64 = 3_653;
/// Shortest retention, in days.
pub const RETENTION_DAYS_MIN: u64 = RETENTION_MIN.as_secs() / SECONDS_A_DAY;
const SECONDS_A_DAY: u64 = 24 * 60 * 60;

/// Settings of the section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signals {
    /// The URL to which signals are sent; `None`: a service pulls them.
    pub handler: Option<HandlerUrl>,
    /// The URL of the lookup for signals in doubt; `None`: the operator resolves them.
    pub lookup: Option<HandlerUrl>,
    /// Timeout of the handler.
    pub handler_timeout: Duration,
    /// Protection of the connection to the handler, and how the two sides identify each other.
    pub protection: HandlerProtection,
    /// Limits on the number of signals.
    pub limits: Limits,
    /// Amount that one signal puts at risk, in rupees.
    pub value_rupees: Decimal,
    /// Retention of finished signals.
    pub retention: Duration,
}

/// TLS and credentials of the handler.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HandlerProtection {
    /// Whether a handler on another host needs `https`.
    pub tls: TlsPolicy,
    /// File of its authorities; `None`: those of the system.
    pub ca: Option<PathBuf>,
    /// File of the certificate that the handler asks for.
    pub certificate: Option<PathBuf>,
    /// File of the key of that certificate.
    pub certificate_key: Option<PathBuf>,
    /// File of the bearer token.
    pub token_file: Option<PathBuf>,
    /// File of the key of the signature.
    pub key_file: Option<PathBuf>,
}

impl HandlerProtection {
    /// The settings of files of TLS.
    pub const FILES: [Key; 3] =
        [Key::SignalsHandlerCa, Key::SignalsHandlerCertificate, Key::SignalsHandlerKeyOfCertificate];

    /// The files of TLS.
    pub fn client_tls(&self) -> ClientTls {
        client_tls(self.ca.as_ref(), self.certificate.as_ref(), self.certificate_key.as_ref())
    }

    /// The TLS settings of the next connection.
    pub fn tls_source(&self) -> TlsSource {
        source(self.client_tls())
    }

    /// The secrets of the next request.
    pub fn credentials(&self) -> Credentials {
        let read = |path: &Option<PathBuf>| path.clone().map(|path| Source::new(move || secret(&path)));
        Credentials { token: read(&self.token_file), key: read(&self.key_file) }
    }
}

/// Reads the one line of a file with a secret.
///
/// # Errors
/// The fault of the file and the remedy, as a sentence.
pub(super) fn secret(path: &Path) -> Result<String, String> {
    let text = path.to_str().ok_or("the path of a secret is not UTF-8 text")?;
    url_file::read(text).map_err(|what| format!("the secret of the handler is {what}"))
}

impl Signals {
    pub const HANDLER_TIMEOUT_DEFAULT: Duration = HANDLER_TIME_DEFAULT;
    pub const RETENTION_DEFAULT: Duration = RETENTION_DEFAULT;
    pub const LIMITS_DEFAULT: Limits = Limits::DEFAULT;

    /// The retention in whole days, as in the file.
    pub fn retention_days(&self) -> u64 {
        self.retention.as_secs() / SECONDS_A_DAY
    }
}

/// The URL of a handler.
pub fn url(text: &str) -> Result<HandlerUrl, String> {
    HandlerUrl::parse(text).map_err(|why| format!("not a handler's address: {why}"))
}

/// The timeout of a handler.
pub fn handler_timeout(text: &str) -> Result<Duration, String> {
    parse::duration(text, HANDLER_TIME_MIN, HANDLER_TIME_MAX)
}

/// The word for "no limit", also in the file.
pub const NO_LIMIT: &str = "none";

/// A number of signals; `None` for no limit.
pub fn limit(text: &str) -> Result<Option<u32>, String> {
    if text == NO_LIMIT {
        return Ok(None);
    }
    let number = text.parse().map(Some);
    number.map_err(|_| format!("{}, not a whole number of signals, nor {NO_LIMIT:?}", shown(text)))
}

/// An amount of rupees, exact.
pub fn rupees(text: &str) -> Result<Decimal, String> {
    let amount = text.parse::<Decimal>().ok().filter(|amount| !amount.is_sign_negative());
    amount.ok_or_else(|| format!("{}, not an amount in rupees such as 100000 or \"99999.50\"", shown(text)))
}

/// Days, as a duration.
pub fn retention(text: &str) -> Result<Duration, String> {
    let min = RETENTION_DAYS_MIN;
    let days = text.parse().ok().filter(|days| (min..=RETENTION_DAYS_MAX).contains(days));
    let days: u64 = days.ok_or_else(|| {
        format!("{}, not a whole number of days from {min} to {RETENTION_DAYS_MAX}", shown(text))
    })?;
    Ok(Duration::from_secs(days * SECONDS_A_DAY))
}
