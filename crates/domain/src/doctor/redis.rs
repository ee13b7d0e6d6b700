//! Judges Redis. No guarantee of the election depends on it, so every fault is a warning: it makes handovers slower.

use super::{Answer, Check, Finding};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

/// Share of `maxmemory`, in percent, from which the next writes may be refused or evict keys.
const FULL_PERCENT: u64 = 90;

/// Redis as this host sees it. The error says why no session could be opened.
pub type RedisFacts = Answer<RedisServer>;

/// Facts about the server.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "independent facts, each named")]
pub struct RedisServer {
    /// Its version.
    pub version: String,
    /// `master` or `slave`, as INFO names it.
    pub role: String,
    /// Commands on the ticket or the channel that the user may not run.
    pub denied: Answer<Vec<String>>,
    /// `maxmemory` in bytes; 0: no limit.
    pub maxmemory: u64,
    /// Memory in use, in bytes.
    pub used: u64,
    /// `maxmemory_policy`.
    pub policy: String,
    /// RDB or AOF writes fail, so Redis may refuse commands.
    pub saving_fails: bool,
    /// The append-only file is on.
    pub append_only: bool,
    /// The URL requires TLS.
    pub encrypted: bool,
    /// The server is not on this host.
    pub remote: bool,
    /// The statement that gives the user every right that it needs.
    pub acl: String,
}

/// All findings about Redis.
pub(crate) fn judge(facts: &RedisFacts) -> Vec<Finding> {
    let server = match facts {
        Ok(server) => server,
        Err(why) => {
            let found = format!("{why}. The group works without Redis, and its handovers are slower");
            return vec![Finding::warning(Check::RedisSession, found, Check::RedisSession.remedy())];
        }
    };
    vec![session(server), rights(server), memory(server), persistence(server), encryption(server)]
}

fn session(server: &RedisServer) -> Finding {
    let check = Check::RedisSession;
    if server.role == "master" {
        Finding::ok(check, format!("Redis {}, a primary", server.version))
    } else {
        let change = "point the URL at the primary, or use redis-sentinel://";
        Finding::warning(
            check,
            format!("Redis {} is a replica, which refuses the ticket", server.version),
            change,
        )
    }
}

fn rights(server: &RedisServer) -> Finding {
    let check = Check::RedisRights;
    match &server.denied {
        Ok(denied) if denied.is_empty() => {
            Finding::ok(check, "every command on the ticket and the channel is allowed")
        }
        Ok(denied) => Finding::warning(check, format!("denied: {}", denied.join(", ")), server.acl.clone()),
        Err(why) => Finding::unknown(check, why.clone(), format!("compare with: {}", server.acl)),
    }
}

fn memory(server: &RedisServer) -> Finding {
    let check = Check::RedisMemory;
    let RedisServer { maxmemory, used, policy, .. } = server;
    if *maxmemory == 0 {
        return Finding::ok(check, format!("no maxmemory ({policy})"));
    }
    let found = format!("maxmemory {maxmemory} bytes, {used} in use, {policy}");
    let full = used.saturating_mul(100) >= maxmemory.saturating_mul(FULL_PERCENT);
    if policy != "noeviction" {
        let found = format!("{found}: a full Redis evicts the ticket, and the next handover is slower");
        Finding::warning(check, found, "CONFIG SET maxmemory-policy noeviction")
    } else if full {
        let found = format!("{found}: a full Redis refuses the ticket, and handovers are slower");
        Finding::warning(check, found, "raise maxmemory: CONFIG SET maxmemory ...")
    } else {
        Finding::ok(check, found)
    }
}

fn persistence(server: &RedisServer) -> Finding {
    let check = Check::RedisPersistence;
    if server.saving_fails {
        let found = "Redis cannot save its data, and may refuse writes";
        return Finding::warning(check, found, check.remedy());
    }
    let appends = if server.append_only { "on" } else { "off" };
    Finding::ok(check, format!("appendonly is {appends}; a Redis that restarts empty loses only the ticket"))
}

fn encryption(server: &RedisServer) -> Finding {
    let check = Check::RedisEncryption;
    match (server.encrypted, server.remote) {
        (true, _) => Finding::ok(check, "TLS, with the certificate checked"),
        (false, false) => Finding::ok(check, "the server is on this host"),
        (false, true) => Finding::warning(
            check,
            "a remote server without TLS: its password is readable on the way",
            check.remedy(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{Verdict, worst};

    fn sound() -> RedisServer {
        RedisServer {
            version: "7.0.15".into(),
            role: "master".into(),
            denied: Ok(Vec::new()),
            maxmemory: 0,
            used: 1_000,
            policy: "noeviction".into(),
            saving_fails: false,
            append_only: false,
            encrypted: false,
            remote: false,
            acl: "ACL SETUSER x".into(),
        }
    }

    #[test]
    fn a_redis_as_the_documentation_wants_it_is_fine() {
        assert_eq!(worst(&judge(&Ok(sound()))), Verdict::Ok);
        assert_eq!(worst(&judge(&Ok(RedisServer { maxmemory: 10_000, ..sound() }))), Verdict::Ok);
    }

    #[test]
    fn each_fault_is_found_by_its_check() {
        for (server, check, verdict) in [
            (RedisServer { role: "slave".into(), ..sound() }, Check::RedisSession, Verdict::Warning),
            (RedisServer { denied: Ok(vec!["SET".into()]), ..sound() }, Check::RedisRights, Verdict::Warning),
            (RedisServer { denied: Err("Redis 6".into()), ..sound() }, Check::RedisRights, Verdict::Unknown),
            (
                RedisServer { maxmemory: 9_000, policy: "allkeys-lru".into(), ..sound() },
                Check::RedisMemory,
                Verdict::Warning,
            ),
            (RedisServer { maxmemory: 1_100, ..sound() }, Check::RedisMemory, Verdict::Warning),
            (RedisServer { saving_fails: true, ..sound() }, Check::RedisPersistence, Verdict::Warning),
            (RedisServer { remote: true, ..sound() }, Check::RedisEncryption, Verdict::Warning),
        ] {
            let findings = judge(&Ok(server));
            let wrong: Vec<_> = findings.iter().filter(|finding| finding.verdict != Verdict::Ok).collect();
            assert_eq!(wrong.len(), 1, "{wrong:?}");
            assert_eq!((wrong[0].check, wrong[0].verdict), (check, verdict));
        }
        assert_eq!(worst(&judge(&Err("refused".into()))), Verdict::Warning, "no guarantee depends on Redis");
    }
}
