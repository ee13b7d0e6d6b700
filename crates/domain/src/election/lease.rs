//! The lease as this instance knows it, and the requests to the state store: read, claim, renew, release. The renewal and
//! the poll have a timer each, and only the renewal moves the renewal's.

use super::call::{Call, Kind, Own, PendingRelease, Term};
use super::command::{CallId, Command, LeaseRequest};
use super::config::{Config, Epochs};
use super::event::LeaseAnswer;
use super::hints::{Cause, Hints};
use super::lane::{Attempt, Context, Due, LeaseNews, LeaseWork};
use super::reading::Reading;
use super::role::{Candidacy, Leadership, Role};
use crate::id::ClaimId;
use crate::lease::{Epoch, Observation, Seq, Timeline, Token};
use crate::ports::{Claim, ClaimRequest, Noted, Release, Renewal, StoreError};
use crate::time::Time;
use alloc::string::String;
use core::ops::Range;

/// What is known of the lease, and the call under way.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct LeaseLane {
    seen: Option<Reading>,
    /// What was seen is from before the own term that has just ended: read before running again.
    outdated: bool,
    /// This instance knows that the lease has changed, or may have: read it as soon as the lane is free.
    read: bool,
    /// Others say so.
    hints: Hints,
    call: Option<Call>,
    /// When a leader sends its next renewal. No hint and no read moves it.
    renew_at: Time,
    /// When the lease is read if no hint comes.
    poll_at: Time,
    /// The last claim, release or note failed.
    write_failed: bool,
    /// The last call succeeded, then. `None`: it failed, or there was none.
    answered: Option<Time>,
    own: Option<Own>,
    /// The own term, while this instance leads.
    term: Option<Term>,
    /// A lease that is to be released as soon as the lane is free.
    release: Option<PendingRelease>,
    /// Why a lease was to be released whose release had no answer: for the history, when it is released again.
    unreleased: Option<String>,
    /// Another instance holds the lease under this token, and the lease is behind one that was seen: to be reported.
    behind: Option<Token>,
    /// The claim for which that was reported.
    noted: Option<ClaimId>,
    /// What this instance claims is above them, whatever the store has forgotten (M22).
    epochs: Epochs,
    /// What the instance's memory has shown while a call was under way, whose answer may be from before that.
    learned: Epochs,
}

impl LeaseLane {
    /// Of an instance that remembers these epochs and has not read the lease.
    pub(super) fn new(epochs: Epochs) -> Self {
        Self {
            seen: None,
            outdated: false,
            read: false,
            hints: Hints::default(),
            call: None,
            renew_at: Time::ZERO,
            poll_at: Time::ZERO,
            write_failed: false,
            answered: None,
            own: None,
            term: None,
            release: None,
            unreleased: None,
            behind: None,
            noted: None,
            epochs,
            learned: Epochs::NONE,
        }
    }

    /// The lease as last read.
    pub(super) fn seen(&self) -> Option<&Observation> {
        self.seen.as_ref().map(|sighting| &sighting.row)
    }

    /// What the next claim is above, whatever the store shows.
    pub(super) fn epochs(&self) -> Epochs {
        self.epochs
    }

    /// Nothing under way and nothing to be released.
    pub(super) fn is_quiet(&self) -> bool {
        self.call.is_none() && self.release.is_none()
    }

    pub(super) fn is_busy(&self) -> bool {
        self.call.is_some()
    }

    /// A claim is under way: its answer decides.
    pub(super) fn is_claiming(&self) -> bool {
        self.call.as_ref().is_some_and(|call| call.kind == Kind::Claim)
    }

    /// The last call was answered.
    pub(super) fn answered(&self) -> bool {
        self.answered.is_some()
    }

    pub(super) fn hinted(&mut self) {
        self.hints.arrived();
    }

    /// The memory has these epochs, which another instance with the same memory may have written.
    pub(super) fn learn(&mut self, epochs: Epochs) {
        self.learned = epochs.and(self.learned);
        self.take_learned();
    }

    /// Not while a call is under way: the row that it shows may have been written since (M22, M23).
    fn take_learned(&mut self) {
        if self.call.is_some() {
            return;
        }
        let known = self.epochs;
        self.epochs = core::mem::replace(&mut self.learned, Epochs::NONE).and(known);
        // Of the row that was read it is not known whether it is behind.
        self.read |= Epochs { asked: known.asked, ..self.epochs } != known;
    }

    /// Whether another instance may claim the lease at `now`, by what was read.
    pub(super) fn is_open(&self, now: Time, config: &Config) -> bool {
        self.opens(config).is_some_and(|at| now >= at)
    }

    fn opens(&self, config: &Config) -> Option<Time> {
        self.seen.as_ref().filter(|_| !self.outdated).map(|seen| seen.opens(config))
    }

    /// When this instance may go for the lease: it is open, the schema is ours, nothing keeps this instance out, and the
    /// state store answered last time and not long ago (else a ticket would be taken that cannot be used).
    pub(super) fn contention(&self, cx: Context) -> Option<Range<Time>> {
        let opens = self.opens(cx.config)?.max(cx.keep_out);
        let stale = self.answered? + cx.config.ttl;
        let schema = self.seen().is_some_and(|row| row.schema == cx.config.schema);
        (schema && !cx.stopping && self.release.is_none()).then_some(opens..stale)
    }

    /// What there is to do, the more urgent first.
    fn due(&self, cx: Context) -> [(LeaseWork, Due); 6] {
        if self.call.is_some() || *cx.role == Role::Stopped {
            return [(LeaseWork::Release, Due::OnEvent); 6];
        }
        let release = if self.release.is_some() { Due::Now } else { Due::OnEvent };
        let note = if self.behind.is_some() { Due::Now } else { Due::OnEvent };
        let renewal = self.term.map(|_| self.renew_at).into();
        [
            (LeaseWork::Note, note),
            (LeaseWork::Release, release),
            (LeaseWork::Renew, renewal),
            (LeaseWork::Claim, cx.claim),
            (LeaseWork::Read(Cause::Timer), self.poll_due(cx)),
            (LeaseWork::Read(Cause::Hint), self.hint_due(cx)),
        ]
    }

    /// When the lease is read without a hint. After a failed call everything waits for the retry, so that a store that is
    /// down is not hammered.
    fn poll_due(&self, cx: Context) -> Due {
        if cx.stopping {
            Due::OnEvent
        } else if self.read && self.answered.is_some() {
            Due::Now
        } else {
            self.term.is_none().then_some(self.poll_at).into()
        }
    }

    /// When the hint that is pending, if one is, has the lease read.
    fn hint_due(&self, cx: Context) -> Due {
        self.hints.due(cx.config).filter(|_| self.answered.is_some() && !cx.stopping).into()
    }

    /// A leader whose renewal is near leaves a hint to it: its answer says all that a read would. So a read that a hint
    /// causes is sent at least an eighth of a heartbeat before the renewal falls due: when the state store takes almost
    /// a heartbeat for each of the two, the renewal is still answered before the deadline (stability).
    fn leave_hint_to_renewal(&mut self, now: Time, config: &Config) {
        if self.term.is_some()
            && let Some(at) = self.hints.due(config)
            && at.max(now) + config.retry() > self.renew_at
        {
            self.hints.answered_by(Cause::Timer, now, config);
        }
    }

    /// When there is something to send, if no event comes before.
    pub(super) fn wakeup(&self, cx: Context) -> Option<Time> {
        self.due(cx).into_iter().filter_map(|(_, due)| due.time()).min()
    }

    /// What is to be sent now.
    pub(super) fn work(&mut self, now: Time, cx: Context) -> Option<LeaseWork> {
        self.leave_hint_to_renewal(now, cx.config);
        self.due(cx).into_iter().find(|(_, due)| due.is_reached(now)).map(|(work, _)| work)
    }

    /// The request for this work, which is under way from now on.
    pub(super) fn send(&mut self, now: Time, id: CallId, work: LeaseWork, cx: Context) -> Option<Command> {
        let mut timeout = cx.config.heartbeat;
        let (kind, request) = match (work, cx.role) {
            (LeaseWork::Release, _) => {
                let PendingRelease { token, seq, reason } = self.release.clone()?;
                (Kind::Release, LeaseRequest::Release { token, seq, reason })
            }
            (LeaseWork::Renew, Role::Leader(leadership)) => {
                let term = self.term.as_mut()?;
                term.seq = term.seq.next();
                self.hints.answered_by(Cause::Timer, now, cx.config);
                // Not sent when its lease is over, however long a connection took (M17).
                timeout = timeout.min(leadership.deadline.since(now));
                let (token, seq, current) = (leadership.token, term.seq, term.current);
                (Kind::Renew(token, seq), LeaseRequest::Renew { token, seq, current })
            }
            (LeaseWork::Note, _) => {
                let found = self.behind.take()?;
                (Kind::Note(found.claim), LeaseRequest::Note { found, known: self.epochs.floor() })
            }
            (LeaseWork::Claim, Role::Candidate(candidacy)) => {
                (Kind::Claim, LeaseRequest::Claim(self.claim(now, candidacy, cx.config)?))
            }
            (LeaseWork::Read(cause), _) => {
                self.hints.answered_by(cause, now, cx.config);
                self.read = false;
                (Kind::Read, LeaseRequest::Observe)
            }
            // Due in these roles only.
            (LeaseWork::Renew | LeaseWork::Claim, _) => return None,
        };
        self.call = Some(Call { id, sent: now, kind });
        Some(Command::Lease { call: id, timeout, request })
    }

    fn claim(&mut self, now: Time, candidacy: &Candidacy, config: &Config) -> Option<ClaimRequest> {
        let row = self.seen()?;
        let (observed, reported) = (row.version, row.floor);
        let other_timeline = observed.token.timeline != observed.current && observed.token.epoch > Epoch(0);
        let request = ClaimRequest {
            observed,
            claim: candidacy.claim,
            holder: config.id.clone(),
            ttl: config.ttl,
            floor: self.epochs.floor().max(reported),
            forgotten: other_timeline || self.epochs.are_beyond(observed.token, observed.seq),
        };
        self.own = Some(Own { claim: candidacy.claim, sent: now, abandoned: false });
        self.unreleased = None;
        self.epochs.asked = request.epoch();
        Some(request)
    }

    /// The term has ended. With a reason the lease is released; without one another instance has it.
    pub(super) fn end_term(&mut self, leadership: &Leadership, reason: Option<String>) {
        if let Some(own) = &mut self.own {
            own.abandoned = true;
        }
        let seq = self.term.take().map(|term| term.seq.next());
        self.release =
            reason.zip(seq).map(|(reason, seq)| PendingRelease { token: leadership.token, seq, reason });
        self.read = true;
        self.outdated = true;
    }

    /// Takes in the answer to the call under way. An answer to another one means nothing.
    pub(super) fn take_answer(
        &mut self,
        now: Time,
        id: CallId,
        answer: Result<LeaseAnswer, StoreError>,
        cx: Context,
    ) -> LeaseNews {
        let Some(call) = self.call.take_if(|call| call.id == id) else { return LeaseNews::Nothing };
        let news = match answer {
            Ok(LeaseAnswer::NotSent) => self.not_sent(&call),
            Ok(LeaseAnswer::Outdated(epochs)) => {
                self.learned = epochs.and(self.learned);
                self.refused()
            }
            Ok(answer) => {
                self.answered = Some(now);
                self.write_failed &= call.kind == Kind::Read;
                self.poll_at = now + cx.config.slow_poll();
                self.succeeded(now, &call, answer, cx)
            }
            Err(error) => {
                self.answered = None;
                self.failed(now, &call, &error, cx.config)
            }
        };
        self.take_learned();
        news
    }

    /// The claim was not carried out and never will be.
    fn refused(&mut self) -> LeaseNews {
        if let Some(own) = &mut self.own {
            own.abandoned = true;
        }
        self.read = true;
        LeaseNews::AttemptFailed(Attempt::Lost)
    }

    fn succeeded(&mut self, now: Time, call: &Call, answer: LeaseAnswer, cx: Context) -> LeaseNews {
        match answer {
            LeaseAnswer::Observed(row) => self.observed(now, row, cx),
            LeaseAnswer::Claim(Claim::Granted(token)) => self.granted(now, token, Seq(0), token.timeline, cx),
            LeaseAnswer::Claim(Claim::Lost) => self.refused(),
            // Taken in before: the state store did not answer.
            LeaseAnswer::NotSent | LeaseAnswer::Outdated(_) => LeaseNews::Nothing,
            LeaseAnswer::Renewal(Renewal::Renewed { timeline, resign, forgotten }) => {
                // Also when the term has ended since: a backup from before this renewal must be noticed (M23).
                if let Kind::Renew(token, seq) = call.kind {
                    self.epochs.saw(token, seq);
                }
                if self.term.is_none() {
                    return LeaseNews::Nothing;
                }
                self.renew_at = call.sent + cx.config.heartbeat;
                LeaseNews::Renewed { timeline, sent: call.sent, forgotten, resign }
            }
            LeaseAnswer::Renewal(Renewal::Superseded) => LeaseNews::Superseded,
            LeaseAnswer::Renewal(Renewal::OtherTimeline(current)) => {
                self.on_timeline(now, current);
                LeaseNews::Nothing
            }
            LeaseAnswer::Note(noted) => {
                match (noted, &call.kind) {
                    (Noted::Noted, Kind::Note(claim)) => {
                        self.noted = Some(*claim);
                        // A leader that has reported its own lease gives it back with its renewal, as any other does.
                        if self.term.is_some() {
                            self.renew_at = now;
                        }
                    }
                    (Noted::Noted | Noted::Superseded, _) => self.read = true,
                }
                LeaseNews::Nothing
            }
            LeaseAnswer::Release(release) => {
                self.read = true;
                match (release, self.release.take()) {
                    // A backup from before this release is noticed (M23).
                    (Release::Released, Some(PendingRelease { token, seq, .. })) => {
                        self.epochs.saw(token, seq);
                        LeaseNews::Released(token)
                    }
                    (Release::Released | Release::Superseded, _) => LeaseNews::Nothing,
                }
            }
        }
    }

    /// The epoch could not be stored, so the claim was not sent and its number is free; or what is remembered cannot be
    /// true, so it was not reported.
    fn not_sent(&mut self, call: &Call) -> LeaseNews {
        if let Kind::Note(claim) = call.kind {
            self.noted = Some(claim);
            return LeaseNews::Nothing;
        }
        if let Some(own) = &mut self.own {
            own.abandoned = true;
        }
        self.epochs.asked = Epoch(self.epochs.asked.0.saturating_sub(1));
        self.read = true;
        LeaseNews::AttemptFailed(Attempt::NotSent)
    }

    /// No answer is not a no: the deadline stays, and the same is requested again. A damaged store has answered: what it
    /// acknowledged counts no more.
    fn failed(&mut self, now: Time, call: &Call, error: &StoreError, config: &Config) -> LeaseNews {
        let is_damaged = matches!(error, StoreError::Corrupt(_));
        // Refused at once: not again before the retry. Timed out: that time has passed already.
        let retry_at = now.max(call.sent + config.retry());
        self.poll_at = retry_at;
        if matches!(call.kind, Kind::Claim | Kind::Release | Kind::Note(_)) {
            // A store may answer reads and refuse writes, like one whose disk is full: each claim costs an epoch.
            if core::mem::replace(&mut self.write_failed, true) {
                self.poll_at = retry_at.max(call.sent + config.heartbeat);
            }
        }
        match call.kind {
            // It may have been carried out: the next read shows it.
            Kind::Claim => {
                self.read = true;
                return LeaseNews::AttemptFailed(Attempt::Unknown);
            }
            // When the next read shows the lease as ours, it is released again; a stopping process leaves it to expire.
            Kind::Release => {
                self.unreleased = self.release.take().map(|release| release.reason);
                self.read = true;
            }
            // The next read shows whether it is still to be reported.
            Kind::Note(_) => self.read = true,
            Kind::Renew(..) => {
                self.renew_at = retry_at;
                if is_damaged && self.term.is_some() {
                    return LeaseNews::Damaged;
                }
            }
            // What was read may be damaged in a column that the lease does not need: the renewal decides.
            Kind::Read if is_damaged => self.renew_at = self.renew_at.min(retry_at),
            Kind::Read => {}
        }
        LeaseNews::Nothing
    }

    fn observed(&mut self, now: Time, row: Observation, cx: Context) -> LeaseNews {
        let (token, seq, released) = (row.version.token, row.version.seq, row.released);
        let current = row.version.current;
        let resign = row.resign.clone();
        self.epochs.saw(token, seq);
        // On another timeline, or open, the next claim finds it. A leader that carries the lease over finds it too.
        let holds = !released && token.timeline == current && self.noted != Some(token.claim);
        let behind = holds && !cx.stopping && self.epochs.are_beyond(token, seq);
        // A leader's renewal finds an older copy of its own lease. That another lease was later, only it knows.
        let behind = behind && (self.term.is_none() || self.epochs.are_beyond(token, Seq(u64::MAX)));
        let own = self.own.is_some_and(|own| own.claim == token.claim);
        self.behind = behind.then_some(token);
        Reading::update(&mut self.seen, row, now);
        self.outdated = false;
        if let Role::Leader(leadership) = cx.role {
            if leadership.token.claim != token.claim || released {
                LeaseNews::Superseded
            } else if leadership.token.timeline != token.timeline {
                LeaseNews::CarriedOver(token.timeline)
            } else {
                self.on_timeline(now, current);
                LeaseNews::StillMine { resign }
            }
        } else if own && !released {
            // Our last claim, of which we did not know that it was carried out, or which we let go.
            self.granted(now, token, seq, current, cx)
        } else {
            LeaseNews::Nothing
        }
    }

    /// The state store is on this timeline. When a standby was promoted, a leader carries its lease over at once; it
    /// learned of the promotion while its lease was valid, and only then it may (M17, M20).
    fn on_timeline(&mut self, now: Time, current: Timeline) {
        if let Some(term) = &mut self.term
            && term.current != current
        {
            term.current = current;
            self.renew_at = now;
        }
    }

    /// The lease is ours, by the answer to the claim or by a read after an unknown outcome. The deadline
    /// counts from the original send either way (M13); past it, or unwanted, the lease is released.
    fn granted(&mut self, now: Time, token: Token, seq: Seq, current: Timeline, cx: Context) -> LeaseNews {
        self.epochs.saw(token, seq);
        let Some(own) = self.own.as_mut().filter(|own| own.claim == token.claim) else {
            return LeaseNews::Nothing;
        };
        let deadline = own.sent + cx.config.belief();
        if own.abandoned || now >= deadline || cx.stopping || now < cx.keep_out {
            // It was over already, and its release was answered: an older copy of the row shows it again.
            let why = if own.abandoned {
                "released: the state store has brought back a term that was over"
            } else if cx.stopping {
                "released: the claim was granted to an instance that stops"
            } else if now < deadline {
                "released: the claim was granted to an instance that had handed over"
            } else {
                "released: the claim was granted too late"
            };
            own.abandoned = true;
            let reason = self.unreleased.take().unwrap_or_else(|| String::from(why));
            self.release = Some(PendingRelease { token, seq: seq.next(), reason });
            self.read = true;
            LeaseNews::AttemptFailed(Attempt::Lost)
        } else {
            let sent_at = own.sent;
            self.renew_at = sent_at + cx.config.heartbeat;
            self.term = Some(Term { seq, current });
            self.behind = None;
            LeaseNews::Granted { token, sent: sent_at, deadline }
        }
    }
}
