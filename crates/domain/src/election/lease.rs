//! The lease as this instance knows it, and the requests to the state store: read, claim, renew, release, note. The
//! renewal and the poll have separate timers, and only the renewal moves the timer of the renewal.

use super::call::{Call, Kind, Own, PendingRelease, Term};
use super::command::{CallId, Command, LeaseRequest};
use super::config::{Config, Epochs};
use super::event::LeaseAnswer;
use super::hints::{Cause, Hints};
use super::lane::{Attempt, Context, Due, LeaseNews, LeaseWork};
use super::reading::Reading;
use super::role::{Candidacy, Leadership, Role};
use crate::id::{ClaimId, Nonce};
use crate::lease::{Epoch, Observation, Seq, Timeline, Token};
use crate::ports::{Claim, ClaimRequest, Noted, Release, Renewal, StoreError};
use crate::time::Time;
use alloc::string::String;
use core::ops::Range;

/// State of the lease lane: what is known of the lease, and the call in progress.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct LeaseLane {
    seen: Option<Reading>,
    /// The last read is older than the end of this instance's term, or of the holder's process: read before contending.
    outdated: bool,
    /// This instance knows that the lease has changed or may have changed: read it as soon as the lane is free.
    read: bool,
    /// Hints of other instances.
    hints: Hints,
    call: Option<Call>,
    /// The time when a leader sends its next renewal. No hint and no read moves it.
    renew_at: Time,
    /// The time when the lease is read if no hint comes.
    poll_at: Time,
    /// The last claim, release or note failed.
    write_failed: bool,
    /// The time of the answer to the last call; `None` if that call failed or there was none.
    answered: Option<Time>,
    own: Option<Own>,
    /// The term of this instance, while it leads.
    term: Option<Term>,
    /// A lease to release as soon as the lane is free.
    release: Option<PendingRelease>,
    /// The reason of a release that had no answer: for the history, when the release is sent again.
    unreleased: Option<String>,
    /// The token of a lease that is behind one that this instance remembers, and that it must report. It may be its own
    /// lease.
    behind: Option<Token>,
    /// The claim of the lease that was last reported in this way.
    noted: Option<ClaimId>,
    /// The epochs that this instance's claims exceed, even if the store has forgotten them (M22).
    epochs: Epochs,
    /// The epochs that the instance's memory has shown during the call in progress, whose answer may be older.
    learned: Epochs,
    /// The last process that is known to have ended (M24).
    ended: Option<Nonce>,
}

impl LeaseLane {
    /// The lane of an instance that remembers these epochs and has not read the lease.
    pub(super) fn new(epochs: Epochs) -> Self {
        Self { epochs, ..Self::default() }
    }

    /// The lease as last read.
    pub(super) fn seen(&self) -> Option<&Observation> {
        self.seen.as_ref().map(|reading| &reading.lease)
    }

    /// The epochs that the next claim must exceed, independent of the store.
    pub(super) fn epochs(&self) -> Epochs {
        self.epochs
    }

    /// No call in progress and no release pending.
    pub(super) fn is_quiet(&self) -> bool {
        self.call.is_none() && self.release.is_none()
    }

    pub(super) fn is_busy(&self) -> bool {
        self.call.is_some()
    }

    /// A claim is in progress: its answer decides.
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

    /// Takes in the epochs of the memory, some of which another instance with the same memory may have written.
    pub(super) fn learn(&mut self, epochs: Epochs) {
        self.learned = epochs.and(self.learned);
        self.take_learned();
    }

    /// Adopts the learned epochs, unless a call is in progress: its answer may be older than they are (M22, M23).
    fn take_learned(&mut self) {
        if self.call.is_some() {
            return;
        }
        let known = self.epochs;
        self.epochs = core::mem::replace(&mut self.learned, Epochs::NONE).and(known);
        // The lease as last read may be behind the new epochs: read it again.
        self.read |= Epochs { asked: known.asked, ..self.epochs } != known;
    }

    /// Takes in that a process has ended. If it holds the lease, the lease is read again before it is claimed: the process
    /// may have written it since the last read, and a claim that loses would cost more time than the read.
    pub(super) fn process_ended(&mut self, now: Time, nonce: Nonce, config: &Config) {
        let was_open = self.is_open(now, config);
        self.ended = Some(nonce).filter(|nonce| *nonce != config.nonce);
        let opens = !was_open && self.is_open(now, config) && self.term.is_none();
        self.read |= opens;
        self.outdated |= opens;
    }

    /// True if another instance may claim the lease at `now`, according to the last read.
    pub(super) fn is_open(&self, now: Time, config: &Config) -> bool {
        self.opens(config).is_some_and(|at| now >= at)
    }

    fn opens(&self, config: &Config) -> Option<Time> {
        self.seen.as_ref().filter(|_| !self.outdated).map(|seen| seen.opens(self.ended, self.epochs, config))
    }

    /// The period in which this instance may contend for the lease: the lease is open, the schema matches, no
    /// exclusion applies, and the state store answered the last request recently (otherwise the instance would hold a
    /// ticket that it cannot use).
    pub(super) fn contention(&self, cx: Context) -> Option<Range<Time>> {
        let opens = self.opens(cx.config)?.max(cx.keep_out);
        let stale = self.answered? + cx.config.ttl;
        let schema = self.seen().is_some_and(|lease| lease.schema == cx.config.schema);
        (schema && !cx.stopping && self.release.is_none()).then_some(opens..stale)
    }

    /// The work of the lane, the most urgent first.
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

    /// The time when the lease is read without a hint. After a failed call, all work waits for the retry, so that a
    /// store that is down gets few requests.
    fn poll_due(&self, cx: Context) -> Due {
        if cx.stopping {
            Due::OnEvent
        } else if self.read && self.answered.is_some() {
            Due::Now
        } else {
            self.term.is_none().then_some(self.poll_at).into()
        }
    }

    /// The time when a pending hint causes a read of the lease.
    fn hint_due(&self, cx: Context) -> Due {
        self.hints.due(cx.config).filter(|_| self.answered.is_some() && !cx.stopping).into()
    }

    /// Lets a renewal that is near answer a hint: the answer contains all that a read would. A read for a hint is
    /// sent at least an eighth of a heartbeat before the renewal is due. If the state store takes almost a heartbeat
    /// for each of the two, the renewal is still answered before the deadline (stability).
    fn leave_hint_to_renewal(&mut self, now: Time, config: &Config) {
        if self.term.is_some()
            && let Some(at) = self.hints.due(config)
            && at.max(now) + config.retry() > self.renew_at
        {
            self.hints.answered_by(Cause::Timer, now, config);
        }
    }

    /// The time when there is work to do, if no event comes before.
    pub(super) fn wakeup(&self, cx: Context) -> Option<Time> {
        self.due(cx).into_iter().filter_map(|(_, due)| due.time()).min()
    }

    /// The request to send now.
    pub(super) fn work(&mut self, now: Time, cx: Context) -> Option<LeaseWork> {
        self.leave_hint_to_renewal(now, cx.config);
        self.due(cx).into_iter().find(|(_, due)| due.is_reached(now)).map(|(work, _)| work)
    }

    /// Builds the request for this work and notes it as in progress.
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
                // Not sent after the end of its lease, even if connecting took long (M17).
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
            // Due only in these roles.
            (LeaseWork::Renew | LeaseWork::Claim, _) => return None,
        };
        self.call = Some(Call { id, sent: now, kind });
        Some(Command::Lease { call: id, timeout, request })
    }

    fn claim(&mut self, now: Time, candidacy: &Candidacy, config: &Config) -> Option<ClaimRequest> {
        let seen = self.seen.as_ref()?;
        let (observed, reported) = (seen.lease.version, seen.lease.floor);
        let former = seen.former_term(self.ended, self.epochs);
        let other_timeline = observed.token.timeline != observed.current && observed.token.epoch > Epoch(0);
        let request = ClaimRequest {
            observed,
            claim: candidacy.claim,
            holder: config.id.clone(),
            ttl: config.ttl,
            floor: self.epochs.floor().max(reported),
            forgotten: other_timeline || self.epochs.are_beyond(observed.token, observed.seq),
            former,
        };
        self.own = Some(Own { claim: candidacy.claim, sent: now, abandoned: false });
        self.unreleased = None;
        self.epochs.asked = request.epoch();
        Some(request)
    }

    /// True if this instance has led since it last read the lease, or if the holder's process has ended since.
    pub(super) fn is_outdated(&self) -> bool {
        self.outdated
    }

    /// Ends the term. With a reason the lease is released; without one, another instance holds it.
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

    /// Takes in the answer to the call in progress. An answer to another call has no effect.
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
            LeaseAnswer::Observed(lease) => self.observed(now, lease, cx),
            LeaseAnswer::Claim(Claim::Granted(token)) => self.granted(now, token, Seq(0), token.timeline, cx),
            LeaseAnswer::Claim(Claim::Lost) => self.refused(),
            // Handled before: the state store did not answer.
            LeaseAnswer::NotSent | LeaseAnswer::Outdated(_) => LeaseNews::Nothing,
            LeaseAnswer::Renewal(Renewal::Renewed { timeline, resign, forgotten }) => {
                // Also if the term has ended since: a backup from before this renewal must be noticed (M23).
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
                        // The answer to the leader's next renewal shows that the store has forgotten, and the leader
                        // releases its lease.
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
                    // So that a backup from before this release is noticed (M23).
                    (Release::Released, Some(PendingRelease { token, seq, .. })) => {
                        self.epochs.saw(token, seq);
                        LeaseNews::Released(token)
                    }
                    (Release::Released | Release::Superseded, _) => LeaseNews::Nothing,
                }
            }
        }
    }

    /// The request was not sent. A claim's epoch could not be stored, so its number is free; or the remembered epochs
    /// are impossible, so they were not reported.
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

    /// Handles a call without an answer. That is not a refusal: the deadline stays, and the same request is sent again.
    /// A damaged store has answered: nothing that it has acknowledged counts any longer.
    fn failed(&mut self, now: Time, call: &Call, error: &StoreError, config: &Config) -> LeaseNews {
        let is_damaged = matches!(error, StoreError::Corrupt(_));
        // After an immediate refusal, wait for the retry. After a timeout, that time has already passed.
        let retry_at = now.max(call.sent + config.retry());
        self.poll_at = retry_at;
        if matches!(call.kind, Kind::Claim | Kind::Release | Kind::Note(_)) {
            // A store may answer reads and refuse writes, for example when its disk is full. Each claim uses up an
            // epoch.
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
            // If the next read shows the lease as ours, it is released again. A stopping process lets it expire.
            Kind::Release => {
                self.unreleased = self.release.take().map(|release| release.reason);
                self.read = true;
            }
            // The next read shows whether it must still be reported.
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

    fn observed(&mut self, now: Time, lease: Observation, cx: Context) -> LeaseNews {
        let (token, seq, released) = (lease.version.token, lease.version.seq, lease.released);
        let current = lease.version.current;
        let resign = lease.resign.clone();
        self.epochs.saw(token, seq);
        // No report is needed on another timeline or for a released lease: the next claim or renewal detects the loss.
        let holds = !released && token.timeline == current && self.noted != Some(token.claim);
        let behind = holds && !cx.stopping && self.epochs.are_beyond(token, seq);
        // A leader's renewal detects an older copy of the lease that it holds, but not that another lease was later.
        let behind = behind && (self.term.is_none() || self.epochs.are_beyond(token, Seq(u64::MAX)));
        let own = self.own.is_some_and(|own| own.claim == token.claim);
        self.behind = behind.then_some(token);
        Reading::update(&mut self.seen, lease, now);
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
            // Our last claim, which was not known to be carried out, or which was abandoned.
            self.granted(now, token, seq, current, cx)
        } else {
            LeaseNews::Nothing
        }
    }

    /// Notes the state store's timeline. After a promotion, a leader carries its lease over at once; it must have
    /// learned of the promotion while its lease was valid (M17, M20).
    fn on_timeline(&mut self, now: Time, current: Timeline) {
        if let Some(term) = &mut self.term
            && term.current != current
        {
            term.current = current;
            self.renew_at = now;
        }
    }

    /// Handles a granted lease, learned from the answer to the claim or from a read after an unknown outcome. The deadline
    /// counts from the original send either way (M13). A lease past its deadline, or an unwanted one, is released.
    fn granted(&mut self, now: Time, token: Token, seq: Seq, current: Timeline, cx: Context) -> LeaseNews {
        self.epochs.saw(token, seq);
        let Some(own) = self.own.as_mut().filter(|own| own.claim == token.claim) else {
            return LeaseNews::Nothing;
        };
        let deadline = own.sent + cx.config.trust_window();
        if own.abandoned || now >= deadline || cx.stopping || now < cx.keep_out {
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
            // A release that is due or had no answer keeps its reason. Without one, the lease is an older copy.
            let due = self.release.take();
            let seq = due.as_ref().map_or(seq.next(), |due| due.seq.max(seq.next()));
            let reason =
                due.map(|due| due.reason).or_else(|| self.unreleased.take()).unwrap_or_else(|| why.into());
            self.release = Some(PendingRelease { token, seq, reason });
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
