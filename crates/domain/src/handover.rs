//! Whether a planned handover is useful: which instances can take over from the leader.

use crate::id::InstanceId;
use crate::member::{MemberSeen, MemberState};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

/// Age of a heartbeat, in intervals, above which the process counts as dead.
pub const HEARTBEATS_MISSED: u32 = 3;

/// Why a handover is useless.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// The leader does not answer the request, because it is dead or cut off.
    Silent {
        /// The leader.
        holder: InstanceId,
        /// The age of its last heartbeat.
        heartbeat_age: Duration,
    },
    /// No other instance can take over.
    NoSuccessor {
        /// The leader.
        holder: InstanceId,
        /// The instances that are alive and cannot lead, each with its own reason.
        unable: Vec<(InstanceId, String)>,
    },
    /// The chosen instance cannot take over, and others can.
    NotAble {
        /// The leader.
        holder: InstanceId,
        /// The chosen instance.
        chosen: InstanceId,
        /// Why it cannot take over.
        why: String,
        /// The instances that can.
        able: Vec<InstanceId>,
    },
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent { holder, heartbeat_age } => write!(
                f,
                "{holder} is dead or cut off: its last heartbeat is {} s old, so it cannot hand over; another instance \
                 leads when the lease has expired",
                heartbeat_age.as_secs()
            ),
            Self::NoSuccessor { holder, unable } => {
                write!(f, "no instance can take over from {holder}")?;
                unable.iter().try_for_each(|(id, why)| write!(f, "; {id} cannot lead: {why}"))
            }
            Self::NotAble { holder, chosen, why, able } => {
                write!(f, "{chosen} cannot take over from {holder}: {why}. ")?;
                for (n, id) in able.iter().enumerate() {
                    write!(f, "{}{id}", if n == 0 { "" } else { ", " })?;
                }
                f.write_str(" can take over")
            }
        }
    }
}

/// The instances that can take over from `holder`, or why a handover is useless. A process whose heartbeat is older than
/// `fresh` counts as dead.
///
/// # Errors
/// Why a handover is useless.
pub fn candidates<'a>(
    members: &'a [MemberSeen],
    holder: &InstanceId,
    fresh: Duration,
) -> Result<Vec<&'a InstanceId>, Obstacle> {
    let leader = members.iter().find(|seen| seen.member.id == *holder);
    if let Some(heartbeat_age) = leader.map(|seen| seen.heartbeat_age).filter(|age| *age > fresh) {
        return Err(Obstacle::Silent { holder: holder.clone(), heartbeat_age });
    }
    // The line of a former leader changes a moment after the lease, and only the lease says who leads.
    let can = |state| match state {
        MemberState::Standby | MemberState::Recovering | MemberState::Active => true,
        MemberState::Starting | MemberState::Halted => false,
    };
    let others = members
        .iter()
        .filter(|seen| seen.member.id != *holder && seen.heartbeat_age <= fresh && can(seen.member.state));
    let (unable, able): (Vec<_>, Vec<_>) =
        others.map(|seen| &seen.member).partition(|member| member.cannot_lead.is_some());
    if able.is_empty() {
        let unable = unable.into_iter();
        let unable = unable.map(|member| (member.id.clone(), member.cannot_lead.clone().unwrap_or_default()));
        return Err(Obstacle::NoSuccessor { holder: holder.clone(), unable: unable.collect() });
    }
    Ok(able.into_iter().map(|member| &member.id).collect())
}

/// As [`candidates`], for a handover to `chosen`: only that instance.
///
/// # Errors
/// Why a handover to it is useless.
pub fn chosen<'a>(
    members: &'a [MemberSeen],
    holder: &InstanceId,
    chosen: &InstanceId,
    fresh: Duration,
) -> Result<Vec<&'a InstanceId>, Obstacle> {
    let able = candidates(members, holder, fresh)?;
    if let Some(id) = able.iter().find(|id| **id == chosen) {
        return Ok(alloc::vec![*id]);
    }
    let why = match members.iter().find(|seen| seen.member.id == *chosen) {
        None => String::from("it is not in the instance table"),
        Some(_) if chosen == holder => String::from("it leads already"),
        Some(seen) if seen.heartbeat_age > fresh => {
            format!("its last heartbeat is {} s old", seen.heartbeat_age.as_secs())
        }
        Some(MemberSeen { member, .. }) => match &member.cannot_lead {
            Some(why) => format!("it cannot lead: {why}"),
            None => format!("its state is {}", member.state.as_str()),
        },
    };
    let able = able.into_iter().cloned().collect();
    Err(Obstacle::NotAble { holder: holder.clone(), chosen: chosen.clone(), why, able })
}

/// The reason of a handover, for the history.
pub fn reason(to: Option<&InstanceId>, reason: &str) -> String {
    to.map_or_else(|| String::from(reason), |to| format!("handed over to {to}: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Nonce;
    use crate::lease::Epoch;
    use crate::member::{Health, Member};
    use crate::settings::SharedSettings;
    use alloc::borrow::ToOwned;
    use alloc::string::ToString;

    fn seen(id: &str, state: MemberState, age_s: u64, cannot_lead: Option<&str>) -> MemberSeen {
        let member = Member {
            id: InstanceId::parse(id).expect("an id"),
            nonce: Nonce::new(1),
            host: String::new(),
            address: String::new(),
            state,
            epoch: Epoch(1),
            fallback: false,
            alerts: Health::Ok,
            version: String::new(),
            started_ms: 0,
            settings: SharedSettings::default(),
            cannot_lead: cannot_lead.map(Into::into),
            sync_p95: None,
        };
        MemberSeen { member, heartbeat_age: Duration::from_secs(age_s) }
    }

    #[test]
    fn only_a_live_instance_that_can_lead_is_a_candidate() {
        use MemberState::{Active, Halted, Standby, Starting};
        let a = InstanceId::parse("a").expect("an id");
        let of = |members: &[MemberSeen]| {
            let found = candidates(members, &a, Duration::from_secs(9));
            found
                .map(|ids| ids.iter().map(ToString::to_string).collect::<Vec<_>>())
                .map_err(|why| why.to_string())
        };
        let leader = || seen("a", Active, 1, None);
        assert_eq!(of(&[leader(), seen("b", Standby, 9, None)]), Ok(alloc::vec!["b".to_owned()]));
        for other in [seen("b", Standby, 10, None), seen("b", Starting, 1, None), seen("b", Halted, 1, None)]
        {
            assert_eq!(of(&[leader(), other]), Err("no instance can take over from a".to_owned()));
        }
        let unable = seen("b", Standby, 1, Some("no disk"));
        let why = "no instance can take over from a; b cannot lead: no disk";
        assert_eq!(of(&[leader(), unable]), Err(why.to_owned()));
        let silent =
            of(&[seen("a", Active, 10, None), seen("b", Standby, 1, None)]).expect_err("a dead leader");
        assert!(silent.starts_with("a is dead or cut off: its last heartbeat is 10 s old"), "{silent}");
    }

    #[test]
    fn a_chosen_instance_must_be_able_and_the_others_are_named() {
        use MemberState::{Active, Standby, Starting};
        let [a, b, c, d] = ["a", "b", "c", "d"].map(|id| InstanceId::parse(id).expect("an id"));
        let of = |to: &InstanceId, b: MemberSeen| {
            let members = [seen("a", Active, 1, None), b, seen("c", Standby, 1, None)];
            let found = chosen(&members, &a, to, Duration::from_secs(9));
            found.map(|ids| ids.len()).map_err(|why| why.to_string())
        };
        assert_eq!(of(&c, seen("b", Standby, 1, None)), Ok(1));
        for (to, state, age_s, cannot_lead, why) in [
            (
                &b,
                Standby,
                10,
                None,
                "b cannot take over from a: its last heartbeat is 10 s old. c can take over",
            ),
            (&b, Starting, 1, None, "b cannot take over from a: its state is starting. c can take over"),
            (
                &b,
                Standby,
                1,
                Some("no disk"),
                "b cannot take over from a: it cannot lead: no disk. c can take over",
            ),
            (
                &d,
                Standby,
                1,
                None,
                "d cannot take over from a: it is not in the instance table. b, c can take over",
            ),
            (&a, Standby, 1, None, "a cannot take over from a: it leads already. b, c can take over"),
        ] {
            assert_eq!(of(to, seen("b", state, age_s, cannot_lead)), Err(why.to_owned()));
        }
    }
}
