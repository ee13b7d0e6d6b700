//! Translation of sqlx's errors: what the caller may conclude. No message contains a password: the server
//! never sends one, and URLs are not quoted.

use crate::database::POOLER;
use domain::ports::StoreError;
use domain::recovery::RelationName;
use sqlx::Error;
use sqlx::postgres::{PgDatabaseError, PgSeverity};

/// Longest text of the server that a message quotes, in characters.
const MESSAGE_LEN_MAX: usize = 300;

/// Advice by a part of an error of TLS. A third party in between causes each of them too.
const TLS: [(&str, &str); 4] = [
    ("UnknownIssuer", " (no trusted authority issued this certificate: name its authority with sslrootcert)"),
    ("not valid for name", " (the certificate is that of another host: use a name of it in the URL)"),
    ("certificate expired", " (renew the certificate of the server, or correct the clock of this host)"),
    ("does not support TLS", " (set ssl = on in postgresql.conf)"),
];

/// The reason why a session could not be opened. No request was sent yet, so no outcome is in doubt.
pub(crate) fn while_connecting(error: &Error) -> String {
    let Error::Database(reported) = error else {
        let text = error.to_string();
        let advice = TLS.iter().find(|(sign, _)| text.contains(sign)).map(|(_, advice)| *advice);
        return shortened(&text) + advice.unwrap_or_default();
    };
    let code = reported.code().unwrap_or_default().into_owned();
    let advice = match code.as_str() {
        "28P01" | "28000" => " (check user, password and pg_hba.conf)",
        "3D000" => " (create the database, or correct its name in the URL)",
        "42501" => " (GRANT CONNECT to this role)",
        "53300" => " (raise max_connections, or find the clients that hold too many)",
        "26000" | "42P05" => return format!("{} [{code}]: {POOLER}", shortened(reported.message())),
        "08P01" if reported.message().contains("startup parameter") => {
            " (PgBouncer: leave `options` out of the URL, or name it in ignore_startup_parameters)"
        }
        "57P03" => " (starting up or shutting down: wait)",
        _ => "",
    };
    format!("{} [{code}]{advice}", shortened(reported.message()))
}

/// Translates the failure of a statement that was sent.
///
/// An answer of severity ERROR means that the statement was rolled back. After any other failure (a broken
/// connection, FATAL, PANIC) it is unknown whether the server had committed.
pub(crate) fn after_sending(error: &Error) -> StoreError {
    match error {
        Error::Database(reported) => match reported.try_downcast_ref::<PgDatabaseError>() {
            Some(reported) => reported_by_server(reported),
            None => StoreError::Unknown(shortened(reported.message())),
        },
        // The value does not fit its Rust type, so the schema is not ours.
        Error::ColumnDecode { .. }
        | Error::ColumnNotFound(_)
        | Error::ColumnIndexOutOfBounds { .. }
        | Error::Decode(_)
        | Error::TypeNotFound { .. }
        | Error::RowNotFound => StoreError::Corrupt(shortened(&error.to_string())),
        // The argument could not be encoded, so nothing was sent.
        Error::Encode(_) | Error::InvalidArgument(_) => {
            StoreError::Unavailable(shortened(&error.to_string()))
        }
        other => StoreError::Unknown(shortened(&other.to_string())),
    }
}

/// Translates the failure of a read of a recovery relation. A missing relation or column is named, because
/// the team must repair it.
pub(crate) fn while_recovering(error: &Error, relation: &RelationName) -> StoreError {
    match error {
        Error::Database(reported)
            if matches!(reported.code().as_deref(), Some("42P01" | "42703" | "3F000")) =>
        {
            StoreError::Corrupt(format!("recovery relation {relation}: {}", shortened(reported.message())))
        }
        other => after_sending(other),
    }
}

fn reported_by_server(reported: &PgDatabaseError) -> StoreError {
    let (code, text) = (reported.code(), shortened(reported.message()));
    let message = format!("{text} [{code}]");
    // A prepared statement that another client's session has, or a transaction that the pooler does not keep
    // in one session.
    if matches!(code, "26000" | "42P05") || code == "08P01" && text.contains("statement pooling mode") {
        return StoreError::Unknown(format!("{message}: {POOLER}"));
    }
    if !matches!(reported.severity(), PgSeverity::Error) {
        return StoreError::Unknown(format!("the server ended the session: {message}"));
    }
    match code {
        // The timeline of a standby cannot be read.
        "55000" => StoreError::Unavailable(format!("PostgreSQL is a standby (read-only): {message}")),
        // A session that was opened on a primary. The next one is asked which of the two it is.
        "25006" => StoreError::Unavailable(format!(
            "PostgreSQL is read-only (default_transaction_read_only is on, or it became a standby): {message}"
        )),
        "42501" => {
            StoreError::Unavailable(format!("this role lacks a right (see the shipped GRANTs): {message}"))
        }
        // Timeouts of the server and of poolers, deadlocks, serialisation failures. The server itself has
        // rolled back, but a pooler sends 57014 and 08xxx too, and after a timeout the caller must request
        // again. Unknown leads to that, and is never wrong.
        "55P03" | "57014" | "40001" | "40P01" => {
            StoreError::Unknown(format!("a lock or a timeout: {message}"))
        }
        // The class of the code. `get`, because a pooler may send any text as a code.
        _ => match code.get(..2) {
            // Our statements are fixed, so what they name or create is not as this version needs it. A definite refusal.
            Some("42" | "3F") => StoreError::Corrupt(format!(
                "the schema is not ours (`coordinator migrate --check` says what is wrong): {message}"
            )),
            // Data exceptions and constraints: a value in the tables that cannot be worked with.
            Some("22" | "23") => StoreError::Corrupt(message),
            // Out of disk, memory or connections; a foreign server that is away. Rolled back.
            Some("53" | "HV") => StoreError::Unavailable(message),
            Some(_) | None => StoreError::Unknown(message),
        },
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(MESSAGE_LEN_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_of_tls_says_what_to_do() {
        let refused = |text: &str| while_connecting(&Error::Tls(text.to_owned().into()));
        for (text, advice) in [
            ("invalid peer certificate: UnknownIssuer", "sslrootcert"),
            ("invalid peer certificate: certificate not valid for name \"db\"", "that of another host"),
            ("invalid peer certificate: certificate expired: verification time 2", "renew the certificate"),
            ("server does not support TLS", "ssl = on"),
        ] {
            let message = refused(text);
            assert!(message.contains(text) && message.contains(advice), "{message}");
        }
    }
}
