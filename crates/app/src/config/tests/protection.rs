//! Tests of the rule that a connection to another host is protected, or permitted by name.

use super::*;

/// A PostgreSQL on another host, with a password.
const REMOTE: &str = "postgres://u:canary@db.example/d";

#[test]
fn a_remote_postgres_without_verified_tls_is_refused_with_the_remedy() {
    for (options, why) in [
        ("", "sslmode=prefer (the default) accepts a connection without TLS"),
        ("?sslmode=disable", "does without TLS"),
        ("?sslmode=require", "does not check the certificate"),
        ("?sslmode=verify-ca", "does not check that the certificate is that of the host"),
    ] {
        let faults = lines(from_file(&format!("[postgres]\nurl = \"{REMOTE}{options}\"")));
        assert_eq!(faults.len(), 1, "{faults:?}");
        let remedy =
            ["put sslmode=verify-full into the URL", "sslrootcert", "postgres.tls = \"insecure\" permits it"];
        for part in ["coordinator.toml:postgres.url: is not safe: PostgreSQL at db.example", why]
            .iter()
            .chain(&remedy)
        {
            assert!(faults[0].contains(part), "{part}: {faults:?}");
        }
        assert!(!faults[0].contains(CANARY), "{faults:?}");
    }
    from_file(&format!("[postgres]\nurl = \"{REMOTE}?sslmode=verify-full\"")).expect("verified");
    let config = from_file(&format!("[postgres]\nurl = \"{REMOTE}\"\ntls = \"insecure\"")).expect("by name");
    assert!(
        render(&config).contains("tls = \"insecure\" # coordinator.toml:postgres.tls"),
        "{}",
        render(&config)
    );
}

#[test]
fn a_remote_redis_without_tls_is_refused_with_the_remedy() {
    let local = "[postgres]\nurl = \"postgres://localhost/d\"\n[redis]\n";
    let flags = Flags { redis: secret("redis://:canary@cache"), ..Flags::default() };
    for (faults, place) in [
        (lines(from_file(&format!("{local}url = \"redis://:canary@cache\""))), "coordinator.toml:redis.url"),
        (lines(with(local, &[], &flags)), "--redis"),
    ] {
        assert_eq!(faults.len(), 1, "{faults:?}");
        for part in
            [place, "Redis at cache is not on this host", "rediss", "redis.tls = \"insecure\" permits it"]
        {
            assert!(faults[0].contains(part), "{part}: {faults:?}");
        }
        assert!(!faults[0].contains(CANARY), "{faults:?}");
    }
    from_file(&format!("{local}url = \"rediss://:canary@cache\"")).expect("TLS");
    let flags = Flags { redis_tls: Some("insecure".to_owned()), ..flags };
    with(local, &[], &flags).expect("permitted by name");
}

#[test]
fn a_permission_of_one_store_is_not_one_of_the_other() {
    let both = format!("[postgres]\nurl = \"{REMOTE}\"\n[redis]\nurl = \"redis://cache\"\n");
    assert_eq!(lines(from_file(&both)).len(), 2);
    let faults = lines(from_file(&format!("{both}tls = \"insecure\"")));
    assert!(faults.len() == 1 && faults[0].contains("postgres.url"), "{faults:?}");
}

#[test]
fn a_policy_is_one_of_two_words() {
    for word in ["", "on", "REQUIRED", "none"] {
        let faults =
            lines(from_file(&format!("[postgres]\nurl = \"postgres://localhost/d\"\ntls = {word:?}")));
        assert!(faults[0].contains("neither \"required\" nor \"insecure\""), "{faults:?}");
    }
    let faults = lines(from_file("[redis]\ntls = \"insecure\"\nca = \"/x\"\n[postgres]\ntls = \"required\""));
    assert_eq!(
        faults.iter().filter(|fault| fault.contains("has no effect without")).count(),
        3,
        "{faults:?}"
    );
}

#[test]
fn a_file_of_tls_that_cannot_be_used_is_a_fault() {
    let url = "postgres://db/d?sslmode=verify-full&sslrootcert=/nowhere.pem";
    let faults = lines(from_file(&format!("[postgres]\nurl = {url:?}")));
    assert!(faults[0].contains("sslrootcert names a file that cannot be read: No such file"), "{faults:?}");
    let redis = |more: &str| {
        lines(from_file(&format!("[postgres]\nurl = \"postgres://localhost/d\"\n[redis]\nurl = {more}")))
    };
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    for (settings, fault) in [
        ("\"rediss://cache\"\nca = \"/nowhere.pem\"".to_owned(), "/nowhere.pem cannot be read"),
        (format!("\"rediss://cache\"\nca = {own:?}"), "no certificate in PEM"),
        ("\"rediss://cache\"\ncertificate = \"/x\"".to_owned(), "needs redis.certificate_key"),
        (format!("\"redis://localhost\"\nca = {own:?}"), "begin the URL of Redis with rediss"),
    ] {
        let faults = redis(&settings);
        assert!(faults.iter().any(|line| line.contains(fault)), "{settings}: {faults:?}");
    }
}

#[test]
fn a_remote_handler_without_tls_is_refused_with_the_remedy() {
    for key in ["handler", "lookup"] {
        let other = if key == "lookup" { "handler = \"https://broker.example/orders\"\n" } else { "" };
        let file = format!("[signals]\n{other}{key} = \"http://broker.example/orders\"\n");
        let faults = lines(from_file(&file));
        assert_eq!(faults.len(), 1, "{faults:?}");
        let place = format!("coordinator.toml:signals.{key}: is not safe: the handler is on another host");
        for part in [place.as_str(), "Use https", "signals.handler_tls = \"insecure\" permits it"] {
            assert!(faults[0].contains(part), "{part}: {faults:?}");
        }
        from_file(&format!("{file}handler_tls = \"insecure\"")).expect("permitted by name");
        from_file(&file.replace("http://", "https://")).expect("TLS");
    }
    from_file("[signals]\nhandler = \"http://127.0.0.1:8080/orders\"").expect("it does not leave this host");
}

#[test]
fn settings_of_a_handler_need_the_handler_and_its_tls() {
    let directory = tempfile::tempdir().expect("a directory");
    let token = directory.path().join("token");
    testkit::directory::write_secret(&token, "canary\n");
    let token = token.to_str().expect("text");
    let faults = lines(from_file(&format!("[signals]\nhandler_token_file = {token:?}")));
    assert!(faults.len() == 1 && faults[0].contains("has no effect without signals.handler"), "{faults:?}");
    let handler = "[signals]\nhandler = \"http://127.0.0.1:8080/\"\n";
    let config = from_file(&format!("{handler}handler_token_file = {token:?}")).expect("sound");
    assert!(!format!("{config:?}{}", render(&config)).contains(CANARY));
    let faults = lines(from_file(&format!("{handler}handler_ca = \"/none\"")));
    assert!(faults.iter().any(|fault| fault.contains("begin signals.handler with https")), "{faults:?}");
    assert!(faults.iter().any(|fault| fault.contains("cannot be used: /none")), "{faults:?}");
    let faults = lines(from_file(&format!("{handler}handler_key_file = \"/none\"")));
    assert!(faults.len() == 1 && faults[0].contains("a file that cannot be read"), "{faults:?}");
}
