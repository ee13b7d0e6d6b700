//! The lease as this instance knows it, and the requests to the state store: read, claim, renew, release. One call
//! at a time. The renewal and the poll have a timer each, and only the renewal moves the renewal's.

use super::command::{CallId, Command, LossReason, Report, RowRequest};
use super::elector::Elector;
use super::event::{Resign, RowAnswer};
use super::hints::{Cause, Hints};
use super::role::{Candidacy, Leadership, Phase, Role};
use super::sighting::Sighting;
use crate::id::ClaimId;
use crate::lease::{Epoch, Observation, Seq, Timeline, Token};
use crate::ports::{Claim, ClaimRequest, Release, Renewal, StoreError};
use crate::time::Time;
use alloc::string::String;
use alloc::vec::Vec;

/// What is known of the row, and the call under way.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct RowLane {
    pub(super) seen: Option<Sighting>,
    /// What was seen is from before the own leadership that has just ended: read before running again.
    outdated: bool,
    /// This instance knows that the row has changed, or may have: read it as soon as the lane is free.
    read: bool,
    /// Others say so.
    pub(super) hints: Hints,
    call: Option<Call>,
    /// When a leader sends its next renewal. No hint and no read moves it.
    renew_at: Time,
    /// When the row is read if no hint comes.
    poll_at: Time,
    /// The last call succeeded, then. `None`: it failed, or there was none.
    answered: Option<Time>,
    own: Option<Own>,
    debt: Option<Debt>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Call {
    id: CallId,
    sent: Time,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Kind {
    Observe,
    Claim,
    /// What the row has when it is carried out.
    Renew(Epoch, Seq),
    Release(Token),
}

/// The last claim this process sent. A restarted process has none, so it can never take its former row
/// for its own, even under the same instance id (M15).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Own {
    claim: ClaimId,
    sent: Time,
    /// Once it was held and let go, or was refused, it is never believed again, whatever a late answer says.
    given_up: bool,
}

/// A row that is to be given back as soon as the lane is free.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Debt {
    token: Token,
    seq: Seq,
    reason: String,
}

impl RowLane {
    /// Nothing under way and nothing owed.
    pub(super) fn is_quiet(&self) -> bool {
        self.call.is_none() && self.debt.is_none()
    }

    /// The last call was answered.
    pub(super) fn answered(&self) -> bool {
        self.answered.is_some()
    }

    /// A leadership ended. With a reason the row is given back; without one somebody else has it.
    pub(super) fn give_up(&mut self, leadership: &Leadership, reason: Option<String>) {
        if let Some(own) = &mut self.own {
            own.given_up = true;
        }
        self.debt = reason.map(|reason| Debt { token: leadership.token, seq: leadership.seq.next(), reason });
        self.read = true;
        self.outdated = true;
    }
}

impl Elector {
    /// Whether the row may be claimed at `now`, by what was observed.
    pub(super) fn row_open(&self, now: Time) -> bool {
        self.opens().is_some_and(|at| now >= at)
    }

    fn opens(&self) -> Option<Time> {
        self.row.seen.as_ref().filter(|_| !self.row.outdated).map(|seen| seen.opens(&self.config))
    }

    /// Whether this instance may go for an open row: the state store answered last time and not long ago
    /// (else a ticket would be taken that cannot be used), the schema is ours, nobody keeps us out.
    fn may_contend(&self, now: Time) -> bool {
        let recent = self.row.answered.is_some_and(|at| now < at + self.config.ttl);
        let schema = self.row().is_some_and(|row| row.schema == self.config.schema);
        recent && schema && !self.stopping && now >= self.keep_out && self.row.debt.is_none()
    }

    /// Follower to candidate when the row is open; back when it is not any more.
    pub(super) fn advance_candidacy(&mut self, now: Time) {
        let go = self.row_open(now) && self.may_contend(now);
        match self.role {
            Role::Follower if go => {
                let Some(void) = self.row().map(|row| row.version.token.claim) else { return };
                let claim = self.next_claim();
                let without_ticket = now + self.config.heartbeat;
                self.role = Role::Candidate(Candidacy { claim, void, without_ticket });
                self.ticket.next = now;
            }
            // While the claim is under way its answer decides.
            Role::Candidate(candidacy)
                if !go && self.row.call.as_ref().is_none_or(|c| c.kind != Kind::Claim) =>
            {
                self.ticket.owe(candidacy.claim);
                self.role = Role::Follower;
            }
            Role::Follower | Role::Candidate(_) | Role::Leader(_) | Role::Stopped => {}
        }
    }

    /// Sends the next request to the state store if one is due and none is under way.
    pub(super) fn advance_row(&mut self, now: Time, out: &mut Vec<Command>) {
        if self.row.call.is_some() || self.role == Role::Stopped {
            return;
        }
        let Some((kind, request)) = self.row_request(now) else { return };
        let id = self.next_call();
        let mut timeout = self.config.heartbeat;
        if let (Kind::Renew(..), Some(leadership)) = (&kind, self.leadership()) {
            // Not sent when its lease is over, however long a connection took (M17).
            timeout = timeout.min(leadership.deadline.since(now));
        }
        self.row.call = Some(Call { id, sent: now, kind });
        out.push(Command::Row { call: id, timeout, request });
    }

    fn row_request(&mut self, now: Time) -> Option<(Kind, RowRequest)> {
        if let Some(Debt { token, seq, reason }) = self.row.debt.clone() {
            return Some((Kind::Release(token), RowRequest::Release { token, seq, reason }));
        }
        if let Role::Leader(leadership) = &mut self.role
            && now >= self.row.renew_at
        {
            leadership.seq = leadership.seq.next();
            let (token, seq, current) = (leadership.token, leadership.seq, leadership.current);
            // The answer says all that a read would.
            self.row.hints.answered_by(Cause::Timer, now, &self.config);
            return Some((Kind::Renew(token.epoch, seq), RowRequest::Renew { token, seq, current }));
        }
        if let Role::Candidate(candidacy) = self.role
            && self.ticket_settled(now, &candidacy)
            && let Some(observed) = self.row().map(|row| row.version)
        {
            self.row.own = Some(Own { claim: candidacy.claim, sent: now, given_up: false });
            let (holder, ttl) = (self.config.id.clone(), self.config.ttl);
            let other_timeline =
                observed.token.timeline != observed.current && observed.token.epoch > Epoch(0);
            let forgotten = other_timeline || self.epochs.are_beyond(observed.token.epoch, observed.seq);
            let floor = self.epochs.floor();
            let request = ClaimRequest { observed, claim: candidacy.claim, holder, ttl, floor, forgotten };
            self.epochs.asked = request.epoch();
            return Some((Kind::Claim, RowRequest::Claim(request)));
        }
        self.leave_hint_to_renewal(now);
        let due = |at: Option<Time>| at.is_some_and(|at| now >= at);
        let (poll, hint) = (due(self.poll_due()), due(self.hint_due()));
        if !(poll || hint) {
            return None;
        }
        let cause = if poll { Cause::Timer } else { Cause::Hint };
        self.row.hints.answered_by(cause, now, &self.config);
        self.row.read = false;
        Some((Kind::Observe, RowRequest::Observe))
    }

    /// When the row is to be read without a hint. After a failed call everything waits for the retry, so that a store
    /// that is down is not hammered.
    fn poll_due(&self) -> Option<Time> {
        let working = self.row.answered.is_some();
        let watching = !matches!(self.role, Role::Leader(_));
        let at =
            if self.row.read && working { Some(Time::ZERO) } else { watching.then_some(self.row.poll_at) };
        at.filter(|_| !self.stopping)
    }

    /// When the hint that is pending, if one is, has the row read.
    fn hint_due(&self) -> Option<Time> {
        self.row.hints.due(&self.config).filter(|_| self.row.answered.is_some() && !self.stopping)
    }

    /// A leader whose renewal is near leaves a hint to it. So a read that a hint causes is sent at least an eighth of
    /// a heartbeat before the renewal falls due: when the state store takes almost a heartbeat for each of the two,
    /// the renewal is still answered before the deadline (stability).
    fn leave_hint_to_renewal(&mut self, now: Time) {
        if matches!(self.role, Role::Leader(_))
            && let Some(at) = self.row.hints.due(&self.config)
            && at.max(now) + self.config.retry() > self.row.renew_at
        {
            self.row.hints.answered_by(Cause::Timer, now, &self.config);
        }
    }

    /// When `advance_row` or `advance_candidacy` has something to do, if no event comes before.
    pub(super) fn row_wakeup(&self) -> Option<Time> {
        if self.row.call.is_some() {
            return None;
        }
        let read = [self.poll_due(), self.hint_due()].into_iter().flatten().min();
        let other = match &self.role {
            Role::Leader(_) => Some(self.row.renew_at),
            Role::Candidate(candidacy) => Some(candidacy.without_ticket),
            // An open row that this instance may not go for is no reason to wake before the next read.
            Role::Follower => self.opens().map(|at| at.max(self.keep_out)).filter(|at| self.may_contend(*at)),
            Role::Stopped => return None,
        };
        read.into_iter().chain(other).min()
    }

    pub(super) fn row_answered(
        &mut self,
        now: Time,
        id: CallId,
        answer: Result<RowAnswer, StoreError>,
        out: &mut Vec<Command>,
    ) {
        let Some(call) = self.row.call.take_if(|call| call.id == id) else { return };
        let first = self.row.seen.is_none();
        self.row.answered = answer.is_ok().then_some(now);
        match answer {
            Ok(answer) => {
                self.row.poll_at = now + self.config.slow_poll();
                self.row_said(now, &call, answer, out);
            }
            Err(_) => self.row_failed(now, &call),
        }
        if first && self.row.seen.is_some() {
            out.push(Command::Report(Report::Ready));
        }
    }

    fn row_said(&mut self, now: Time, call: &Call, answer: RowAnswer, out: &mut Vec<Command>) {
        match answer {
            RowAnswer::Observed(row) => self.observed(now, row, out),
            RowAnswer::Claim(Claim::Granted(token)) => self.granted(now, token, Seq(0), token.timeline, out),
            RowAnswer::Claim(Claim::Lost) => {
                if let Some(own) = &mut self.row.own {
                    own.given_up = true;
                }
                self.lost_race(now);
            }
            RowAnswer::Renewal(Renewal::Renewed { timeline, resign, forgotten }) => {
                // Also when the leadership has ended since: a backup from before this renewal must be noticed (M23).
                if let Kind::Renew(epoch, seq) = call.kind {
                    self.epochs.saw(epoch, seq);
                }
                if let Role::Leader(leadership) = &mut self.role {
                    leadership.token.timeline = timeline;
                    leadership.deadline = leadership.deadline.max(call.sent + self.config.belief());
                    self.row.renew_at = call.sent + self.config.heartbeat;
                    let token = leadership.token;
                    // Signals from before may be sent once more: not under the epoch of this term (M23).
                    if forgotten {
                        self.lose(now, LossReason::Forgotten, out);
                    } else {
                        out.push(Command::Report(Report::Renewed { token, sent: call.sent }));
                        self.asked_to_resign(now, resign, out);
                    }
                }
            }
            RowAnswer::Renewal(Renewal::Superseded) => self.lose(now, LossReason::Superseded, out),
            RowAnswer::Renewal(Renewal::OtherTimeline(current)) => self.on_timeline(now, current),
            RowAnswer::Release(release) => {
                self.row.debt = None;
                self.row.read = true;
                if let (Release::Released, Kind::Release(token)) = (release, &call.kind) {
                    out.push(Command::Report(Report::Released { token: *token }));
                }
            }
        }
    }

    /// No answer is not a no: the deadline stays, and the same is asked again.
    fn row_failed(&mut self, now: Time, call: &Call) {
        // Refused at once: not again before the retry. Timed out: that time has passed already.
        let retry_at = now.max(call.sent + self.config.retry());
        self.row.poll_at = retry_at;
        match call.kind {
            // It may have been carried out: the next read shows it.
            Kind::Claim => {
                self.row.read = true;
                if let Role::Candidate(candidacy) = self.role {
                    self.ticket.owe(candidacy.claim);
                    self.role = Role::Follower;
                }
            }
            // The next read that shows the row as ours owes it again; a stopping process leaves it to expire.
            Kind::Release(_) => {
                self.row.debt = None;
                self.row.read = true;
            }
            Kind::Renew(..) => self.row.renew_at = retry_at,
            Kind::Observe => {}
        }
    }

    fn observed(&mut self, now: Time, row: Observation, out: &mut Vec<Command>) {
        let (token, seq, released) = (row.version.token, row.version.seq, row.released);
        let current = row.version.current;
        let resign = row.resign.clone();
        self.epochs.saw(token.epoch, seq);
        Sighting::update(&mut self.row.seen, row, now);
        self.row.outdated = false;
        if let Role::Leader(leadership) = &mut self.role {
            if leadership.token.claim != token.claim || released {
                self.lose(now, LossReason::Superseded, out);
            } else if leadership.token.timeline != token.timeline {
                // A renewal whose answer was lost has carried the row over. It is given back under its new timeline.
                leadership.token.timeline = token.timeline;
                self.lose(now, LossReason::Forgotten, out);
            } else {
                self.on_timeline(now, current);
                self.asked_to_resign(now, resign, out);
            }
        } else if self.row.own.is_some_and(|own| own.claim == token.claim) && !released {
            // Our last claim, of which we did not know that it was carried out, or which we let go.
            self.granted(now, token, seq, current, out);
        }
    }

    /// The state store is on this timeline. When a standby was promoted, a leader carries its row over at once; it
    /// learned of the promotion while its lease was valid, and only then it may (M17, M20).
    fn on_timeline(&mut self, now: Time, current: Timeline) {
        if let Role::Leader(leadership) = &mut self.role
            && leadership.current != current
        {
            leadership.current = current;
            self.row.renew_at = now;
        }
    }

    fn asked_to_resign(&mut self, now: Time, reason: Option<String>, out: &mut Vec<Command>) {
        if let Some(reason) = reason
            && self.leadership().is_some()
        {
            self.resign(now, Resign::StepDown { reason }, out);
        }
    }

    /// The row is ours, by the answer to the claim or by a read after an unknown outcome. The deadline
    /// counts from the original send either way (M13); past it, or unwanted, the row is given back.
    fn granted(&mut self, now: Time, token: Token, seq: Seq, current: Timeline, out: &mut Vec<Command>) {
        self.epochs.saw(token.epoch, seq);
        let Some(own) = self.row.own.filter(|own| own.claim == token.claim) else { return };
        let deadline = own.sent + self.config.belief();
        if own.given_up || now >= deadline || self.stopping || now < self.keep_out {
            self.row.own = Some(Own { given_up: true, ..own });
            let reason = String::from("given back: the claim came too late");
            self.row.debt = Some(Debt { token, seq: seq.next(), reason });
            self.lost_race(now);
        } else {
            self.row.renew_at = own.sent + self.config.heartbeat;
            if let Role::Candidate(candidacy) = self.role
                && candidacy.claim != token.claim
            {
                self.ticket.owe(candidacy.claim);
            }
            let phase = Phase::Recovering { attempt: 0 };
            let leadership = Leadership { token, deadline, phase, seq, current };
            self.elected(now, leadership, own.sent, out);
        }
    }

    /// Somebody was quicker: give the ticket back, read the row again, and do not run into the same door at once.
    fn lost_race(&mut self, now: Time) {
        if let Role::Candidate(candidacy) = self.role {
            self.ticket.owe(candidacy.claim);
            self.role = Role::Follower;
            self.keep_out = self.keep_out.max(now + self.jitter());
        }
        self.row.read = true;
    }
}
