//! Facts about the host on which the command runs.

use super::chrony;
use crate::identity::{PROBE, files_open_to_others};
use crate::network::DESCRIPTORS_KEPT;
use adapter_http::Limits;
use domain::doctor::{Answer, DirectoryFacts, HostFacts, HostTime, Latencies};
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

/// Shortest time over which the rate of the clock is measured. A reading takes less than a microsecond, so a second shows
/// some ppm.
const CLOCK_TIME_MIN: Duration = Duration::from_secs(1);
/// Longest measurement of the disk.
const DISK_TIME_MAX: Duration = Duration::from_secs(3);
/// Length of one write in bytes: a page of SQLite.
const PAGE_LEN: usize = 4_096;
/// Permissions of the probe.
const PROBE_MODE: u32 = 0o600;

/// The clocks of this host.
pub fn clock() -> HostTime {
    HostTime { calendar_us: micros(ClockId::Realtime), boot_us: micros(ClockId::Boottime) }
}

fn micros(clock: ClockId) -> i64 {
    nanos(clock) / 1_000
}

fn nanos(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}

/// The begin of the measurement of the clock's rate.
pub struct Begun {
    /// The clock as the time service corrects it, as CLOCK_BOOTTIME does. It stops while the machine is suspended.
    corrected: i64,
    /// The same hardware, never corrected.
    raw: i64,
}

impl Begun {
    pub fn now() -> Self {
        Self { corrected: nanos(ClockId::Monotonic), raw: nanos(ClockId::MonotonicRaw) }
    }

    /// Completes the facts with the rate, once enough time has passed.
    pub async fn ended(self, facts: HostFacts) -> HostFacts {
        let raw = |now: &Self| Duration::from_nanos(now.raw.saturating_sub(self.raw).unsigned_abs());
        // The rate shows only over time. Nothing is waited for.
        tokio::time::sleep(CLOCK_TIME_MIN.saturating_sub(raw(&Self::now()))).await;
        let now = Self::now();
        let (corrected, raw) = (i128::from(now.corrected - self.corrected), i128::from(now.raw - self.raw));
        let clock_ppm = if raw > 0 {
            i64::try_from((corrected - raw) * 1_000_000 / raw).map_err(|_| "the clock jumped".to_owned())
        } else {
            Err("CLOCK_MONOTONIC_RAW does not advance".to_owned())
        };
        HostFacts { clock_ppm, ..facts }
    }
}

/// Everything but the rate of the clock.
pub fn gather(path: &Path) -> HostFacts {
    HostFacts {
        directory: directory(path),
        path: path.display().to_string(),
        descriptors: getrlimit(Resource::Nofile).current,
        descriptors_kept: DESCRIPTORS_KEPT,
        connections: u64::try_from(Limits::default().connections).unwrap_or(u64::MAX),
        core_limit: getrlimit(Resource::Core).current,
        core_pattern: kernel("/proc/sys/kernel/core_pattern"),
        clock_ppm: Err("not measured".to_owned()),
        clock_source: kernel("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        chrony: chrony::facts(),
    }
}

fn kernel(file: &str) -> Answer<String> {
    fs::read_to_string(file).map(|text| text.trim().to_owned()).map_err(|error| format!("{file}: {error}"))
}

fn directory(path: &Path) -> Answer<Option<DirectoryFacts>> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let mode = match fs::metadata(path) {
        Ok(seen) => seen.mode(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let open_files = files_open_to_others(path).map_err(failed)?;
    let (syncs, not_writable) = match probe(path) {
        Ok(times) => (Latencies::of(times).ok_or_else(|| "no write ended".to_owned()), None),
        Err(error) => (Err(format!("the disk was not measured: {error}")), Some(error.to_string())),
    };
    Ok(Some(DirectoryFacts { not_writable, mode, open_files, syncs }))
}

/// Times of a write and a sync. The file loses its name before it is written, so that nothing of it remains whatever
/// happens to this process.
fn probe(directory: &Path) -> std::io::Result<Vec<Duration>> {
    let path = directory.join(format!("{PROBE}{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(PROBE_MODE).open(&path)?;
    fs::remove_file(&path)?;
    let (begun, page, mut times) = (Instant::now(), [0; PAGE_LEN], Vec::with_capacity(Latencies::WANTED));
    while times.len() < Latencies::WANTED && begun.elapsed() < DISK_TIME_MAX {
        let sent = Instant::now();
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&page)?;
        file.sync_data()?;
        times.push(sent.elapsed());
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_probe_leaves_nothing_and_a_missing_directory_stays_missing() {
        let parent = tempfile::tempdir().expect("a directory");
        assert_eq!(directory(&parent.path().join("missing")), Ok(None));
        assert!(!parent.path().join("missing").exists());
        let facts = directory(parent.path()).expect("readable").expect("there");
        assert!(facts.syncs.is_ok() && facts.not_writable.is_none(), "{facts:?}");
        assert_eq!(fs::read_dir(parent.path()).expect("a directory").count(), 0);
    }

    #[test]
    fn our_files_that_others_may_read_are_named() {
        let data = tempfile::tempdir().expect("a directory");
        for (name, mode) in [("coordinator.db", 0o644), ("epochs-sqlite-g", 0o600), ("foreign", 0o666)] {
            fs::write(data.path().join(name), "").expect("writable");
            fs::set_permissions(data.path().join(name), fs::Permissions::from_mode(mode)).expect("ours");
        }
        let facts = directory(data.path()).expect("readable").expect("there");
        assert_eq!(facts.open_files, ["coordinator.db"]);
    }

    #[tokio::test]
    async fn the_rate_of_the_clock_is_measured() {
        let facts = Begun::now().ended(gather(Path::new("/nowhere"))).await;
        assert!(facts.clock_ppm.is_ok(), "{:?}", facts.clock_ppm);
    }
}
