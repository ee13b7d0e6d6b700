//! Panels with details, for a reader who needs more than the overview.

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
        .described(
            "The alerts that the instances evaluate themselves; the worst value of the instances for each \
            condition. `GET /coordinator/metrics` of an instance has the value, the limits and a message.",
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
        .described(
            "The process behind each address, with its version and start time. An instance that restarts \
            repeatedly interrupts its signals each time: they wait, or are in doubt.",
        )
        .runbooks(&["InstanceRestarting"]),
        lines("Refused Requests", "short")
            .described(
                "Requests that the instances refused for their credential, by reason. `missing` is normal for the first \
                request of a browser. Many `unknown` ones are a client with an old token, which loses its signals, or \
                guesses.",
            )
            .query(
                "{{reason}}",
                "sum by (reason) (increase(coordinator_http_access_refused_total{$here}[$__rate_interval]))",
            ),
        lines("DB Syncs per Second", "ops")
            .described(
                "Syncs with the state store, of all instances. A leader that attempts none does not renew \
                its lease, and signals wait until another instance leads.",
            )
            .runbooks(&["DBSyncStalled"])
            .query("attempted", "sum(rate(portfolio_manager_db_sync_total{$here}[$__rate_interval]))")
            .query("answered", "sum(rate(portfolio_manager_db_sync_success_total{$here}[$__rate_interval]))")
            .query("failed", "sum(rate(portfolio_manager_db_sync_failure_total{$here}[$__rate_interval]))"),
        lines("DB Sync Duration of the Group", "s")
            .described(
                "The same as the latency above, over all instances and exact for the displayed time range \
                instead of the last syncs of each. Slow renewals use up the lease.",
            )
            .runbooks(&["HighDBSyncLatencyP95"])
            .query("p50", &of_the_group("0.5"))
            .query("p95", &of_the_group("0.95"))
            .query("p99", &of_the_group("0.99")),
    ]
}
