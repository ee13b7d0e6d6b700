//! [`Check`]: the table of all checks. docs/doctor.md is generated from it.

/// Part of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Area {
    /// PostgreSQL as the state store.
    Postgres,
    /// The embedded store.
    Sqlite,
    /// Redis.
    Redis,
    /// The host on which the command runs.
    Host,
    /// The instances of the group.
    Group,
}

impl Area {
    /// Every area, in the order of the report.
    pub const ALL: [Self; 5] = [Self::Postgres, Self::Sqlite, Self::Redis, Self::Host, Self::Group];

    /// The heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::Sqlite => "Embedded store (SQLite)",
            Self::Redis => "Redis",
            Self::Host => "This host",
            Self::Group => "Instances of the group",
        }
    }
}

/// One check of `coordinator doctor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Check {
    /// A session on a primary.
    PostgresSession,
    /// Version of the server.
    PostgresVersion,
    /// Pooler in front of it.
    PostgresPooler,
    /// Encoding of the database.
    PostgresEncoding,
    /// Functions that return the timeline.
    PostgresTimeline,
    /// Tables and their version.
    PostgresSchema,
    /// `fsync`.
    PostgresFsync,
    /// `full_page_writes`.
    PostgresFullPageWrites,
    /// `synchronous_commit` of the role.
    PostgresSynchronousCommit,
    /// Standbys, and whether commits wait for one.
    PostgresStandby,
    /// Superuser, or owner of the tables.
    PostgresRole,
    /// Triggers that keep the ledger.
    PostgresGuards,
    /// Rights that the service needs.
    PostgresRights,
    /// Timeouts of sessions.
    PostgresTimeouts,
    /// Free sessions.
    PostgresConnections,
    /// Latency of commits.
    PostgresCommits,
    /// TLS.
    PostgresEncryption,
    /// Offset of the store's clock.
    StoreClockOffset,
    /// Rate of the store's clock.
    StoreClockRate,
    /// The database file.
    SqliteFile,
    /// The file system of the data directory.
    SqliteFileSystem,
    /// Journal mode.
    SqliteJournal,
    /// Tables and their version.
    SqliteSchema,
    /// A session on a primary.
    RedisSession,
    /// Rights of the user.
    RedisRights,
    /// Memory and eviction.
    RedisMemory,
    /// Persistence.
    RedisPersistence,
    /// TLS.
    RedisEncryption,
    /// The data directory exists and is writable.
    HostDataDir,
    /// Permissions of the data directory and its files.
    HostPermissions,
    /// Latency of writes to the data directory.
    HostDisk,
    /// Open files.
    HostDescriptors,
    /// Core dumps.
    HostCoreDumps,
    /// Rate of the clock.
    HostClock,
    /// The time service.
    HostTimeService,
    /// Settings of the instances.
    GroupSettings,
    /// Clocks of the instances.
    GroupClocks,
}

impl Check {
    /// Every check, in the order of the report.
    pub const ALL: [Self; 37] = [
        Self::PostgresSession,
        Self::PostgresVersion,
        Self::PostgresPooler,
        Self::PostgresEncoding,
        Self::PostgresTimeline,
        Self::PostgresSchema,
        Self::PostgresFsync,
        Self::PostgresFullPageWrites,
        Self::PostgresSynchronousCommit,
        Self::PostgresStandby,
        Self::PostgresRole,
        Self::PostgresGuards,
        Self::PostgresRights,
        Self::PostgresTimeouts,
        Self::PostgresConnections,
        Self::PostgresCommits,
        Self::PostgresEncryption,
        Self::StoreClockOffset,
        Self::StoreClockRate,
        Self::SqliteFile,
        Self::SqliteFileSystem,
        Self::SqliteJournal,
        Self::SqliteSchema,
        Self::RedisSession,
        Self::RedisRights,
        Self::RedisMemory,
        Self::RedisPersistence,
        Self::RedisEncryption,
        Self::HostDataDir,
        Self::HostPermissions,
        Self::HostDisk,
        Self::HostDescriptors,
        Self::HostCoreDumps,
        Self::HostClock,
        Self::HostTimeService,
        Self::GroupSettings,
        Self::GroupClocks,
    ];

    /// The name in JSON and in the documentation.
    pub fn name(self) -> &'static str {
        self.entry().0
    }

    /// What depends on it, as a sentence.
    pub fn guarantee(self) -> &'static str {
        self.entry().1
    }

    /// What the operator changes if it does not hold; for the documentation. A finding names the exact statement.
    pub fn remedy(self) -> &'static str {
        self.entry().2
    }

    /// Part of the report.
    pub fn area(self) -> Area {
        match self {
            Self::PostgresSession
            | Self::PostgresVersion
            | Self::PostgresPooler
            | Self::PostgresEncoding
            | Self::PostgresTimeline
            | Self::PostgresSchema
            | Self::PostgresFsync
            | Self::PostgresFullPageWrites
            | Self::PostgresSynchronousCommit
            | Self::PostgresStandby
            | Self::PostgresRole
            | Self::PostgresGuards
            | Self::PostgresRights
            | Self::PostgresTimeouts
            | Self::PostgresConnections
            | Self::PostgresCommits
            | Self::PostgresEncryption => Area::Postgres,
            Self::SqliteFile | Self::SqliteFileSystem | Self::SqliteJournal | Self::SqliteSchema => {
                Area::Sqlite
            }
            Self::RedisSession
            | Self::RedisRights
            | Self::RedisMemory
            | Self::RedisPersistence
            | Self::RedisEncryption => Area::Redis,
            Self::HostDataDir
            | Self::HostPermissions
            | Self::HostDisk
            | Self::HostDescriptors
            | Self::HostCoreDumps
            | Self::HostClock
            | Self::HostTimeService
            | Self::StoreClockOffset
            | Self::StoreClockRate => Area::Host,
            Self::GroupSettings | Self::GroupClocks => Area::Group,
        }
    }

    /// Name, guarantee, remedy.
    #[allow(clippy::too_many_lines, reason = "a table with an entry for each check")]
    fn entry(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::PostgresSession => (
                "postgres.session",
                "This host reaches a PostgreSQL primary that accepts writes.",
                "Correct the URL, the credentials or the network; name all hosts of a cluster in the URL.",
            ),
            Self::PostgresVersion => (
                "postgres.version",
                "The server has every setting that the sessions of an instance use.",
                "Upgrade to PostgreSQL 12 or later.",
            ),
            Self::PostgresPooler => (
                "postgres.pooler",
                "A session belongs to one client, so its timeouts, transactions and hints do too.",
                "Set `pool_mode = session` in PgBouncer, or connect directly.",
            ),
            Self::PostgresEncoding => (
                "postgres.encoding",
                "Every character of a signal and of its result can be stored.",
                "Create a database with `ENCODING 'UTF8' TEMPLATE template0`, and use it.",
            ),
            Self::PostgresTimeline => (
                "postgres.timeline",
                "The fence refuses a token of the former primary after a promotion.",
                "`GRANT EXECUTE` on `pg_current_wal_lsn()` and `pg_walfile_name(pg_lsn)` to the role.",
            ),
            Self::PostgresSchema => (
                "postgres.schema",
                "The tables are complete, have the version of this binary, and the group is in one schema only.",
                "Run `coordinator migrate`, or restore what was lost from a backup.",
            ),
            Self::PostgresFsync => (
                "postgres.fsync",
                "An acknowledged claim or signal survives a crash of the server.",
                "`ALTER SYSTEM SET fsync = on; SELECT pg_reload_conf();`",
            ),
            Self::PostgresFullPageWrites => (
                "postgres.full_page_writes",
                "A crash during the write of a page leaves no torn page.",
                "`ALTER SYSTEM SET full_page_writes = on; SELECT pg_reload_conf();`",
            ),
            Self::PostgresSynchronousCommit => (
                "postgres.synchronous_commit",
                "An acknowledged write of your own service under this role survives a crash too.",
                "`ALTER ROLE ... SET synchronous_commit = on` (or the database, or the server).",
            ),
            Self::PostgresStandby => (
                "postgres.standby",
                "Acknowledged claims, signals and effects survive the loss of the primary.",
                "Add a standby, and name it in `synchronous_standby_names`.",
            ),
            Self::PostgresRole => (
                "postgres.role",
                "The credentials of an instance cannot delete an unfinished signal, lower an epoch or rewrite the audit.",
                "Create a role with `crates/adapter-postgres/sql/roles.sql`, and connect as a member of it.",
            ),
            Self::PostgresGuards => (
                "postgres.guards",
                "No role but the owner can delete an unfinished signal, lower an epoch or leave a gap in the audit.",
                "Enable the trigger again (`ALTER TABLE ... ENABLE TRIGGER ...`).",
            ),
            Self::PostgresRights => (
                "postgres.rights",
                "The role can do everything that an instance does.",
                "Run `crates/adapter-postgres/sql/roles.sql` again as the owner of the tables.",
            ),
            Self::PostgresTimeouts => (
                "postgres.timeouts",
                "A stopped instance blocks no other, and idle sessions stay open.",
                "`ALTER ROLE ... SET idle_session_timeout = 0`, the same for `transaction_timeout`.",
            ),
            Self::PostgresConnections => (
                "postgres.connections",
                "Another instance finds the sessions that it needs (at most 7).",
                "Raise `max_connections`, or the limit of the role or database.",
            ),
            Self::PostgresCommits => (
                "postgres.commits",
                "A renewal is committed well within LEADER_TTL, so a slow disk ends no term.",
                "Use a faster disk or network, or raise LEADER_TTL on all instances.",
            ),
            Self::PostgresEncryption => (
                "postgres.encryption",
                "Between this host and the database, no other party reads or changes anything.",
                "Set up TLS on the server, and put `sslmode=verify-full` into the URL.",
            ),
            Self::StoreClockOffset => (
                "store.clock_offset",
                "Times of the store and of this host can be compared, and signals expire when their clients expect it.",
                "Correct the clock that is wrong.",
            ),
            Self::StoreClockRate => (
                "store.clock_rate",
                "The clocks of this host and of the store's host advance at the same rate (500 ppm each).",
                "Limit the slew: `maxslewrate 500` in chrony.conf, on every host.",
            ),
            Self::SqliteFile => (
                "sqlite.file",
                "All instances of the data directory open the same database.",
                "Delete other names (hard links) of the database file.",
            ),
            Self::SqliteFileSystem => (
                "sqlite.file_system",
                "The locks of SQLite work, and commits stay on a disk.",
                "Choose a `--data-dir` on a local disk, or use PostgreSQL.",
            ),
            Self::SqliteJournal => (
                "sqlite.journal",
                "A commit is on the disk before it is acknowledged, and readers do not delay the leader.",
                "Run `coordinator migrate`, which turns the file to WAL mode.",
            ),
            Self::SqliteSchema => (
                "sqlite.schema",
                "The tables are complete and have the version of this binary.",
                "Run `coordinator migrate`, or restore what was lost from a backup.",
            ),
            Self::RedisSession => (
                "redis.session",
                "This host reaches a Redis primary, which makes handovers fast. No guarantee depends on Redis.",
                "Correct the URL, the credentials or the network.",
            ),
            Self::RedisRights => (
                "redis.rights",
                "The user may run every command on the ticket and on the channel of hints.",
                "`ACL SETUSER` as in [integration](integration.md#in-production).",
            ),
            Self::RedisMemory => (
                "redis.memory",
                "Redis neither refuses nor evicts the ticket.",
                "`CONFIG SET maxmemory-policy noeviction`, and a `maxmemory` that is not reached.",
            ),
            Self::RedisPersistence => (
                "redis.persistence",
                "Redis accepts writes whatever its disk does. The ticket needs no persistence.",
                "Repair the disk of Redis, or `CONFIG SET stop-writes-on-bgsave-error no`.",
            ),
            Self::RedisEncryption => (
                "redis.encryption",
                "Between this host and Redis, no other party reads the password.",
                "Use a `rediss...` URL.",
            ),
            Self::HostDataDir => (
                "host.data_dir",
                "An instance on this host can store the epochs that it has seen, and therefore lead.",
                "Let the user of the instance write into the data directory.",
            ),
            Self::HostPermissions => (
                "host.permissions",
                "Other users of this host can neither read nor change what an instance stores.",
                "`chmod 700` for the data directory, `chmod 600` for its files.",
            ),
            Self::HostDisk => (
                "host.disk",
                "A claim stores its epoch well within LEADER_TTL.",
                "Move the data directory to a faster disk, or raise LEADER_TTL on all instances.",
            ),
            Self::HostDescriptors => (
                "host.descriptors",
                "HTTP clients take no file descriptor that the election needs.",
                "Raise RLIMIT_NOFILE: `LimitNOFILE=` of the systemd unit, or `ulimit -n`.",
            ),
            Self::HostCoreDumps => (
                "host.core_dumps",
                "No core dump contains passwords or signals.",
                "`sysctl kernel.core_pattern=core`, or systemd-coredump, which honours the limit of the process.",
            ),
            Self::HostClock => (
                "host.clock",
                "The clock of this host is slewed by at most 500 ppm now.",
                "Limit the slew, and set a clock that is wrong in one step.",
            ),
            Self::HostTimeService => (
                "host.time_service",
                "The time service never slews the clock by more than 500 ppm.",
                "`maxslewrate 500` in chrony.conf.",
            ),
            Self::GroupSettings => (
                "group.settings",
                "All instances follow the same rules: LEADER_TTL, limits, handler.",
                "Give every instance the same settings, and restart those that differ.",
            ),
            Self::GroupClocks => (
                "group.clocks",
                "No instance is on a host whose clock is visibly ahead.",
                "Correct the clock on that host, and run `coordinator doctor` there.",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;

    #[test]
    fn every_check_is_listed_once_and_says_what_depends_on_it() {
        let names: BTreeSet<&str> = Check::ALL.iter().map(|check| check.name()).collect();
        assert_eq!(names.len(), Check::ALL.len());
        for check in Check::ALL {
            for sentence in [check.guarantee(), check.remedy()] {
                assert!(sentence.ends_with(['.', '`']), "{sentence}");
            }
        }
    }
}
