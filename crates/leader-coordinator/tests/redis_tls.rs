//! The files of [`ClientTls`] with a real Redis that requires client certificates: the configured authority decides, and
//! files that change are read again without a restart.

use adapter_redis::{PREFIX_DEFAULT, RedisConfig, RedisStore};
use domain::id::{GroupId, InstanceId, Nonce};
use domain::identity::Identity;
use domain::ports::LeaderStore;
use leader_coordinator::ClientTls;
use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;
use testkit::authority::Authority;
use testkit::backend::tls_redis;

/// The answer of a new connection to that address.
async fn connect(address: &str, tls: &ClientTls) -> Result<(), String> {
    let tls = tls.clone();
    let store = RedisStore::new(RedisConfig {
        url: format!("rediss://{address}"),
        tls: Some(Arc::new(move || tls.config())),
        prefix: PREFIX_DEFAULT.to_owned(),
        identity: Identity {
            group: GroupId::parse("g").expect("an id"),
            id: InstanceId::parse("i").expect("an id"),
            nonce: Nonce::new(1),
            host: "here".to_owned(),
            ttl: Duration::from_mins(1),
        },
        request_timeout: Duration::from_secs(10),
    });
    store.expect("a good URL").inspect().await.map(drop).map_err(|error| error.to_string())
}

#[track_caller]
fn refused(answer: Result<(), String>, reason: &str) {
    let why = answer.expect_err(reason);
    assert!(why.contains(reason), "not {reason}: {why}");
}

#[tokio::test]
async fn the_configured_files_decide_and_are_read_again_after_they_change() {
    let (ours, other) = (Authority::new("ours"), Authority::new("another"));
    let server = tls_redis(&ours.issue(&["localhost"]), &ours);
    let (by_name, by_address) =
        (format!("localhost:{}", server.tls_port()), format!("127.0.0.1:{}", server.tls_port()));
    let (certificate, key) = ours.write("client", &ours.issue(&["client"]));
    let tls = ClientTls::default().ca(ours.file()).certificate(&certificate, &key);
    assert_eq!(connect(&by_name, &tls).await, Ok(()));
    refused(connect(&by_address, &tls).await, "NotValidForName");
    refused(connect(&by_name, &tls.clone().ca(other.file())).await, "UnknownIssuer");
    let without = ClientTls::default().ca(ours.file());
    connect(&by_name, &without).await.expect_err("Redis requires a certificate");

    // The pair is renewed: first with one that Redis refuses, so that a certificate from before would show.
    ours.write("client", &other.issue(&["client"]));
    connect(&by_name, &tls).await.expect_err("the other authority's certificate is shown");
    ours.write("client", &ours.issue(&["client"]));
    assert_eq!(connect(&by_name, &tls).await, Ok(()), "the renewed one is read without a restart");

    set_permissions(&key, Permissions::from_mode(0o640)).expect("our own file");
    let tls = ClientTls::default().ca(ours.file()).certificate(&certificate, &key);
    let why = tls.config().expect_err("the group can read the key");
    assert!(why.contains("mode 640") && why.contains("chmod 600"), "{why}");
}

#[tokio::test]
async fn an_expired_server_is_refused() {
    let ours = Authority::new("ours");
    let server = tls_redis(&ours.issue_expired(&["localhost"]), &ours);
    let (certificate, key) = ours.write("client", &ours.issue(&["client"]));
    let tls = ClientTls::default().ca(ours.file()).certificate(certificate, key);
    refused(connect(&format!("localhost:{}", server.tls_port()), &tls).await, "Expired");
}
