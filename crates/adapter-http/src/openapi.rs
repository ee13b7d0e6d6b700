//! The description of this API: one table, served as an OpenAPI document at `/openapi.json` and written to docs/http.md
//! (`cargo xtask codegen`). A test compares it with the routes, in both directions.

use crate::pages::{Prefix, SignalPages};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use serde_json::{Map, Value, json};
use std::fmt::Write;

/// The path of the document.
const PATH: &str = "/openapi.json";
const JSON: &str = "application/json";
const TEXT: &str = "text/plain";
const HTML: &str = "text/html";
const PROBLEM: &str = "application/problem+json";

/// One method of one path.
pub(crate) struct Endpoint {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    summary: &'static str,
    /// Parameters of the query, with their meaning.
    query: &'static [(&'static str, &'static str)],
    /// Fields of the JSON body, with their meaning; a name that ends with `?` is optional.
    body: &'static [(&'static str, &'static str)],
    /// Status codes, their content types and their meaning.
    answers: &'static [(u16, &'static str, &'static str)],
}

const fn endpoint(
    method: &'static str,
    path: &'static str,
    summary: &'static str,
    answers: &'static [(u16, &'static str, &'static str)],
) -> Endpoint {
    Endpoint { method, path, summary, query: &[], body: &[], answers }
}

const AWAY: (u16, &str, &str) =
    (503, PROBLEM, "the instance is starting, or the state store does not answer");
const NEVER_READ: (u16, &str, &str) =
    (503, PROBLEM, "the instance is starting, or the state store has never answered it");
const NO_LIST: (u16, &str, &str) = (
    503,
    PROBLEM,
    "the instance is starting, or the state store does not answer and `state` is given or it has never answered: a list \
     of one state is always the present one",
);
const NOT_LEADING: (u16, &str, &str) = (
    503,
    PROBLEM,
    "another instance leads (`leader`, `address`, `epoch`), or the state store does not answer",
);
const NO_SIGNAL: (u16, &str, &str) = (404, PROBLEM, "there is no such signal");
const WRONG: (u16, &str, &str) = (400, PROBLEM, "a parameter or a field is wrong; the answer names it");

const HOOK_ANSWERS: &[(u16, &str, &str)] = &[
    (
        200,
        JSON,
        "the same alert was accepted before (`verdict` is `repeated`), or another one within the window of the hook \
         (`folded`); the signal",
    ),
    (201, JSON, "it is accepted; the signal"),
    (400, PROBLEM, "the body is neither a JSON object nor a text that the hook reads"),
    (403, PROBLEM, "the secret, the signature or the address of the sender is wrong"),
    (404, PROBLEM, "no hook of that name is configured"),
    (409, PROBLEM, "another signal has the id or the fingerprint"),
    (413, PROBLEM, "the body is too large"),
    (422, PROBLEM, "fields of the signal are missing or wrong; `errors` has all of them"),
    (503, PROBLEM, "the state store did not answer within 0.9 s: send it again (`Retry-After`)"),
];

/// Every method of every path.
pub(crate) const ENDPOINTS: &[Endpoint] = &[
    endpoint("GET", "/", "The operator's page, which shows the whole group live", &[(200, HTML, "the page")]),
    endpoint(
        "GET",
        "/events",
        "Changes of the group as server-sent events (docs/page.md); resumable with `Last-Event-ID`",
        &[
            (200, "text/event-stream", "events until the client disconnects"),
            (
                503,
                PROBLEM,
                "64 streams are open, or as many as half of the connections, and the instance serves no more",
            ),
        ],
    ),
    endpoint(
        "GET",
        "/page/{name}",
        "Style, script and icon of the page",
        &[(200, "*/*", "the file"), (404, PROBLEM, "there is no such file")],
    ),
    endpoint("GET", "/livez", "Whether the process answers requests", &[(200, JSON, "it is alive")]),
    endpoint(
        "GET",
        "/readyz",
        "Whether the instance can take over leadership, not whether it leads, so it does not block rolling updates",
        &[(200, JSON, "it can"), (503, PROBLEM, "it cannot; `detail` has the reason")],
    ),
    endpoint(
        "GET",
        "/leader",
        "Whether the instance is the active leader",
        &[
            (200, JSON, "it is: `active`, `leader`, `address`, `epoch`"),
            (503, PROBLEM, "it is not; the same fields name the leader, as far as it is known"),
        ],
    ),
    endpoint(
        "GET",
        "/status",
        "The group: instances, the leader in both stores, totals of the signals, the worst alert",
        &[
            (200, JSON, "the last known state; `away_since` is set while the state store does not answer"),
            NEVER_READ,
        ],
    ),
    Endpoint {
        query: &[("limit", "number of terms, 1 to 1000; 50 by default")],
        ..endpoint(
            "GET",
            "/history",
            "The terms of the leaders, newest first",
            &[
                (
                    200,
                    JSON,
                    "`terms`, each with `timeline`, `epoch`, `holder`, `host`, `from`, `to`, `reason`; \
                     `without_leader`; `away_since` is set while the state store does not answer",
                ),
                WRONG,
                NEVER_READ,
            ],
        )
    },
    endpoint(
        "GET",
        "/metrics",
        "Metrics as Prometheus text (docs/metrics.md)",
        &[(200, TEXT, "the metrics"), (503, JSON, "`error`: the instance is starting")],
    ),
    endpoint(
        "GET",
        "/coordinator/metrics",
        "Metrics and alerts as JSON, or as Prometheus text if the `Accept` header prefers it",
        &[(200, JSON, "the metrics"), (503, JSON, "`error`: the instance is starting")],
    ),
    endpoint("GET", "/runbooks", "The list of all alerts", &[(200, HTML, "the list")]),
    endpoint("GET", "/runbooks/style.css", "The style of the runbooks", &[(200, "text/css", "the style")]),
    endpoint(
        "GET",
        "/runbooks/{name}",
        "The runbook of an alert, by its name or the name of its page",
        &[(200, HTML, "the runbook"), (404, PROBLEM, "there is no such runbook")],
    ),
    endpoint("GET", PATH, "This description", &[(200, JSON, "an OpenAPI 3.1 document")]),
    Endpoint {
        query: &[
            ("state", "only signals in this state"),
            ("instrument", "only signals of this instrument"),
            ("before", "only signals that arrived before this number (`arrival`): the next page"),
            ("limit", "number of signals, 1 to 1000; 50 by default"),
        ],
        ..endpoint(
            "GET",
            "/signals",
            "Signals, the latest first",
            &[
                (
                    200,
                    JSON,
                    "`signals`, and `next`: the path of the next page, or null. While the state store does not \
                     answer and `state` is not given: the last known signals, `away_since`, and `complete` \
                     (false if there may be more)",
                ),
                WRONG,
                NO_LIST,
            ],
        )
    },
    Endpoint {
        body: &[
            ("instrument", "the instrument; its signals keep their order"),
            ("signal_type", "the type, part of the fingerprint"),
            ("position", "the position, part of the fingerprint"),
            ("timestamp", "time of the signal: RFC 3339 with an offset, or unix seconds or milliseconds"),
            ("payload?", "any JSON, for the handler"),
            ("id?", "an id of the client's choice; without one, the fingerprint"),
            ("expires_at?", "time after which the signal is not sent, in the form of `timestamp`"),
        ],
        ..endpoint(
            "POST",
            "/signals",
            "Submits a signal. Any instance accepts it, and it is durable before the answer",
            &[
                (200, JSON, "the same signal was accepted before; the signal"),
                (201, JSON, "it is accepted; the signal"),
                WRONG,
                (409, PROBLEM, "another signal has the id or the fingerprint"),
                (413, PROBLEM, "the body is too large"),
                (
                    503,
                    PROBLEM,
                    "it is not known whether the signal is accepted: submit it again (`Retry-After`)",
                ),
            ],
        )
    },
    endpoint(
        "GET",
        "/signals/claim",
        "The signal whose id is `claim`, as `/signals/{id}`",
        &[(200, JSON, "the signal and its `audit`"), NO_SIGNAL, AWAY],
    ),
    Endpoint {
        body: &[
            ("max?", "largest number of signals, 1 to 100; 1 by default"),
            ("wait_ms?", "longest wait for signals in milliseconds, 0 to 4000; 0 by default"),
        ],
        ..endpoint(
            "POST",
            "/signals/claim",
            "Signals for the caller to execute, where no handler is configured",
            &[
                (200, JSON, "`epoch` and `signals`; if there are none, `why` has the reason"),
                WRONG,
                (409, PROBLEM, "the leader sends signals to a handler"),
                NOT_LEADING,
            ],
        )
    },
    endpoint(
        "GET",
        "/signals/{id}",
        "One signal and its audit",
        &[(200, JSON, "the signal and its `audit`"), NO_SIGNAL, AWAY],
    ),
    Endpoint {
        body: &[
            ("attempt", "the attempt of the claim"),
            ("outcome", "`done`, `sent`, `rejected`, `not_executed` or `unknown`"),
            ("note?", "a text for the audit, such as an order id"),
        ],
        ..endpoint(
            "POST",
            "/signals/{id}/result",
            "The outcome of a claimed signal",
            &[
                (200, JSON, "it is recorded; the signal"),
                WRONG,
                NO_SIGNAL,
                (
                    409,
                    PROBLEM,
                    "the outcome cannot follow the state of the signal, or is about another attempt",
                ),
                NOT_LEADING,
            ],
        )
    },
    endpoint(
        "GET",
        "/hooks",
        "The configured hooks, and the latest requests to them on this instance, without secrets (docs/hooks.md)",
        &[(200, JSON, "`hooks`, and `requests`, the latest first, each with its `verdict` and `why`")],
    ),
    endpoint(
        "POST",
        "/hooks/{name}",
        "An alert of another system becomes a signal. Any instance accepts it, and it is durable before the answer",
        HOOK_ANSWERS,
    ),
    endpoint(
        "POST",
        "/hooks/{name}/{secret}",
        "As `/hooks/{name}`, for a hook whose secret is in the path",
        HOOK_ANSWERS,
    ),
];

pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route(PATH, get(served))
}

async fn served(
    Extension(signals): Extension<SignalPages>,
    Extension(prefix): Extension<Prefix>,
) -> Response {
    Json(document(signals, &prefix.0)).into_response()
}

/// The OpenAPI document of the pages below `prefix`.
fn document(signals: SignalPages, prefix: &str) -> Value {
    let mut paths: Map<String, Value> = Map::new();
    let served = |endpoint: &&Endpoint| {
        signals == SignalPages::Served
            || !["/signals", "/hooks"].iter().any(|start| endpoint.path.starts_with(start))
    };
    for endpoint in ENDPOINTS.iter().filter(served) {
        let methods = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        methods[endpoint.method.to_ascii_lowercase()] = operation(endpoint);
    }
    let url = if prefix.is_empty() { "/" } else { prefix };
    json!({
        "openapi": "3.1.0",
        "info": { "title": "coordinator", "version": env!("CARGO_PKG_VERSION") },
        "servers": [{ "url": url }],
        "paths": paths,
    })
}

fn operation(endpoint: &Endpoint) -> Value {
    let text = || json!({ "type": "string" });
    let in_path = endpoint.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let in_path =
        in_path.map(|name| json!({ "name": name, "in": "path", "required": true, "schema": text() }));
    let in_query = endpoint.query.iter().map(|(name, meaning)| {
        json!({ "name": name, "in": "query", "required": false, "description": meaning, "schema": text() })
    });
    let answer = |(code, media, meaning): &(u16, &str, &str)| {
        let content = json!({ *media: {} });
        (code.to_string(), json!({ "description": meaning, "content": content }))
    };
    let mut operation = json!({
        "summary": endpoint.summary,
        "parameters": in_path.chain(in_query).collect::<Vec<Value>>(),
        "responses": endpoint.answers.iter().map(answer).collect::<Map<String, Value>>(),
    });
    if !endpoint.body.is_empty() {
        let fields = endpoint.body.iter();
        let property = |(name, meaning): &(&str, &str)| {
            (name.trim_end_matches('?').to_owned(), json!({ "description": meaning }))
        };
        let required: Vec<&str> =
            fields.clone().map(|(name, _)| *name).filter(|name| !name.ends_with('?')).collect();
        let schema = json!({
            "type": "object",
            "additionalProperties": false,
            "properties": fields.map(property).collect::<Map<String, Value>>(),
            "required": required,
        });
        operation["requestBody"] = json!({ "content": { JSON: { "schema": schema } } });
    }
    operation
}

/// The reference of the HTTP API as Markdown: docs/http.md.
pub fn http_reference() -> String {
    let mut text = "<!-- generated by cargo xtask codegen from crates/adapter-http/src/openapi.rs: do not edit -->\n\n\
        # HTTP\n\n\
        Every instance serves these paths. `GET /openapi.json` returns the same description as an OpenAPI document.\n\
        `HEAD` is answered as `GET` without a body. Errors are problem documents (RFC 9457).\n"
        .to_owned();
    let mut line = |text_line: std::fmt::Arguments<'_>| {
        // A string takes everything.
        let _ = text.write_fmt(text_line);
    };
    for endpoint in ENDPOINTS {
        line(format_args!("\n## {} {}\n\n{}.\n", endpoint.method, endpoint.path, endpoint.summary));
        for (head, rows) in [("parameter of the query", endpoint.query), ("field of the body", endpoint.body)]
        {
            if !rows.is_empty() {
                line(format_args!("\n| {head} | meaning |\n|---|---|\n"));
            }
            for (name, meaning) in rows {
                let (name, optional) = match name.strip_suffix('?') {
                    Some(name) => (name, " (optional)"),
                    None => (*name, ""),
                };
                line(format_args!("| `{name}`{optional} | {meaning} |\n"));
            }
        }
        line(format_args!("\n| status | content type | meaning |\n|---|---|---|\n"));
        for (code, media, meaning) in endpoint.answers {
            line(format_args!("| {code} | `{media}` | {meaning} |\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    /// The paths in calls of `.route(...)` in a folder, with the constants that stand for them.
    fn routed(folder: &Path, into: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                routed(&path, into);
                continue;
            }
            let source = fs::read_to_string(&path).expect("text");
            let code = source.split("mod tests {").next().unwrap_or_default();
            for call in code.split(".route(").skip(1) {
                let argument = call.split(',').next().unwrap_or_default().trim();
                let constant = |name: &str| {
                    let line = format!("const {name}: &str = \"");
                    let value = code.split(&line).nth(1).and_then(|rest| rest.split('"').next());
                    value.unwrap_or_else(|| panic!("{name} is no constant of {}", path.display())).to_owned()
                };
                let literal = argument.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
                into.insert(literal.map_or_else(|| constant(argument), str::to_owned));
            }
        }
    }

    #[test]
    fn every_route_is_described_and_nothing_else() {
        let mut routes = BTreeSet::new();
        routed(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut routes);
        let described: BTreeSet<String> = ENDPOINTS.iter().map(|endpoint| endpoint.path.to_owned()).collect();
        assert_eq!(described, routes);
    }

    #[test]
    fn a_service_without_signals_has_none_in_the_document() {
        let served = document(SignalPages::Served, "");
        assert!(served["paths"]["/signals"]["post"]["requestBody"].is_object());
        let absent = document(SignalPages::Absent, "/coordinator");
        assert!(absent["paths"]["/signals"].is_null() && absent["paths"]["/status"].is_object());
        assert_eq!(absent["servers"][0]["url"], "/coordinator");
    }
}
