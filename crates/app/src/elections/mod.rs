//! Exports this instance's leaderships as spans, from the coordinator's notices, its state, and the history
//! in the state store.
//!
//! ```text
//! takeover        from the sent claim until the instance may act, or until it knows that it may not
//! ├─ recovery     from the grant of the claim until the portfolio was checked
//! └─ leadership   from the grant of the claim until the end of the valid lease
//!    └─ handover  from the end of the valid lease until the lease was released or expired
//! ```

use adapter_otel::{Attribute, Span};
use coordinator::{Coordinator, Leadership, Notice, NoticeKind, clock};
use domain::lease::{Epoch, margin};
use domain::member::{MemberState, Term};
use domain::ports::{FormerTerm, MemberStore};
use domain::time::Time;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use uuid::Uuid;

/// Timeout for a read of the history. What it does not return in time is left out.
const READ_TIME_MAX: Duration = Duration::from_secs(1);
/// Terms that are read to find one and its predecessor.
const TERMS_READ: u32 = 8;
/// End of a leadership that was not renewed in time.
const EXPIRED: &str = "expired";

/// Values that the spans of one leadership share.
struct Led {
    trace: Uuid,
    calendar: Calendar,
    epoch: Epoch,
    sent: Time,
    granted: Time,
    /// End of the valid lease, unless another renewal is reported.
    deadline: Time,
    /// Milliseconds without a leader before it, if the former leader released the lease.
    gap_ms: Option<i64>,
    /// Whether the takeover has ended and its span was made.
    taken_over: bool,
    /// Time of the resignation; the release of the lease is not confirmed yet.
    resigned: Option<Time>,
}

/// Converts times to unix nanoseconds with one reading of both clocks, so that intervals stay exact.
#[derive(Clone, Copy)]
struct Calendar {
    now: Time,
    unix_ns: u64,
}

/// Makes the spans. It only ever waits for the coordinator and for a read of the history.
pub struct Elections {
    coordinator: Coordinator,
    notices: Receiver<Notice>,
    seen: watch::Receiver<Leadership>,
    members: Arc<dyn MemberStore>,
    ttl: Duration,
    spans: mpsc::Sender<Span>,
}

enum Next {
    Judged(MemberState),
    Notice(Result<Notice, RecvError>),
    Finish,
}

impl Elections {
    /// Follows all later leaderships, with a lease of `ttl`. A span for which `spans` has no room is dropped.
    pub fn new(
        coordinator: &Coordinator,
        members: Arc<dyn MemberStore>,
        ttl: Duration,
        spans: mpsc::Sender<Span>,
    ) -> Self {
        let (notices, seen) = (coordinator.notices(), coordinator.leadership());
        Self { coordinator: coordinator.clone(), notices, seen, members, ttl, spans }
    }

    /// Runs until `finish` is sent, and then makes spans of all earlier notices.
    pub async fn follow(mut self, mut finish: oneshot::Receiver<()>) {
        let mut led: Option<Led> = None;
        loop {
            let claimed = led.as_ref().filter(|led| !led.taken_over).map(|led| led.epoch);
            let next = tokio::select! {
                biased;
                state = judged(&mut self.seen, claimed) => Next::Judged(state),
                notice = self.notices.recv() => Next::Notice(notice),
                _ = &mut finish => Next::Finish,
            };
            led = match (next, led) {
                (Next::Judged(state), Some(led)) => Some(self.taken_over(led, state).await),
                (Next::Notice(Ok(notice)), led) => self.noticed(notice, led).await,
                // The end of the leadership may be among the missed notices.
                (Next::Notice(Err(RecvError::Lagged(_))), _) | (Next::Judged(_), None) => None,
                (Next::Notice(Err(RecvError::Closed)) | Next::Finish, led) => {
                    if let Some(led) = led {
                        self.unacknowledged(&led);
                    }
                    return;
                }
            };
        }
    }

    async fn noticed(&self, notice: Notice, led: Option<Led>) -> Option<Led> {
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
            NoticeKind::Renew { sent } => led.deadline = led.deadline.max(self.deadline(sent)),
            NoticeKind::Resign => led.resigned = Some(notice.at),
            NoticeKind::Lost => {
                let end = if notice.at >= led.deadline { EXPIRED } else { "superseded" };
                let lost = Some("not released".to_owned());
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
            // `Ready` and `Lead`, and what does not concern the span.
            _ => {}
        }
        Some(led)
    }

    /// The portfolio was checked.
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

    /// The valid lease ended at `at`.
    fn over(&self, led: &Led, at: Time, end: &[(&'static str, &str)], error: Option<String>) {
        if !led.taken_over {
            let early = Some("it ended before the instance could act".to_owned());
            self.tell(Span { error: early, ..led.span(TAKEOVER, None, (led.sent, at)) });
        }
        let mut span = led.with_gap(led.span(LEADERSHIP, Some(TAKEOVER), (led.granted, at)));
        span.attributes.extend(end.iter().map(|(name, text)| (*name, Attribute::Text((*text).to_owned()))));
        self.tell(Span { error, ..span });
    }

    /// The leader has resigned, and its release was not confirmed: the lease ends when it expires.
    fn unacknowledged(&self, led: &Led) {
        if let Some(resigned) = led.resigned {
            let error = Some("the release was not acknowledged".to_owned());
            self.over(led, resigned, &[("coordinator.end", "released")], error);
        }
    }

    fn tell(&self, span: Span) {
        // Full: the receiver is slow, and the instance does not wait for it. Closed: the pushes have ended.
        let _ = self.spans.try_send(span);
    }

    fn deadline(&self, sent: Time) -> Time {
        sent + self.ttl.saturating_sub(margin(self.ttl))
    }

    /// The term of that epoch and its predecessor, if the state store answers in time.
    async fn term(&self, epoch: Epoch) -> Option<(Term, Option<Term>)> {
        let terms = timeout(READ_TIME_MAX, self.members.history(TERMS_READ)).await.ok()?.ok()?;
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
        // The coordinator has ended, which its notices report too.
        Err(_) => pending().await,
    }
}

/// If the holder did not release the lease, it is unknown when it stopped.
fn gap(term: &Term, before: &Term) -> Option<i64> {
    let given_back = before.reason.as_deref().is_some_and(|reason| FormerTerm::named(reason).is_none());
    before.to_ms.filter(|_| given_back).map(|ended| term.from_ms.saturating_sub(ended).max(0))
}

#[cfg(test)]
mod tests;
