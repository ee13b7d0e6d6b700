//! Panels about the protection: the leader, its lease, its epoch, and refused writes.

use crate::panel::{Panel, lines, stat, steps};
use crate::zones::Zones;

pub fn panels() -> Vec<Panel> {
    let counted = |metric: &str| format!("round(sum(increase({metric}{{$here}}[$__range])))");
    [
        stat("Leaders", "short")
            .described(
                "Instances that report that they lead, at the last scrape of each. None: signals wait. Two: \
                one of them is a former leader, and the fence refuses its writes, so it cannot execute a \
                trade twice.",
            )
            .runbooks(&["NoLeader", "MultipleLeaders", "LeaderSLOFastBurn", "LeaderSLOSlowBurn"])
            .query("", "job:portfolio_manager_leaders:count{$group}")
            .zones(Zones::exactly_one()),
        stat("Split-Brain Episodes", "short")
            .described(
                "Number of times in the displayed range that an instance found its lease superseded and \
                stopped leading, even for less than a scrape interval. The fence held: without it, each \
                could have cost a duplicate trade.",
            )
            .runbooks(&["SplitBrainEpisode"])
            .query("", &counted("portfolio_manager_split_brain_detected_total"))
            .zones(Zones::any()),
        stat("Fenced Writes", "short")
            .described(
                "Writes under a superseded token that the state store refused, in the displayed range. They \
                changed nothing. Each could have been a signal claimed by two leaders and sent twice.",
            )
            .runbooks(&["FencedWrite"])
            .query("", &counted("coordinator_fenced_writes_total"))
            .zones(Zones::any()),
        stat("Ticket Faults", "short")
            .described(
                "Tickets in Redis that this system cannot have written, in the displayed range: another \
                program writes to its key. The database decides which instance leads, so only speed is lost.",
            )
            .runbooks(&["TicketFault"])
            .query("", &counted("coordinator_ticket_faults_total"))
            .zones(Zones::any()),
        stat("Settings That Differ", "short")
            .described(
                "Settings that differ between instances of the group. The treatment of signals then depends \
                on which of them leads.",
            )
            .runbooks(&["SettingsDiffer"])
            .query("{{setting}}", "max by (setting) (coordinator_settings_differ{$group})")
            .absent("all instances agree")
            .zones(Zones::any()),
    ]
    .into_iter()
    .chain(store_and_lease())
    .collect()
}

fn store_and_lease() -> [Panel; 4] {
    [
        stat("Store Forgot", "dateTimeFromNow")
            .described(
                "When the state store was last found to have forgotten: a standby was promoted or a backup \
                restored. The broker may have orders that the ledger does not have, and accepted signals may \
                be gone.",
            )
            .runbooks(&["StoreForgot"])
            .query("", "1000 * max(coordinator_store_forgot_timestamp_seconds{$group})")
            .absent("never"),
        stat("Leader Objective, 30 Days", "percentunit")
            .described(
                "Share of the last 30 days in which exactly one instance led, as far back as Prometheus keeps samples. The \
                objective is 99.9 %, which leaves 43 minutes. In the rest of the time signals waited.",
            )
            .runbooks(&["LeaderSLOFastBurn", "LeaderSLOSlowBurn"])
            .query(
                "",
                "1 - (\n  avg_over_time(job:coordinator_leader_missed:ratio30m{$group}[30d:30m])\n  \
                 or job:coordinator_leader_missed:ratio30m{$group}\n)",
            ),
        lines("Lease Margin", "s")
            .described(
                "Time until the lease of the leader ends unless it renews; no line for a follower. A leader \
                whose line approaches zero is about to stop, and then signals wait until another instance \
                leads.",
            )
            .query("{{instance}}", "coordinator_lease_margin_seconds{$here}"),
        steps("Fencing Epoch", "none")
            .described(
                "Grows with every change of leader and survives restarts. Every write carries it, and the \
                fence refuses an older one, so that no signal is sent twice.",
            )
            .query("epoch", "max(portfolio_manager_leader_epoch{$group})"),
    ]
}
