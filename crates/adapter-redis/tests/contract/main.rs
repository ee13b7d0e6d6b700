//! The contract suite of `LeaderStore` and this adapter's own cases, against real Redis servers.

mod hints;
mod hostile;
mod outages;
mod peer;
mod server;
mod tickets;
mod topologies;

use adapter_redis::RedisStore;
use contract::{Case, LeaderStores, Opening, TicketTamper, leader_store};
use domain::id::GroupId;
use domain::ports::LeaderStore;
use server::Operator;
use std::process::ExitCode;
use std::sync::Arc;
use testkit::backend;

/// The server of the suite, in a container or a child process. This adapter's own cases start child processes, because
/// they configure them, freeze them and connect them to each other.
struct Redis {
    operator: Operator,
    server: backend::Redis,
}

#[async_trait::async_trait]
impl LeaderStores for Redis {
    async fn open(&self, opening: &Opening) -> Arc<dyn LeaderStore> {
        let mut config = peer::config(&self.server.url(), opening.group.as_str(), opening.id.as_str());
        config.identity = opening.identity();
        // The suite asserts nothing about time, and the machine may be busy.
        config.request_timeout = contract::PATIENCE;
        Arc::new(RedisStore::new(config).expect("the server's URL"))
    }

    async fn tamper(&self, group: &GroupId, what: &TicketTamper) {
        for command in what.commands(&peer::key(group.as_str())) {
            self.operator.run(&command).await;
        }
    }
}

/// Cases of this adapter only: `own!(hints::a, outages::b)`.
macro_rules! own {
    ($($module:ident::$case:ident),* $(,)?) => {
        vec![$(Case::new(
            concat!(stringify!($module), "::", stringify!($case)),
            |_: Arc<Redis>| $module::$case(),
        )),*]
    };
}

fn main() -> ExitCode {
    let redis = async {
        let server = backend::redis();
        Redis { operator: Operator::connect(&server.url()).await, server }
    };
    let own = own![
        tickets::prefixes_are_apart,
        tickets::the_key_and_its_value_are_the_documented_ones,
        tickets::a_flushed_script_cache_or_database_is_no_error,
        tickets::the_documented_acl_is_enough_and_a_smaller_one_is_reported,
        hostile::other_types_and_our_own_form_with_a_tail_are_faults,
        hostile::a_foreign_value_is_not_my_ticket_though_my_claim_is_in_it,
        hostile::a_huge_value_is_never_fetched,
        hostile::a_superseded_ticket_is_taken_whatever_its_expiry,
        hints::a_lost_connection_hints_when_it_is_back,
        hints::a_restarted_server_hints_and_is_listened_to_again,
        outages::a_wrong_password_is_reported_without_being_shown,
        outages::a_server_without_tls_gets_no_password_if_the_url_requests_tls,
        outages::a_server_that_starts_later_is_found,
        outages::a_restarted_server_receives_no_late_request,
        outages::a_silent_server_leaves_one_request_unknown_and_refuses_the_rest,
        outages::a_dropped_request_still_finds_the_server_silent,
        outages::refusals_change_nothing_and_pass,
        outages::a_closed_or_dropped_store_has_no_connections,
        topologies::a_cluster_takes_tickets_and_hints,
        topologies::sentinels_lead_to_the_next_primary,
    ];
    contract::main(redis, [leader_store::suite(), own])
}
