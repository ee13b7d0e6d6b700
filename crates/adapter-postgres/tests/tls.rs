//! TLS to a real PostgreSQL: the right certificate works; another name, another authority, an expired certificate and a
//! man in the middle are refused before anything is sent.

use adapter_postgres::{PostgresConfig, PostgresStore};
use domain::id::{GroupId, InstanceId, Nonce};
use domain::identity::Identity;
use domain::ports::{MemberStore, Migrate, Schema, StateStore};
use std::path::Path;
use std::time::Duration;
use testkit::authority::Authority;
use testkit::backend::tls_postgres;
use testkit::impostor::{Guise, Impostor};

fn store(address: &str, ca: &Path) -> PostgresStore {
    let url = format!(
        "postgres://postgres:testkit@{address}/postgres?sslmode=verify-full&sslrootcert={}",
        ca.display()
    );
    let identity = Identity {
        group: GroupId::parse("g").expect("an id"),
        id: InstanceId::parse("i").expect("an id"),
        nonce: Nonce::new(1),
        host: "here".to_owned(),
        ttl: Duration::from_mins(1),
    };
    PostgresStore::new(PostgresConfig::new(url, identity)).expect("a good URL")
}

/// The reason of a request of the election and of one outside of it.
async fn refusals(store: &PostgresStore) -> [String; 2] {
    let migrated = store.migrate(Migrate::Check).await.expect_err("refused").to_string();
    [migrated, store.members().await.expect_err("refused").to_string()]
}

#[tokio::test]
async fn only_the_right_certificate_is_accepted() {
    let (ours, other) = (Authority::new("ours"), Authority::new("another"));
    let server = tls_postgres(&ours.issue(&["localhost"]));
    let port = server.address().rsplit(':').next().expect("a port").to_owned();
    let (right, wrong) = (format!("localhost:{port}"), format!("127.0.0.1:{port}"));
    let good = store(&right, &ours.file());
    assert_eq!(good.migrate(Migrate::Apply).await, Ok(Schema::Current));
    for (address, ca, why) in
        [(&wrong, ours.file(), "not valid for name"), (&right, other.file(), "sslrootcert")]
    {
        for refusal in refusals(&store(address, &ca)).await {
            assert!(refusal.contains(why), "{refusal}");
        }
    }
    let server = tls_postgres(&ours.issue_expired(&["localhost"]));
    let port = server.address().rsplit(':').next().expect("a port").to_owned();
    for refusal in refusals(&store(&format!("localhost:{port}"), &ours.file())).await {
        assert!(refusal.contains("renew the certificate"), "{refusal}");
    }
}

#[tokio::test]
async fn a_man_in_the_middle_learns_nothing() {
    let (ours, other) = (Authority::new("ours"), Authority::new("another"));
    for guise in [Guise::Postgres, Guise::PostgresWithoutTls] {
        let impostor = Impostor::start(guise, &other.issue(&["localhost"])).await;
        let port = impostor.address().rsplit(':').next().expect("a port").to_owned();
        refusals(&store(&format!("localhost:{port}"), &ours.file())).await;
        assert!(impostor.connections() >= 2, "{guise:?}");
        assert_eq!(impostor.bytes(), 0, "{guise:?}: a third party has read something");
    }
}
