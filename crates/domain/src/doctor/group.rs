//! Judges the instances of the group by the instance table.

use super::latency::ms;
use super::{Answer, Check, Finding};
use crate::id::InstanceId;
use crate::member::{MemberSeen, heartbeat_interval};
use crate::settings::SharedSettings;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

/// Heartbeats without which an instance is gone and is not compared.
const GONE_AFTER: u32 = 6;
/// A start that far in the future of the store's clock is a clock that is wrong, and no rounding.
const AHEAD_MIN: Duration = Duration::from_secs(1);

/// The instance table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupFacts {
    /// The entries, or why they could not be read.
    pub members: Answer<Vec<MemberSeen>>,
    /// The time of day at the store when they were read, in unix milliseconds; `None` if it is this host's clock.
    pub store_ms: Option<i64>,
}

/// All findings about the instances.
pub(crate) fn judge(facts: &GroupFacts, ttl: Duration) -> [Finding; 2] {
    let alive = match &facts.members {
        Ok(members) => {
            members.iter().filter(|seen| seen.heartbeat_age <= heartbeat_interval(ttl) * GONE_AFTER).collect()
        }
        Err(why) => {
            let repair = "repair the fault that is named, then run this command again";
            return [Check::GroupSettings, Check::GroupClocks]
                .map(|check| Finding::unknown(check, why.clone(), repair));
        }
    };
    [settings(&alive), clocks(&alive, facts.store_ms)]
}

fn settings(alive: &Vec<&MemberSeen>) -> Finding {
    let check = Check::GroupSettings;
    let all: Vec<(InstanceId, SharedSettings)> =
        alive.iter().map(|seen| (seen.member.id.clone(), seen.member.settings.clone())).collect();
    let differing = SharedSettings::differing(&all);
    if differing.is_empty() {
        return Finding::ok(
            check,
            format!("{} with a recent heartbeat; no setting differs", instances(alive.len())),
        );
    }
    let each: Vec<String> =
        differing.iter().map(|one| format!("{} ({})", one.setting, one.instances())).collect();
    Finding::failed(check, format!("these settings differ: {}", each.join(", ")), check.remedy())
}

fn clocks(alive: &[&MemberSeen], store_ms: Option<i64>) -> Finding {
    let check = Check::GroupClocks;
    let Some(store_ms) = store_ms else {
        return Finding::ok(check, "all instances are on one host");
    };
    // Each entry has the time of its start, by the clock of its host. No start can be in the future.
    let ahead: Vec<String> = alive
        .iter()
        .filter_map(|seen| {
            let heartbeat_ms = store_ms.saturating_sub(i64::try_from(seen.heartbeat_age.as_millis()).ok()?);
            let ahead = u64::try_from(seen.member.started_ms.saturating_sub(heartbeat_ms)).ok()?;
            let ahead = Duration::from_millis(ahead);
            (ahead > AHEAD_MIN)
                .then(|| format!("{} ({}) at least {}", seen.member.host, seen.member.id, ms(ahead)))
        })
        .collect();
    if ahead.is_empty() {
        let found = format!(
            "{}, none with a start time in the store's future; to check the rate of a clock, run this command on its host",
            instances(alive.len())
        );
        Finding::ok(check, found)
    } else {
        Finding::warning(check, format!("ahead of the store: {}", ahead.join(", ")), check.remedy())
    }
}

fn instances(number: usize) -> String {
    if number == 1 { "1 instance".into() } else { format!("{number} instances") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;
    use crate::id::Nonce;
    use crate::lease::Epoch;
    use crate::member::{Health, Member, MemberState};
    use alloc::vec;

    const TTL: Duration = Duration::from_secs(10);
    const NOW_MS: i64 = 1_700_000_000_000;

    fn seen(id: &str, ttl: &str, started_ms: i64, age_s: u64) -> MemberSeen {
        let member = Member {
            id: InstanceId::parse(id).unwrap(),
            nonce: Nonce::new(1),
            host: format!("host-{id}"),
            address: String::new(),
            state: MemberState::Standby,
            epoch: Epoch(1),
            fallback: false,
            alerts: Health::Ok,
            version: "0.1.0".into(),
            started_ms,
            settings: SharedSettings::default().with("leader_ttl", ttl),
            cannot_lead: None,
            sync_p95: None,
        };
        MemberSeen { member, heartbeat_age: Duration::from_secs(age_s) }
    }

    fn judged(members: Vec<MemberSeen>) -> [Finding; 2] {
        judge(&GroupFacts { members: Ok(members), store_ms: Some(NOW_MS) }, TTL)
    }

    #[test]
    fn settings_of_live_instances_must_agree() {
        let [same, _] = judged(vec![seen("a", "10s", 0, 1), seen("b", "10s", 0, 1)]);
        assert_eq!(
            (same.verdict, same.found.as_str()),
            (Verdict::Ok, "2 instances with a recent heartbeat; no setting differs")
        );
        let [differ, _] = judged(vec![seen("a", "10s", 0, 1), seen("b", "5s", 0, 1)]);
        assert_eq!(differ.verdict, Verdict::Failed);
        assert_eq!(differ.found, "these settings differ: leader_ttl (a: 10s; b: 5s)");
        let [gone, _] = judged(vec![seen("a", "10s", 0, 1), seen("b", "5s", 0, 61)]);
        assert_eq!(gone.verdict, Verdict::Ok, "an instance that is gone follows no rule");
    }

    #[test]
    fn a_start_in_the_future_is_a_clock_that_is_ahead() {
        let [_, fine] = judged(vec![seen("a", "10s", NOW_MS - 1_000, 1)]);
        assert_eq!(fine.verdict, Verdict::Ok);
        let [_, ahead] = judged(vec![seen("a", "10s", NOW_MS + 4_000, 1)]);
        assert_eq!(ahead.verdict, Verdict::Warning);
        assert_eq!(ahead.found, "ahead of the store: host-a (a) at least 5000.0 ms");
    }

    #[test]
    fn a_table_that_cannot_be_read_is_unknown() {
        for finding in judge(&GroupFacts { members: Err("away".into()), store_ms: None }, TTL) {
            assert_eq!(finding.verdict, Verdict::Unknown);
        }
    }
}
