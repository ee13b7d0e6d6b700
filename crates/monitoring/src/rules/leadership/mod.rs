//! Alerts about the leadership of a group.

mod slo;

use super::lookup::{critical, metric, warning};
use super::query::{EVALUATED_EVERY, REMEMBERED, answering, grew, growth, targets, worst};
use super::{Component, ExportedRule, Group, Recording, Severity, written};
use alloc::format;
use alloc::string::String;
use core::time::Duration;
use domain::alert::FORGOT_SHOWN;
use domain::member::Health;

/// The table.
pub(super) const GROUP: Group =
    Group { name: "leadership", records: &[LEADERS, CHANGES, slo::MISSED], rules: &RULES };

/// The time for which the alert about a short event fires, so that an operator sees it.
const EPISODE_SHOWN: Duration = Duration::from_mins(10);

/// Period in which changes of leader are counted, as in the in-process rule.
const CHANGES_COUNTED: Duration = Duration::from_hours(1);

const IS_LEADER: &str = metric("portfolio_manager_is_leader");
const LEADER_REDIS: &str = metric("portfolio_manager_current_leader_redis");
const LEADER_DB: &str = metric("portfolio_manager_current_leader_db");
const EPOCH: &str = metric("portfolio_manager_leader_epoch");
const CHANGES_SEEN: &str = metric("portfolio_manager_leadership_changes");
const SPLIT_BRAINS: &str = metric("portfolio_manager_split_brain_detected_total");
const TICKET_FAULTS: &str = metric("coordinator_ticket_faults_total");
const ALERTS: &str = metric("coordinator_alert_status");
const FORGOT: &str = metric("coordinator_store_forgot_timestamp_seconds");

/// Like [`super::LEADERS`], for use inside other text. It has a text for a missing metric.
macro_rules! leaders {
    () => {
        concat!(
            r#"{{ $group := "" }}{{ with $labels.group }}{{ $group = . }}{{ end }}Redis names {{ with printf "portfolio_manager_leader_info{job=%q,group=%q,store=%q}" $labels.job $group "redis" | query }}"#,
            r#"{{ . | first | label "leader" }}{{ else }}an unknown instance{{ end }} and the database "#,
            r#"{{ with printf "portfolio_manager_leader_info{job=%q,group=%q,store=%q}" $labels.job $group "db" | query }}"#,
            r#"{{ . | first | label "leader" }}{{ else }}an unknown instance{{ end }}"#,
        )
    };
}
pub(super) const NAMED: &str = leaders!();

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
        description: "No instance that answers reports that it leads, or no instance answers. A failover \
            takes only seconds, so this is not a failover.",
        impact: "No signal is sent: signals wait, and are missed when they expire. Exits leave their \
            positions open, and rollovers do not run.",
    },
    ExportedRule {
        alert: "MultipleLeaders",
        condition: "multiple_leaders",
        severity: Severity::Critical,
        component: Component::HaCoordination,
        expr: || format!("{} > 1", LEADERS.record),
        held_for: Duration::from_mins(1),
        summary: "{{ $labels.job }}: instances that report that they lead: {{ $value }}",
        description: "A superseded leader stops within its lease, so one of them does not notice that it was \
            superseded. The fence refuses its writes to the database, but cannot refuse what a handler does \
            elsewhere.",
        impact: "A signal that is executed twice doubles the risk of its trade: 1 lakh (100,000) rupees \
            more. Signals of the ledger are claimed once, regardless of the leader.",
    },
    ExportedRule {
        alert: "SplitBrainDetected",
        condition: "split_brain",
        severity: Severity::Critical,
        component: Component::HaCoordination,
        expr: split_brain,
        held_for: Duration::from_mins(1),
        summary: "{{ $labels.job }}: Redis and the database name different leaders; instances that report \
            it: {{ $value }}",
        description: concat!(
            leaders!(),
            ". The database decides, and the instance that only Redis names demotes itself within its lease. If they \
             still differ, it does not demote itself, or the ticket in Redis is outdated. While a store does not answer, \
             this is the last known state."
        ),
        impact: "A signal that is executed twice doubles the risk of its trade: 1 lakh (100,000) rupees \
            more. Signals of the ledger are claimed once, regardless of the leader.",
    },
    ExportedRule {
        alert: "SplitBrainEpisode",
        condition: "split_brain",
        severity: Severity::Warning,
        component: Component::HaCoordination,
        expr: || grew(SPLIT_BRAINS, EPISODE_SHOWN),
        held_for: Duration::ZERO,
        summary: "{{ $labels.job }}: a leader found itself superseded and stopped",
        description: "Another instance had taken over while it was paused or cut off, and for a moment both \
            reported that they led. It is over.",
        impact: "None by writes to the ledger: the fence refused those of the former leader. A signal that \
            it was sending may be in doubt now.",
    },
    ExportedRule {
        alert: "ExcessiveLeadershipFlapping",
        condition: "leadership_changes",
        severity: Severity::Critical,
        component: Component::HaCoordination,
        expr: || changed_more_than(critical("leadership_changes")),
        held_for: Duration::from_mins(5),
        summary: "{{ $labels.job }}: changes of leader in the last hour: {{ $value }}",
        description: "No instance keeps the lease for long: renewals come too late, or the processes end.",
        impact: "With each change signals wait for seconds, and a signal that the former leader was sending \
            may be in doubt. Signals may be missed.",
    },
    ExportedRule {
        alert: "LeadershipFlapping",
        condition: "leadership_changes",
        severity: Severity::Warning,
        component: Component::HaCoordination,
        expr: || changed_more_than(warning("leadership_changes")),
        held_for: Duration::from_mins(10),
        summary: "{{ $labels.job }}: changes of leader in the last hour: {{ $value }}",
        description: "Some of them may be intended, such as an update of every instance. If not, renewals \
            come late, or a process keeps ending.",
        impact: "With each change signals wait for seconds, and a signal that the former leader was sending \
            may be in doubt.",
    },
    ExportedRule {
        alert: "TicketFault",
        condition: "ticket_fault",
        severity: Severity::Warning,
        component: Component::HaCoordination,
        expr: || grew(TICKET_FAULTS, EPISODE_SHOWN),
        held_for: Duration::ZERO,
        summary: "{{ $labels.job }}: a ticket in Redis was not written by this system",
        description: "The key of the ticket has a value that this system cannot have written, or outlives \
            the lease: another program writes it, the instances have different settings, or a clock jumped. \
            Instances do not wait for it; the database decides which instance leads.",
        impact: "None directly. A failover may be slower, and signals wait for the same time.",
    },
    ExportedRule {
        alert: "StoreForgot",
        condition: "store_forgot",
        severity: Severity::Critical,
        component: Component::HaCoordination,
        expr: forgot,
        held_for: Duration::ZERO,
        summary: "{{ $labels.job }}: the state store has forgotten, found at {{ $value | humanizeTimestamp }}",
        description: "A standby was promoted that had not received every write, or a backup was restored: \
            records of signals may be gone. The leader looks up signals that may have been executed before \
            it sends them, and those that it cannot look up are in doubt. The alert fires for 24 hours after \
            that time.",
        impact: "The broker may have orders that the ledger does not have, and accepted signals may be gone: \
            trades that no instance watches, or that were missed. Compare the orders at the broker with the \
            ledger.",
    },
    slo::FAST_BURN,
    slo::SLOW_BURN,
];

/// Number of leading instances, 0 also if none answers. A group is known by the instances that exported metrics
/// recently, and by its [targets].
fn leaders() -> String {
    format!(
        "sum by (job, group) ({})\nor\n\
         0 * count by (job, group) (\nlast_over_time({IS_LEADER}[{}])\nor {}\n)",
        answering(IS_LEADER),
        written(REMEMBERED),
        targets(),
    )
}

/// Number of changes of leader within an hour. The epoch counts them for the group, even if no instance observes
/// them. It is compared with the highest epoch of the hour before: an instance that is cut off from the database
/// keeps exporting an old one. Without data of that hour, the first value of this hour is used.
///
/// While the epoch is below its earlier value, because the database was set back, the changes that processes observed
/// count. Only then: an instance that was cut off observes the changes of hours at once.
fn changes() -> String {
    let (hour, step) = (written(CHANGES_COUNTED), written(EVALUATED_EVERY));
    let (before, both) = (format!("[{hour}] offset {hour}"), written(2 * CHANGES_COUNTED));
    let highest = |range: &str| format!("max by (job, group) (max_over_time({EPOCH}{range}))");
    format!(
        "{}\n- (\n  {}\n  or min_over_time(max by (job, group) ({EPOCH})[{hour}:{step}])\n)\n\
         unless on (job, group) max by (job, group) ({EPOCH}) < {}\nor\nmax by (job, group) (\n{}\n)",
        highest(&format!("[{hour}]")),
        highest(&before),
        highest(&format!("[{both}]")),
        growth(CHANGES_SEEN, CHANGES_COUNTED),
    )
}

fn changed_more_than(limit: f64) -> String {
    format!("{} > {limit}", CHANGES.record)
}

/// The latest time that an instance knows, or knew before it was gone. An instance that is cut off from the database
/// knows an older one, or none.
fn forgot() -> String {
    let seconds = FORGOT_SHOWN.as_secs();
    format!("{} > time() - {seconds}", worst(&format!("last_over_time({FORGOT}[{}])", written(REMEMBERED))))
}

/// The value 0 means that a store names no leader: that is not a second leader. While a store does not answer, its
/// metric is absent, and the instance keeps the last known state of the alert.
fn split_brain() -> String {
    format!(
        "count by (job, group) (\n  ({LEADER_REDIS} != {LEADER_DB}\n  and {LEADER_REDIS} > 0 and {LEADER_DB} > 0)\n  \
         or ({ALERTS}{{alert=\"split_brain\"}} == {}\n  \
         unless on (job, group, instance) ({LEADER_REDIS} and on (job, group, instance) {LEADER_DB}))\n)",
        Health::Critical.as_number(),
    )
}
