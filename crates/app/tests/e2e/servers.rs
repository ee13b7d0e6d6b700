//! A Redis and a PostgreSQL of the test's own.

use crate::database::Database;
use crate::group::Group;
use crate::wait::block_on;
use std::time::Duration;
use testkit::backend::{self, Postgres, Redis};

/// The servers of a group. Declare them before the group: what is declared last goes first.
pub struct Servers {
    pub redis: Redis,
    pub postgres: Postgres,
    /// Of the group's database.
    pub url: String,
}

impl Servers {
    pub fn start() -> Self {
        let (redis, postgres) = (backend::redis(), backend::postgres());
        let url = block_on(postgres.create_database());
        Self { redis, postgres, url }
    }

    /// A group on both.
    pub fn group(&self, ttl: Duration) -> Group {
        let arguments = ["--redis", &self.redis.url(), "--postgres", &self.url];
        Group::new(ttl, |_| Database::Postgres(self.url.clone()), &arguments)
    }
}
