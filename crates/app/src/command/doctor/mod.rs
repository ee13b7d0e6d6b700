//! `coordinator doctor`: gathers the facts that the guarantees depend on, and prints the findings. Only reads.

mod chrony;
mod host;
mod render;

use super::status::Form;
use super::{open_or_create, print_json};
use crate::config::Config;
use crate::failure::Failure;
use crate::output::line;
use domain::doctor::{Facts, Finding, worst};
use serde::Serialize;

#[derive(Serialize)]
struct DoctorJson<'a> {
    verdict: &'static str,
    exit_code: u8,
    findings: Vec<FindingJson<'a>>,
}

#[derive(Serialize)]
struct FindingJson<'a> {
    check: &'static str,
    area: &'static str,
    verdict: &'static str,
    guarantee: &'static str,
    found: &'a str,
    change: Option<&'a str>,
}

/// Prints the findings. The exit code is that of the worst one.
pub async fn doctor(config: &Config, form: Form) -> Result<(), Failure> {
    // Measured in one thread, and before the stores: a probe of the disk would delay their clocks.
    let begun = host::Begun::now();
    let path = config.data_dir.clone();
    let host = tokio::task::spawn_blocking(move || host::gather(&path)).await;
    let host = host.map_err(|error| Failure::other(format!("this host was not checked: {error}")))?;
    let stores = open_or_create(config)?;
    let seen = stores.doctor(host::clock).await;
    stores.close().await;
    let facts = Facts {
        ttl: config.leader_ttl,
        postgres: seen.postgres,
        sqlite: seen.sqlite,
        redis: seen.redis,
        host: begun.ended(host).await,
        group: seen.group,
    };
    let findings = facts.findings();
    let verdict = worst(&findings);
    match form {
        Form::Json => print_json(&DoctorJson {
            verdict: verdict.as_str(),
            exit_code: verdict.exit_code(),
            findings: findings.iter().map(json).collect(),
        })?,
        Form::Table => line(render::report(&findings))?,
    }
    match verdict.exit_code() {
        0 => Ok(()),
        // The report has said everything.
        exit_code => Err(Failure { message: String::new(), exit_code }),
    }
}

fn json(finding: &Finding) -> FindingJson<'_> {
    FindingJson {
        check: finding.check.name(),
        area: finding.check.area().title(),
        verdict: finding.verdict.as_str(),
        guarantee: finding.check.guarantee(),
        found: &finding.found,
        change: finding.change.as_deref(),
    }
}
