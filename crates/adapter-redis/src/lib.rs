//! LeaderStore on Redis: the ticket, its hints and its faults.
//!
//! - [`RedisConfig`]: where Redis is and whose ticket is kept there,
//! - [`RedisStore`]: the port; four scripts over one key, `PREFIX:GROUP:leader` = `instance claim`,
//! - `ticket`: reads what the key holds, which anybody may have written,
//! - `link`: a connection that comes back by itself, and tells at once that it is away,
//! - `connection`: one connection, on which a request is sent once or not at all,
//! - `watch`: hints, from the channel `PREFIX:GROUP:hints` and from connections that came back,
//! - `error`: what a failure means and what a person can do about it.
//!
//! What is to be known about the deployments:
//! - Sentinel: every reconnect asks the sentinels of the URL anew and takes only what calls itself a primary.
//! - Cluster: the connection is up only while every primary of it is reachable, so a failover of any of them is
//!   a time without tickets. Like every loss of Redis that costs speed and never safety.
//! - ACL: a user for this adapter needs [`ACL_COMMANDS`], the key `~PREFIX:GROUP:leader` and the channel
//!   `&PREFIX:GROUP:hints`; with Sentinel also `+role`, with a cluster `+cluster`, with a database in the URL `+select`.

mod config;
mod connection;
mod error;
mod leader_store;
mod link;
mod ticket;
mod watch;

pub use config::{InvalidUrl, PREFIX_DEFAULT, RedisConfig};
pub use leader_store::RedisStore;

/// What a Redis user needs for this adapter, as `ACL SETUSER` takes it; everything else can stay forbidden.
pub const ACL_COMMANDS: &str = "+ping +eval +type +strlen +getrange +pttl +set +pexpire +del +publish +subscribe \
                                +client|id +info";
