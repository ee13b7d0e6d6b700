//! Where a reader looks who wants to know more than whether all is well.

use crate::overview::statuses;
use crate::panel::{Panel, lines, table};
use crate::table::{label, label_of, value};

pub fn panels() -> Vec<Panel> {
    let of_the_group = |share: &str| {
        let buckets = "portfolio_manager_db_sync_duration_seconds_bucket{$here}[$__rate_interval]";
        format!("histogram_quantile({share}, sum by (le) (rate({buckets}))) >= 0")
    };
    vec![
        table(
            "Conditions in Process",
            vec![
                label("Condition", "alert"),
                value(
                    "Status",
                    "max by (alert) (portfolio_manager_alert_status{$here} or coordinator_alert_status{$here})",
                )
                .mapped(statuses()),
            ],
        )
        .sized(12, 12)
        .says_of_itself(
            "What the instances judge themselves, the worst of them for each condition. `GET /coordinator/metrics` of an \
             instance has the value, the limits and a sentence about it.",
        ),
        table(
            "Processes",
            vec![
                label("Instance", "instance"),
                label_of(
                    "Instance ID",
                    "instance_id",
                    "max by (instance, instance_id, version) (portfolio_manager_instance_info{$here})",
                ),
                label("Version", "version"),
                value("Started", "1000 * max by (instance) (process_start_time_seconds{$here})")
                    .unit("dateTimeAsIso"),
            ],
        )
        .sized(12, 12)
        .says_of_itself(
            "Which process runs behind each address, in which version, since when. An instance that restarts again and again \
             takes signals with it each time: they wait, or are in doubt.",
        )
        .runbooks(&["InstanceRestarting"]),
        lines("DB Syncs per Second", "ops")
            .says_of_itself(
                "Syncs with the state store, of all instances. A leader that attempts none does not renew its lease, and \
                 signals wait until another one leads.",
            )
            .runbooks(&["DBSyncStalled"])
            .query("attempted", "sum(rate(portfolio_manager_db_sync_total{$here}[$__rate_interval]))")
            .query("answered", "sum(rate(portfolio_manager_db_sync_success_total{$here}[$__rate_interval]))")
            .query("failed", "sum(rate(portfolio_manager_db_sync_failure_total{$here}[$__rate_interval]))"),
        lines("DB Sync Duration of the Group", "s")
            .says_of_itself(
                "The same as the latency above, over all instances and exact for the time that is shown, not for the last \
                 syncs of each. Slow renewals use up the lease.",
            )
            .runbooks(&["HighDBSyncLatencyP95"])
            .query("p50", &of_the_group("0.5"))
            .query("p95", &of_the_group("0.95"))
            .query("p99", &of_the_group("0.99")),
    ]
}
