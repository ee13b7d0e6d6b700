//! `coordinator step-down`: requests a planned handover from the leader through the state store.

use super::group::{Condition, Group};
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// Another instance leads.
    AnotherLeader,
    /// No other instance could lead, so the same one may lead again.
    AnyLeader,
}

/// Requests a handover from the leader, waits for the next one, and prints it with the time without a leader.
pub async fn step_down(
    group: &dyn Group,
    reason: &str,
    wanted: Condition,
    form: Form,
) -> Result<(), Failure> {
    let outcome = hand_over(group, reason, wanted, form).await;
    group.close().await;
    outcome
}

#[derive(Serialize)]
struct PlanJson<'a> {
    leader: &'a str,
    epoch: u64,
    candidates: Vec<&'a str>,
    /// Why a handover is useless; `null` if it is not.
    obstacle: Option<String>,
    /// Longest expected time without a leader if the handover succeeds, and if the leader fails during it.
    gap_ms_max: u64,
    gap_ms_on_failure: u64,
}

/// Prints the instances that can take over, the expected time without a leader and the risks. Requests nothing; fails
/// if a handover would be refused.
pub async fn plan_step_down(group: &dyn Group, form: Form) -> Result<(), Failure> {
    let outcome = plan(group, form).await;
    group.close().await;
    outcome
}

async fn plan(group: &dyn Group, form: Form) -> Result<(), Failure> {
    let (holder, epoch, ttl) = leader(group).await?;
    let judged = candidates(group, &holder, ttl).await?;
    let totals = group.totals().await?;
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    // The leader drains for at most a heartbeat, a third of its lease.
    let (planned, failed) = (ttl / 3, ttl + ttl / 3);
    if form == Form::Json {
        print_json(&PlanJson {
            leader: holder.as_str(),
            epoch: epoch.0,
            candidates: judged.as_ref().map_or_else(|_| Vec::new(), |ids| ids.split(", ").collect()),
            obstacle: judged.as_ref().err().cloned(),
            gap_ms_max: ms(planned),
            gap_ms_on_failure: ms(failed),
        })?;
        return judged.map(drop).map_err(Failure::other);
    }
    let candidates = judged.map_err(Failure::other)?;
    line(format_args!("leader          {holder} (epoch {epoch})"))?;
    line(format_args!("can take over   {candidates}; the first of them that claims the lease leads"))?;
    line(format_args!("without leader  at most {planned:?}, usually milliseconds"))?;
    line(format_args!("if it fails     at most {failed:?}: the lease of {holder} must expire first"))?;
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

async fn hand_over(group: &dyn Group, reason: &str, wanted: Condition, form: Form) -> Result<(), Failure> {
    let (holder, epoch, ttl) = leader(group).await?;
    let (candidates, expected) = match (candidates(group, &holder, ttl).await?, wanted) {
        (Ok(candidates), _) => (format!("; {candidates} can take over"), Expected::AnotherLeader),
        (Err(_), Condition::Always) => (String::new(), Expected::AnyLeader),
        (Err(why), Condition::WithSuccessor) => return Err(Failure::other(why)),
    };
    match group.step_down(epoch, reason, wanted).await? {
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
    // The leader drains for a heartbeat, then another instance claims. If there is no other instance, the
    // same one leads again after three heartbeats. A leader that has died is replaced when its lease has
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
                    reason,
                })?;
            }
            return tell(&terms, epoch, next, &holder, expected, form);
        }
        group.changed(READ_AGAIN).await;
    }
    Err(Failure::other(format!("no instance has taken over within {patience:?}; see `coordinator status`")))
}

/// The instances that can take over, or why a handover is useless. Before it refuses, it waits for instances that are
/// starting.
async fn candidates(
    group: &dyn Group,
    holder: &InstanceId,
    ttl: Duration,
) -> Result<Result<String, String>, Failure> {
    let fresh = heartbeat_interval(ttl) * HEARTBEATS_MISSED;
    let until = Instant::now() + STARTING_MAX;
    loop {
        let members = group.members().await?;
        let judged = handover::candidates(&members, holder, fresh)
            .map(|ids| ids.into_iter().map(InstanceId::as_str).collect::<Vec<_>>().join(", "));
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

fn tell(
    terms: &[Term],
    ended: Epoch,
    next: &Term,
    before: &InstanceId,
    expected: Expected,
    form: Form,
) -> Result<(), Failure> {
    let line = |text: std::fmt::Arguments<'_>| if form == Form::Json { Ok(()) } else { line(text) };
    let gap = gap_ms(terms, ended, next);
    let gap = gap.map_or_else(String::new, |gap| format!(", {gap} ms without a leader"));
    let (holder, epoch) = (&next.holder, next.epoch);
    match (next.holder == *before, expected) {
        (false, _) => line(format_args!("{holder} leads (epoch {epoch}){gap}")),
        (true, Expected::AnyLeader) => {
            line(format_args!("{holder} leads again (epoch {epoch}){gap}: there was no other instance"))
        }
        (true, Expected::AnotherLeader) => Err(Failure::other(format!(
            "{holder} leads again (epoch {epoch}){gap}: no other instance took over; see `coordinator status` and their logs"
        ))),
    }
}
