//! A ChromeDriver for one test: the program that starts Chromium and controls it.

use super::choice::{Kind, Way, native};
use super::free_port;
use super::native::{Directory, Native, Program, User};
use super::server::Server;
use crate::http::Client;
use rustix::process::Signal;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

/// On a machine with both, ChromeDriver belongs to Google's build.
const KINDS: [Kind; 2] = [
    Kind {
        name: "browser",
        image: "",
        tag: "",
        programs: &["google-chrome", "chromedriver"],
        package: "google-chrome-stable",
    },
    Kind {
        name: "browser",
        image: "",
        tag: "",
        programs: &["chromium", "chromedriver"],
        package: "chromium chromium-driver",
    },
];
/// Timeout of a start's own request, which ChromeDriver answers from memory.
const READY_ANSWER_TIME_MAX: Duration = Duration::from_secs(5);
/// Ends every process that has the directory $1 as its TMPDIR, and removes the directory. Chromium survives a killed
/// ChromeDriver, and its crash handlers leave the family; the processes that Chromium forks end with it.
const CLEAN_UP: &str = r#"
for i in 1 2 3 4 5; do
    left=$(grep -lszxF "TMPDIR=$1" /proc/[0-9]*/environ)
    [ -n "$left" ] || break
    for file in $left; do pid=${file#/proc/}; kill -KILL "${pid%/environ}" 2>/dev/null; done
    sleep 0.1
done
for i in 1 2 3 4 5; do rm -rf -- "$1" && break; sleep 1; done"#;

/// A running ChromeDriver. When it is dropped, every Chromium that it started has ended and its files are gone.
#[derive(Debug)]
pub struct Chromedriver {
    port: u16,
    browser: PathBuf,
    profile: PathBuf,
    _server: Server,
}

/// Starts a ChromeDriver.
///
/// # Panics
/// If none is installed, with a sentence that says what to install.
pub fn chromedriver() -> Chromedriver {
    let (directory, programs) = installed();
    let port = free_port();
    let (announce, profile) = std::sync::mpsc::channel();
    let driver = directory.join(programs[1]);
    let server = Server::start(
        "ChromeDriver",
        move || {
            let own = Directory::with(User::Ours, CLEAN_UP)?;
            let home = own.path().display();
            // Chromium writes below HOME and TMPDIR; both end with the directory.
            let arguments = vec![
                format!("HOME={home}"),
                format!("TMPDIR={home}"),
                "TZ=UTC".to_owned(),
                driver.display().to_string(),
                format!("--port={port}"),
            ];
            // The receiver waits for the start.
            let _ = announce.send(own.path().join("profile"));
            let program =
                Program { path: PathBuf::from("env"), arguments, user: User::Ours, stop: Signal::TERM };
            Ok(Native::new(program, own))
        },
        move || {
            let address = format!("127.0.0.1:{port}");
            match Client::new(address, READY_ANSWER_TIME_MAX).send("GET", "/status", &[], "") {
                Ok(answer) if answer.json()["value"]["ready"] == true => Ok(()),
                other => Err(format!("not ready: {other:?}")),
            }
        },
    );
    let profile = profile.recv().expect("the server has started, so its directory is known");
    Chromedriver { port, browser: directory.join(programs[0]), profile, _server: server }
}

/// The directory and the names of the programs. It is decided once, and printed on stderr.
fn installed() -> (PathBuf, &'static [&'static str]) {
    static FOUND: OnceLock<(PathBuf, &'static [&'static str])> = OnceLock::new();
    let find = || {
        let found = KINDS.iter().map(|kind| (native(kind), kind.programs));
        let mut missing = String::new();
        for (way, programs) in found {
            match way {
                Ok(Way::Native { directory }) => {
                    eprintln!("testkit: browser {} from {}", programs[0], directory.display());
                    return (directory, programs);
                }
                Ok(Way::Container { .. }) => {}
                Err(sentence) => missing = sentence,
            }
        }
        panic!("{missing}")
    };
    FOUND.get_or_init(find).clone()
}

impl Chromedriver {
    /// Host and port of the driver.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The browser that belongs to it.
    pub fn browser(&self) -> &Path {
        &self.browser
    }

    /// A directory for the browser's profile, which does not exist yet.
    pub fn profile(&self) -> &Path {
        &self.profile
    }
}
