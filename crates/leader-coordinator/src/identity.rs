//! The identity of this start of the process, with the defaults of a service that names nothing but its group.

use crate::error::StartError;
use domain::id::{GroupId, ID_LEN_MAX, InstanceId};
use domain::identity::Identity;
use std::time::Duration;

/// Random characters at the end of a default id.
const SUFFIX_LEN: usize = 8;

/// This start of the process: a fresh nonce, the host name, and unless `id` is given an id made of the host name and
/// random characters. A process that is restarted then has another id than before, and its old line of the instance table
/// goes stale.
pub fn identity(group: GroupId, id: Option<InstanceId>, ttl: Duration) -> Result<Identity, StartError> {
    let random = |error: &dyn std::fmt::Display| StartError::Randomness(error.to_string());
    let nonce = coordinator::fresh_nonce().map_err(|error| random(&error))?;
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let id = match id {
        Some(id) => id,
        None => default_id(&host, getrandom::u32().map_err(|error| random(&error))?),
    };
    Ok(Identity { group, id, nonce, host, ttl })
}

fn default_id(host: &str, random: u32) -> InstanceId {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let host: String = host.chars().take(ID_LEN_MAX - SUFFIX_LEN - 1).filter(|c| allowed(*c)).collect();
    let host = if host.is_empty() { "instance" } else { &host };
    InstanceId::parse(&format!("{host}-{random:08x}")).expect("only allowed characters, and short enough")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_id_is_the_host_name_and_random_characters() {
        let long = "h".repeat(200);
        for (host, id) in [
            ("desk-1.internal", "desk-1.internal-0000002a"),
            ("bad name/é", "badname-0000002a"),
            ("", "instance-0000002a"),
            (&long, &format!("{}-0000002a", "h".repeat(ID_LEN_MAX - 9))),
        ] {
            assert_eq!(default_id(host, 42).as_str(), id);
        }
    }

    #[test]
    fn two_starts_differ_in_id_and_nonce() {
        let start = || identity(GroupId::parse("g").unwrap(), None, Duration::from_secs(10)).unwrap();
        let (first, second) = (start(), start());
        assert_ne!(first.id, second.id);
        assert_ne!(first.nonce, second.nonce);
        assert_eq!(first.host, second.host);
    }
}
