//! Facts about the server for `coordinator doctor`. Reads only.

use crate::leader_store::RedisStore;
use crate::{ACL_COMMANDS, config};
use domain::doctor::{Answer, RedisFacts, RedisServer};
use domain::ports::{LeaderStore, StoreError};
use domain::transport::Protection;
use fred::interfaces::Resp3Frame as Frame;
use fred::types::Value;

/// Asks Redis whether the user may run each command that the scripts and the connections use. Runs none of them. Redis 6
/// has no such function: the answer is then one empty text.
const DENIED: &str = "\
    if not redis.acl_check_cmd then return {''} end \
    local denied = {} \
    local function check(name, ...) if not redis.acl_check_cmd(name, ...) then denied[#denied + 1] = name end end \
    check('TYPE', KEYS[1]) check('STRLEN', KEYS[1]) check('GETRANGE', KEYS[1], '0', '1') check('PTTL', KEYS[1]) \
    check('SET', KEYS[1], 'x', 'PX', '1') check('PEXPIRE', KEYS[1], '1') check('DEL', KEYS[1]) \
    check('PUBLISH', ARGV[1], 'x') check('SUBSCRIBE', ARGV[1]) check('PING') \
    return denied";

impl RedisStore {
    /// Reads the facts about the server. Changes nothing.
    pub async fn doctor(&self) -> RedisFacts {
        let acl = self.acl();
        // The first request also opens the connection. It needs EVAL and the commands that read the ticket.
        let opened = self.inspect().await.map(drop);
        let unavailable = |error: StoreError| match error {
            StoreError::Unavailable(why) | StoreError::Unknown(why) | StoreError::Corrupt(why) => why,
        };
        let mut refused = Vec::new();
        match opened.map_err(unavailable) {
            Ok(()) => {}
            // The user may log in and is not allowed to run the script: the rights are what is wrong.
            Err(why) if why.contains("NOPERM") => {
                refused.push(format!("EVAL or a command of the scripts ({why})"));
            }
            Err(why) => return Err(why),
        }
        let denied = match self.run(DENIED, [Value::from(self.config().channel())]).await.map_err(unavailable)
        {
            Ok(frame) => denied(&frame),
            Err(why) if refused.is_empty() => Err(why),
            Err(_) => Ok(refused),
        };
        let info = self.command("INFO").await.map_err(unavailable);
        let info = match info.map(|frame| text(&frame)) {
            Ok(info) => info,
            Err(why) if why.contains("NOPERM") => {
                return Err(format!("this user may not run INFO, so nothing could be read ({why}): {acl}"));
            }
            Err(why) => return Err(why),
        };
        let field = |name: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.map(|value| value.trim().to_owned())
        };
        let number = |name| field(name).and_then(|value| value.parse().ok());
        let word = |name| field(name).unwrap_or_else(|| "unknown".to_owned());
        let fails = |name| field(name).is_some_and(|status| status != "ok");
        let (Some(maxmemory), Some(used)) = (number("maxmemory"), number("used_memory")) else {
            return Err("the answer to INFO has no memory section".to_owned());
        };
        Ok(RedisServer {
            version: word("redis_version"),
            role: word("role"),
            denied,
            maxmemory,
            used,
            policy: word("maxmemory_policy"),
            saving_fails: fails("rdb_last_bgsave_status") || fails("aof_last_write_status"),
            append_only: number("aof_enabled") == Some(1),
            encrypted: self.config().url.starts_with("rediss"),
            remote: self.is_remote(),
            acl,
        })
    }

    /// The statement for the administrator of Redis; the name of the user is in the URL.
    fn acl(&self) -> String {
        let prefix = &self.config().prefix;
        format!("ACL SETUSER <user> ~{prefix}:* &{prefix}:* {ACL_COMMANDS}")
    }

    fn is_remote(&self) -> bool {
        config::protection(&self.config().url) != Ok(Protection::Local)
    }
}

fn denied(frame: &Frame) -> Answer<Vec<String>> {
    let Frame::Array { data, .. } = frame else { return Err("an answer of another shape".to_owned()) };
    let names: Vec<String> = data.iter().map(text).collect();
    if names.iter().any(String::is_empty) {
        return Err("this Redis is older than 7.0 and cannot say which commands the user may run".to_owned());
    }
    Ok(names)
}

fn text(frame: &Frame) -> String {
    match frame {
        Frame::BlobString { data, .. } | Frame::VerbatimString { data, .. } => {
            String::from_utf8_lossy(data).into_owned()
        }
        Frame::SimpleString { data, .. } => String::from_utf8_lossy(data).into_owned(),
        _ => String::new(),
    }
}
