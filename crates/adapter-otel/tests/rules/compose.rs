//! Tests of `docker/compose.yaml`: it is valid, and fits the other files.

use crate::{said, shipped};
use std::path::Path;
use std::process::Command;

fn text(path: &str) -> String {
    std::fs::read_to_string(shipped(path)).expect("a shipped file")
}

/// Each text in `text` that follows `begin`, up to a character that does not belong to a name or path.
fn behind<'t>(text: &'t str, begin: &str) -> Vec<&'t str> {
    let ends = |c: char| !(c.is_ascii_alphanumeric() || "./_-".contains(c));
    let found: Vec<_> =
        text.split(begin).skip(1).map(|rest| rest.split(ends).next().expect("a first part")).collect();
    assert!(!found.is_empty(), "{begin}");
    found
}

/// Checks the schema; no engine is needed.
#[test]
fn docker_compose_takes_the_file() {
    let file = shipped("compose.yaml");
    said(
        Command::new("docker-compose").arg("--file").arg(file).args(["config", "--quiet"]),
        "docker-compose",
    );
}

/// A container would find an empty directory in place of a missing file.
#[test]
fn everything_that_is_mounted_is_there() {
    let compose = text("compose.yaml");
    for path in behind(&compose, "- ./").into_iter().chain(behind(&compose, "[\"./")) {
        assert!(shipped(path).exists(), "docker/{path}");
    }
    for path in behind(&compose, "- ../") {
        assert!(shipped("..").join(path).exists(), "{path}");
    }
}

#[test]
fn prometheus_finds_every_instance_and_alertmanager() {
    let (compose, prometheus, gate) =
        (text("compose.yaml"), text("prometheus/prometheus.yml"), text("gate/nginx.conf"));
    let gated = behind(&compose, "aliases: [");
    let names = gate.lines().find(|line| line.contains("server_name")).expect("a line with the gate's names");
    let instances: Vec<_> =
        behind(&prometheus, "- coordinator-").iter().map(|n| format!("coordinator-{n}")).collect();
    assert_eq!(instances, gated);
    for instance in &instances {
        assert!(names.contains(instance), "{instance}: {names}");
        let n = instance.strip_prefix("coordinator-").expect("its number");
        assert!(compose.contains(&format!(
            "COORDINATOR_INSTANCE_ID: {instance}, COORDINATOR_LISTEN: \"127.0.0.1:500{n}\""
        )));
        assert!(gate.contains(&format!("        {instance} 127.0.0.1:500{n};\n")), "{instance}");
        let at_gate = format!("aliases: [{instance}] }} }}\n    ports: [\"127.0.0.1:500{n}:5000\"]\n");
        assert!(
            compose.contains(&format!("hostname: {instance}\n")) && compose.contains(&at_gate),
            "{instance}"
        );
    }
    assert!(prometheus.contains("coordinator-1:5000") && gate.contains("listen 5000;"));
    assert!(prometheus.contains("- alertmanager:9093") && compose.contains("\n  alertmanager:\n"));
}

/// As the comments promise: only this machine reaches the ports, and the program in its image has no rights.
#[test]
fn nothing_is_open_to_other_machines() {
    let compose = text("compose.yaml");
    for port in compose.lines().filter(|line| line.contains("ports:")) {
        assert!(port.contains("\"127.0.0.1:"), "{port}");
    }
    let image = std::fs::read_to_string(Path::new(&shipped("Dockerfile"))).expect("the Dockerfile");
    assert!(image.contains("FROM scratch") && image.contains("\nUSER 65532:65532\n"));
}
