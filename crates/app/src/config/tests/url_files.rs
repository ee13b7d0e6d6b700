//! Tests of URLs of stores that are read from files.

use super::*;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

const POSTGRES: &str = "postgres://u:canary@localhost/d";
const REDIS: &str = "redis://:canary@localhost:6379";

/// A directory with files of secrets.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    /// Writes a file and returns its path.
    fn with(&self, name: &str, content: &[u8], mode: u32) -> String {
        let path = self.0.path().join(name);
        fs::write(&path, content).expect("written");
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("our own");
        path.to_str().expect("a text").to_owned()
    }
}

/// The only fault of `postgres.url_file = path`.
fn fault(path: &str) -> String {
    let faults = lines(from_file(&format!("[postgres]\nurl_file = {path:?}")));
    assert_eq!(faults.len(), 1, "{faults:?}");
    let fault = faults[0].strip_prefix("coordinator.toml:postgres.url_file: is ").expect("the place");
    assert!(!fault.contains(CANARY), "{fault}");
    fault.to_owned()
}

#[test]
fn an_address_in_a_file_is_an_address() {
    let files = Files::new();
    for (n, end) in ["", "\n", "\r\n"].into_iter().enumerate() {
        for mode in [0o600, 0o400] {
            let name = format!("{n}-{mode:o}");
            let postgres =
                files.with(&format!("postgres-{name}"), format!("{POSTGRES}{end}").as_bytes(), mode);
            let redis = files.with(&format!("redis-{name}"), format!("{REDIS}{end}").as_bytes(), mode);
            let toml = format!(
                "[redis]\nurl_file = {redis:?}\nprefix = \"p\"\n[postgres]\nurl_file = {postgres:?}\nschema = \"s\""
            );
            let variables = [
                ("COORDINATOR_REDIS_URL_FILE", redis.as_str()),
                ("COORDINATOR_POSTGRES_URL_FILE", postgres.as_str()),
            ];
            let flags = Flags {
                redis_url_file: Some(redis.clone()),
                postgres_url_file: Some(postgres.clone()),
                ..Flags::default()
            };
            for loaded in [from_file(&toml), with("", &variables, &Flags::default()), load(None, [], &flags)]
            {
                let config = loaded.expect("sound");
                assert_eq!(config.postgres.as_ref().map(StoreUrl::expose), Some(POSTGRES));
                assert_eq!(config.redis.as_ref().map(|redis| redis.url.expose()), Some(REDIS));
            }
        }
    }
}

#[test]
fn the_rendering_names_the_file_and_masks_its_content() {
    let files = Files::new();
    let (postgres, redis) =
        (files.with("p", POSTGRES.as_bytes(), 0o600), files.with("r", REDIS.as_bytes(), 0o600));
    let config = from_file(&format!("[redis]\nurl_file = {redis:?}\n[postgres]\nurl_file = {postgres:?}"))
        .expect("sound");
    let rendered = render(&config);
    assert!(!format!("{rendered} {config:?}").contains(CANARY), "{rendered}");
    for line in [
        "# url is not set: url_file has redis://:***@localhost:6379\n".to_owned(),
        format!("url_file = {redis:?} # coordinator.toml:redis.url_file\n"),
        "# url is not set: url_file has postgres://u:***@localhost/d\n".to_owned(),
        format!("url_file = {postgres:?} # coordinator.toml:postgres.url_file\n"),
    ] {
        assert!(rendered.contains(&line), "{line}: {rendered}");
    }
    let mut again = from_file(&rendered).expect("the rendering is sound");
    again.origins.clone_from(&config.origins);
    assert_eq!(again, config);
}

#[test]
fn an_address_is_written_or_in_a_file_and_not_both() {
    let files = Files::new();
    let path = files.with("p", POSTGRES.as_bytes(), 0o600);
    let variables = [("COORDINATOR_POSTGRES_URL_FILE", path.as_str())];
    assert_eq!(
        lines(with("[postgres]\nurl = \"postgres://localhost/d\"", &variables, &Flags::default())),
        [
            "environment COORDINATOR_POSTGRES_URL_FILE: contradicts postgres.url (coordinator.toml:postgres.url): set \
             postgres.url or postgres.url_file, not both"
        ]
    );
    let flags = Flags {
        redis: secret("redis://localhost"),
        redis_url_file: Some(files.with("r", REDIS.as_bytes(), 0o600)),
        postgres_url_file: Some(path),
        ..Flags::default()
    };
    let faults = lines(load(None, [], &flags));
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].starts_with("--redis-url-file: contradicts redis.url (--redis)"), "{faults:?}");
}

#[test]
fn a_file_that_other_users_have_permissions_for_is_refused_with_the_remedy() {
    let files = Files::new();
    for mode in [0o640, 0o604, 0o620, 0o601, 0o644, 0o777] {
        let path = files.with("p", POSTGRES.as_bytes(), mode);
        assert_eq!(
            fault(&path),
            format!(
                "{path:?}, a file that other users have permissions for (mode {mode:o}): chmod 600 {path}"
            )
        );
    }
}

#[test]
fn what_is_not_one_url_is_refused_without_being_shown() {
    let files = Files::new();
    for (content, why) in [
        (&b""[..], "first line is empty"),
        (b"\n", "first line is empty"),
        (b"\npostgres://u:canary@localhost/d\n", "more than one line"),
        (b"postgres://u:canary@localhost/d\n\n", "more than one line"),
        (b"postgres://u:canary@localhost/d\n# canary\n", "more than one line"),
        (b"canary\n", "whose content is not a URL such as postgres://"),
        (b" postgres://u:canary@localhost/d", "whose content is not a URL such as postgres://"),
        (b"redis://:canary@localhost", "whose content is not of one of the schemes"),
        (b"postgres://u:canary@localhost/d?canary", "whose content is not usable"),
        (b"postgres://u:canary\xff@h/d", "not UTF-8"),
        (&vec![b'c'; 16 * 1024 + 1], "larger than 16384 bytes"),
    ] {
        let message = fault(&files.with("p", content, 0o600));
        assert!(message.contains(why), "{message}");
    }
}

#[test]
fn what_is_not_a_readable_file_is_refused() {
    let files = Files::new();
    let directory = files.0.path().to_str().expect("a text").to_owned();
    assert!(fault(&directory).contains("not a regular file"));
    assert!(fault(&format!("{directory}/missing")).contains("cannot be read: No such file"));
    assert!(fault("").contains("not the path of a file"));
    // A pipe without a writer must not block the start.
    let pipe = format!("{directory}/pipe");
    let made = std::process::Command::new("mkfifo").arg("-m").arg("600").arg(&pipe).status();
    assert!(made.expect("coreutils").success());
    assert!(fault(&pipe).contains("not a regular file"));
    // The URL itself, in the place of the file's path.
    for url in [POSTGRES, "u:canary@h/d"] {
        assert!(fault(url).starts_with("a value like a URL (not shown)"), "{}", fault(url));
    }
}

#[test]
fn a_file_counts_as_its_store() {
    let files = Files::new();
    let redis = files.with("r", REDIS.as_bytes(), 0o600);
    let faults = lines(from_file(&format!("[redis]\nurl_file = {redis:?}")));
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].starts_with("coordinator.toml:redis.url_file: needs postgres.url"), "{faults:?}");
    let postgres = files.with("p", POSTGRES.as_bytes(), 0o600);
    from_file(&format!("[redis]\nurl_file = {redis:?}\n[postgres]\nurl = \"postgres://localhost/d\""))
        .expect("sound");
    from_file(&format!("[redis]\nurl = \"redis://localhost\"\n[postgres]\nurl_file = {postgres:?}"))
        .expect("sound");
}
