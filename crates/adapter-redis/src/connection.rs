//! One connection to Redis. A request on it is sent once or not at all.
//!
//! fred can reconnect and repeat commands automatically; this module disables both. A client is one
//! connection, and when the connection ends, so does every request on it. The next connection belongs to a
//! new client (`link`), so Redis never executes an acquire after its caller has stopped waiting.

use crate::config::TlsSource;
use crate::error::{explained, refused, unanswered};
use crate::link::{RECONNECT_DELAY, Task};
use crate::watch::Hints;
use domain::ports::StoreError;
use fred::clients::Client;
use fred::error::{Error, ErrorKind};
use fred::interfaces::{ClientLike, EventInterface, PubsubInterface, Resp3Frame as Frame};
use fred::types::config::{Config, ConnectionConfig, Options, PerformanceConfig, TcpConfig, TlsConnector};
use fred::types::{CustomCommand, Message, Value};
use fred::util::redis_keyslot;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, broadcast, watch};
use tokio::task::JoinError;
use tokio::time::{Instant, sleep_until, timeout};

/// Request timeouts that an attempt to connect may take, in addition to one for each server of the URL: a
/// sentinel leads to a primary, a cluster node to its peers.
const ATTEMPT_STEPS: u32 = 4;
/// Requests that may wait for the connection's task. The election has one or two at a time.
const REQUESTS_QUEUED_MAX: usize = 64;
/// Messages that may wait in the queue. If one is dropped, the next hint serves the same purpose.
const MESSAGES_QUEUED_MAX: usize = 8;

/// Parameters of a connection.
pub(crate) struct Dial {
    /// fred's configuration. It must never be printed: its `Debug` shows the password.
    pub(crate) config: Config,
    /// TLS settings of the next connection; `None`: those of `config`.
    pub(crate) tls: Option<TlsSource>,
    /// The servers, for messages.
    pub(crate) endpoint: String,
    /// Timeout of one request.
    pub(crate) request_timeout: Duration,
    /// Interval between PINGs of a connection that answers no other request.
    pub(crate) ping_every: Duration,
    /// Slot of the lease key, by which a cluster routes.
    pub(crate) slot: u16,
    /// Channel to subscribe to. With a channel, the connection only receives hints.
    pub(crate) channel: Option<String>,
}

/// Result of fred's task for a connection.
type Driven = Result<(), Error>;

/// A connection and the task that drives it.
pub(crate) struct Line {
    pub(crate) connection: Arc<Connection>,
    driver: Task<Driven>,
    messages: broadcast::Receiver<Message>,
}

/// How the connection was lost.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Loss {
    /// It was closed. The server may be available again at once.
    #[error("{0}")]
    Ended(String),
    /// The server does not answer, or its role has changed.
    #[error("{0}")]
    Replace(String),
}

impl Line {
    /// Connects, subscribes if there is a channel, and waits until the server answers a PING. The error says
    /// why not.
    pub(crate) async fn connect(dial: &Dial) -> Result<Self, String> {
        let client = dial.client()?;
        let messages = client.message_rx();
        let steps =
            u32::try_from(dial.config.server.hosts().len()).unwrap_or(0).saturating_add(ATTEMPT_STEPS);
        let limit = dial.request_timeout.saturating_mul(steps);
        // Until the client is connected, it queues requests, so no message is missed in between.
        let mut driver = Task(client.connect());
        let connection = Arc::new(Connection::new(client, dial));
        let ready = async {
            if let Some(channel) = &dial.channel {
                connection.subscribe(channel, limit).await?;
            }
            connection.ping(limit).await
        };
        tokio::select! {
            end = &mut driver.0 => return Err(dial.end(end)),
            answer = ready => answer.map_err(reason)?,
        }
        Ok(Self { connection, driver, messages })
    }

    /// Passes messages on until the connection ends, does not answer a PING, or must be replaced.
    pub(crate) async fn until_lost(&mut self, dial: &Dial, hints: &Hints) -> Loss {
        let mut tried = Instant::now();
        loop {
            let due = ping_due(dial.ping_every, tried, self.connection.answered());
            tokio::select! {
                end = &mut self.driver.0 => return Loss::Ended(dial.end(end)),
                () = self.connection.replace.notified() => {
                    return Loss::Replace(format!("Redis at {}: reconnecting", dial.endpoint));
                }
                message = self.messages.recv() => match message {
                    Ok(message) => hints.message(&message.value),
                    Err(broadcast::error::RecvError::Lagged(_)) => hints.poll_again(),
                    // The client holds the sender, and the connection holds the client.
                    Err(broadcast::error::RecvError::Closed) => {
                        return Loss::Ended(format!("Redis at {}: the connection ended", dial.endpoint));
                    }
                },
                () = sleep_until(due) => {
                    // A request that was answered during the sleep has postponed the PING.
                    if ping_due(dial.ping_every, tried, self.connection.answered()) <= Instant::now() {
                        if let Err(error) = self.connection.ping(dial.request_timeout).await {
                            return Loss::Replace(reason(error));
                        }
                        tried = Instant::now();
                    }
                }
            }
        }
    }
}

impl Dial {
    /// Creates the client of one connection. The error says which file of TLS cannot be used.
    fn client(&self) -> Result<Client, String> {
        let mut config = self.config.clone();
        if let (Some(_), Some(source)) = (&config.tls, &self.tls) {
            let tls = source().map_err(|why| explained(&self.endpoint, &why))?;
            config.tls = Some(TlsConnector::from((*tls).clone()).into());
        }
        let performance = PerformanceConfig {
            default_command_timeout: self.request_timeout,
            broadcast_channel_capacity: MESSAGES_QUEUED_MAX,
            ..PerformanceConfig::default()
        };
        let connection = ConnectionConfig {
            connection_timeout: self.request_timeout,
            internal_command_timeout: self.request_timeout,
            max_command_attempts: 1,
            max_command_buffer_len: REQUESTS_QUEUED_MAX,
            tcp: TcpConfig { nodelay: Some(true), ..TcpConfig::default() },
            ..ConnectionConfig::default()
        };
        // There is no reconnect policy: when the connection ends, the client ends.
        Ok(Client::new(config, Some(performance), Some(connection), None))
    }

    /// The reason why the driver ended.
    fn end(&self, end: Result<Driven, JoinError>) -> String {
        match end {
            Ok(Ok(())) => explained(&self.endpoint, "the connection ended"),
            Ok(Err(error)) => explained(&self.endpoint, error.details()),
            Err(error) => explained(&self.endpoint, &error.to_string()),
        }
    }
}

/// Sends requests and returns their outcomes.
pub(crate) struct Connection {
    client: Client,
    endpoint: String,
    /// Slot by which a cluster routes the requests of this connection.
    slot: u16,
    listens: bool,
    /// Notified when the connection must be replaced.
    replace: Notify,
    /// Time of the last answer to a request; PINGs do not count.
    answered: watch::Sender<Option<Instant>>,
}

impl Connection {
    fn new(client: Client, dial: &Dial) -> Self {
        let listens = dial.channel.is_some();
        // fred subscribes at the node of the client's own name, so a PING must go to the same node.
        let slot = if listens { redis_keyslot(client.id().as_bytes()) } else { dial.slot };
        let answered = watch::Sender::new(None);
        Self { client, endpoint: dial.endpoint.clone(), slot, listens, replace: Notify::new(), answered }
    }

    fn answered(&self) -> Option<Instant> {
        *self.answered.borrow()
    }

    /// Sends one command, once. After a refusal nothing has changed; after a timeout or a loss anything may
    /// have changed. If the caller drops the call, it still runs until its timeout, so that a silent
    /// connection is always detected.
    pub(crate) async fn request(
        self: Arc<Self>,
        command: &'static str,
        arguments: Vec<Value>,
        limit: Duration,
    ) -> Result<Frame, StoreError> {
        let request = tokio::spawn(async move {
            let answer = self.send(command, arguments, limit).await;
            // A refusal is also an answer: the server is alive.
            if !matches!(answer, Err(StoreError::Unknown(_))) {
                self.answered.send_replace(Some(Instant::now()));
            }
            answer
        });
        request.await.unwrap_or_else(|error| Err(StoreError::Unknown(error.to_string())))
    }

    async fn send(
        &self,
        command: &'static str,
        arguments: Vec<Value>,
        limit: Duration,
    ) -> Result<Frame, StoreError> {
        let command = CustomCommand::new_static(command, self.slot, false);
        let options = Options { timeout: Some(limit), ..Options::default() };
        match self.client.with_options(&options).custom_raw(command, arguments).await {
            Ok(Frame::SimpleError { data: reply, .. }) => {
                if reply.contains("READONLY") {
                    // The primary of this connection became a replica; the new primary is at another address.
                    self.replace.notify_one();
                }
                Err(refused(&self.endpoint, &reply))
            }
            Ok(frame) => Ok(frame),
            Err(error) => {
                if *error.kind() == ErrorKind::Timeout {
                    self.replace.notify_one();
                }
                Err(unanswered(&self.endpoint, &error, limit))
            }
        }
    }

    /// Redis answers a SUBSCRIBE with separate messages. The PING that follows shows whether the subscription
    /// is active.
    async fn subscribe(&self, channel: &str, limit: Duration) -> Result<(), StoreError> {
        let options = Options { timeout: Some(limit), ..Options::default() };
        let subscribed = timeout(limit, self.client.with_options(&options).subscribe(channel)).await;
        match subscribed {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(unanswered(&self.endpoint, &error, limit)),
            Err(_) => Err(StoreError::Unknown(format!(
                "Redis at {}: the subscription was not confirmed",
                self.endpoint
            ))),
        }
    }

    /// Redis answers a PING on a subscribed connection with an array, on any other with a simple string.
    async fn ping(&self, limit: Duration) -> Result<(), StoreError> {
        match (self.send("PING", Vec::new(), limit).await?, self.listens) {
            (Frame::Array { .. }, true) | (Frame::SimpleString { .. }, false) => Ok(()),
            _ => Err(refused(&self.endpoint, "it refuses the subscription (NOPERM)")),
        }
    }
}

/// Time of the next PING: `every` after the last one, or after the last answered request. A request may be
/// half an interval late: jitter in the election's requests, one per heartbeat, must not cause extra PINGs.
fn ping_due(every: Duration, tried: Instant, answered: Option<Instant>) -> Instant {
    let every = every.max(RECONNECT_DELAY);
    let idle = tried + every;
    answered.map_or(idle, |answered| idle.max(answered + every + every / 2))
}

/// The message of an error.
fn reason(error: StoreError) -> String {
    match error {
        StoreError::Unavailable(why) | StoreError::Unknown(why) | StoreError::Corrupt(why) => why,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(2);

    #[test]
    fn an_idle_connection_gets_a_ping_every_interval() {
        let tried = Instant::now();
        assert_eq!(ping_due(EVERY, tried, None), tried + EVERY);
        // The last answered request was long ago.
        assert_eq!(ping_due(EVERY, tried + 2 * EVERY, Some(tried)), tried + 3 * EVERY);
        assert_eq!(ping_due(Duration::ZERO, tried, None), tried + RECONNECT_DELAY);
    }

    #[test]
    fn answered_requests_replace_pings_even_if_a_little_late() {
        let tried = Instant::now();
        let mut answered = tried;
        for gap in [EVERY, EVERY / 2, EVERY * 3 / 2, EVERY] {
            let due = ping_due(EVERY, tried, Some(answered));
            answered += gap;
            assert!(answered <= due, "the PING is due before the next request");
        }
    }

    #[test]
    fn a_silence_after_requests_leads_to_a_ping() {
        let tried = Instant::now();
        let answered = tried + 10 * EVERY;
        assert_eq!(ping_due(EVERY, tried, Some(answered)), answered + EVERY * 3 / 2);
    }
}
