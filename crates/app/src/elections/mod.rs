//! This instance's leaderships as spans, made of what the coordinator tells everybody: its notices, its state, and
//! the history in the state store.
//!
//! ```text
//! takeover        from when the claim was sent until it may act, or until it is known that it may not
//! ├─ recovery     from when the claim was granted until the portfolio was judged
//! └─ leadership   from when the claim was granted until belief ended
//!    └─ handover  from when belief ended until the row was open for others
//! ```

use adapter_otel::{Attribute, Span};
use coordinator::{Coordinator, Leadership, Notice, NoticeKind, clock};
use domain::lease::{Epoch, margin};
use domain::member::{MemberState, Term};
use domain::ports::StateStore;
use domain::time::Time;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use uuid::Uuid;

/// A look at the history; what it does not tell in time is left out.
const LOOK_TIME_MAX: Duration = Duration::from_secs(1);
/// Terms read to find one and the one before.
const TERMS_READ: u32 = 8;
/// Why a term ended whose holder did not give it back: nobody knows when its holder was gone.
const EXPIRED: &str = "expired";

/// What the spans of one leadership have in common.
struct Led {
    trace: Uuid,
    calendar: Calendar,
    epoch: Epoch,
    sent: Time,
    granted: Time,
    /// When belief ends unless another renewal is told.
    deadline: Time,
    /// The time without a leader before it, in milliseconds, if the former one gave the row back.
    gap_ms: Option<i64>,
    /// Whether the takeover is over and told.
    taken_over: bool,
    /// When it was given up; the row is not known to be open yet.
    resigned: Option<Time>,
}

/// Unix nanoseconds of times, by one reading of both clocks, so that they keep their distances.
#[derive(Clone, Copy)]
struct Calendar {
    now: Time,
    unix_ns: u64,
}

/// Makes the spans. Only ever waits for the coordinator and for a look at the history.
pub struct Elections {
    coordinator: Coordinator,
    notices: Receiver<Notice>,
    seen: watch::Receiver<Leadership>,
    state: Arc<dyn StateStore>,
    ttl: Duration,
    spans: mpsc::Sender<Span>,
}

enum Next {
    Judged(MemberState),
    Told(Result<Notice, RecvError>),
    Finish,
}

impl Elections {
    /// Follows the leaderships from now on, of a lease of `ttl`. A span that `spans` has no room for is dropped.
    pub fn new(
        coordinator: &Coordinator,
        state: Arc<dyn StateStore>,
        ttl: Duration,
        spans: mpsc::Sender<Span>,
    ) -> Self {
        let (notices, seen) = (coordinator.notices(), coordinator.leadership());
        Self { coordinator: coordinator.clone(), notices, seen, state, ttl, spans }
    }

    /// Runs until `finish` is given and what was told before is made into spans.
    pub async fn follow(mut self, mut finish: oneshot::Receiver<()>) {
        let mut led: Option<Led> = None;
        loop {
            let claimed = led.as_ref().filter(|led| !led.taken_over).map(|led| led.epoch);
            let next = tokio::select! {
                biased;
                state = judged(&mut self.seen, claimed) => Next::Judged(state),
                notice = self.notices.recv() => Next::Told(notice),
                _ = &mut finish => Next::Finish,
            };
            led = match (next, led) {
                (Next::Judged(state), Some(led)) => Some(self.taken_over(led, state).await),
                (Next::Told(Ok(notice)), led) => self.told(notice, led).await,
                // What was missed may have been its end.
                (Next::Told(Err(RecvError::Lagged(_))), _) | (Next::Judged(_), None) => None,
                (Next::Told(Err(RecvError::Closed)) | Next::Finish, led) => {
                    if let Some(led) = led {
                        self.unacknowledged(&led);
                    }
                    return;
                }
            };
        }
    }

    async fn told(&self, notice: Notice, led: Option<Led>) -> Option<Led> {
        if let NoticeKind::Lead { sent } = notice.kind {
            if let Some(former) = led {
                self.unacknowledged(&former);
            }
            return Some(Led {
                trace: Uuid::new_v4(),
                calendar: Calendar::read(),
                epoch: notice.epoch,
                sent,
                granted: notice.at,
                deadline: self.deadline(sent),
                gap_ms: None,
                taken_over: false,
                resigned: None,
            });
        }
        let mut led = led.filter(|led| led.epoch == notice.epoch)?;
        match notice.kind {
            NoticeKind::Ready | NoticeKind::Lead { .. } => {}
            NoticeKind::Renew { sent } => led.deadline = led.deadline.max(self.deadline(sent)),
            NoticeKind::Resign => led.resigned = Some(notice.at),
            NoticeKind::Lost => {
                let end = if notice.at >= led.deadline { EXPIRED } else { "superseded" };
                let lost = Some("not given back".to_owned());
                self.over(&led, notice.at, &[("coordinator.end", end)], lost);
                return None;
            }
            NoticeKind::Resigned => {
                let resigned = led.resigned.unwrap_or(notice.at);
                let reason = self.term(led.epoch).await.and_then(|(term, _)| term.reason);
                let reason = reason.as_deref().map(|reason| ("coordinator.reason", reason));
                let end: Vec<_> = [("coordinator.end", "released")].into_iter().chain(reason).collect();
                self.over(&led, resigned, &end, None);
                self.tell(led.span(HANDOVER, Some(LEADERSHIP), (resigned, notice.at)));
                return None;
            }
        }
        Some(led)
    }

    /// The portfolio was judged.
    async fn taken_over(&self, mut led: Led, state: MemberState) -> Led {
        let at = clock::now();
        led.gap_ms = self.term(led.epoch).await.and_then(|(term, before)| gap(&term, &before?));
        let error = (state == MemberState::Halted).then(|| {
            let fault = self.coordinator.recovered().and_then(Result::err);
            fault.map_or_else(|| "halted".to_owned(), |fault| fault.code.as_str().to_owned())
        });
        self.tell(Span { error: error.clone(), ..led.span(RECOVERY, Some(TAKEOVER), (led.granted, at)) });
        self.tell(Span { error, ..led.with_gap(led.span(TAKEOVER, None, (led.sent, at))) });
        led.taken_over = true;
        led
    }

    /// Belief ended at `at`.
    fn over(&self, led: &Led, at: Time, end: &[(&'static str, &str)], error: Option<String>) {
        if !led.taken_over {
            let early = Some("it ended before it might act".to_owned());
            self.tell(Span { error: early, ..led.span(TAKEOVER, None, (led.sent, at)) });
        }
        let mut span = led.with_gap(led.span(LEADERSHIP, Some(TAKEOVER), (led.granted, at)));
        span.attributes.extend(end.iter().map(|(name, text)| (*name, Attribute::Text((*text).to_owned()))));
        self.tell(Span { error, ..span });
    }

    /// It was given up, and the row is not known to be open: it is when the lease has run out.
    fn unacknowledged(&self, led: &Led) {
        if let Some(resigned) = led.resigned {
            let error = Some("the release was not acknowledged".to_owned());
            self.over(led, resigned, &[("coordinator.end", "released")], error);
        }
    }

    fn tell(&self, span: Span) {
        // Full: the receiver is slow, and nothing waits for it. Closed: nobody pushes any more.
        let _ = self.spans.try_send(span);
    }

    fn deadline(&self, sent: Time) -> Time {
        sent + self.ttl.saturating_sub(margin(self.ttl))
    }

    /// The term of that epoch and the one before, if the state store tells in time.
    async fn term(&self, epoch: Epoch) -> Option<(Term, Option<Term>)> {
        let terms = timeout(LOOK_TIME_MAX, self.state.history(TERMS_READ)).await.ok()?.ok()?;
        let mut terms = terms.into_iter().skip_while(|term| term.epoch != epoch);
        Some((terms.next()?, terms.next()))
    }
}

/// The name of a span and its number in the trace.
type Part = (&'static str, u8);
const TAKEOVER: Part = ("takeover", 1);
const RECOVERY: Part = ("recovery", 2);
const LEADERSHIP: Part = ("leadership", 3);
const HANDOVER: Part = ("handover", 4);

impl Led {
    fn span(&self, part: Part, parent: Option<Part>, (from, to): (Time, Time)) -> Span {
        let epoch = i64::try_from(self.epoch.0).unwrap_or(i64::MAX);
        Span {
            trace: self.trace.into_bytes(),
            id: self.id(part),
            parent: parent.map(|parent| self.id(parent)),
            name: part.0,
            from_ns: self.calendar.unix_ns(from),
            to_ns: self.calendar.unix_ns(to),
            attributes: vec![("coordinator.epoch", Attribute::Number(epoch))],
            error: None,
        }
    }

    fn with_gap(&self, mut span: Span) -> Span {
        span.attributes.extend(self.gap_ms.map(|gap| ("coordinator.gap_ms", Attribute::Number(gap))));
        span
    }

    /// The random half of the trace's id, and the number of the part: never zero.
    fn id(&self, (_, number): Part) -> [u8; 8] {
        let [.., mut id] = *self.trace.as_bytes().as_chunks::<8>().0 else { unreachable!() };
        id[7] = number;
        id
    }
}

impl Calendar {
    fn read() -> Self {
        let unix_ms = u64::try_from(clock::calendar_ms()).unwrap_or(0);
        Self { now: clock::now(), unix_ns: unix_ms.saturating_mul(1_000_000) }
    }

    fn unix_ns(self, time: Time) -> u64 {
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.unix_ns.saturating_add(nanos(time.since(self.now))).saturating_sub(nanos(self.now.since(time)))
    }
}

/// Returns when the instance knows whether it may act under that epoch.
async fn judged(seen: &mut watch::Receiver<Leadership>, epoch: Option<Epoch>) -> MemberState {
    let Some(epoch) = epoch else { return pending().await };
    let judged = |now: &Leadership| {
        now.epoch == Some(epoch) && matches!(now.state, MemberState::Active | MemberState::Halted)
    };
    let state = seen.wait_for(judged).await.map(|now| now.state);
    match state {
        Ok(state) => state,
        // The coordinator is gone, which its notices tell too.
        Err(_) => pending().await,
    }
}

fn gap(term: &Term, before: &Term) -> Option<i64> {
    let given_back = before.reason.as_deref().is_some_and(|reason| reason != EXPIRED);
    before.to_ms.filter(|_| given_back).map(|ended| term.from_ms.saturating_sub(ended).max(0))
}

#[cfg(test)]
mod tests;
