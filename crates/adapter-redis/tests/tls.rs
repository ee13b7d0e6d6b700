//! TLS to a real Redis that requires client certificates: the right certificates work; another name, another authority
//! and a man in the middle are refused before anything is sent.

use adapter_redis::{PREFIX_DEFAULT, RedisConfig, RedisStore, TlsSource};
use domain::id::{GroupId, InstanceId, Nonce};
use domain::identity::Identity;
use domain::ports::LeaderStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;
use std::time::Duration;
use testkit::authority::{Authority, Certificate};
use testkit::backend::tls_redis;
use testkit::impostor::{Guise, Impostor};

fn source(ca: &Authority, own: &Certificate) -> TlsSource {
    let pem = |text: &str| CertificateDer::from_pem_slice(text.as_bytes()).expect("a certificate");
    let mut roots = RootCertStore::empty();
    roots.add(pem(ca.chain())).expect("an authority");
    let key = PrivateKeyDer::from_pem_slice(own.key().as_bytes()).expect("a key");
    let config = ClientConfig::builder().with_root_certificates(roots);
    let config = Arc::new(config.with_client_auth_cert(vec![pem(own.chain())], key).expect("they fit"));
    Arc::new(move || Ok(Arc::clone(&config)))
}

fn store(address: &str, tls: TlsSource) -> RedisStore {
    let identity = Identity {
        group: GroupId::parse("g").expect("an id"),
        id: InstanceId::parse("i").expect("an id"),
        nonce: Nonce::new(1),
        host: "here".to_owned(),
        ttl: Duration::from_mins(1),
    };
    let (url, prefix) = (format!("rediss://{address}"), PREFIX_DEFAULT.to_owned());
    let request_timeout = Duration::from_secs(10);
    RedisStore::new(RedisConfig { url, tls: Some(tls), prefix, identity, request_timeout })
        .expect("a good URL")
}

#[tokio::test]
async fn only_the_right_certificates_are_accepted() {
    let (ours, other) = (Authority::new("ours"), Authority::new("another"));
    let own = ours.issue(&["client"]);
    let server = tls_redis(&ours.issue(&["localhost"]), &ours);
    let port = server.tls_port();
    store(&format!("localhost:{port}"), source(&ours, &own)).inspect().await.expect("the right one");
    for (host, tls, reason) in [
        ("127.0.0.1", source(&ours, &own), "NotValidForName"),
        ("localhost", source(&other, &own), "UnknownIssuer"),
        ("localhost", source(&ours, &other.issue(&["client"])), "AlertReceived"),
    ] {
        let store = store(&format!("{host}:{port}"), tls);
        let why = store.inspect().await.expect_err(reason).to_string();
        assert!(why.contains(reason), "not {reason}: {why}");
    }
    let server = tls_redis(&ours.issue_expired(&["localhost"]), &ours);
    let store = store(&format!("localhost:{}", server.tls_port()), source(&ours, &own));
    let why = store.inspect().await.expect_err("expired").to_string();
    assert!(why.contains("Expired"), "{why}");
}

#[tokio::test]
async fn a_man_in_the_middle_learns_nothing() {
    let (ours, other) = (Authority::new("ours"), Authority::new("another"));
    let impostor = Impostor::start(Guise::Tls, &other.issue(&["localhost"])).await;
    let port = impostor.address().rsplit(':').next().expect("a port").to_owned();
    let store = store(&format!("localhost:{port}"), source(&ours, &ours.issue(&["client"])));
    let why = store.inspect().await.expect_err("refused").to_string();
    assert!(why.contains("UnknownIssuer"), "{why}");
    assert!(impostor.connections() > 0);
    assert_eq!(impostor.bytes(), 0, "a third party has read something");
}
