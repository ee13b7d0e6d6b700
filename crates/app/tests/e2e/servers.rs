//! [`Servers`]: a Redis and a PostgreSQL for one test.

use crate::database::Database;
use crate::group::Group;
use crate::wait::{block_on, until};
use std::time::Duration;
use testkit::backend::{self, Postgres, Redis, Reply};

/// The servers of a group. Declare them before the group, because the last declaration is dropped first.
pub struct Servers {
    pub redis: Redis,
    pub postgres: Postgres,
    /// URL of the group's database.
    pub url: String,
}

impl Servers {
    pub fn start() -> Self {
        Self::new(backend::redis(), backend::postgres())
    }

    /// With a PostgreSQL that has a test's connections itself: between a test and a container, an engine may run a
    /// relay, whose buffers take megabytes that the client has not read.
    pub fn start_without_relay() -> Self {
        Self::new(backend::redis(), backend::native_postgres())
    }

    fn new(redis: Redis, postgres: Postgres) -> Self {
        let url = block_on(postgres.create_database());
        Self { redis, postgres, url }
    }

    /// The name of the lease key, once an instance has the ticket: the only key there is.
    pub fn ticket_key(&self) -> String {
        until("a ticket", || match self.redis.command(&["KEYS", "*"]) {
            Reply::List(keys) => match keys.as_slice() {
                [Reply::Value(key)] => Some(String::from_utf8_lossy(key).into_owned()),
                _ => None,
            },
            other => panic!("not a list of keys: {other:?}"),
        })
    }

    /// A group on both.
    pub fn group(&self, ttl: Duration) -> Group {
        let arguments = ["--redis", &self.redis.url(), "--postgres", &self.url];
        Group::new(ttl, |_| Database::Postgres(self.url.clone()), &arguments)
    }
}
