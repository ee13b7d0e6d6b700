//! Access: which client may use which route. An instance without an [`Access`] needs no credential, as on the loopback
//! address of a machine with a single user.
//!
//! | file | what it is |
//! |---|---|
//! | [`role`] | the roles, and which of them include which |
//! | [`routes`] | the one table of routes and their roles |
//! | [`token`] | tokens and their hashes |
//! | [`credential`] | names with their roles and proofs |
//! | [`attempts`] | failed attempts of each address |

pub(crate) mod attempts;
mod credential;
mod role;
pub(crate) mod routes;
mod token;

pub use credential::{Credential, Proof};
pub use role::Role;
pub use token::{Token, TokenHash};

use crate::caller::Caller;
use crate::pages::Clients;
use crate::problem::Problem;
use attempts::{Attempts, FAILURES_MAX, too_many};
use axum::extract::{MatchedPath, NestedPath, Request};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use domain::metrics::AccessRefusal;
use jiff::Timestamp;
use routes::{Need, Protection};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::time::Instant;

/// The schemes that a client can use. A browser prompts for `Basic` and repeats it with every request of the page.
const CHALLENGES: [HeaderValue; 2] = [
    HeaderValue::from_static("Bearer realm=\"coordinator\""),
    HeaderValue::from_static("Basic realm=\"coordinator\", charset=\"UTF-8\""),
];

/// The credentials that requests need. They can be replaced while the instance runs.
#[derive(Debug)]
pub struct Access {
    credentials: RwLock<Arc<[Credential]>>,
    attempts: Attempts,
}

/// A request that was refused for its credential.
pub(crate) struct Denied {
    pub(crate) why: AccessRefusal,
    pub(crate) response: Box<Response>,
}

/// The credential in a request.
enum Presented {
    Nothing,
    /// One that no credential can match.
    Malformed,
    Token(Token),
}

impl Access {
    /// Every route except the probes and the hooks needs one of these credentials.
    pub fn new(credentials: impl Into<Arc<[Credential]>>) -> Self {
        Self { credentials: RwLock::new(credentials.into()), attempts: Attempts::default() }
    }

    /// Replaces the credentials, for the next request.
    pub fn replace(&self, credentials: impl Into<Arc<[Credential]>>) {
        *self.credentials.write().unwrap_or_else(PoisonError::into_inner) = credentials.into();
    }

    /// The name of the credential if it permits the request; `None` for a probe and for a hook, which need none.
    pub(crate) fn admit(&self, request: &Request, caller: &Caller) -> Result<Option<Arc<str>>, Denied> {
        let need = need(request);
        if matches!(need, Need::Route(Protection::Role(Role::Probe) | Protection::HookSecret)) {
            return Ok(None);
        }
        let all = Arc::clone(&self.credentials.read().unwrap_or_else(PoisonError::into_inner));
        let found = match (presented(request.headers()), &caller.certificate) {
            (Presented::Token(token), _) => credential::of_token(&all, &token),
            (Presented::Malformed, _) => None,
            (Presented::Nothing, Some(certificate)) => credential::of_certificate(&all, certificate),
            (Presented::Nothing, None) => {
                return Err(unauthorized(
                    AccessRefusal::Missing,
                    "a credential is required: send `Authorization: Bearer TOKEN`, or HTTP Basic with the token as \
                     the password",
                ));
            }
        };
        let Some(credential) = found else {
            return Err(self.failed(caller, AccessRefusal::Unknown, "the credential is not known here"));
        };
        if credential.expires_ms.is_some_and(|end_ms| end_ms <= Timestamp::now().as_millisecond()) {
            let detail = format!("the credential {} has expired: it needs a new token", credential.name);
            return Err(self.failed(caller, AccessRefusal::Expired, &detail));
        }
        match need {
            Need::Route(Protection::Role(role)) if !credential.permits(role) => {
                Err(forbidden(credential, role))
            }
            Need::Any | Need::Route(Protection::Role(_) | Protection::HookSecret) => {
                Ok(Some(Arc::clone(&credential.name)))
            }
            Need::Unlisted => {
                let problem = Problem::new(StatusCode::FORBIDDEN, "no role permits this route");
                Err(Denied { why: AccessRefusal::Role, response: Box::new(problem.into_response()) })
            }
        }
    }

    /// 401, or 429 after too many failures of the address.
    fn failed(&self, caller: &Caller, why: AccessRefusal, detail: &str) -> Denied {
        let wait = caller.remote.and_then(|remote| self.attempts.failed(remote.ip(), Instant::now()));
        match wait {
            None => unauthorized(why, detail),
            Some(wait) => {
                let detail = format!("more than {FAILURES_MAX} wrong credentials came from this address");
                Denied { why, response: Box::new(too_many(&detail, wait)) }
            }
        }
    }
}

/// The rule of an instance without an [`Access`]: actions of operators are refused on every address. If clients need a
/// certificate, its name is the credential of the others, and only probes and hooks need none.
pub(crate) fn admit_without_access(
    request: &Request,
    caller: &Caller,
    clients: Clients,
) -> Result<Option<Arc<str>>, Denied> {
    let denied = |why, problem: Problem| Err(Denied { why, response: Box::new(problem.into_response()) });
    let need = need(request);
    let is_open = matches!(need, Need::Route(Protection::Role(Role::Probe) | Protection::HookSecret));
    if clients == Clients::WithCertificate && caller.certificate.is_none() && !is_open {
        let detail = "this instance answers only clients with a certificate that an authority of tls.client_ca has \
                      signed; /livez, /readyz and /leader need none";
        return denied(AccessRefusal::Missing, Problem::new(StatusCode::FORBIDDEN, detail));
    }
    match need {
        Need::Route(Protection::Role(role)) if role.always_needs_a_credential() => {
            let detail = format!(
                "this needs a credential with the role {role}, and this instance has no tokens file: set \
                 access.tokens_file, or use the command line on this host with the settings of the stores"
            );
            let problem = Problem::new(StatusCode::FORBIDDEN, detail).with("role", role.as_str());
            denied(AccessRefusal::Role, problem)
        }
        Need::Route(Protection::Role(_) | Protection::HookSecret) | Need::Any | Need::Unlisted => {
            Ok(caller.certificate.clone())
        }
    }
}

fn need(request: &Request) -> Need {
    let extensions = request.extensions();
    let matched = extensions.get::<MatchedPath>().map(MatchedPath::as_str);
    // A router that nests the pages has its own path in front of ours.
    let outer = extensions.get::<NestedPath>().map_or("", NestedPath::as_str);
    let inner = matched.map(|path| path.strip_prefix(outer).unwrap_or(path));
    routes::need(request.method().as_str(), inner.map(|path| if path.is_empty() { "/" } else { path }))
}

fn presented(headers: &HeaderMap) -> Presented {
    let mut values = headers.get_all(AUTHORIZATION).into_iter();
    match (values.next(), values.next()) {
        (None, _) => Presented::Nothing,
        (Some(value), None) => token(value).map_or(Presented::Malformed, Presented::Token),
        (Some(_), Some(_)) => Presented::Malformed,
    }
}

/// The token of `Bearer TOKEN`, or of `Basic` with any user and the token as the password.
fn token(value: &HeaderValue) -> Option<Token> {
    let (scheme, rest) = value.to_str().ok()?.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Token::parse(rest);
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(BASE64.decode(rest).ok()?).ok()?;
    decoded.split_once(':').and_then(|(_user, password)| Token::parse(password))
}

fn unauthorized(why: AccessRefusal, detail: &str) -> Denied {
    let mut response = Problem::new(StatusCode::UNAUTHORIZED, detail).into_response();
    for challenge in CHALLENGES {
        response.headers_mut().append(WWW_AUTHENTICATE, challenge);
    }
    Denied { why, response: Box::new(response) }
}

fn forbidden(credential: &Credential, role: Role) -> Denied {
    let own: Vec<&str> = credential.roles.iter().map(|role| role.as_str()).collect();
    let detail = format!(
        "the credential {} has the roles {}; this needs the role {role}",
        credential.name,
        own.join(", ")
    );
    let problem = Problem::new(StatusCode::FORBIDDEN, detail).with("role", role.as_str());
    Denied { why: AccessRefusal::Role, response: Box::new(problem.into_response()) }
}
