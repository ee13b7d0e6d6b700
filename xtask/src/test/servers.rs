//! Selects the Redis and PostgreSQL of the tests, and checks that everything else that the tests start is
//! installed.
//!
//! A container engine that answers and has the images comes first, because its versions are those that users
//! run; then servers that are installed on this machine; otherwise they are installed.

use super::BACKEND_VARIABLE;
use super::provision;
use crate::workspace::{Workspace, output};
use std::env;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The images that the testkit starts. They are pulled in advance, so that the first test does not wait for a
/// registry.
const IMAGES: [&str; 2] = ["redis:7", "postgres:15"];
/// Timeout for an engine that accepts a connection and does not answer.
const ENGINE_ANSWER_MAX: &str = "20s";
/// Both images together are about 150 MB.
const PULL_MAX: &str = "300s";
/// Where Debian keeps the server programs of PostgreSQL, one directory per major version.
const POSTGRESQL_VERSIONS: &str = "/usr/lib/postgresql";
/// The statements and the timeline rules are tested with this version and later ones.
const POSTGRESQL_MAJOR_MIN: u32 = 15;

const POSTGRES: &str = "postgres";

/// Source of the tests' servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// Started by the testkit in containers.
    Containers,
    /// Started by the testkit as child processes.
    Native,
}

impl Backend {
    /// The value of [`BACKEND_VARIABLE`].
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Containers => "containers",
            Self::Native => "native",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Containers, Self::Native].into_iter().find(|backend| backend.as_str() == text)
    }
}

/// A program that tests start.
struct Program {
    /// Its programs, all in one directory; the first is its name in messages.
    names: &'static [&'static str],
    /// Debian's packages that contain it.
    packages: &'static [&'static str],
}

/// The servers are needed in addition to containers: some suites stop a server by signal or promote a
/// standby, which requires processes.
const PROGRAMS: [Program; 13] = [
    // SQLite and ring are compiled from C.
    Program { names: &["cc"], packages: &["gcc", "libc6-dev"] },
    Program { names: &["prometheus", "promtool"], packages: &["prometheus"] },
    Program { names: &["prometheus-alertmanager", "amtool"], packages: &["prometheus-alertmanager"] },
    // Checks docker/compose.yaml; it needs no engine.
    Program { names: &["docker-compose"], packages: &["docker-compose"] },
    Program { names: &["redis-server"], packages: &["redis-server"] },
    Program { names: &[POSTGRES, "initdb", "pg_basebackup"], packages: &["postgresql"] },
    Program { names: &["pgbouncer"], packages: &["pgbouncer"] },
    // Network namespaces are the hosts of a test.
    Program { names: &["ip"], packages: &["iproute2"] },
    // The operator's page is tested in a real browser.
    Program { names: &["chromium", "chromedriver"], packages: &["chromium", "chromium-driver"] },
    // The shipped configurations of proxies, and those of the page about hooks, run in tests.
    Program { names: &["haproxy"], packages: &["haproxy"] },
    Program { names: &["nginx"], packages: &["nginx-light"] },
    Program { names: &["caddy"], packages: &["caddy"] },
    // Judges the unit; no systemd needs to run.
    Program { names: &["systemd-analyze"], packages: &["systemd"] },
];

/// Everything the tests start, found.
pub struct Servers {
    backend: Backend,
    /// The reason for this backend.
    because: String,
    found: Vec<PathBuf>,
}

impl Servers {
    /// Finds or installs what is needed. The error is a sentence for the operator.
    pub fn provide(workspace: &Workspace) -> Result<Self, String> {
        let (backend, because) = choose(env::var(BACKEND_VARIABLE).ok(), engine)?;
        let packages: Vec<&str> = missing().iter().flat_map(|program| program.packages).copied().collect();
        if !packages.is_empty() {
            println!("not here, installing: {}", packages.join(" "));
            provision::install(workspace, &packages)?;
        }
        if let Some(program) = missing().first() {
            let packages = program.packages.join(" ");
            return Err(format!(
                "{} is still not found after installing {packages}",
                program.names.join(" and ")
            ));
        }
        let found = PROGRAMS.iter().filter_map(|program| find(program.names)).collect();
        Ok(Self { backend, because, found })
    }

    /// The selected backend.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// PATH with the directories of all programs that were found, if that differs from the current one.
    pub fn path(&self) -> Option<OsString> {
        let mut directories = search_path();
        let known = directories.len();
        for directory in self.found.iter().filter_map(|program| program.parent()) {
            if !directories.iter().any(|known| known == directory) {
                directories.push(directory.to_owned());
            }
        }
        // Joining fails only for a directory with a colon in its name, which cannot have been in PATH.
        (directories.len() > known).then(|| env::join_paths(directories).ok()).flatten()
    }
}

impl fmt::Display for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tests use {} servers: {}", self.backend.as_str(), self.because)?;
        self.found.iter().try_for_each(|program| write!(f, "\n  {}", program.display()))
    }
}

/// The variable decides; otherwise containers, if `engine` answers.
fn choose(
    forced: Option<String>,
    engine: impl FnOnce() -> Result<String, String>,
) -> Result<(Backend, String), String> {
    let Some(forced) = forced else {
        return Ok(match engine() {
            Ok(answer) => (Backend::Containers, answer),
            Err(reason) => (Backend::Native, reason),
        });
    };
    match Backend::parse(&forced) {
        Some(Backend::Native) => Ok((Backend::Native, format!("{BACKEND_VARIABLE} says so"))),
        Some(Backend::Containers) => engine()
            .map(|answer| (Backend::Containers, format!("{BACKEND_VARIABLE} says so; {answer}")))
            .map_err(|reason| format!("{BACKEND_VARIABLE}=containers, but {reason}")),
        None => Err(format!("{BACKEND_VARIABLE} is `{forced}`: use containers or native, or unset it")),
    }
}

/// Queries the container engine, and pulls missing images.
fn engine() -> Result<String, String> {
    if find(&["docker"]).is_none() {
        return Err("no container engine: there is no `docker` on PATH".to_owned());
    }
    let version = output(&mut docker(ENGINE_ANSWER_MAX, &["version", "--format", "{{.Server.Version}}"]))
        .map_err(|problem| format!("no container engine answers: {problem}"))?;
    for image in IMAGES {
        let local = output(&mut docker(ENGINE_ANSWER_MAX, &["image", "inspect", image])).is_ok();
        if !local {
            output(&mut docker(PULL_MAX, &["pull", "--quiet", image]))
                .map_err(|problem| format!("the container engine has no image {image}: {problem}"))?;
        }
    }
    Ok(format!("container engine {} answers and has {}", version.trim(), IMAGES.join(" and ")))
}

fn docker(limit: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("timeout");
    command.args([limit, "docker"]).args(arguments);
    command
}

fn missing() -> Vec<&'static Program> {
    PROGRAMS.iter().filter(|program| find(program.names).is_none()).collect()
}

/// The first of `names`, in a directory that has them all: on PATH, or where Debian keeps PostgreSQL. A
/// PostgreSQL that is too old counts as missing.
fn find(names: &[&str]) -> Option<PathBuf> {
    let mut directories = search_path().into_iter().chain(postgresql_directories());
    let suits = |directory: &PathBuf| {
        names.iter().all(|name| {
            let program = directory.join(name);
            program.is_file() && (*name != POSTGRES || major(&program) >= Some(POSTGRESQL_MAJOR_MIN))
        })
    };
    directories.find(suits).zip(names.first()).map(|(directory, name)| directory.join(name))
}

fn search_path() -> Vec<PathBuf> {
    env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default()
}

/// Newest first.
fn postgresql_directories() -> Vec<PathBuf> {
    let Ok(entries) = Path::new(POSTGRESQL_VERSIONS).read_dir() else { return Vec::new() };
    let mut versions: Vec<u32> =
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    versions.sort_unstable_by(|a, b| b.cmp(a));
    versions
        .iter()
        .map(|version| Path::new(POSTGRESQL_VERSIONS).join(version.to_string()).join("bin"))
        .collect()
}

fn major(postgres: &Path) -> Option<u32> {
    parse_major(&output(Command::new(postgres).arg("--version")).ok()?)
}

/// The version in `postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)`.
fn parse_major(version: &str) -> Option<u32> {
    let number = version.split_whitespace().nth(2)?;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(forced: Option<&str>, engine: Result<&str, &str>) -> Result<Backend, String> {
        let engine = engine.map(str::to_owned).map_err(str::to_owned);
        choose(forced.map(str::to_owned), || engine).map(|(backend, _)| backend)
    }

    #[test]
    fn containers_first_native_otherwise() {
        assert_eq!(chosen(None, Ok("engine")), Ok(Backend::Containers));
        assert_eq!(chosen(None, Err("no engine")), Ok(Backend::Native));
    }

    #[test]
    fn the_environment_decides_and_is_never_overruled() {
        assert_eq!(chosen(Some("native"), Ok("engine")), Ok(Backend::Native));
        assert_eq!(chosen(Some("containers"), Ok("engine")), Ok(Backend::Containers));
        assert!(chosen(Some("containers"), Err("no engine")).is_err());
        assert!(chosen(Some("podman"), Ok("engine")).is_err());
    }

    #[test]
    fn versions_are_read() {
        assert_eq!(parse_major("postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)\n"), Some(15));
        assert_eq!(parse_major("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(parse_major("no such option"), None);
    }
}
