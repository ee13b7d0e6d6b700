//! `coordinator step-down`: requests a planned handover from the leader through the state store.

use super::group::{Condition, Group};
use super::ids::named;
use super::table::visible;
use super::{Form, print_json};
use crate::failure::Failure;
use crate::output::line;
use domain::handover::{self, HEARTBEATS_MISSED, Obstacle};
use domain::id::InstanceId;
use domain::lease::Epoch;
use domain::member::{MemberSeen, MemberState, Term, heartbeat_interval};
use domain::ports::StepDown;
use serde::Serialize;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Pause between two reads of the history.
const READ_AGAIN: Duration = Duration::from_millis(50);
/// Terms that are read to find the requested one and its successor.
const TERMS_READ: u32 = 8;

/// Longest wait for an instance that is starting.
const STARTING_MAX: Duration = Duration::from_secs(2);

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
    group: &dyn Group,
    reason: &str,
    wanted: Condition,
    to: Option<&str>,
    form: Form,
) -> Result<(), Failure> {
    let done = hand_over(group, reason, wanted, to, form).await;
    group.close().await;
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
pub async fn plan_step_down(group: &dyn Group, to: Option<&str>, form: Form) -> Result<(), Failure> {
    let planned = plan(group, to, form).await;
    group.close().await;
    planned
}

async fn plan(group: &dyn Group, to: Option<&str>, form: Form) -> Result<(), Failure> {
    let (holder, epoch, ttl) = leader(group).await?;
    let to = successor_named(group, to).await?;
    let judged = match &to {
        Some(to) if *to == holder => Err(format!("{holder} leads already (epoch {epoch})")),
        _ => candidates(group, &holder, to.as_ref(), ttl).await?,
    };
    let totals = group.totals().await?;
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    // The leader drains for at most a heartbeat, a third of its lease.
    let (planned, failed) = (ttl / 3, ttl + ttl / 3);
    if form == Form::Json {
        print_json(&PlanJson {
            leader: holder.as_str(),
            epoch: epoch.0,
            candidates: judged.as_ref().map_or_else(|_| Vec::new(), |ids| ids.split(", ").collect()),
            successor: to.as_ref().map(InstanceId::as_str),
            obstacle: judged.as_ref().err().cloned(),
            gap_ms_max: ms(planned),
            gap_ms_on_failure: ms(failed),
        })?;
        return judged.map(drop).map_err(Failure::other);
    }
    let candidates = judged.map_err(Failure::other)?;
    line(format_args!("leader          {holder} (epoch {epoch})"))?;
    if let Some(to) = &to {
        let ttl = seconds(ttl);
        line(format_args!(
            "successor       {to}; if it does not claim the lease within {ttl}, any other instance"
        ))?;
    } else {
        line(format_args!("can take over   {candidates}; the first of them that claims the lease leads"))?;
    }
    let (planned, failed) = (seconds(planned), seconds(failed));
    line(format_args!("without leader  at most {planned}, usually milliseconds"))?;
    line(format_args!("if it fails     at most {failed}: the lease of {holder} must expire first"))?;
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

/// The leader, its epoch and its LEADER_TTL.
async fn leader(group: &dyn Group) -> Result<(InstanceId, Epoch, Duration), Failure> {
    let lease = group.lease().await?;
    match lease.holder.filter(|_| !lease.released) {
        Some(holder) => Ok((holder, lease.epoch, lease.ttl)),
        None => Err(Failure::other("no instance leads, so there is no leadership to hand over")),
    }
}

async fn hand_over(
    group: &dyn Group,
    reason: &str,
    wanted: Condition,
    to: Option<&str>,
    form: Form,
) -> Result<(), Failure> {
    let (holder, epoch, ttl) = leader(group).await?;
    let to = successor_named(group, to).await?;
    if to.as_ref() == Some(&holder) {
        return leads_already(&holder, epoch, reason, form);
    }
    let judged = candidates(group, &holder, to.as_ref(), ttl).await?;
    let (candidates, expected) = match (judged, wanted) {
        (Ok(candidates), _) => match &to {
            Some(to) => (format!(" to {to}"), Expected::This(to.clone())),
            None => (format!("; {candidates} can take over"), Expected::AnotherLeader),
        },
        (Err(_), Condition::Always) => (String::new(), Expected::AnyLeader),
        (Err(why), Condition::WithSuccessor) => return Err(Failure::other(why)),
    };
    match group.step_down(epoch, to.as_ref(), reason, wanted).await? {
        StepDown::Requested if form == Form::Json => {}
        StepDown::Requested => {
            line(format_args!("asked {holder} (epoch {epoch}) to hand over{candidates}"))?;
        }
        StepDown::Superseded => {
            return Err(Failure::other(format!(
                "{holder} stopped leading just now; see `coordinator status`"
            )));
        }
    }
    // The leader drains for a heartbeat, then another instance claims; a lease later if the leader hands over to one that
    // is gone. If there is no other instance, the same one leads again after three heartbeats. A leader that has died is replaced when its lease has
    // expired.
    let patience = ttl * 3;
    let until = Instant::now() + patience;
    while Instant::now() < until {
        let (terms, _) = group.history(TERMS_READ).await?;
        if let Some(next) = successor(&terms, epoch) {
            if form == Form::Json {
                print_json(&StepDownJson {
                    from: holder.as_str(),
                    from_epoch: epoch.0,
                    to: next.holder.as_str(),
                    epoch: next.epoch.0,
                    gap_ms: gap_ms(&terms, epoch, next),
                    reason: &handover::reason(to.as_ref(), reason),
                })?;
            }
            return outcome(&terms, epoch, next, &holder, &expected, form);
        }
        group.changed(READ_AGAIN).await;
    }
    let patience = seconds(patience);
    Err(Failure::other(format!("no instance has taken over within {patience}; see `coordinator status`")))
}

/// A time in seconds, with one decimal unless it is whole.
fn seconds(time: Duration) -> String {
    let decimals = usize::from(time.subsec_millis() != 0);
    format!("{:.decimals$} s", time.as_secs_f64())
}

/// The instance of the instance table that `text` names.
async fn successor_named(group: &dyn Group, text: Option<&str>) -> Result<Option<InstanceId>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let ids: Vec<InstanceId> = group.members().await?.into_iter().map(|seen| seen.member.id).collect();
    named(text, &ids).map_err(Failure::usage).map(|id| Some(id.clone()))
}

/// The request was made before, or is not needed.
fn leads_already(holder: &InstanceId, epoch: Epoch, reason: &str, form: Form) -> Result<(), Failure> {
    if form == Form::Json {
        let (id, epoch) = (holder.as_str(), epoch.0);
        return print_json(&StepDownJson {
            from: id,
            from_epoch: epoch,
            to: id,
            epoch,
            gap_ms: Some(0),
            reason,
        });
    }
    line(format_args!("{holder} leads already (epoch {epoch}); nothing was requested"))
}

/// The instances that can take over, or why a handover is useless. Before it refuses, it waits for instances that are
/// starting.
async fn candidates(
    group: &dyn Group,
    holder: &InstanceId,
    to: Option<&InstanceId>,
    ttl: Duration,
) -> Result<Result<String, String>, Failure> {
    let fresh = heartbeat_interval(ttl) * HEARTBEATS_MISSED;
    let until = Instant::now() + STARTING_MAX;
    loop {
        let members = group.members().await?;
        let judged = match to {
            Some(to) => handover::chosen(&members, holder, to, fresh),
            None => handover::candidates(&members, holder, fresh),
        };
        let judged = judged.map(|ids| ids.into_iter().map(InstanceId::as_str).collect::<Vec<_>>().join(", "));
        let starting =
            |seen: &MemberSeen| seen.member.state == MemberState::Starting && seen.heartbeat_age <= fresh;
        if judged.is_ok() || !members.iter().any(starting) || Instant::now() >= until {
            return Ok(judged.map_err(|why| remedied(&why)));
        }
        // A pause until the next read; the loop ends with the state or by its timeout.
        sleep(READ_AGAIN).await;
    }
}

/// Why a handover is useless, and what the operator can do.
fn remedied(why: &Obstacle) -> String {
    let text = visible(&why.to_string());
    match why {
        Obstacle::Silent { .. } => format!("{text} (--force requests the handover anyway)"),
        Obstacle::NotAble { .. } => format!("{text}; nothing was requested"),
        Obstacle::NoSuccessor { holder, .. } => format!(
            "{text}. Start another one first, see `coordinator status` (with --force {holder} stops, and leads again \
             after three heartbeats if it can)"
        ),
    }
}

/// Whether the term is the newest of that epoch. A leader may have carried its lease to a later timeline
/// since the term began.
fn is(term: &Term, epoch: Epoch) -> bool {
    term.epoch == epoch
}

/// The term that came next. The newest term is first, so it is just before the requested one.
fn successor(terms: &[Term], epoch: Epoch) -> Option<&Term> {
    let asked = terms.iter().position(|term| is(term, epoch))?;
    asked.checked_sub(1).map(|next| &terms[next])
}

/// Milliseconds between the end of the term and the start of the next one.
fn gap_ms(terms: &[Term], epoch: Epoch, next: &Term) -> Option<i64> {
    let ended = terms.iter().find(|term| is(term, epoch)).and_then(|term| term.to_ms)?;
    Some(next.from_ms - ended)
}

/// Prints the next leader; fails if it is not the expected one.
fn outcome(
    terms: &[Term],
    ended: Epoch,
    next: &Term,
    before: &InstanceId,
    expected: &Expected,
    form: Form,
) -> Result<(), Failure> {
    let line = |text: std::fmt::Arguments<'_>| if form == Form::Json { Ok(()) } else { line(text) };
    let gap = gap_ms(terms, ended, next);
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
