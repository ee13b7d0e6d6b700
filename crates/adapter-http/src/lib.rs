//! The HTTP side of one instance: pages for health, leader, cluster, history, metrics and signals, the
//! operator's page, and HTTP clients that send signals to a service, urgent alerts to a webhook, and
//! prepared bodies to a receiver.
//!
//! The pages use only a [`Backend`]. They never delay an election: [`Limits`] bounds requests, time and
//! connections, and the backend uses separate connections to the stores for them.
//!
//! | path | answers |
//! |---|---|
//! | `/livez` | 200 while the process serves |
//! | `/readyz` | 200 while the instance could take over, else 503 with the reason |
//! | `/leader` | 200 on the active leader, 503 elsewhere, with the leader |
//! | `/status` | the instances, and the leader in both stores |
//! | `/history?limit=N` | the latest leaderships, newest first |
//! | `/metrics` | Prometheus text |
//! | `/coordinator/metrics` | JSON, or Prometheus text when the `Accept` header prefers it |
//! | `POST /signals` | a signal is accepted (201), or was before (200) |
//! | `/signals?state=&instrument=&before=&limit=` | signals, the latest first |
//! | `/signals/{id}` | one signal and its audit |
//! | `POST /signals/claim` | signals for the caller to execute, where no handler is configured |
//! | `POST /signals/{id}/result` | the outcome of one of them |
//! | `POST /signals/{id}/resolve`, `.../acknowledge` | the decision of an operator about a signal |
//! | `POST /signals/pause`, `/signals/resume` | the kill switch |
//! | `POST /leadership/step-down` | a planned handover is requested |
//! | `POST /recovery/check` | the portfolio, checked as a new leader would |
//! | `POST /recovery/acknowledge` | an operator takes responsibility for failed recoveries |
//! | `POST /hooks/NAME`, `POST /hooks/NAME/SECRET` | an alert of another system becomes a signal |
//! | `/hooks` | the configured hooks and their latest requests |
//! | `/runbooks`, `/runbooks/NAME` | the list of the alerts, and the runbook of one |
//! | `/` | the operator's page, and its files below `/page` |
//! | `/events` | server-sent events: what changes in the group; with `?page`, the sections of the page |
//!
//! Errors are problem documents (RFC 9457). The two metrics paths answer
//! `{"error": "Coordinator not initialized"}` before start-up is done, as their users expect.
//!
//! With an [`Access`], every route except the probes and the hooks needs a credential with the role of the route. Without
//! one, every client that reaches the listener may use every route except the actions of operators, unless [`Clients`]
//! says that it needs a certificate. Pages of other origins in a browser are refused (403), and so are names for this host
//! that are not ours ([`Pages::hosts`]).

mod accept;
mod access;
mod arriving;
mod backend;
mod caller;
mod guard;
mod handler;
mod headers;
mod hooks;
mod json;
mod leader;
mod openapi;
mod operations;
mod outcome;
mod own_errors;
mod page;
mod pages;
mod present;
mod problem;
mod refusals;
mod remote;
mod routes;
mod runbooks;
mod seats;
mod server;
mod server_client;
mod signals;
mod tls;
mod upload;
mod urgent;
mod write_deadline;

pub use access::{Access, Credential, Proof, Role, Token, TokenHash};
pub use backend::{Backend, Held, LeaderView, Pull, Reported, StepDownRequest, SteppedDown};
pub use handler::{Credentials, HandlerUrl, HttpHandler, HttpHandlerConfig, SecretSource, Source, TlsSource};
pub use hooks::{
    EXPIRES_AFTER_S_MAX, Hook, HookFault, HookSettings, Hooks, PRESETS, RECEIVED_WINDOW_S_MIN, ReadField,
    Reading,
};
pub use json::cluster::{DecisionJson, InstanceJson, TermJson};
pub use json::metrics::MetricsJson;
pub use json::recovery::{AcknowledgedJson, CheckJson, CheckedJson, DECISIONS_SEARCHED, acknowledgement};
pub use json::rfc3339;
pub use json::signals::{AuditJson, SignalJson};
pub use json::totals::TotalsJson;
pub use openapi::http_reference;
pub use operations::reason;
pub use pages::{Clients, Pages, SignalPages};
pub use remote::{InstanceAlert, alerts_of, get, probe};
pub use routes::{HISTORY_LIMIT_DEFAULT, HISTORY_LIMIT_MAX, router};
pub use runbooks::{RUNBOOKS, runbook, runbooks};
pub use server::{Limits, Serving, serve, serve_all, serve_within};
pub use server_client::{Reply, Server};
pub use signals::{SIGNALS_LIMIT_DEFAULT, SIGNALS_LIMIT_MAX};
pub use tls::{Reloaded, Tls, TlsFiles};
pub use upload::{NotTaken, Upload};
pub use urgent::AlertWebhook;
