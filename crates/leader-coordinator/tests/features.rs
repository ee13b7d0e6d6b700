//! What a choice of features compiles, read from cargo's own tree.

use std::process::Command;

/// The names of all crates that `features` compile for a service, without those of tests.
fn crates(features: &str) -> Vec<String> {
    let arguments =
        ["tree", "--package", "leader-coordinator", "--no-default-features", "--features", features];
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .args(["--edges", "normal,build", "--prefix", "none", "--format", "{p}", "--locked", "--offline"])
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn a_service_on_postgresql_compiles_no_other_store_and_no_http_server() {
    let crates = crates("postgres");
    let has = |part: &str| crates.iter().any(|name| name.contains(part));
    assert!(has("adapter-postgres") && has("sqlx-postgres"), "the tree is read: {crates:?}");
    for part in ["sqlite", "fred", "redis", "axum", "hyper", "opentelemetry", "prometheus", "monitoring"] {
        assert!(!has(part), "{part} is compiled: {crates:?}");
    }
}

#[test]
fn a_service_on_sqlite_compiles_no_client_of_a_server() {
    let crates = crates("sqlite");
    let has = |part: &str| crates.iter().any(|name| name.contains(part));
    assert!(has("libsqlite3-sys"), "the tree is read: {crates:?}");
    for part in ["postgres", "fred", "redis", "rustls", "axum", "hyper"] {
        assert!(!has(part), "{part} is compiled: {crates:?}");
    }
}
