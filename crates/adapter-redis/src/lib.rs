//! `LeaderStore` on Redis: the ticket (an advisory lock that only orders attempts), its hints and its faults.
//!
//! - [`RedisConfig`]: the URL of Redis, and the group and instance that use it,
//! - [`RedisStore`]: the port; four scripts over one key, `PREFIX:GROUP:leader` = `instance claim`,
//! - `ticket`: parses the key's value, which any client of Redis may have written,
//! - `link`: a connection that is reopened automatically and refuses requests at once while it is down,
//! - `connection`: one connection, on which a request is sent once or not at all,
//! - `watch`: hints, from the channel `PREFIX:GROUP:hints` and from connections that were reopened,
//! - `doctor`: the facts for `coordinator doctor`,
//! - `error`: what a failure means and what the operator can do about it.
//!
//! Deployments:
//! - Sentinel: every reconnect queries the sentinels of the URL again and accepts only a server that reports
//!   the role of a primary.
//! - Cluster: the connection is up only while every primary of the cluster is reachable, so there are no
//!   tickets during a failover of any of them. Like every loss of Redis, that costs speed and never safety.
//! - ACL: the Redis user needs [`ACL_COMMANDS`], the key `~PREFIX:GROUP:leader` and the channel
//!   `&PREFIX:GROUP:hints`; with Sentinel also `+role`, with a cluster `+cluster`, with a database in the URL
//!   `+select`.

mod config;
mod connection;
mod doctor;
mod error;
mod leader_store;
mod link;
mod ticket;
mod watch;

pub use config::{InvalidUrl, PREFIX_DEFAULT, RedisConfig, TlsSource, protection};
pub use leader_store::RedisStore;

/// Commands that the Redis user needs, in the syntax of `ACL SETUSER`. Every other command can stay
/// forbidden.
pub const ACL_COMMANDS: &str = "+ping +eval +type +strlen +getrange +pttl +set +pexpire +del +publish +subscribe \
                                +client|id +info";
