//! `coordinator step-down`: a planned handover, asked of the leader through the state store.

use super::table::visible;
use super::{ask, open};
use crate::compose::Stores;
use crate::config::Config;
use crate::failure::Failure;
use crate::output::line;
use coordinator::heartbeat_interval;
use domain::id::InstanceId;
use domain::lease::Token;
use domain::member::{Member, MemberSeen, MemberState, Term};
use domain::ports::StepDown;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// A look at the history when no hint came.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Terms read to find the one before and the one after.
const TERMS_READ: u32 = 8;

/// A heartbeat that is older than this many intervals is not one of a process that runs.
const BEATS_MISSED: u32 = 3;

/// How long an instance that starts is waited for.
const STARTING_MAX: Duration = Duration::from_secs(2);

/// When leadership is to be handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// When another instance can take over from a leader that lives.
    WithSuccessor,
    /// In any case.
    Always,
}

/// What counts as the success of a handover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// Another instance leads.
    AnotherLeader,
    /// There was no other instance that could: the same one may lead again.
    AnyLeader,
}

/// Requests a handover from the leader, waits for the next one, and prints it with the gap.
pub async fn step_down(config: &Config, reason: &str, wanted: Wanted) -> Result<(), Failure> {
    let stores = open(config)?;
    let outcome = hand_over(config, &stores, reason, wanted).await;
    stores.close().await;
    outcome
}

async fn hand_over(config: &Config, stores: &Stores, reason: &str, wanted: Wanted) -> Result<(), Failure> {
    let row = ask("the state store", stores.state.observe()).await?;
    let token = row.version.token;
    let Some(holder) = row.holder.filter(|_| !row.released) else {
        return Err(Failure::other("nobody leads, so there is nothing to hand over"));
    };
    let (candidates, expected) = match (candidates(config, stores, &holder).await?, wanted) {
        (Ok(candidates), _) => (format!("; {candidates} can take over"), Expected::AnotherLeader),
        (Err(_), Wanted::Always) => (String::new(), Expected::AnyLeader),
        (Err(why), Wanted::WithSuccessor) => return Err(Failure::other(why)),
    };
    match ask("the state store", stores.state.request_step_down(&token, reason)).await? {
        StepDown::Requested => {
            line(format_args!("asked {holder} (epoch {}) to hand over{candidates}", token.epoch))?;
        }
        StepDown::Superseded => {
            return Err(Failure::other(format!(
                "{holder} stopped leading just now; see `coordinator status`"
            )));
        }
    }
    // The leader drains for a heartbeat, then another claims; if nobody else is there, it comes back itself
    // after three heartbeats. A leader that is gone is replaced when its lease has run out.
    let patience = config.leader_ttl * 3;
    let until = Instant::now() + patience;
    while Instant::now() < until {
        let terms = ask("the state store", stores.state.history(TERMS_READ)).await?;
        if let Some(next) = successor(&terms, &token) {
            return tell(&terms, &token, next, &holder, expected);
        }
        let _ = timeout(LOOK_AGAIN, stores.state.changed()).await;
    }
    Err(Failure::other(format!("nobody has taken over within {patience:?}; see `coordinator status`")))
}

/// What [`judge`] says of the instance table. Before it refuses it waits for instances that are starting.
async fn candidates(
    config: &Config,
    stores: &Stores,
    holder: &InstanceId,
) -> Result<Result<String, String>, Failure> {
    let fresh = heartbeat_interval(config.leader_ttl) * BEATS_MISSED;
    let until = Instant::now() + STARTING_MAX;
    loop {
        let members = ask("the state store", stores.state.members()).await?;
        let judged = judge(&members, holder, fresh);
        let starting =
            |seen: &MemberSeen| seen.member.state == MemberState::Starting && seen.heartbeat_age <= fresh;
        if judged.is_ok() || !members.iter().any(starting) || Instant::now() >= until {
            return Ok(judged);
        }
        // Until the next look; the loop ends with the state or with its limit.
        sleep(LOOK_AGAIN).await;
    }
}

/// The instances that can take over from `holder`, or why a handover makes no sense. A heartbeat older than `fresh` is
/// a dead process's.
fn judge(members: &[MemberSeen], holder: &InstanceId, fresh: Duration) -> Result<String, String> {
    let leader = members.iter().find(|seen| seen.member.id == *holder);
    if let Some(age) = leader.map(|seen| seen.heartbeat_age).filter(|age| *age > fresh) {
        return Err(format!(
            "{holder} is dead or cut off: its last heartbeat is {} s old, so it cannot hand over; another instance \
             leads when the lease has run out (--force requests it all the same)",
            age.as_secs()
        ));
    }
    // The line of a former leader follows a moment after the lease: it is only the lease that says who leads.
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

/// The newest term of that epoch: a leader may have carried its row to a later timeline since it began.
fn is(term: &Term, token: &Token) -> bool {
    term.epoch == token.epoch
}

/// The term that came next. Newest first, so it stands just before the one asked for.
fn successor<'a>(terms: &'a [Term], token: &Token) -> Option<&'a Term> {
    let asked = terms.iter().position(|term| is(term, token))?;
    asked.checked_sub(1).map(|next| &terms[next])
}

fn tell(
    terms: &[Term],
    token: &Token,
    next: &Term,
    before: &InstanceId,
    expected: Expected,
) -> Result<(), Failure> {
    let ended = terms.iter().find(|term| is(term, token)).and_then(|term| term.to_ms);
    let gap = ended.map(|ended| next.from_ms - ended);
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
