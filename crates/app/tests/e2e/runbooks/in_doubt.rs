//! Runbook test with signals whose outcome is unknown, and leaders that are superseded.

use crate::signals::accepted;
use crate::watched::Watched;
use testkit::broker::{Conduct, HttpBroker, Order};

pub const IN_DOUBT: [&str; 3] = ["SignalsInDoubt", "SplitBrainEpisode", "FencedWrite"];

/// Signals that are in doubt first. The page resolves each in a different way.
const DOUBTFUL: [&str; 3] = ["s-1", "s-2", "s-3"];
/// Most leaders that are superseded: one in two or three has nothing to write before it notices.
const ATTEMPTS: usize = 20;
/// As if another instance had acquired the lease.
const SUPERSEDE: &str = "\
    UPDATE coordinator_lease SET epoch = epoch + 1, seq = seq + 1, holder = 'another', claim = gen_random_uuid()";

#[test]
fn signals_in_doubt_and_leaders_that_are_superseded() {
    let cuts = |order: &Order| match order.attempt {
        1 if DOUBTFUL.contains(&order.id.as_str()) => Conduct::ExecutesAndCuts,
        _ => Conduct::done(),
    };
    let broker = HttpBroker::with(cuts, |_| false);
    let (mut watched, mut lead) = Watched::with(&[("COORDINATOR_SIGNALS_HANDLER", &broker.url())], &[]);
    for id in DOUBTFUL {
        accepted(&mut watched.group, "a", id, id);
    }
    watched.follow("SignalsInDoubt");
    watched.over("SignalsInDoubt");

    // The leader's renewal notices it as well, and may come before the leader has a signal to claim.
    for attempt in 0.. {
        watched.group.database.execute(SUPERSEDE);
        let id = format!("after-{attempt}");
        accepted(&mut watched.group, "a", &id, &id);
        let superseded = lead;
        lead = watched.group.wait_lead(superseded.epoch + 1);
        let refused = watched.group.metric(&superseded.name, "coordinator_fenced_writes_total");
        if refused.is_some_and(|count| count > 0.0) {
            break;
        }
        assert!(attempt < ATTEMPTS, "no leader wrote after it was superseded");
    }
    watched.follow("SplitBrainEpisode");
    watched.follow("FencedWrite");
    watched.finish(&IN_DOUBT);
}
