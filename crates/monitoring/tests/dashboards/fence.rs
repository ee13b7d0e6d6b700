//! What protects: one leader, its lease, its epoch, and what was refused.

use crate::panel::{Panel, lines, stat, steps};
use crate::zones::Zones;

pub fn panels() -> Vec<Panel> {
    let counted = |metric: &str| format!("round(sum(increase({metric}{{$here}}[$__range])))");
    vec![
        stat("Leaders", "short")
            .says_of_itself(
                "Instances that believe they lead, at the last scrape of each. None: signals wait. Two: one of them is a \
                 former leader, and the fence refuses what it writes, so nothing is traded twice by it.",
            )
            .runbooks(&["NoLeader", "MultipleLeaders", "LeaderSLOFastBurn", "LeaderSLOSlowBurn"])
            .query("", "job:portfolio_manager_leaders:count{$group}")
            .zones(Zones::exactly_one()),
        stat("Split-Brain Episodes", "short")
            .says_of_itself(
                "Times an instance found its lease superseded and stopped leading, in the time that is shown, also shorter \
                 than a scrape. The fence held: without it each could have cost a trade made twice.",
            )
            .runbooks(&["SplitBrainEpisode"])
            .query("", &counted("portfolio_manager_split_brain_detected_total"))
            .zones(Zones::any()),
        stat("Fenced Writes", "short")
            .says_of_itself(
                "Writes under a former token that the state store refused, in the time that is shown. They changed nothing. \
                 Each would have been a signal claimed by two leaders and sent twice.",
            )
            .runbooks(&["FencedWrite"])
            .query("", &counted("coordinator_fenced_writes_total"))
            .zones(Zones::any()),
        stat("Ticket Faults", "short")
            .says_of_itself(
                "Tickets met in Redis that this system cannot have written, in the time that is shown: somebody else writes \
                 to its key. The database decides who leads, so nothing is lost but speed.",
            )
            .runbooks(&["TicketFault"])
            .query("", &counted("coordinator_ticket_faults_total"))
            .zones(Zones::any()),
        stat("Settings That Differ", "short")
            .says_of_itself(
                "Settings that instances of the group have different values of. What happens to signals then depends on \
                 which of them leads.",
            )
            .runbooks(&["SettingsDiffer"])
            .query("{{setting}}", "max by (setting) (coordinator_settings_differ{$group})")
            .absent("all instances agree")
            .zones(Zones::any()),
        stat("Store Forgot", "dateTimeFromNow")
            .says_of_itself(
                "When the state store was last found to have forgotten: a standby was promoted or a backup restored. Orders \
                 may be at the broker that the ledger does not have, and accepted signals may be gone.",
            )
            .runbooks(&["StoreForgot"])
            .query("", "1000 * max(coordinator_store_forgot_timestamp_seconds{$group})")
            .absent("never"),
        lines("Lease Margin", "s")
            .says_of_itself(
                "Time until the leader stops believing unless it renews; no line of a follower. A line that comes near \
                 nothing is a leader about to stop, and then signals wait until another one leads.",
            )
            .query("{{instance}}", "coordinator_lease_margin_seconds{$here}"),
        steps("Fencing Epoch", "none")
            .says_of_itself(
                "Grows with every change of leader and survives restarts. Every write carries it, and an older one is \
                 refused: that is what keeps a signal from being sent twice.",
            )
            .query("epoch", "max(portfolio_manager_leader_epoch{$group})"),
    ]
}
