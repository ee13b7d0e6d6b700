//! The choice between containers and child processes.

use std::env;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

const VARIABLE: &str = "COORDINATOR_TEST_BACKEND";
/// Timeout for a ping of the engine. An engine on this machine answers at once; a slow one is of no use to
/// tests.
const ENGINE_ANSWER_TIME_MAX: Duration = Duration::from_secs(2);

/// Source of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Way {
    /// A container, reached under this host.
    Container { host: String },
    /// A child process; the directory has the programs.
    Native { directory: PathBuf },
}

/// A kind of server.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) image: &'static str,
    pub(super) tag: &'static str,
    /// The programs that a native server needs, all in one directory.
    pub(super) programs: &'static [&'static str],
    /// The Debian package that contains them.
    pub(super) package: &'static str,
}

/// The way for `kind`. It is decided once, and printed on stderr.
pub(super) fn way(kind: &Kind, decided: &'static OnceLock<Way>) -> Way {
    decided
        .get_or_init(|| match decide(kind) {
            Ok((way, why)) => {
                eprintln!("testkit: {} {}: {why}", kind.name, way.describe());
                way
            }
            Err(sentence) => panic!("{sentence}"),
        })
        .clone()
}

impl Way {
    fn describe(&self) -> String {
        match self {
            Self::Container { host } => format!("in containers on {host}"),
            Self::Native { directory } => format!("as child processes from {}", directory.display()),
        }
    }
}

/// The native way, whatever the variable says: for tests that containers cannot serve.
pub(super) fn native(kind: &Kind) -> Result<Way, String> {
    programs(kind).map(|directory| Way::Native { directory }).ok_or_else(|| {
        format!("{} is not installed here: apt-get install {}", kind.programs.join(" and "), kind.package)
    })
}

fn decide(kind: &Kind) -> Result<(Way, &'static str), String> {
    match env::var(VARIABLE).as_deref() {
        Ok("native") => Ok((native(kind)?, "forced by COORDINATOR_TEST_BACKEND")),
        Ok("containers") => match Engine::find() {
            Some(engine) => Ok((engine.way(), "forced by COORDINATOR_TEST_BACKEND")),
            None => Err(format!(
                "{VARIABLE}=containers, but no container engine answers: start one, or set DOCKER_HOST"
            )),
        },
        Ok(other) => Err(format!("{VARIABLE}={other}: it is `native` or `containers`")),
        Err(_) => match (Engine::find(), native(kind)) {
            (Some(engine), _) if engine.has(kind) => Ok((engine.way(), "a container engine answers")),
            (_, Ok(native)) => Ok((native, "no container engine answers that has the image")),
            (Some(engine), Err(_)) => {
                Ok((engine.way(), "a container engine answers and is to pull the image"))
            }
            (None, Err(sentence)) => Err(format!("{sentence} (or start a container engine)")),
        },
    }
}

/// The first directory that has all programs: of PATH, otherwise of Debian's PostgreSQL versions, newest
/// first.
fn programs(kind: &Kind) -> Option<PathBuf> {
    let path: Vec<PathBuf> =
        env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default();
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|entries| entries.flatten().map(|entry| entry.path().join("bin")).collect())
        .unwrap_or_default();
    versions.sort_by_key(|bin| std::cmp::Reverse(version(bin)));
    path.into_iter().chain(versions).find(|directory| has_all(directory, kind.programs))
}

fn version(bin: &Path) -> u32 {
    let name = bin.parent().and_then(Path::file_name).and_then(|name| name.to_str());
    name.and_then(|name| name.parse().ok()).unwrap_or(0)
}

fn has_all(directory: &Path, programs: &[&str]) -> bool {
    programs.iter().all(|program| directory.join(program).is_file())
}

/// A container engine that has answered.
struct Engine {
    address: Address,
}

enum Address {
    Unix(PathBuf),
    Tcp(String),
}

impl Engine {
    fn find() -> Option<Self> {
        let found = addresses().into_iter().map(|address| Self { address });
        found.into_iter().find(|engine| engine.status("/_ping") == Some(200))
    }

    fn way(&self) -> Way {
        let host = match &self.address {
            Address::Unix(_) => "127.0.0.1",
            Address::Tcp(address) => address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host),
        };
        Way::Container { host: host.to_owned() }
    }

    fn has(&self, kind: &Kind) -> bool {
        self.status(&format!("/images/{}:{}/json", kind.image, kind.tag)) == Some(200)
    }

    /// The status of a GET; `None` if there is no HTTP answer in time.
    fn status(&self, path: &str) -> Option<u16> {
        match &self.address {
            Address::Unix(socket) => {
                let stream = UnixStream::connect(socket).ok()?;
                stream.set_read_timeout(Some(ENGINE_ANSWER_TIME_MAX)).ok()?;
                status(stream, path)
            }
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address).ok()?;
                stream.set_read_timeout(Some(ENGINE_ANSWER_TIME_MAX)).ok()?;
                status(stream, path)
            }
        }
    }
}

fn status(mut stream: impl Read + Write, path: &str) -> Option<u16> {
    write!(stream, "GET {path} HTTP/1.0\r\nHost: engine\r\n\r\n").ok()?;
    let mut line = [0; "HTTP/1.0 200".len()];
    stream.read_exact(&mut line).ok()?;
    std::str::from_utf8(&line).ok()?.split(' ').nth(1)?.parse().ok()
}

/// The addresses at which testcontainers searches.
fn addresses() -> Vec<Address> {
    if let Ok(host) = env::var("DOCKER_HOST") {
        let unix = host.strip_prefix("unix://").map(|path| Address::Unix(path.into()));
        let tcp = || host.strip_prefix("tcp://").map(|address| Address::Tcp(address.to_owned()));
        return unix.or_else(tcp).into_iter().collect();
    }
    let under = |variable: &str, path: &str| env::var_os(variable).map(|base| PathBuf::from(base).join(path));
    [
        Some(PathBuf::from("/var/run/docker.sock")),
        under("XDG_RUNTIME_DIR", ".docker/run/docker.sock"),
        under("HOME", ".docker/run/docker.sock"),
        under("HOME", ".docker/desktop/docker.sock"),
    ]
    .into_iter()
    .flatten()
    .map(Address::Unix)
    .collect()
}
