//! Alerts about who leads.

mod slo;

use super::lookup::{critical, metric, warning};
use super::query::{EVALUATED_EVERY, REMEMBERED, answering, grew, growth, worst};
use super::{Component, ExportedRule, Group, JOB, Recording, Severity, written};
use alloc::format;
use alloc::string::String;
use core::time::Duration;
use domain::alert::FORGOT_SHOWN;

/// The table.
pub(super) const GROUP: Group = Group { name: "leadership", records: &[LEADERS, CHANGES], rules: &RULES };

/// What was over before anybody could look is told for this long: until somebody has looked, not until the next one.
const EPISODE_SHOWN: Duration = Duration::from_mins(10);

/// Changes of leader are counted over this time, as the rule in process counts them.
const CHANGES_COUNTED: Duration = Duration::from_hours(1);

const IS_LEADER: &str = metric("portfolio_manager_is_leader");
const LEADER_REDIS: &str = metric("portfolio_manager_current_leader_redis");
const LEADER_DB: &str = metric("portfolio_manager_current_leader_db");
const EPOCH: &str = metric("portfolio_manager_leader_epoch");
const CHANGES_SEEN: &str = metric("portfolio_manager_leadership_changes");
const SPLIT_BRAINS: &str = metric("portfolio_manager_split_brain_detected_total");
const TICKET_FAULTS: &str = metric("coordinator_ticket_faults_total");
const FORGOT: &str = metric("coordinator_store_forgot_timestamp_seconds");

const LEADERS: Recording = Recording { record: "job:portfolio_manager_leaders:count", expr: leaders };
const CHANGES: Recording =
    Recording { record: "job:portfolio_manager_leadership_changes:increase1h", expr: changes };

const RULES: [ExportedRule; 10] = [
    ExportedRule {
        alert: "NoLeader",
        condition: "no_leader",
        severity: Severity::Critical,
        component: Component::HaCoordination,
        expr: || format!("{} == 0", LEADERS.record),
        held_for: Duration::from_mins(2),
        summary: "{{ $labels.job }}: no instance leads",
        description: "None of the instances that answer says that it leads, or none answers. A failover takes \
                      seconds, so it is not one.",
        impact: "Nothing is sent: signals wait, and are missed when they expire. Exits leave their positions open, \
                 and rollovers do not run.",
    },
    ExportedRule {
        alert: "MultipleLeaders",
        condition: "multiple_leaders",
        severity: Severity::Critical,
        component: Component::HaCoordination,
        expr: || format!("{} > 1", LEADERS.record),
        held_for: Duration::from_mins(1),
        summary: "{{ $labels.job }}: instances that say that they lead: {{ $value }}",
        description: "A leader that is superseded stops within its lease, so one of them does not notice. The fence \
                      refuses its writes to the database; it cannot refuse what a handler does elsewhere.",
        impact: "A signal that is executed twice is twice the risk of its trade, 1 lakh rupees more. Signals of the \
                 ledger are claimed once, whoever leads.",
    },
    ExportedRule {
        alert: "SplitBrainDetected",
        condition: "split_brain",
        severity: Severity::Critical,
        component: Component::HaCoordination,
        expr: split_brain,
        held_for: Duration::from_mins(1),
        summary: "{{ $labels.job }}: Redis and the database name different leaders, say instances: {{ $value }}",
        description: "The database decides, and the instance that only Redis names demotes itself within its lease. \
                      That they still differ means that it does not, or that Redis holds what is not true any more.",
        impact: "A signal that is executed twice is twice the risk of its trade, 1 lakh rupees more. Signals of the \
                 ledger are claimed once, whoever leads.",
    },
    ExportedRule {
        alert: "SplitBrainEpisode",
        condition: "split_brain",
        severity: Severity::Warning,
        component: Component::HaCoordination,
        expr: || grew(SPLIT_BRAINS, EPISODE_SHOWN),
        held_for: Duration::ZERO,
        summary: "{{ $labels.job }}: a leader found itself superseded and stopped",
        description: "Another instance had taken over while it stood still or was cut off, and for a moment both \
                      believed that they led. It is over.",
        impact: "None by writes to the ledger: the fence refused those of the former leader. A signal that it had in \
                 hand may be in doubt now.",
    },
    ExportedRule {
        alert: "ExcessiveLeadershipFlapping",
        condition: "leadership_changes",
        severity: Severity::Critical,
        component: Component::HaCoordination,
        expr: || changed_more_than(critical("leadership_changes")),
        held_for: Duration::from_mins(5),
        summary: "{{ $labels.job }}: changes of leader in the last hour: {{ $value }}",
        description: "No instance keeps the lease for long: renewals come too late, or the processes do not stay.",
        impact: "With each change signals wait for seconds, and one that the former leader had in hand may be in \
                 doubt. Signals may be missed.",
    },
    ExportedRule {
        alert: "LeadershipFlapping",
        condition: "leadership_changes",
        severity: Severity::Warning,
        component: Component::HaCoordination,
        expr: || changed_more_than(warning("leadership_changes")),
        held_for: Duration::from_mins(10),
        summary: "{{ $labels.job }}: changes of leader in the last hour: {{ $value }}",
        description: "Some of them may be meant, such as an update of every instance. If not, renewals come late, or \
                      a process does not stay.",
        impact: "With each change signals wait for seconds, and one that the former leader had in hand may be in \
                 doubt.",
    },
    ExportedRule {
        alert: "TicketFault",
        condition: "ticket_fault",
        severity: Severity::Warning,
        component: Component::HaCoordination,
        expr: || grew(TICKET_FAULTS, EPISODE_SHOWN),
        held_for: Duration::ZERO,
        summary: "{{ $labels.job }}: a ticket in Redis is not one of this system's",
        description: "The key of the lease holds what this system cannot have written, or outlives the lease: another \
                      program writes it, instances are configured differently, or a clock jumped. It is not waited \
                      for; the database decides who leads.",
        impact: "None by itself. A failover may be slower, and signals wait for as long.",
    },
    ExportedRule {
        alert: "StoreForgot",
        condition: "store_forgot",
        severity: Severity::Critical,
        component: Component::HaCoordination,
        expr: forgot,
        held_for: Duration::ZERO,
        summary: "{{ $labels.job }}: the state store has forgotten, found at {{ $value | humanizeTimestamp }}",
        description: "A standby was promoted that had not received everything, or a backup was restored: records of \
                      signals may be gone. The leader looks up what may have been executed before it sends it, and what \
                      it cannot look up is in doubt. The alert fires for 24 hours after the moment.",
        impact: "Orders may be at the broker that the ledger does not have, and accepted signals may be gone: trades \
                 that are not watched, or that were missed. Compare the orders at the broker with the ledger.",
    },
    slo::FAST_BURN,
    slo::SLOW_BURN,
];

/// How many instances lead, 0 also while none answers. A group is known by the instances that told something of late,
/// and the one that is scraped as [`JOB`] also before it told anything.
fn leaders() -> String {
    format!(
        "sum by (job) ({})\nor\n\
         0 * count by (job) (last_over_time({IS_LEADER}[{}]) or up{{job=\"{JOB}\"}})",
        answering(IS_LEADER),
        written(REMEMBERED),
    )
}

/// How many changes of leader there were within an hour. The epoch counts them for the group, whoever is there to
/// see. It is compared with the highest of the hour before: an instance that is cut off from the database goes on
/// telling an old one. Without that hour, the first of this one is the best there is.
///
/// While the epoch is below what it was, because the database was set back, it is what processes have seen that
/// counts. Only then: one that was cut off sees at once what happened in hours.
fn changes() -> String {
    let (hour, step) = (written(CHANGES_COUNTED), written(EVALUATED_EVERY));
    let (before, both) = (format!("[{hour}] offset {hour}"), written(2 * CHANGES_COUNTED));
    let highest = |range: &str| format!("max by (job) (max_over_time({EPOCH}{range}))");
    format!(
        "{}\n- (\n  {}\n  or min_over_time(max by (job) ({EPOCH})[{hour}:{step}])\n)\n\
         unless on (job) max by (job) ({EPOCH}) < {}\nor\nmax by (job) (\n{}\n)",
        highest(&format!("[{hour}]")),
        highest(&before),
        highest(&format!("[{both}]")),
        growth(CHANGES_SEEN, CHANGES_COUNTED),
    )
}

fn changed_more_than(limit: f64) -> String {
    format!("{} > {limit}", CHANGES.record)
}

/// The latest moment that an instance knows. One that is cut off from the database knows an older one, or none.
fn forgot() -> String {
    let seconds = FORGOT_SHOWN.as_secs();
    format!("{} > time() - {seconds}", worst(FORGOT))
}

/// 0 is a store that names nobody, or is not known: that is no second leader.
fn split_brain() -> String {
    format!(
        "count by (job) (\n  {LEADER_REDIS} != {LEADER_DB}\n  and {LEADER_REDIS} > 0 and {LEADER_DB} > 0\n)"
    )
}
