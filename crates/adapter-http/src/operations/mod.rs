//! Actions of an operator: hand leadership over, decide about signals, turn the kill switch, check recovery and
//! acknowledge its failures. They need a
//! credential on every address: without a tokens file they are refused, so that a process of another user on this host
//! cannot act as an operator.

mod idempotency;
mod reason;

pub use reason::reason;

use crate::backend::{Backend, StepDownRequest, SteppedDown};
use crate::caller::Caller;
use crate::guard::BODY_LEN_MAX;
use crate::json::raw::Plain;
use crate::json::recovery::{CheckJson, CheckedJson, DECISIONS_SEARCHED};
use crate::json::signals::SignalJson;
use crate::present::PRESENT_TIME_MAX;
use crate::problem::Problem;
use crate::routes::Shared;
use crate::signals::fields::{Fields, whole};
use crate::signals::{Body, again, client, named, unknown, whole_body};
use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, State};
use axum::http::StatusCode;
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use domain::handover::{HEARTBEATS_MISSED, Obstacle, candidates, chosen};
use domain::id::InstanceId;
use domain::lease::Epoch;
use domain::ledger::{Actor, Outcome, SignalId};
use domain::member::heartbeat_interval;
use domain::ports::{Recorded, Resolution, Switch, Switched};
use domain::recovery::{Recovered, RecoveryFault};
use idempotency::{Answers, once};
use serde_json::json;
use serde_json::value::RawValue;
use std::sync::Arc;
use tokio::time::timeout;

/// The actions on the group.
pub(crate) fn routes() -> Router<Arc<dyn Backend>> {
    with_answers(
        Router::new()
            .route("/leadership/step-down", post(step_down))
            .route("/recovery/check", post(check_recovery))
            .route("/recovery/acknowledge", post(acknowledge_recovery)),
    )
}

/// The actions on signals.
pub(crate) fn signal_routes() -> Router<Arc<dyn Backend>> {
    with_answers(
        Router::new()
            .route("/signals/{id}/resolve", post(resolve))
            .route("/signals/{id}/acknowledge", post(acknowledge))
            .route("/signals/pause", post(pause))
            .route("/signals/resume", post(resume)),
    )
}

fn with_answers(routes: Router<Arc<dyn Backend>>) -> Router<Arc<dyn Backend>> {
    routes.route_layer(from_fn(once)).route_layer(Extension(Arc::new(Answers::default())))
}

async fn step_down(
    State(backend): Shared,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Result<Response, Problem> {
    let body = whole_body(body, BODY_LEN_MAX)?;
    let mut fields = Fields::read(&body)?;
    let epoch = fields.required("epoch", epoch);
    let reason = fields.required("reason", reason_text);
    let to = fields.optional("to", instance);
    let force = truth(&mut fields, "force");
    fields.refuse_rest("epoch, reason, to and force");
    let (epoch, reason) = fields.finish(epoch.zip(reason))?;

    let lease = backend.lease().await?;
    let Some(holder) = lease.holder.filter(|_| !lease.released) else {
        return Err(conflict("no instance leads, so there is no leadership to hand over"));
    };
    if lease.epoch != epoch {
        return Err(superseded(&holder, lease.epoch, epoch));
    }
    let members = backend.members().await?;
    let fresh = heartbeat_interval(lease.ttl) * HEARTBEATS_MISSED;
    let judged = match &to {
        Some(to) => chosen(&members, &holder, to, fresh),
        None => candidates(&members, &holder, fresh),
    };
    let able = match judged {
        Ok(able) => able.into_iter().map(InstanceId::as_str).collect(),
        Err(why @ Obstacle::NotAble { .. }) => {
            return Err(conflict(&why.to_string()).with("leader", holder.as_str()).with("epoch", epoch.0));
        }
        Err(_) if force => Vec::new(),
        Err(why) => {
            let why = format!("{why}; `\"force\": true` requests the handover nevertheless");
            return Err(conflict(&why).with("leader", holder.as_str()).with("epoch", epoch.0));
        }
    };
    let actor = client(&caller);
    log(&actor, "step-down", &holder, &reason);
    let request = StepDownRequest { epoch, to, reason: by(&reason, &caller) };
    match backend.step_down(&request).await.map_err(again)? {
        SteppedDown::Requested => {
            let answer = json!({ "leader": holder.as_str(), "epoch": epoch.0, "candidates": able });
            Ok((StatusCode::ACCEPTED, Json(answer)).into_response())
        }
        SteppedDown::Superseded => {
            Err(conflict("the leader stopped leading just now; `/leader` names the next one"))
        }
    }
}

fn superseded(holder: &InstanceId, epoch: Epoch, expected: Epoch) -> Problem {
    let detail =
        format!("{holder} leads in the epoch {epoch}, not in {expected}: another term has begun since");
    conflict(&detail).with("leader", holder.as_str()).with("epoch", epoch.0)
}

fn conflict(detail: &str) -> Problem {
    Problem::new(StatusCode::CONFLICT, detail)
}

/// The reason with the name of the credential, because the history has no other place for it.
fn by(reason: &str, caller: &Caller) -> String {
    match &caller.credential {
        Some(name) => {
            let suffix = format!(" (by {name})");
            let left = reason::LEN_MAX.saturating_sub(suffix.chars().count());
            reason.chars().take(left).collect::<String>() + &suffix
        }
        None => reason.to_owned(),
    }
}

async fn resolve(
    State(backend): Shared,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
    body: Body,
) -> Result<Response, Problem> {
    let id = named(id)?;
    let body = whole_body(body, BODY_LEN_MAX)?;
    let mut fields = Fields::read(&body)?;
    let attempt = fields.required("attempt", whole(0, u32::MAX));
    let outcome = fields.required("outcome", decision);
    let reason = fields.required("reason", reason_text);
    let seen = fields.optional("epoch", epoch);
    fields.refuse_rest("attempt, outcome, reason and epoch");
    let actor = client(&caller);
    let decision = || {
        let (id, actor) = (id.clone(), actor.clone());
        Some(Resolution { id, attempt: attempt?, outcome: outcome?, actor, reason: reason? })
    };
    let decision = decision();
    let decision = fields.finish(decision)?;
    still(&*backend, seen).await?;
    log(&actor, decision.outcome.state().as_str(), &id, &decision.reason);
    let recorded = backend.resolve(&decision).await.map_err(again)?;
    let why = "only a signal in doubt can be resolved, or one that was sent and has no result, by its latest attempt";
    decided(&*backend, &id, recorded, why).await
}

async fn acknowledge(
    State(backend): Shared,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
    body: Body,
) -> Result<Response, Problem> {
    let id = named(id)?;
    let (actor, reason) = (client(&caller), reasoned(&*backend, body).await?);
    log(&actor, "acknowledge", &id, &reason);
    let recorded = backend.acknowledge(&id, &actor, &reason).await.map_err(again)?;
    decided(&*backend, &id, recorded, "only an expired signal is acknowledged").await
}

/// The signal after a decision, or 409 with the signal and why it was refused.
async fn decided(
    backend: &dyn Backend,
    id: &SignalId,
    recorded: Recorded,
    why: &str,
) -> Result<Response, Problem> {
    let (signal, _) = backend.signal(id).await?.ok_or_else(|| unknown(id))?;
    match recorded {
        Recorded::Recorded => Ok(Json(SignalJson::from(&signal)).into_response()),
        Recorded::Refused => {
            let state = signal.state.name();
            let detail = format!("{id} is {state} (attempt {}): {why}", signal.attempt);
            Err(conflict(&detail).with("signal", SignalJson::from(&signal)))
        }
    }
}

async fn pause(backend: Shared, caller: Extension<Caller>, body: Body) -> Result<Response, Problem> {
    switch(backend, caller, body, Switch::Pause).await
}

async fn resume(backend: Shared, caller: Extension<Caller>, body: Body) -> Result<Response, Problem> {
    switch(backend, caller, body, Switch::Resume).await
}

async fn switch(
    State(backend): Shared,
    Extension(caller): Extension<Caller>,
    body: Body,
    to: Switch,
) -> Result<Response, Problem> {
    let (actor, reason) = (client(&caller), reasoned(&*backend, body).await?);
    let what = if to == Switch::Pause { "pause" } else { "resume" };
    log(&actor, what, "signals", &reason);
    let turned = backend.switch(to, &actor, &reason).await.map_err(again)?;
    Ok(Json(json!({ "paused": to == Switch::Pause, "changed": turned == Switched::Turned })).into_response())
}

async fn check_recovery(State(backend): Shared, body: Body) -> Result<Response, Problem> {
    let body = whole_body(body, BODY_LEN_MAX)?;
    if !body.is_empty() {
        let mut fields = Fields::read(&body)?;
        fields.refuse_rest("none: the body may be empty");
        fields.finish(Some(()))?;
    }
    let verdict = backend.check_recovery().await?;
    checked(&*backend, &verdict).await
}

async fn acknowledge_recovery(
    State(backend): Shared,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Result<Response, Problem> {
    let (actor, reason) = (client(&caller), reasoned(&*backend, body).await?);
    log(&actor, "recovery acknowledge", "failed recoveries", &reason);
    let verdict = backend.acknowledge_recovery(&actor, &reason).await.map_err(again)?;
    checked(&*backend, &verdict).await
}

/// A check with the last acknowledgement.
async fn checked(
    backend: &dyn Backend,
    verdict: &Result<Recovered, RecoveryFault>,
) -> Result<Response, Problem> {
    // Without an answer the verdict counts: the tables may be older than this binary.
    let decisions = timeout(PRESENT_TIME_MAX, backend.decisions(DECISIONS_SEARCHED)).await;
    let decisions = decisions.ok().and_then(Result::ok);
    let check = CheckJson::of(verdict);
    Ok(Json(CheckedJson::new(&check, decisions.as_deref())).into_response())
}

/// The reason of a body that has only a reason, and perhaps the epoch that the operator saw, which must be the present
/// one.
async fn reasoned(backend: &dyn Backend, body: Body) -> Result<String, Problem> {
    let body = whole_body(body, BODY_LEN_MAX)?;
    let mut fields = Fields::read(&body)?;
    let reason = fields.required("reason", reason_text);
    let seen = fields.optional("epoch", epoch);
    fields.refuse_rest("reason and epoch");
    let reason = fields.finish(reason)?;
    still(backend, seen).await?;
    Ok(reason)
}

/// Refuses an action if the present epoch is another one than the operator saw.
async fn still(backend: &dyn Backend, seen: Option<Epoch>) -> Result<(), Problem> {
    let Some(seen) = seen else { return Ok(()) };
    let present = backend.lease().await.map_err(again)?.epoch;
    if present == seen {
        return Ok(());
    }
    let detail =
        format!("the epoch is {present}, not {seen}: another term has begun since, so nothing was done");
    Err(conflict(&detail).with("epoch", present.0))
}

fn reason_text(plain: &Plain) -> Result<String, String> {
    match plain {
        Plain::Text(text) => reason(text),
        Plain::Number(_) | Plain::Null | Plain::Other => reason(""),
    }
}

fn epoch(plain: &Plain) -> Result<Epoch, String> {
    let wanted = || "the epoch of the leader is required, a whole number (`/leader` has it)".to_owned();
    match plain {
        Plain::Text(text) | Plain::Number(text) => text.trim().parse().map(Epoch).map_err(|_| wanted()),
        Plain::Null | Plain::Other => Err(wanted()),
    }
}

/// The id of an instance.
fn instance(plain: &Plain) -> Result<InstanceId, String> {
    let wanted = || "the id of an instance is required (`/status` has them)".to_owned();
    match plain {
        Plain::Text(text) => InstanceId::parse(text.trim()).map_err(|_| wanted()),
        Plain::Number(_) | Plain::Null | Plain::Other => Err(wanted()),
    }
}

/// A JSON boolean; false if it is missing.
fn truth(fields: &mut Fields<'_>, name: &str) -> bool {
    match fields.take(name).map(RawValue::get) {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => {
            fields.fault(name, "true or false is required");
            false
        }
    }
}

/// The decision of an operator about a signal.
fn decision(plain: &Plain) -> Result<Outcome, String> {
    match plain {
        Plain::Text(text) => match text.trim() {
            "done" => Some(Outcome::Done),
            "rejected" => Some(Outcome::Rejected),
            "send_again" => Some(Outcome::Received),
            _ => None,
        },
        Plain::Number(_) | Plain::Null | Plain::Other => None,
    }
    .ok_or_else(|| "done, rejected or send_again is required".to_owned())
}

/// Logs an action before it is carried out: whatever its outcome, an operator wanted it.
fn log(actor: &Actor, action: &str, of: impl std::fmt::Display, reason: &str) {
    tracing::info!(action, of = %of, who = actor.who, origin = actor.origin, reason, "an operator requested an action");
}
