//! `coordinator step-down`: requests a planned handover from the leader through the state store.

use super::ids::named;
use super::table::visible;
use super::{Form, ask, open, print_json};
use crate::config::Config;
use crate::failure::Failure;
use crate::output::line;
use domain::id::InstanceId;
use domain::lease::Token;
use domain::member::{Member, MemberSeen, MemberState, Term, heartbeat_interval};
use domain::ports::StepDown;
use leader_coordinator::Stores;
use serde::Serialize;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// Pause between two reads of the history.
const READ_AGAIN: Duration = Duration::from_millis(50);
/// Terms that are read to find the requested one and its successor.
const TERMS_READ: u32 = 8;

/// Age of a heartbeat, in intervals, above which the process counts as dead.
const HEARTBEATS_MISSED: u32 = 3;

/// Longest wait for an instance that is starting.
const STARTING_MAX: Duration = Duration::from_secs(2);

/// Condition for a handover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Only if the leader is alive and another instance can take over.
    WithSuccessor,
    /// In any case.
    Always,
}

/// Success of a handover.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Expected {
    /// Another instance leads.
    AnotherLeader,
    /// This instance leads.
    This(InstanceId),
    /// No other instance could lead, so the same one may lead again.
    AnyLeader,
}

/// Requests a handover from the leader, to the instance that `to` names or to any, waits for the next leader, and prints it
/// with the time without a leader. If that instance leads already, nothing is requested.
pub async fn step_down(
    config: &Config,
    reason: &str,
    wanted: Wanted,
    to: Option<&str>,
    form: Form,
) -> Result<(), Failure> {
    let stores = open(config)?;
    let done = hand_over(config, &stores, reason, wanted, to, form).await;
    stores.close().await;
    done
}

#[derive(Serialize)]
struct PlanJson<'a> {
    leader: &'a str,
    epoch: u64,
    candidates: Vec<&'a str>,
    /// The instance to which the leader would hand over; `null` if the first that claims the lease leads.
    successor: Option<&'a str>,
    /// Why a handover is useless; `null` if it is not.
    obstacle: Option<String>,
    /// Longest expected time without a leader if the handover succeeds, and if the leader fails during it.
    gap_ms_max: u64,
    gap_ms_on_failure: u64,
}

/// Prints the instances that can take over, the expected time without a leader and the risks. Requests nothing; fails
/// if a handover would be refused.
pub async fn plan_step_down(config: &Config, to: Option<&str>, form: Form) -> Result<(), Failure> {
    let stores = open(config)?;
    let planned = plan(config, &stores, to, form).await;
    stores.close().await;
    planned
}

async fn plan(config: &Config, stores: &Stores, to: Option<&str>, form: Form) -> Result<(), Failure> {
    let row = ask("the state store", stores.state.observe()).await?;
    let token = row.version.token;
    let Some(holder) = row.holder.filter(|_| !row.released) else {
        return Err(Failure::other("no instance leads, so there is no leadership to hand over"));
    };
    let to = successor_named(stores, to).await?;
    let judged = match &to {
        Some(to) if *to == holder => Err(format!("{holder} leads already (epoch {})", token.epoch)),
        _ => candidates(config, stores, &holder, to.as_ref()).await?,
    };
    let ttl = ask("the state store", stores.state.lease()).await?.ttl;
    let totals = ask("the ledger", stores.ledger.totals()).await?;
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    // The leader drains for at most a heartbeat, a third of its lease.
    let (planned, failed) = (ttl / 3, ttl + ttl / 3);
    if form == Form::Json {
        print_json(&PlanJson {
            leader: holder.as_str(),
            epoch: token.epoch.0,
            candidates: judged.as_ref().map_or_else(|_| Vec::new(), |ids| ids.split(", ").collect()),
            successor: to.as_ref().map(InstanceId::as_str),
            obstacle: judged.as_ref().err().cloned(),
            gap_ms_max: ms(planned),
            gap_ms_on_failure: ms(failed),
        })?;
        return judged.map(drop).map_err(Failure::other);
    }
    let candidates = judged.map_err(Failure::other)?;
    line(format_args!("leader          {holder} (epoch {})", token.epoch))?;
    if let Some(to) = &to {
        line(format_args!(
            "successor       {to}; if it does not claim the lease within {}, any other instance",
            seconds(ttl)
        ))?;
    } else {
        line(format_args!("can take over   {candidates}; the first of them that claims the lease leads"))?;
    }
    line(format_args!("without leader  at most {}, usually milliseconds", seconds(planned)))?;
    line(format_args!(
        "if it fails     at most {}: the lease of {holder} must expire first",
        seconds(failed)
    ))?;
    let open = totals.claimed.saturating_add(totals.sent);
    if open > 0 {
        line(format_args!(
            "signals         {open} are claimed or sent; one without an answer at the handover can become in doubt"
        ))?;
    }
    line("nothing was requested")
}

#[derive(Serialize)]
struct StepDownJson<'a> {
    from: &'a str,
    from_epoch: u64,
    to: &'a str,
    epoch: u64,
    /// Milliseconds without a leader; `null` if the end of the term is not known.
    gap_ms: Option<i64>,
    reason: &'a str,
}

async fn hand_over(
    config: &Config,
    stores: &Stores,
    reason: &str,
    wanted: Wanted,
    to: Option<&str>,
    form: Form,
) -> Result<(), Failure> {
    let row = ask("the state store", stores.state.observe()).await?;
    let token = row.version.token;
    let Some(holder) = row.holder.filter(|_| !row.released) else {
        return Err(Failure::other("no instance leads, so there is no leadership to hand over"));
    };
    let to = successor_named(stores, to).await?;
    if to.as_ref() == Some(&holder) {
        return leads_already(&holder, &token, reason, form);
    }
    let stated = to.as_ref().map_or_else(|| reason.to_owned(), |to| format!("handed over to {to}: {reason}"));
    let reason = stated.as_str();
    let judged = candidates(config, stores, &holder, to.as_ref()).await?;
    let (candidates, expected) = match (judged, wanted) {
        (Ok(candidates), _) => match &to {
            Some(to) => (format!(" to {to}"), Expected::This(to.clone())),
            None => (format!("; {candidates} can take over"), Expected::AnotherLeader),
        },
        (Err(_), Wanted::Always) => (String::new(), Expected::AnyLeader),
        (Err(why), Wanted::WithSuccessor) => return Err(Failure::other(why)),
    };
    match ask("the state store", stores.state.request_handover(&token, to.as_ref(), reason)).await? {
        StepDown::Requested if form == Form::Json => {}
        StepDown::Requested => {
            line(format_args!("asked {holder} (epoch {}) to hand over{candidates}", token.epoch))?;
        }
        StepDown::Superseded => {
            return Err(Failure::other(format!(
                "{holder} stopped leading just now; see `coordinator status`"
            )));
        }
    }
    // The leader drains for a heartbeat, then another instance claims; a lease after the release if the leader hands over to
    // an instance that is gone. If there is no other instance, the
    // same one leads again after three heartbeats. A leader that has died is replaced when its lease has
    // expired.
    let patience = config.leader_ttl * 3;
    let until = Instant::now() + patience;
    while Instant::now() < until {
        let terms = ask("the state store", stores.state.history(TERMS_READ)).await?;
        if let Some(next) = successor(&terms, &token) {
            if form == Form::Json {
                print_json(&StepDownJson {
                    from: holder.as_str(),
                    from_epoch: token.epoch.0,
                    to: next.holder.as_str(),
                    epoch: next.epoch.0,
                    gap_ms: gap_ms(&terms, &token, next),
                    reason,
                })?;
            }
            return outcome(&terms, &token, next, &holder, &expected, form);
        }
        let _ = timeout(READ_AGAIN, stores.state.changed()).await;
    }
    Err(Failure::other(format!(
        "no instance has taken over within {}; see `coordinator status`",
        seconds(patience)
    )))
}

/// A time in seconds, with one decimal unless it is whole.
fn seconds(time: Duration) -> String {
    let decimals = usize::from(time.subsec_millis() != 0);
    format!("{:.decimals$} s", time.as_secs_f64())
}

/// The instance of the instance table that `text` names.
async fn successor_named(stores: &Stores, text: Option<&str>) -> Result<Option<InstanceId>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let members = ask("the state store", stores.state.members()).await?;
    let ids: Vec<InstanceId> = members.into_iter().map(|seen| seen.member.id).collect();
    named(text, &ids).map_err(Failure::usage).map(|id| Some(id.clone()))
}

/// The request was made before, or is not needed.
fn leads_already(holder: &InstanceId, token: &Token, reason: &str, form: Form) -> Result<(), Failure> {
    if form == Form::Json {
        let (id, epoch) = (holder.as_str(), token.epoch.0);
        return print_json(&StepDownJson {
            from: id,
            from_epoch: epoch,
            to: id,
            epoch,
            gap_ms: Some(0),
            reason,
        });
    }
    line(format_args!("{holder} leads already (epoch {}); nothing was requested", token.epoch))
}

/// The result of [`judge`] for the instance table. Before it refuses, it waits for instances that are
/// starting.
async fn candidates(
    config: &Config,
    stores: &Stores,
    holder: &InstanceId,
    to: Option<&InstanceId>,
) -> Result<Result<String, String>, Failure> {
    let fresh = heartbeat_interval(config.leader_ttl) * HEARTBEATS_MISSED;
    let until = Instant::now() + STARTING_MAX;
    loop {
        let members = ask("the state store", stores.state.members()).await?;
        let judged = judge(&members, holder, fresh)
            .and_then(|able| to.map_or(Ok(able.clone()), |to| judge_successor(&members, holder, to, &able)));
        let starting =
            |seen: &MemberSeen| seen.member.state == MemberState::Starting && seen.heartbeat_age <= fresh;
        if judged.is_ok() || !members.iter().any(starting) || Instant::now() >= until {
            return Ok(judged);
        }
        // A pause until the next read; the loop ends with the state or by its timeout.
        sleep(READ_AGAIN).await;
    }
}

/// The number of instances that can take over from `holder`, or why a handover is useless. A process whose
/// heartbeat is older than `fresh` counts as dead.
fn judge(members: &[MemberSeen], holder: &InstanceId, fresh: Duration) -> Result<String, String> {
    let leader = members.iter().find(|seen| seen.member.id == *holder);
    if let Some(age) = leader.map(|seen| seen.heartbeat_age).filter(|age| *age > fresh) {
        return Err(format!(
            "{holder} is dead or cut off: its last heartbeat is {} s old, so it cannot hand over; another instance \
             leads when the lease has expired (--force requests the handover anyway)",
            age.as_secs()
        ));
    }
    // The line of a former leader changes a moment after the lease, and only the lease says who leads.
    let can = |state| matches!(state, MemberState::Standby | MemberState::Recovering | MemberState::Active);
    let others = members
        .iter()
        .filter(|seen| seen.member.id != *holder && seen.heartbeat_age <= fresh && can(seen.member.state));
    let (unable, candidates): (Vec<_>, Vec<_>) =
        others.map(|seen| &seen.member).partition(|member| member.cannot_lead.is_some());
    if candidates.is_empty() {
        let why = |member: &Member| {
            let why = visible(member.cannot_lead.as_deref().unwrap_or_default());
            format!("; {} cannot lead: {why}", member.id)
        };
        let unable = unable.into_iter().map(why).collect::<Vec<_>>().concat();
        return Err(format!(
            "no instance can take over from {holder}{unable}. Start another one first, see `coordinator status` (with \
             --force {holder} stops, and leads again after three heartbeats if it can)"
        ));
    }
    Ok(candidates.iter().map(|member| member.id.as_str()).collect::<Vec<_>>().join(", "))
}

/// `to` if it is one of the instances that are `able` to take over, or why it cannot.
fn judge_successor(
    members: &[MemberSeen],
    holder: &InstanceId,
    to: &InstanceId,
    able: &str,
) -> Result<String, String> {
    if able.split(", ").any(|id| id == to.as_str()) {
        return Ok(to.to_string());
    }
    let seen = members.iter().find(|seen| seen.member.id == *to);
    let why = seen.map_or_else(
        || "it has left the instance table".to_owned(),
        |seen| match &seen.member.cannot_lead {
            Some(why) => format!("it cannot lead: {}", visible(why)),
            None if seen.member.state == MemberState::Starting => "it is starting".to_owned(),
            None => format!("its last heartbeat is {} s old", seen.heartbeat_age.as_secs()),
        },
    );
    Err(format!("{to} cannot take over from {holder}: {why}. {able} can take over; nothing was requested"))
}

/// Whether the term is the newest of that epoch. A leader may have carried its lease to a later timeline
/// since the term began.
fn is(term: &Term, token: &Token) -> bool {
    term.epoch == token.epoch
}

/// The term that came next. The newest term is first, so it is just before the requested one.
fn successor<'a>(terms: &'a [Term], token: &Token) -> Option<&'a Term> {
    let asked = terms.iter().position(|term| is(term, token))?;
    asked.checked_sub(1).map(|next| &terms[next])
}

/// Milliseconds between the end of the term and the start of the next one.
fn gap_ms(terms: &[Term], token: &Token, next: &Term) -> Option<i64> {
    let ended = terms.iter().find(|term| is(term, token)).and_then(|term| term.to_ms)?;
    Some(next.from_ms - ended)
}

/// Prints the next leader; fails if it is not the expected one.
fn outcome(
    terms: &[Term],
    token: &Token,
    next: &Term,
    before: &InstanceId,
    expected: &Expected,
    form: Form,
) -> Result<(), Failure> {
    let line = |text: std::fmt::Arguments<'_>| if form == Form::Json { Ok(()) } else { line(text) };
    let gap = gap_ms(terms, token, next);
    let gap = gap.map_or_else(String::new, |gap| format!(", {gap} ms without a leader"));
    let (holder, epoch) = (&next.holder, next.epoch);
    match (next.holder == *before, expected) {
        (_, Expected::This(to)) if holder != to => Err(Failure::other(format!(
            "{holder} leads (epoch {epoch}){gap}, and not {to}: {to} did not claim the lease that was left to it; see \
             `coordinator status` and its log"
        ))),
        (false, _) => line(format_args!("{holder} leads (epoch {epoch}){gap}")),
        (true, Expected::AnyLeader) => {
            line(format_args!("{holder} leads again (epoch {epoch}){gap}: there was no other instance"))
        }
        (true, Expected::AnotherLeader | Expected::This(_)) => Err(Failure::other(format!(
            "{holder} leads again (epoch {epoch}){gap}: no other instance took over; see `coordinator status` and their logs"
        ))),
    }
}
