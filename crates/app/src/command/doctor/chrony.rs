//! chrony on this host: whether it runs, and how fast it may slew the clock.

use domain::doctor::{Answer, ChronyFacts};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// Main files of the distributions.
const FILES: [&str; 2] = ["/etc/chrony/chrony.conf", "/etc/chrony.conf"];
/// Directories that Debian's main file includes.
const DIRECTORIES: [&str; 2] = ["/etc/chrony/conf.d", "/etc/chrony/sources.d"];
/// Name of the process.
const PROCESS: &str = "chronyd";
/// The thread with which the kernel creates its threads: process 2 of the host, and of no container.
const KERNEL: &str = "kthreadd";
const UNSEEN: &str = "the processes of the host are not visible here (a container, or /proc with hidepid)";

/// `None` if chrony does not run.
pub fn facts() -> Answer<Option<ChronyFacts>> {
    let entries = fs::read_dir("/proc").map_err(|error| format!("/proc: {error}"))?;
    let runs = entries
        .flatten()
        .any(|entry| fs::read_to_string(entry.path().join("comm")).is_ok_and(|name| name.trim() == PROCESS));
    if !runs {
        return if sees_the_host(Path::new("/proc")) { Ok(None) } else { Err(UNSEEN.to_owned()) };
    }
    for file in FILES {
        match fs::read_to_string(file) {
            Ok(text) => {
                return Ok(Some(ChronyFacts {
                    file: file.to_owned(),
                    max_slew_ppm: max_slew(&text).or(included()),
                }));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(format!("chrony runs, and {file} cannot be read: {error}")),
        }
    }
    Err(format!("chrony runs, and its configuration is neither of {}", FILES.join(", ")))
}

/// False in a container, and where other users' processes are hidden: an absent process is unknown then.
fn sees_the_host(proc: &Path) -> bool {
    fs::read_to_string(proc.join("2/comm")).is_ok_and(|name| name.trim() == KERNEL)
}

fn included() -> Option<u64> {
    let files = DIRECTORIES.iter().filter_map(|directory| fs::read_dir(Path::new(directory)).ok());
    let texts = files.flatten().flatten().filter_map(|entry| fs::read_to_string(entry.path()).ok());
    texts.filter_map(|text| max_slew(&text)).last()
}

/// `maxslewrate`, rounded up; the last one counts. Names of directives are not case-sensitive.
fn max_slew(text: &str) -> Option<u64> {
    let rate = |line: &str| {
        let mut words = line.split_whitespace();
        let name = words.next().filter(|name| name.eq_ignore_ascii_case("maxslewrate"));
        let (whole, part) = name.and(words.next()).map(|rate| rate.split_once('.').unwrap_or((rate, "")))?;
        let up = u64::from(part.bytes().any(|digit| digit != b'0'));
        whole.parse::<u64>().ok().map(|whole| whole.saturating_add(up))
    };
    text.lines().filter_map(rate).next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_does_not_see_the_processes_of_the_host() {
        let proc = tempfile::tempdir().expect("a directory");
        assert!(!sees_the_host(proc.path()));
        fs::create_dir(proc.path().join("2")).expect("ours");
        for (name, sees) in [("kthreadd\n", true), ("sh\n", false)] {
            fs::write(proc.path().join("2/comm"), name).expect("ours");
            assert_eq!(sees_the_host(proc.path()), sees, "{name}");
        }
    }

    #[test]
    fn the_rate_is_read_from_its_directive_alone() {
        assert_eq!(max_slew("pool x\n# maxslewrate 100\n"), None);
        assert_eq!(max_slew("pool x\n MaxSlewRate 500\n"), Some(500));
        assert_eq!(max_slew("maxslewrate 500\nmaxslewrate 1000.5"), Some(1_001));
        assert_eq!(max_slew("maxslewrate fast"), None);
    }
}
