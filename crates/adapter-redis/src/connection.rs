//! One connection to Redis, and requests on it that are sent once or not at all.
//!
//! fred can reconnect and send commands again by itself. Both are switched off here: a client is one
//! connection, and when that ends, so does every request on it. The next connection is another client's
//! (`link`), so no acquire is carried out after its caller has given up.

use crate::error::{explained, refused, unanswered};
use crate::link::{RECONNECT_DELAY, Task};
use crate::watch::Hints;
use domain::ports::StoreError;
use fred::clients::Client;
use fred::error::{Error, ErrorKind};
use fred::interfaces::{ClientLike, EventInterface, PubsubInterface, Resp3Frame as Frame};
use fred::types::config::{Config, ConnectionConfig, Options, PerformanceConfig, TcpConfig};
use fred::types::{CustomCommand, Message, Value};
use fred::util::redis_keyslot;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, broadcast, watch};
use tokio::task::JoinError;
use tokio::time::{Instant, sleep_until, timeout};

/// An attempt may take this many request timeouts beyond one for each server of the URL: a sentinel leads
/// to a primary, a cluster node to its peers.
const ATTEMPT_STEPS: u32 = 4;
/// Requests that may wait for the connection's task. The election has one or two.
const REQUESTS_QUEUED_MAX: usize = 64;
/// Messages that may wait to be read; dropping one only makes the next hint stand for it.
const MESSAGES_QUEUED_MAX: usize = 8;

/// How to connect.
pub(crate) struct Dial {
    /// fred's configuration. Never printed: its `Debug` shows the password.
    pub(crate) config: Config,
    /// The servers, for messages.
    pub(crate) endpoint: String,
    /// Limit of one request.
    pub(crate) request_timeout: Duration,
    /// How often a connection on which nothing else is answered is tried.
    pub(crate) ping_every: Duration,
    /// The lease key's slot, by which a cluster routes.
    pub(crate) slot: u16,
    /// The channel to listen to, which makes the connection one that only listens.
    pub(crate) channel: Option<String>,
}

/// What fred's task of a connection ends with.
type Driven = Result<(), Error>;

/// A connection and the task that drives it.
pub(crate) struct Line {
    pub(crate) connection: Arc<Connection>,
    driver: Task<Driven>,
    messages: broadcast::Receiver<Message>,
}

/// How a connection was lost.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Loss {
    /// It was closed: the server may be back at once.
    #[error("{0}")]
    Ended(String),
    /// The server is silent, or is not what it was.
    #[error("{0}")]
    Doubtful(String),
}

impl Line {
    /// Connects, listens if it is to, and waits until a PING is answered; if not, says why.
    pub(crate) async fn connect(dial: &Dial) -> Result<Self, String> {
        let client = dial.client();
        let messages = client.message_rx();
        let steps =
            u32::try_from(dial.config.server.hosts().len()).unwrap_or(0).saturating_add(ATTEMPT_STEPS);
        let limit = dial.request_timeout.saturating_mul(steps);
        // Requests wait in the client until it is connected, so there is nothing to miss in between.
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

    /// Passes messages on until the connection ends, fails to answer a PING, or is in doubt.
    pub(crate) async fn until_lost(&mut self, dial: &Dial, hints: &Hints) -> Loss {
        let mut tried = Instant::now();
        loop {
            let due = ping_due(dial.ping_every, tried, self.connection.answered());
            tokio::select! {
                end = &mut self.driver.0 => return Loss::Ended(dial.end(end)),
                () = self.connection.doubt.notified() => {
                    return Loss::Doubtful(format!("Redis at {}: connecting anew", dial.endpoint));
                }
                message = self.messages.recv() => match message {
                    Ok(message) => hints.message(&message.value),
                    Err(broadcast::error::RecvError::Lagged(_)) => hints.look_again(),
                    // The client holds the sender and the connection holds the client.
                    Err(broadcast::error::RecvError::Closed) => {
                        return Loss::Ended(format!("Redis at {}: connection ended", dial.endpoint));
                    }
                },
                () = sleep_until(due) => {
                    // What was answered during the sleep has put the PING off.
                    if ping_due(dial.ping_every, tried, self.connection.answered()) <= Instant::now() {
                        if let Err(error) = self.connection.ping(dial.request_timeout).await {
                            return Loss::Doubtful(reason(error));
                        }
                        tried = Instant::now();
                    }
                }
            }
        }
    }
}

impl Dial {
    /// A client for one connection.
    fn client(&self) -> Client {
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
        // No reconnect policy: the connection's end is the client's.
        Client::new(self.config.clone(), Some(performance), Some(connection), None)
    }

    /// Why the driver ended.
    fn end(&self, end: Result<Driven, JoinError>) -> String {
        match end {
            Ok(Ok(())) => explained(&self.endpoint, "connection ended"),
            Ok(Err(error)) => explained(&self.endpoint, error.details()),
            Err(error) => explained(&self.endpoint, &error.to_string()),
        }
    }
}

/// Sends requests and says what came of them.
pub(crate) struct Connection {
    client: Client,
    endpoint: String,
    /// The slot by which a cluster routes what this connection sends.
    slot: u16,
    listens: bool,
    /// Told when the connection had better be replaced.
    doubt: Notify,
    /// When a request was last answered, a PING not being one.
    answered: watch::Sender<Option<Instant>>,
}

impl Connection {
    fn new(client: Client, dial: &Dial) -> Self {
        let listens = dial.channel.is_some();
        // fred subscribes at the node of the client's own name; a PING has to go the same way.
        let slot = if listens { redis_keyslot(client.id().as_bytes()) } else { dial.slot };
        let answered = watch::Sender::new(None);
        Self { client, endpoint: dial.endpoint.clone(), slot, listens, doubt: Notify::new(), answered }
    }

    fn answered(&self) -> Option<Instant> {
        *self.answered.borrow()
    }

    /// Sends one command, once. After a refusal nothing was changed; after a silence or a loss anything may have.
    /// A dropped call still ends at its own limit, so that a silent connection is noticed in any case.
    pub(crate) async fn ask(
        self: Arc<Self>,
        command: &'static str,
        arguments: Vec<Value>,
        limit: Duration,
    ) -> Result<Frame, StoreError> {
        let asking = tokio::spawn(async move {
            let answer = self.send(command, arguments, limit).await;
            // A refusal is an answer too: somebody is there.
            if !matches!(answer, Err(StoreError::Unknown(_))) {
                self.answered.send_replace(Some(Instant::now()));
            }
            answer
        });
        asking.await.unwrap_or_else(|error| Err(StoreError::Unknown(error.to_string())))
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
                    // The primary became a replica under the connection; its successor is somewhere else.
                    self.doubt.notify_one();
                }
                Err(refused(&self.endpoint, &reply))
            }
            Ok(frame) => Ok(frame),
            Err(error) => {
                if *error.kind() == ErrorKind::Timeout {
                    self.doubt.notify_one();
                }
                Err(unanswered(&self.endpoint, &error, limit))
            }
        }
    }

    /// Redis answers a SUBSCRIBE by messages of its own; the PING that follows it tells whether it is in force.
    async fn subscribe(&self, channel: &str, limit: Duration) -> Result<(), StoreError> {
        let options = Options { timeout: Some(limit), ..Options::default() };
        let subscribed = timeout(limit, self.client.with_options(&options).subscribe(channel)).await;
        match subscribed {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(unanswered(&self.endpoint, &error, limit)),
            Err(_) => Err(StoreError::Unknown(format!("Redis at {}: no subscription", self.endpoint))),
        }
    }

    /// A connection that listens is answered by an array, any other by a simple string.
    async fn ping(&self, limit: Duration) -> Result<(), StoreError> {
        match (self.send("PING", Vec::new(), limit).await?, self.listens) {
            (Frame::Array { .. }, true) | (Frame::SimpleString { .. }, false) => Ok(()),
            _ => Err(refused(&self.endpoint, "it does not take the subscription (NOPERM)")),
        }
    }
}

/// When the next PING is due: a while after the last one, and not while requests are answered as often as that.
/// They may come half a pause late: the election's, one a heartbeat, are not to be doubled by their jitter.
fn ping_due(every: Duration, tried: Instant, answered: Option<Instant>) -> Instant {
    let every = every.max(RECONNECT_DELAY);
    let idle = tried + every;
    answered.map_or(idle, |answered| idle.max(answered + every + every / 2))
}

/// The sentence of an error.
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
    fn an_idle_connection_is_tried_every_time() {
        let tried = Instant::now();
        assert_eq!(ping_due(EVERY, tried, None), tried + EVERY);
        // The requests ended long ago.
        assert_eq!(ping_due(EVERY, tried + 2 * EVERY, Some(tried)), tried + 3 * EVERY);
        assert_eq!(ping_due(Duration::ZERO, tried, None), tried + RECONNECT_DELAY);
    }

    #[test]
    fn requests_that_are_answered_stand_for_pings_even_if_a_little_late() {
        let tried = Instant::now();
        let mut answered = tried;
        for gap in [EVERY, EVERY / 2, EVERY * 3 / 2, EVERY] {
            let due = ping_due(EVERY, tried, Some(answered));
            answered += gap;
            assert!(answered <= due, "a PING before the next request");
        }
    }

    #[test]
    fn a_silence_after_requests_is_looked_into() {
        let tried = Instant::now();
        let answered = tried + 10 * EVERY;
        assert_eq!(ping_due(EVERY, tried, Some(answered)), answered + EVERY * 3 / 2);
    }
}
