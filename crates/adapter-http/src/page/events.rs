//! `GET /events`: server-sent events about the group, or (`/events?page`) the sections of the page that changed.
//!
//! A stream wakes when the instance has read its stores anew, and once a second to notice what changes with time alone;
//! both read only memory. It sends at most twice a second and only what changed. A slow reader delays nothing: its
//! stream is read only when the client has room, and then carries only the latest state.

use super::listing::{Choice, Listing};
use super::live::Live;
use super::seen::Seen;
use super::tree::{self, Node};
use super::{Parameters, document};
use crate::backend::Backend;
use crate::json::rfc3339;
use crate::pages::{Prefix, SignalPages};
use crate::problem::Problem;
use crate::routes::Shared;
use axum::Extension;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use domain::ledger::{Signal, Totals};
use domain::overview::LastAnswers;
use futures_util::stream::{self, Stream};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep, sleep_until};

/// Shortest time between two events of a stream.
const PAUSE_MIN: Duration = Duration::from_millis(500);
/// How often the state is derived anew from memory: ages make instances stale and leases end.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// A stream without an event for this long sends a ping, so that the client knows that it is live.
const PING_AFTER: Duration = Duration::from_secs(5);
/// The browser's pause before it connects again.
const RETRY: Duration = Duration::from_secs(2);

/// Closes when the server shuts down: an open stream must not delay it.
#[derive(Debug, Clone)]
pub(crate) struct Closing(pub(crate) watch::Receiver<()>);

/// Counts the open streams of one router.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    most: usize,
    free: Arc<Semaphore>,
}

impl Places {
    pub(super) fn new(most: usize) -> Self {
        let most = most.min(Semaphore::MAX_PERMITS);
        Self { most, free: Arc::new(Semaphore::new(most)) }
    }
}

#[expect(clippy::too_many_arguments, reason = "axum passes each part of a request on its own")]
pub(super) async fn events(
    State(backend): Shared,
    Extension(live): Extension<Arc<Live>>,
    Extension(places): Extension<Places>,
    Extension(signals): Extension<SignalPages>,
    Extension(prefix): Extension<Prefix>,
    closing: Option<Extension<Closing>>,
    parameters: Parameters,
    headers: HeaderMap,
) -> Response {
    let Ok(place) = places.free.try_acquire_owned() else {
        let detail = format!(
            "this instance serves at most {} streams at a time, and they are open: close one, or use another instance",
            places.most
        );
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).into_response();
    };
    let parameters = parameters.map(|Query(all)| all).unwrap_or_default();
    let for_page = parameters.iter().any(|(name, _)| name == "page");
    let last_id = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let reader = Reader {
        sent: last_id.and_then(|id| live.number(id)),
        answers: backend.follow(),
        closing: closing.map(|Extension(Closing(closing))| closing),
        choice: for_page.then(|| Choice::of(&parameters)),
        signals: None,
        unread: None,
        queue: VecDeque::new(),
        last_sent: None,
        pages: signals,
        prefix: prefix.0,
        live,
        backend,
        _place: place,
    };
    Sse::new(reader.stream()).into_response()
}

/// One stream.
struct Reader {
    backend: Arc<dyn Backend>,
    live: Arc<Live>,
    answers: watch::Receiver<Arc<LastAnswers>>,
    closing: Option<watch::Receiver<()>>,
    pages: SignalPages,
    prefix: String,
    /// The signals that the reader of the page has chosen; `None` for a stream of facts.
    choice: Option<Choice>,
    /// The signals as this stream sent them last.
    signals: Option<Sent>,
    /// The state whose signals must be sent after everything else: they may need the store.
    unread: Option<Arc<Seen>>,
    /// The number of the latest change that was sent; `None` before the first.
    sent: Option<u64>,
    queue: VecDeque<Event>,
    last_sent: Option<Instant>,
    _place: OwnedSemaphorePermit,
}

impl Reader {
    fn stream(self) -> impl Stream<Item = Result<Event, Infallible>> {
        stream::unfold(self, async |mut reader| {
            let event = reader.next().await?;
            Some((Ok(event), reader))
        })
    }

    /// The next event; `None` at shutdown, and when the instance has ended.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.queue.pop_front() {
                self.last_sent = Some(Instant::now());
                return Some(event);
            }
            if let (Some(seen), Some(choice)) = (self.unread.take(), self.choice.clone()) {
                self.read_signals(&seen, &choice).await?;
                continue;
            }
            match self.last_sent {
                None => self.hello(),
                Some(_) => self.wait().await?,
            }
            self.fill();
        }
    }

    /// Waits for news, at most until the state must be derived anew. `None` if the stream ends.
    async fn wait(&mut self) -> Option<()> {
        let earliest = self.last_sent.map_or_else(Instant::now, |at| at + PAUSE_MIN);
        let Self { answers, closing, .. } = self;
        let news = async {
            sleep_until(earliest).await;
            tokio::select! {
                changed = answers.changed() => changed.ok(),
                () = sleep(PAUSE_MAX) => Some(()),
            }
        };
        tokio::select! {
            biased;
            () = closed(closing) => None,
            news = news => news.filter(|()| !self.backend.has_stopped()),
        }
    }

    fn hello(&mut self) {
        let seen = self.seen();
        let data = json!({
            "instance": seen.instance().map(domain::id::InstanceId::as_str),
            "version": seen.report.as_ref().map(|report| report.snapshot.version.as_str()),
            "now": rfc3339(seen.now_ms),
        });
        self.queue.push_back(event("hello", &data).retry(RETRY));
    }

    fn seen(&self) -> Arc<Seen> {
        let read = || Seen::by(&*self.backend, self.pages, &self.prefix);
        self.live.update(&self.backend.last_answers(), &self.prefix, read)
    }

    /// Queues what changed since the last event, or a ping if it was long ago.
    fn fill(&mut self) {
        self.answers.mark_unchanged();
        let seen = self.seen();
        let number = if self.choice.is_some() { self.fill_page(&seen) } else { self.fill_facts() };
        // Only the last event carries the id: a client that received a part of them gets all of them again.
        if let Some(last) = self.queue.pop_back() {
            self.queue.push_back(if Some(number) == self.sent {
                last
            } else {
                last.id(self.live.id(number))
            });
            self.sent = Some(number);
        } else if self.last_sent.is_none_or(|at| at.elapsed() >= PING_AFTER) {
            self.queue.push_back(event("ping", &json!({ "now": rfc3339(seen.now_ms) })));
        }
    }

    /// Queues the sections that come from memory. The signals follow when these are sent: the reader sees an outage
    /// although the store does not answer.
    fn fill_page(&mut self, seen: &Arc<Seen>) -> u64 {
        let (number, sections) = self.live.sections_after(self.sent, seen.now_ms);
        if !sections.is_empty() {
            self.queue.push_back(event("section", &Value::Object(sections)));
        }
        // A choice may need the store, which is queried only if this can have changed the answer.
        if self.signals.as_ref().is_none_or(|sent| sent.is_outdated(&Memory::of(seen))) {
            self.unread = Some(Arc::clone(seen));
        }
        number
    }

    /// Queues the signals if they differ from those that were sent last. `None` if the server shuts down before the
    /// store has answered.
    ///
    /// The event has no id: a client that comes back gets the signals in any case.
    async fn read_signals(&mut self, seen: &Arc<Seen>, choice: &Choice) -> Option<()> {
        let listing = tokio::select! {
            biased;
            () = closed(&mut self.closing) => return None,
            listing = Listing::read(&*self.backend, seen, choice) => listing,
        };
        let nodes = document::signals_section(seen, &listing);
        if self.signals.as_ref().is_none_or(|sent| sent.nodes != nodes) {
            let sections = json!({ document::SIGNALS: tree::json(&nodes, seen.now_ms) });
            self.queue.push_back(event("section", &sections));
        }
        self.signals = Some(Sent { memory: Memory::of(seen), has_gap: listing.has_gap(), nodes });
        Some(())
    }

    fn fill_facts(&mut self) -> u64 {
        let (number, changes) = self.live.facts_after(self.sent);
        self.queue.extend(changes.iter().map(|change| event(change.event, &change.data)));
        number
    }
}

/// Resolves when the server shuts down.
async fn closed(closing: &mut Option<watch::Receiver<()>>) {
    match closing {
        // There is never a value: the channel only closes.
        Some(closing) => drop(closing.changed().await),
        None => std::future::pending().await,
    }
}

/// The signals as a stream sent them.
struct Sent {
    /// What the instance remembered of the signals when they were read.
    memory: Memory,
    /// Something could not be read.
    has_gap: bool,
    nodes: Vec<Node>,
}

impl Sent {
    /// Whether to read them again. A gap is filled as soon as the store answers.
    fn is_outdated(&self, now: &Memory) -> bool {
        self.memory != *now || (self.has_gap && now.is_current)
    }
}

/// What the instance remembers of the signals, without the time at which it was read and without ages: an age grows
/// while a signal only waits.
#[derive(Debug, PartialEq)]
pub(super) struct Memory {
    signals: Option<Arc<[Signal]>>,
    totals: Option<Totals>,
    is_current: bool,
}

impl Memory {
    pub(super) fn of(seen: &Seen) -> Self {
        let counts =
            |totals: &Totals| Totals { oldest_received: None, oldest_in_doubt: None, ..totals.clone() };
        Self {
            signals: seen.last.signals.last().map(|(signals, _)| Arc::clone(signals)),
            totals: seen.totals().map(|(totals, _)| counts(totals)),
            is_current: seen.last.signals.current().is_some(),
        }
    }
}

fn event(name: &str, data: &Value) -> Event {
    Event::default().event(name).data(data.to_string())
}
