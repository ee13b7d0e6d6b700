//! Tests of the shipped HAProxy and nginx configurations before three real instances, and of the proxies in
//! docs/hooks.md before one. The shipped systemd unit, by systemd's own judgement.

use crate::TTL;
use crate::command::BINARY;
use crate::group::Group;
use crate::signals::submission;
use crate::wait::{PATIENCE, block_on, until};
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use testkit::backend::free_port;
use testkit::directory::directory;
use testkit::http::{self, Response};
use testkit::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

const SECRET: &str = "canary-0123456789";
/// The only sender that the hook of the test allows.
const SENDER: &str = "127.0.0.7";
/// Signals that are submitted on each side of the failover.
const SIGNALS: usize = 5;

/// Requests in a row that must reach the leader: each instance would get several in turn.
const ROUNDS: usize = 12;

/// A running proxy. It ends with this value, or with the test.
struct Proxy(Child);

impl Proxy {
    /// Starts it; `package` is Debian's.
    fn start(program: &str, arguments: &[&str], directory: &Path, package: &str) -> Self {
        let log = fs::File::create(directory.join("proxy.log")).expect("a log");
        // Debian has haproxy and nginx in /usr/sbin, which the PATH of a user may lack.
        let found = ["/usr/sbin", "/usr/bin"].iter().map(|at| Path::new(at).join(program));
        let program = found.into_iter().find(|path| path.exists());
        let program = program.unwrap_or_else(|| panic!("install Debian's package `{package}`"));
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "SIGKILL", "--"])
            .arg(program)
            .args(arguments)
            .env("HOME", directory)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn();
        Self(child.expect("setpriv is in package util-linux"))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// The addresses of the proxy's two ports: the leader, and any instance.
struct Ports {
    leader: String,
    any: String,
}

/// The shipped configuration with the addresses of this test.
fn adapted(path: &str, group: &mut Group, directory: &Path) -> (String, Ports) {
    let ports = [free_port(), free_port()].map(|port| format!("127.0.0.1:{port}"));
    let mut text = fs::read_to_string(repository(path)).expect("a shipped file");
    let own = directory.join("proxy").display().to_string();
    let instances = ["a", "b", "c"].map(|name| group.process(name).address());
    let shipped = ["127.0.0.1:5001", "127.0.0.1:5002", "127.0.0.1:5003"];
    let changes = shipped.into_iter().zip(instances);
    let changes = changes.chain(["127.0.0.1:8080", "127.0.0.1:8081"].into_iter().zip(ports.clone()));
    // In two steps: an address of the test may be one of the file.
    let changes: Vec<_> = changes.chain([("/tmp/coordinator-nginx", own)]).collect();
    for (n, (from, _)) in changes.iter().enumerate() {
        assert!(text.contains(from) || from.starts_with('/'), "{path} has no {from}");
        text = text.replace(from, &format!("<{n}>"));
    }
    for (n, (_, to)) in changes.iter().enumerate() {
        text = text.replace(&format!("<{n}>"), to);
    }
    let file = directory.join("proxy.conf");
    fs::write(&file, text).expect("written");
    let [leader, any] = ports;
    (file.to_str().expect("text").to_owned(), Ports { leader, any })
}

#[test]
fn haproxy_follows_the_leader_and_loses_no_signal() {
    follows("docker/haproxy/haproxy.cfg", |file, directory| {
        Proxy::start("haproxy", &["-db", "-f", file], directory, "haproxy")
    });
}

#[test]
fn nginx_follows_the_leader_and_loses_no_signal() {
    follows("docker/nginx/nginx.conf", start_nginx);
}

/// In the foreground and as one process, which ends with the test.
fn start_nginx(file: &str, directory: &Path) -> Proxy {
    let arguments = ["-c", file, "-g", "daemon off; master_process off;"];
    Proxy::start("nginx", &arguments, directory, "nginx-light")
}

fn follows(shipped: &str, start: fn(&str, &Path) -> Proxy) {
    let directory = directory();
    let mut group = Group::embedded(TTL);
    let first = group.start_three();
    let (file, ports) = adapted(shipped, &mut group, directory.path());
    let proxy = start(&file, directory.path());
    wait_followed(&ports, &first.name);
    let mut accepted = Vec::new();
    submit(&ports, "before", SIGNALS, &mut accepted);

    group.process(&first.name).kill();
    // Some of these get no answer or 503, which promises nothing; 2xx is a promise at any time.
    let next = until("another leader", || {
        attempt(&ports.any, &format!("during-{}", accepted.len()), &mut accepted);
        attempt(&ports.leader, &format!("during-{}", accepted.len()), &mut accepted);
        group.leads().into_iter().find(|lead| lead.epoch > first.epoch)
    });
    wait_followed(&ports, &next.name);
    submit(&ports, "after", SIGNALS, &mut accepted);

    for id in &accepted {
        let answer = group.process(&next.name).get(&format!("/signals/{id}")).expect("it listens");
        assert_eq!(answer.status, 200, "{id} was accepted and is not stored: {answer:?}");
    }
    drop(proxy);
    group.finish();
}

/// Waits until the proxy's port of the leader leads to that instance, every time.
fn wait_followed(ports: &Ports, name: &str) {
    let led = || {
        let answer = http::request(&ports.leader, "GET", "/leader", &[], "").ok()?;
        (answer.status == 200 && answer.json()["leader"] == name).then_some(())
    };
    // A proxy that takes the instances in turn reaches a standby within these.
    until(&format!("the proxy leads to {name}"), || (0..ROUNDS).try_for_each(|_| led()));
}

/// Submits signals to both ports, until each of them is accepted.
fn submit(ports: &Ports, when: &str, number: usize, accepted: &mut Vec<String>) {
    for n in 0..number {
        for (port, address) in [("leader", &ports.leader), ("any", &ports.any)] {
            let id = format!("{when}-{port}-{n}");
            until(&format!("{id} is accepted"), || attempt(address, &id, accepted).then_some(()));
        }
    }
}

/// Submits a signal; true if the answer promises that it is stored.
fn attempt(address: &str, id: &str, accepted: &mut Vec<String>) -> bool {
    let body = submission(id, id).to_string();
    let headers = [("Content-Type", "application/json")];
    let answer = http::request(address, "POST", "/signals", &headers, &body);
    let stored = answer.is_ok_and(|answer: Response| (200..300).contains(&answer.status));
    if stored {
        accepted.push(id.to_owned());
    }
    stored
}

// --- the proxies of docs/hooks.md -----------------------------------------------------------------------

/// The code block of docs/hooks.md that begins with this line.
fn snippet(first_line: &str) -> String {
    let page = fs::read_to_string(repository("docs/hooks.md")).expect("the page");
    let from = page.find(&format!("\n{first_line}\n")).expect("the snippet is on the page") + 1;
    let text = page[from..].split("```").next().expect("its end");
    text.to_owned()
}

/// `text` in which each of these changes must apply.
fn changed(text: &str, changes: &[(&str, &str)]) -> String {
    changes.iter().fold(text.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "no {from} in {text}");
        text.replace(from, to)
    })
}

/// TLS is left out: nginx's certificate and Caddy's authority are not part of what the instance sees.
#[test]
fn nginx_of_the_page_about_hooks_names_the_sender() {
    names_the_sender(
        |instance, port| {
            let server = changed(
                &snippet("server {"),
                &[
                    ("listen 443 ssl;", &format!("listen {port};")),
                    ("    ssl_certificate     /etc/nginx/hooks.crt;\n", ""),
                    ("    ssl_certificate_key /etc/nginx/hooks.key;\n", ""),
                    ("127.0.0.1:5000", instance),
                ],
            );
            // The parts of the file around a server: paths that this user may write to.
            let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                .map(|kind| format!("{kind}_temp_path DIRECTORY/{kind};\n"));
            let access = "access_log DIRECTORY/access.log;";
            format!("pid DIRECTORY/pid;\nevents {{}}\nhttp {{\n{access}\n{}{server}}}\n", paths.concat())
        },
        start_nginx,
    );
}

#[test]
fn caddy_of_the_page_about_hooks_names_the_sender() {
    names_the_sender(
        |instance, port| {
            let site = changed(
                &snippet("hooks.example.com {"),
                &[("hooks.example.com {", &format!("http://{port} {{")), ("127.0.0.1:5000", instance)],
            );
            format!("{{\n\tadmin off\n}}\n{site}")
        },
        |file, directory| {
            let arguments = ["run", "--config", file, "--adapter", "caddyfile"];
            Proxy::start("caddy", &arguments, directory, "caddy")
        },
    );
}

fn names_the_sender(written: fn(&str, &str) -> String, start: fn(&str, &Path) -> Proxy) {
    let directory = directory();
    let config = directory.path().join("coordinator.toml");
    let hook = format!(
        "[hooks.tv]\npreset = \"text\"\nsecret_env = \"TV_SECRET\"\n\
         trusted_proxies = [\"127.0.0.1\"]\nsources = [\"{SENDER}\"]\n"
    );
    fs::write(&config, hook).expect("written");
    let mut group = Group::embedded(TTL);
    group.set("TV_SECRET", SECRET);
    let launch = group.launch("a").argument("--config").argument(config.to_str().expect("text"));
    group.start_as("a", &launch);
    group.wait_active("a");

    let port = format!("127.0.0.1:{}", free_port());
    let text = written(&group.process("a").address(), &port);
    let file = directory.path().join("proxy.conf");
    let text = text.replace("DIRECTORY", directory.path().to_str().expect("text"));
    fs::write(&file, text).expect("written");
    let proxy = start(file.to_str().expect("text"), directory.path());
    let path = format!("/hooks/tv/{SECRET}");
    let stored = until("the proxy listens", || post_from(SENDER, &port, &path, ""));
    assert!(stored.starts_with("HTTP/1.1 201 "), "{stored}");
    let claims = format!("X-Forwarded-For: {SENDER}\r\n");
    let wrong = "/hooks/tv/wrong-0123456789";
    for (sender, path, more) in [
        ("127.0.0.8", path.as_str(), ""),
        // What the proxy writes about the sender counts, not what the sender writes.
        ("127.0.0.8", path.as_str(), claims.as_str()),
        (SENDER, wrong, ""),
    ] {
        let answer = post_from(sender, &port, path, more).expect("it listens");
        assert!(answer.starts_with("HTTP/1.1 403 "), "{sender} {path} {more}: {answer}");
    }
    // Only hooks are forwarded. Every refusal of an instance is a problem document.
    let answer = post_from(SENDER, &port, "/signals", "").expect("it listens");
    assert!(!answer.contains("application/problem+json"), "{answer}");
    for entry in fs::read_dir(directory.path()).expect("our own") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "log") {
            let log = fs::read_to_string(&path).expect("text");
            assert!(!log.contains(SECRET), "{} has the secret: {log}", path.display());
        }
    }
    drop(proxy);
    group.finish();
}

/// The answer to an alert that is posted from that address of this machine; `None` if the server does not listen.
fn post_from(sender: &str, server: &str, path: &str, more: &str) -> Option<String> {
    let body = "BUY NIFTY @ 24310";
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\nContent-Length: {}\r\n{more}\r\n{body}",
        body.len()
    );
    block_on(async {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(format!("{sender}:0").parse().expect("an address")).expect("a loopback address");
        let mut connection = socket.connect(server.parse().expect("an address")).await.ok()?;
        connection.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.ok()?;
        Some(answer)
    })
}

// --- the systemd unit -----------------------------------------------------------------------------------

/// The unit in a directory, with the path of the program under test, which `verify` requires to exist.
fn unit(directory: &Path) -> PathBuf {
    let unit = fs::read_to_string(repository("docker/systemd/coordinator.service")).expect("a shipped file");
    let file = directory.join("coordinator.service");
    fs::write(&file, changed(&unit, &[("/usr/local/bin/coordinator", BINARY)])).expect("written");
    file
}

#[test]
fn systemd_accepts_the_unit_and_rates_its_exposure_below_two() {
    let directory = directory();
    let unit = unit(directory.path());
    // The threshold is in tenths, and the exposure may be equal to it.
    for arguments in [&["verify", "--man=no"][..], &["security", "--offline=yes", "--threshold=19"]] {
        let output = Command::new("systemd-analyze").args(arguments).arg(&unit).output();
        let output = output.expect("systemd-analyze is in Debian's package `systemd`");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{arguments:?}: {said}");
    }
}

#[test]
fn an_instance_reports_to_the_service_manager_that_it_is_ready_watched_and_stopping() {
    let directory = directory();
    let path = directory.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let next = || {
        let mut buffer = [0; 64];
        let length = socket.recv(&mut buffer).expect("a message");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let mut group = Group::embedded(TTL);
    group.set("NOTIFY_SOCKET", path.to_str().expect("text"));
    group.set("WATCHDOG_USEC", "2000000");
    group.start("a");
    assert_eq!(next(), "READY=1");
    assert_eq!(next(), "WATCHDOG=1");
    assert_eq!(next(), "WATCHDOG=1");
    group.process("a").signal(Signal::TERM);
    until("it reports that it stops", || (next() == "STOPPING=1").then_some(()));
    group.process("a").wait_exit(PATIENCE);
    group.finish();
}
