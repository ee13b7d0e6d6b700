//! The table of endpoints. Add a row for a new route, and its role to `access/routes.rs`.

use super::PATH;
use crate::access::routes::{Protection, protection_of};

pub(super) const JSON: &str = "application/json";
const TEXT: &str = "text/plain";
const HTML: &str = "text/html";
const PROBLEM: &str = "application/problem+json";

/// One method of one path.
pub(super) struct Endpoint {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) summary: &'static str,
    /// Parameters of the query, with their meaning.
    pub(super) query: &'static [(&'static str, &'static str)],
    /// Fields of the JSON body, with their meaning; a name that ends with `?` is optional.
    pub(super) body: &'static [(&'static str, &'static str)],
    /// Status codes, their content types and their meaning.
    pub(super) answers: &'static [(u16, &'static str, &'static str)],
}

impl Endpoint {
    /// What the request must present, from the table of routes.
    pub(super) fn protection(&self) -> Protection {
        protection_of(self.method, self.path)
            .expect("a test compares the description with the table of routes")
    }
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

const SWITCHED: (u16, &str, &str) =
    (200, JSON, "`paused`: the position now; `changed`: false if it was in this position before");
const EPOCH: (&str, &str) = (
    "epoch?",
    "the epoch that the operator saw (`/status` has it); in a later one, the answer is 409 and nothing is done",
);
const REASON: &[(&str, &str)] = &[("reason", "the reason for the audit, 1 to 256 characters"), EPOCH];
const ANOTHER_EPOCH: (u16, &str, &str) =
    (409, PROBLEM, "`epoch` is given, and another one has begun: nothing was done");
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
    (
        429,
        PROBLEM,
        "more than 10 wrong secrets came from this address within a minute (`Retry-After`); a right one is accepted",
    ),
    (503, PROBLEM, "the state store did not answer within 0.9 s: send it again (`Retry-After`)"),
];

/// Every method of every path.
pub(super) const ENDPOINTS: &[Endpoint] = &[
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
            (
                200,
                JSON,
                "it is: `active`, `leader`, `address`; its fencing token `timeline`, `epoch`, `claim`; and `valid_for_ms`: \
                 the time in milliseconds for which it may act unless it renews the lease, counted from the answer",
            ),
            (
                503,
                PROBLEM,
                "it is not; `leader`, `address` and `epoch` name the leader, as far as it is known",
            ),
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
                     `without_leader`; `decisions` of operators that concern no signal; `away_since` is set while the state store does not answer",
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
                (
                    200,
                    JSON,
                    "`signals`, and the fencing token of the leader: `timeline`, `epoch`, `claim`; if there are no \
                     signals, `why` has the reason",
                ),
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
        "/signals/pause",
        "The signal whose id is `pause`, as `/signals/{id}`",
        &[(200, JSON, "the signal and its `audit`"), NO_SIGNAL, AWAY],
    ),
    Endpoint {
        body: REASON,
        ..endpoint(
            "POST",
            "/signals/pause",
            "Turns the kill switch on: no leader sends any signal until it is resumed. Safe to repeat",
            &[SWITCHED, WRONG, ANOTHER_EPOCH, AWAY],
        )
    },
    endpoint(
        "GET",
        "/signals/resume",
        "The signal whose id is `resume`, as `/signals/{id}`",
        &[(200, JSON, "the signal and its `audit`"), NO_SIGNAL, AWAY],
    ),
    Endpoint {
        body: REASON,
        ..endpoint(
            "POST",
            "/signals/resume",
            "Turns the kill switch off: the leader sends the waiting signals. Safe to repeat",
            &[SWITCHED, WRONG, ANOTHER_EPOCH, AWAY],
        )
    },
    Endpoint {
        body: REASON,
        ..endpoint(
            "POST",
            "/signals/{id}/acknowledge",
            "Acknowledges that a signal expired unsent: it becomes rejected, and its alert ends",
            &[
                (200, JSON, "it is acknowledged; the signal"),
                WRONG,
                NO_SIGNAL,
                (
                    409,
                    PROBLEM,
                    "the signal has not expired, or was acknowledged before (`signal`), or another epoch has begun",
                ),
                AWAY,
            ],
        )
    },
    Endpoint {
        body: &[
            ("attempt", "the attempt that the operator has checked; another one is refused"),
            (
                "outcome",
                "`done`, `rejected`, or `send_again`: it was certainly not executed, and the leader must send it",
            ),
            ("reason", "the reason for the audit, 1 to 256 characters"),
            EPOCH,
        ],
        ..endpoint(
            "POST",
            "/signals/{id}/resolve",
            "Records the decision of an operator about a signal in doubt, who has queried the broker",
            &[
                (200, JSON, "it is recorded; the signal"),
                WRONG,
                NO_SIGNAL,
                (
                    409,
                    PROBLEM,
                    "the signal is in another state, or has another attempt (`signal`), or another epoch has begun",
                ),
                AWAY,
            ],
        )
    },
    Endpoint {
        body: &[
            (
                "epoch",
                "the epoch of the leader that must hand over (`/leader` has it); a later leader is not asked",
            ),
            ("reason", "the reason for the history, 1 to 256 characters"),
            (
                "to?",
                "the id of the instance that leads next; the others leave the lease to it for LEADER_TTL",
            ),
            ("force?", "true: request it even if no instance can take over"),
        ],
        ..endpoint(
            "POST",
            "/leadership/step-down",
            "Requests a planned handover from the leader. Any instance passes the request on",
            &[
                (
                    202,
                    JSON,
                    "it is requested: `leader`, `epoch`, `candidates`; `/history` shows the next term",
                ),
                WRONG,
                (
                    409,
                    PROBLEM,
                    "no leader leads in that epoch, or no instance or not that of `to` can take over",
                ),
                AWAY,
            ],
        )
    },
    endpoint(
        "POST",
        "/recovery/check",
        "Checks the portfolio as a new leader would; changes nothing. The body is empty",
        &[
            (
                200,
                JSON,
                "`verdict` (`OK` or `FAILED`), `error_code`, `positions`, `total_risk_amount`, `margin_used`, `findings`, \
                 `acknowledged` (the last acknowledgement of failed recoveries)",
            ),
            AWAY,
        ],
    ),
    Endpoint {
        body: REASON,
        ..endpoint(
            "POST",
            "/recovery/acknowledge",
            "Records that the operator takes responsibility for the failed recoveries so far. It changes no recovery: \
             while the check fails, no leader trades",
            &[(200, JSON, "it is recorded; the same as `/recovery/check`"), WRONG, ANOTHER_EPOCH, AWAY],
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
