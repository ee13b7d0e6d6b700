//! Judges the host on which the command runs.

use super::clock::RATE_PPM_MAX;
use super::{Answer, Check, Finding, Latencies};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

/// Facts about this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFacts {
    /// The data directory; `None` if it does not exist.
    pub directory: Answer<Option<DirectoryFacts>>,
    /// Its path.
    pub path: String,
    /// RLIMIT_NOFILE of this process; `None`: no limit.
    pub descriptors: Option<u64>,
    /// Descriptors that the stores, the handler and the process itself need.
    pub descriptors_kept: u64,
    /// HTTP connections that an instance serves if it has the descriptors.
    pub connections: u64,
    /// RLIMIT_CORE of this process, which it sets to 0 as every instance does; `None`: no limit.
    pub core_limit: Option<u64>,
    /// `kernel.core_pattern`.
    pub core_pattern: Answer<String>,
    /// By how many ppm the clock deviated from the hardware during the check.
    pub clock_ppm: Answer<i64>,
    /// The clock source of the kernel.
    pub clock_source: Answer<String>,
    /// chrony; `None` if it does not run.
    pub chrony: Answer<Option<ChronyFacts>>,
}

/// The data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryFacts {
    /// Why this user cannot write into it, if so.
    pub not_writable: Option<String>,
    /// Permission bits.
    pub mode: u32,
    /// Our files that other users may read or write.
    pub open_files: Vec<String>,
    /// Times of a write and sync of 4 KiB.
    pub syncs: Answer<Latencies>,
}

/// chrony on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChronyFacts {
    /// The file that was read.
    pub file: String,
    /// `maxslewrate`, in ppm; `None` if it is not set.
    pub max_slew_ppm: Option<u64>,
}

/// Permission bits of group and others.
const OTHERS: u32 = 0o077;
/// `maxslewrate` of chrony unless it is set, in ppm.
const CHRONY_SLEW_PPM: u64 = 83_333;

/// All findings about the host.
pub(crate) fn judge(facts: &HostFacts, ttl: Duration) -> Vec<Finding> {
    let mut findings = match &facts.directory {
        Ok(Some(directory)) => {
            vec![writable(facts, directory), permissions(facts, directory), disk(directory, ttl)]
        }
        Ok(None) => vec![Finding::warning(
            Check::HostDataDir,
            format!(
                "{} does not exist, so the disk was not measured; the first start creates it",
                facts.path
            ),
            "run this command on the host of an instance, with its --data-dir",
        )],
        Err(why) => vec![Finding::unknown(
            Check::HostDataDir,
            why.clone(),
            "run this command as the user of the instances",
        )],
    };
    findings.extend([descriptors(facts), core_dumps(facts), clock(facts), time_service(facts)]);
    findings
}

fn writable(facts: &HostFacts, directory: &DirectoryFacts) -> Finding {
    let check = Check::HostDataDir;
    match &directory.not_writable {
        None => Finding::ok(check, format!("{} is writable", facts.path)),
        Some(why) => Finding::failed(
            check,
            format!("{}: {why}. An instance of this user cannot become the leader", facts.path),
            "give the directory to the user of the instances (chown), or choose another --data-dir",
        ),
    }
}

fn permissions(facts: &HostFacts, directory: &DirectoryFacts) -> Finding {
    let (check, path) = (Check::HostPermissions, &facts.path);
    let mode = directory.mode & 0o777;
    if !directory.open_files.is_empty() {
        let found = format!("other users have permissions for {}", directory.open_files.join(", "));
        return Finding::failed(check, found, format!("chmod 600 {path}/*; chmod 700 {path}"));
    }
    if directory.mode & OTHERS != 0 {
        return Finding::warning(
            check,
            format!("{path} has the mode {mode:03o}"),
            format!("chmod 700 {path}"),
        );
    }
    Finding::ok(check, format!("{path} has the mode {mode:03o}, and no file in it is open to others"))
}

fn disk(directory: &DirectoryFacts, ttl: Duration) -> Finding {
    let check = Check::HostDisk;
    match &directory.syncs {
        Ok(syncs) => syncs.judged(check, ttl, check.remedy()),
        Err(why) => Finding::unknown(check, why.clone(), "run this command as the user of the instances"),
    }
}

fn descriptors(facts: &HostFacts) -> Finding {
    let check = Check::HostDescriptors;
    let HostFacts { descriptors, descriptors_kept, connections, .. } = facts;
    let wanted = descriptors_kept + connections;
    match descriptors {
        Some(limit) if *limit < *descriptors_kept => Finding::failed(
            check,
            format!("RLIMIT_NOFILE = {limit}; the stores and the handler alone need {descriptors_kept}"),
            format!("LimitNOFILE={wanted} in the systemd unit, or `ulimit -n {wanted}`"),
        ),
        Some(limit) if *limit < wanted => Finding::warning(
            check,
            format!(
                "RLIMIT_NOFILE = {limit}: an instance serves {} instead of {connections} HTTP connections",
                limit - descriptors_kept
            ),
            format!("LimitNOFILE={wanted} in the systemd unit, or `ulimit -n {wanted}`"),
        ),
        Some(limit) => Finding::ok(
            check,
            format!("RLIMIT_NOFILE = {limit} in this shell; an instance uses at most {wanted}"),
        ),
        None => Finding::ok(check, "no limit in this shell"),
    }
}

fn core_dumps(facts: &HostFacts) -> Finding {
    let check = Check::HostCoreDumps;
    match (&facts.core_limit, &facts.core_pattern) {
        (Some(0), Ok(pattern)) => match pattern.strip_prefix('|') {
            Some(program) if !program.contains("systemd-coredump") => Finding::warning(
                check,
                format!(
                    "the kernel passes the memory of a crashed process to {}, whatever its limit is",
                    program.trim()
                ),
                check.remedy(),
            ),
            Some(_) | None => Finding::ok(check, "an instance sets RLIMIT_CORE = 0"),
        },
        (Some(0), Err(why)) => Finding::unknown(check, why.clone(), "read /proc/sys/kernel/core_pattern"),
        (Some(_) | None, _) => {
            Finding::failed(check, "RLIMIT_CORE could not be set to 0", "LimitCORE=0 in the systemd unit")
        }
    }
}

fn clock(facts: &HostFacts) -> Finding {
    let check = Check::HostClock;
    let source = facts.clock_source.as_deref().unwrap_or("unknown");
    match &facts.clock_ppm {
        Ok(ppm) => {
            let found = format!("corrected by {ppm} ppm during the check; clock source {source}");
            if i128::from(*ppm).abs() > RATE_PPM_MAX {
                Finding::failed(check, format!("{found}; the limit is {RATE_PPM_MAX} ppm"), check.remedy())
            } else {
                Finding::ok(check, found)
            }
        }
        Err(why) => Finding::unknown(check, why.clone(), "compare the clock with `chronyc tracking`"),
    }
}

fn time_service(facts: &HostFacts) -> Finding {
    let check = Check::HostTimeService;
    match &facts.chrony {
        Ok(None) => Finding::ok(check, "chrony does not run; the kernel slews by at most 500 ppm"),
        Ok(Some(ChronyFacts { file, max_slew_ppm })) => {
            let ppm = max_slew_ppm.unwrap_or(CHRONY_SLEW_PPM);
            if i128::from(ppm) > RATE_PPM_MAX {
                let found = format!("chrony runs and may slew by {ppm} ppm ({file})");
                Finding::warning(check, found, format!("maxslewrate 500 in {file}, then restart chrony"))
            } else {
                Finding::ok(check, format!("chrony slews by at most {ppm} ppm ({file})"))
            }
        }
        Err(why) => Finding::unknown(
            check,
            why.clone(),
            "run this command as root, or check that chrony.conf has maxslewrate 500",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{Verdict, worst};

    const TTL: Duration = Duration::from_secs(10);

    fn directory() -> DirectoryFacts {
        let syncs = Latencies::of(vec![Duration::from_millis(1); 100]).ok_or_else(String::new);
        DirectoryFacts { not_writable: None, mode: 0o40_700, open_files: Vec::new(), syncs }
    }

    fn sound() -> HostFacts {
        HostFacts {
            directory: Ok(Some(directory())),
            path: "/d".into(),
            descriptors: Some(1_024),
            descriptors_kept: 72,
            connections: 128,
            core_limit: Some(0),
            core_pattern: Ok("core".into()),
            clock_ppm: Ok(-12),
            clock_source: Ok("tsc".into()),
            chrony: Ok(None),
        }
    }

    fn with(directory: DirectoryFacts) -> HostFacts {
        HostFacts { directory: Ok(Some(directory)), ..sound() }
    }

    fn chrony(max_slew_ppm: Option<u64>) -> HostFacts {
        HostFacts {
            chrony: Ok(Some(ChronyFacts { file: "/etc/chrony/chrony.conf".into(), max_slew_ppm })),
            ..sound()
        }
    }

    #[test]
    fn a_sound_host_is_fine() {
        for facts in [sound(), chrony(Some(500)), HostFacts { descriptors: None, ..sound() }] {
            assert_eq!(worst(&judge(&facts, TTL)), Verdict::Ok);
        }
        let journal = HostFacts { core_pattern: Ok("|/lib/systemd/systemd-coredump %P".into()), ..sound() };
        assert_eq!(worst(&judge(&journal, TTL)), Verdict::Ok);
    }

    #[test]
    fn each_fault_is_found_by_its_check() {
        use Verdict::{Failed, Unknown, Warning};
        let slow = Latencies::of(vec![Duration::from_secs(2); 3]).ok_or_else(String::new);
        for (facts, check, verdict) in [
            (HostFacts { directory: Ok(None), ..sound() }, Check::HostDataDir, Warning),
            (HostFacts { directory: Err("no".into()), ..sound() }, Check::HostDataDir, Unknown),
            (
                with(DirectoryFacts { not_writable: Some("no".into()), ..directory() }),
                Check::HostDataDir,
                Failed,
            ),
            (with(DirectoryFacts { mode: 0o755, ..directory() }), Check::HostPermissions, Warning),
            (
                with(DirectoryFacts { open_files: vec!["x".into()], ..directory() }),
                Check::HostPermissions,
                Failed,
            ),
            (with(DirectoryFacts { syncs: slow, ..directory() }), Check::HostDisk, Failed),
            (with(DirectoryFacts { syncs: Err("no".into()), ..directory() }), Check::HostDisk, Unknown),
            (HostFacts { descriptors: Some(64), ..sound() }, Check::HostDescriptors, Failed),
            (HostFacts { descriptors: Some(100), ..sound() }, Check::HostDescriptors, Warning),
            (HostFacts { core_limit: None, ..sound() }, Check::HostCoreDumps, Failed),
            (
                HostFacts { core_pattern: Ok("|/usr/share/apport/apport".into()), ..sound() },
                Check::HostCoreDumps,
                Warning,
            ),
            (HostFacts { core_pattern: Err("no".into()), ..sound() }, Check::HostCoreDumps, Unknown),
            (HostFacts { clock_ppm: Ok(-501), ..sound() }, Check::HostClock, Failed),
            (HostFacts { clock_ppm: Err("no".into()), ..sound() }, Check::HostClock, Unknown),
            (chrony(None), Check::HostTimeService, Warning),
            (chrony(Some(1_000)), Check::HostTimeService, Warning),
            (HostFacts { chrony: Err("no".into()), ..sound() }, Check::HostTimeService, Unknown),
        ] {
            let findings = judge(&facts, TTL);
            let wrong: Vec<_> = findings.iter().filter(|finding| finding.verdict != Verdict::Ok).collect();
            assert_eq!(wrong.len(), 1, "{wrong:?}");
            assert_eq!((wrong[0].check, wrong[0].verdict), (check, verdict));
        }
    }
}
