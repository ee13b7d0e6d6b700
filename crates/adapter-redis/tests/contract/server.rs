//! Real Redis servers as child processes on free ports. A case may stop, freeze and misconfigure its own.

use contract::PATIENCE;
use fred::clients::Client;
use fred::interfaces::ClientLike;
use fred::types::config::{Config, PerformanceConfig};
use fred::types::{ClusterHash, ConnectHandle, CustomCommand, Value};
use rustix::process::{Pid, Signal, kill_process};
use std::future::Future;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use testkit::backend::free_port;
use tokio::net::TcpStream;

/// Pause between two polls of an awaited condition.
const POLL_EVERY: Duration = Duration::from_millis(20);
/// Attempts to start. A port that was free a moment ago may be taken by now, but not this often in a row.
const STARTS_MAX: usize = 5;

/// One server. Dropping it ends the process and removes its files.
pub struct Server {
    child: Option<Child>,
    dir: TempDir,
    port: u16,
    arguments: Vec<String>,
}

impl Server {
    /// Starts `redis-server` with these arguments on a free port and waits until it answers.
    pub async fn start(arguments: &[&str]) -> Self {
        for _ in 0..STARTS_MAX {
            let mut server = Self {
                child: None,
                dir: tempfile::tempdir().expect("a directory for redis-server"),
                port: free_port(),
                arguments: arguments.iter().map(ToString::to_string).collect(),
            };
            if server.start_again().await {
                return server;
            }
        }
        panic!("redis-server {arguments:?} does not start: try it by hand")
    }

    /// Starts the stopped server, empty, on the same port; false if it ended at once.
    pub async fn start_again(&mut self) -> bool {
        assert!(self.child.is_none(), "the server is still running");
        let child = Command::new("redis-server")
            .args(&self.arguments)
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no"])
            .current_dir(self.dir.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server on the PATH (apt-get install redis-server)");
        let (port, child) = (self.port, self.child.insert(child));
        let listens = eventually("redis-server listens or ends", || {
            let ended = child.try_wait().expect("its state").is_some();
            async move {
                let connected = !ended && TcpStream::connect(("127.0.0.1", port)).await.is_ok();
                (ended || connected).then_some(connected)
            }
        })
        .await;
        if !listens {
            self.child = None;
        }
        listens
    }

    /// Ends the server as a crash does.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("redis-server can be killed");
            child.wait().expect("redis-server ends");
        }
    }

    /// Freezes the server: connections stay open, and it does not answer.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a frozen server continue.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// A separate client for the test.
    pub async fn operator(&self) -> Operator {
        Operator::connect(&self.url()).await
    }

    fn signal(&self, signal: Signal) {
        let id = self.child.as_ref().expect("a running server").id();
        let pid = Pid::from_raw(id.try_into().expect("a process id")).expect("a process id is positive");
        kill_process(pid, signal).expect("redis-server takes signals");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Sends the commands of an operator or an attacker.
pub struct Operator {
    client: Client,
    driver: ConnectHandle,
}

impl Operator {
    /// A server that is being promoted closes new connections. It accepts the next one.
    pub async fn connect(url: &str) -> Self {
        // fred's default waits for ever, even on a connection that Redis has closed.
        let limits = PerformanceConfig { default_command_timeout: PATIENCE, ..PerformanceConfig::default() };
        let config = Config::from_url(url).expect("a URL");
        eventually("the server accepts connections", || async {
            let client = Client::new(config.clone(), Some(limits.clone()), None, None);
            let driver = client.init().await.ok()?;
            Some(Self { client, driver })
        })
        .await
    }

    /// Sends one command and panics if the server refuses it.
    pub async fn run<W: AsRef<[u8]>>(&self, words: &[W]) -> Value {
        self.request(words).await.unwrap_or_else(|error| panic!("{error}"))
    }

    async fn request<W: AsRef<[u8]>>(&self, words: &[W]) -> Result<Value, String> {
        let mut words = words.iter().map(AsRef::as_ref);
        let name = String::from_utf8(words.next().expect("a command").to_vec()).expect("its name");
        let command = CustomCommand::new(name.as_str(), ClusterHash::FirstKey, false);
        let arguments: Vec<Value> = words.map(|word| Value::Bytes(word.to_vec().into())).collect();
        self.client.custom(command, arguments).await.map_err(|error| format!("{name}: {error}"))
    }

    /// Whether the server's replication state contains `part`; false if the server does not answer.
    pub async fn replicates(&self, part: &str) -> bool {
        let answer = self.request(&["INFO", "replication"]).await;
        answer.is_ok_and(|answer| answer.as_string().is_some_and(|text| text.contains(part)))
    }

    /// As [`Self::run`], for a line of words without spaces in them.
    pub async fn line(&self, line: &str) -> Value {
        self.run(&line.split_whitespace().collect::<Vec<_>>()).await
    }

    /// The answer as text.
    pub async fn text(&self, line: &str) -> String {
        self.line(line).await.as_string().unwrap_or_default()
    }

    /// The number after `name` in an answer of several lines.
    pub async fn number(&self, line: &str, name: &str) -> u64 {
        let text = self.text(line).await;
        let number = text.lines().find_map(|line| line.strip_prefix(name)).expect("the answer has that line");
        number.trim().parse().expect("a number")
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Longest wait for a state of the servers. On a busy machine a sentinel notices that its own timer was late, and then does
/// nothing for 30 s (Redis, "TILT mode").
const STATE_TIME_MAX: Duration = Duration::from_secs(90);

/// Polls until there is a value.
pub async fn eventually<T, L: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> L) -> T {
    let looking = async {
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            // Redis announces none of the awaited conditions: poll again after a pause, within the limit.
            tokio::time::sleep(POLL_EVERY).await;
        }
    };
    tokio::time::timeout(STATE_TIME_MAX, looking).await.unwrap_or_else(|_| panic!("never: {what}"))
}
