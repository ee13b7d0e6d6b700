//! What the core asks of the outside, and what each method promises.
//!
//! Three ports to stores: [`StateStore`] decides who leads, [`LeaderStore`] makes it fast, [`SignalLedger`]
//! keeps the effects. An adapter of these is right when it passes the suite of the crate `contract`; if two
//! adapters could differ in something, the suite has a case for it. One port to the outside world:
//! [`SignalHandler`] has the effects.
//!
//! Rules for every method:
//! - An expected answer (lost the race, fenced, duplicate) is a value of an outcome enum, not an error.
//! - Every write is one statement at the store. Dropping the future leaves the effect unknown, never
//!   half done, and never leaves an open transaction on a connection that somebody else will use.
//! - No method retries by itself; the caller does, because only the caller knows the deadline.
//! - Texts read from a store are hostile: ids pass [`InstanceId::from_stored`], numbers are range-checked.

mod signal_handler;
mod signal_ledger;

pub use signal_handler::{Answer, SignalHandler};
pub use signal_ledger::{
    AUDIT_READ_MAX, CLAIM_MAX, InFlight, ListQuery, Recorded, Report, Resolution, SIGNALS_READ_MAX,
    SignalClaim, SignalLedger, Submit, Swept, Switch, Switched,
};

use crate::id::{ClaimId, GroupId, InstanceId, Nonce};
use crate::lease::{Epoch, Observation, Seq, Timeline, Token, Version};
use crate::member::{Heartbeat, Member, MemberSeen, Term};
use crate::recovery::{RawPosition, RawTotals};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use async_trait::async_trait;
use core::time::Duration;

/// A store did not give an answer. The variant says what the caller may conclude.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
pub enum StoreError {
    /// The request did not reach the store or was refused before it could do anything
    /// (no connection, wrong password, a standby). Nothing was changed.
    #[error("{0}")]
    Unavailable(String),
    /// No answer in time, or the connection broke after the request was sent: it may have been carried
    /// out, or may still be. Not a no: ask again.
    #[error("no answer: {0}")]
    Unknown(String),
    /// The store answered with something that cannot be (a missing row, a value out of range).
    #[error("{0}")]
    Corrupt(String),
}

/// Answer to a claim of the row.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Claim {
    /// The row is mine under this token, with [`Seq`] 0.
    Granted(Token),
    /// The row had changed since it was observed; nothing was written.
    Lost,
}

/// Answer to a renewal.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Renewal {
    /// The row carries the new sequence number, on this timeline.
    Renewed {
        /// The timeline that the renewal named, to which the row was carried if it was on an older one.
        timeline: Timeline,
        /// Somebody asked the holder to hand over, and why.
        resign: Option<String>,
        /// The store has forgotten: the row was on an older timeline, or had a smaller seq than this store object knows
        /// it to have reached. The store has noted the moment.
        forgotten: bool,
    },
    /// The row is no longer mine, was released, or has a later write; nothing was written.
    Superseded,
    /// The store is on this timeline, and the renewal named another one; nothing was written. Says nothing about
    /// whose the row is.
    OtherTimeline(Timeline),
}

/// Answer to a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Release {
    /// The row is open for everybody.
    Released,
    /// The row was not mine any more; nothing was written.
    Superseded,
}

/// Answer to a request to hand over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StepDown {
    /// The holder will see it with its next look at the row, or by a hint at once.
    Requested,
    /// That token no longer holds the row; nothing was written.
    Superseded,
}

/// Answer to a report that the store has forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Noted {
    /// The row has the moment and the epoch; its holder finds both with its next renewal.
    Noted,
    /// That token no longer holds the row; nothing was written.
    Superseded,
}

/// State of the database's schema after [`StateStore::migrate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Schema {
    /// As this binary needs it.
    Current,
    /// A newer binary has been here: this one must not write.
    Newer {
        /// The version found.
        found: u32,
    },
    /// Older than this binary, and the caller asked not to change it.
    Older {
        /// The version found; 0 when there is no schema yet.
        found: u32,
    },
}

/// The process, and the group, that a store was opened for. Claims, hints and tickets carry it, so the election refuses
/// a store that was opened for another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StoreIdentity {
    /// The group whose lease it is.
    pub group: GroupId,
    /// The instance.
    pub id: InstanceId,
    /// Which start of it.
    pub nonce: Nonce,
    /// LEADER_TTL, from which a store derives its timeouts.
    pub ttl: Duration,
}

/// The state store of one group: the lease row that decides who leads, the members, the history, and the
/// portfolio that a new leader recovers.
///
/// Lease methods run on connections that nothing else uses, so that no other load delays a renewal.
#[async_trait]
pub trait StateStore: Send + Sync {
    /// What it was opened for.
    fn identity(&self) -> StoreIdentity;

    /// Brings the schema to this binary's version, behind a lock so that several starting instances do
    /// it once, and creates the group's row, open (`released`), when it is missing. The row's epoch then
    /// starts at the highest epoch the history knows for the group, never below.
    /// [`Migrate::Check`] only looks.
    async fn migrate(&self, how: Migrate) -> Result<Schema, StoreError>;

    /// Reads the row, the current timeline and the schema version in one statement.
    /// [`StoreError::Corrupt`] when the row is missing or has a value out of range;
    /// [`StoreError::Unavailable`] on a standby.
    async fn observe(&self) -> Result<Observation, StoreError>;

    /// Takes the row if it is exactly as observed, timeline of the store included: the epoch above both the row's and
    /// the request's floor ([`ClaimRequest::epoch`]), seq 0, `released` false, this claim, on the current timeline. Closes the previous term of the history
    /// (reason `expired` unless it was released) and opens the next, in the same statement. Hints others.
    async fn claim(&self, request: &ClaimRequest) -> Result<Claim, StoreError>;

    /// Writes `seq` into the row if the store is on the timeline `current`, the token is the row's, it is not
    /// released, and the row's seq is below `seq`. Carries the row to that timeline. Hints others.
    ///
    /// The comparison of the timeline is rule M20: a renewal that was sent before a promotion and arrives after it
    /// must not bring the row to life on the new timeline, because the promotion may have lost a later claim.
    ///
    /// A store object remembers the largest seq that was acknowledged ([`Reached`](crate::lease::Reached)). While the
    /// row has a smaller one, which is an older copy, no effect of the token is accepted (rule M23); the next renewal
    /// writes the row again, and notes in the same statement that the store has forgotten.
    async fn renew(&self, token: &Token, seq: Seq, current: Timeline) -> Result<Renewal, StoreError>;

    /// Opens the row, under the same guards as a renewal, and closes the term with `reason`. Does not carry
    /// the row to another timeline: a late release on a promoted standby that lags must not open a row
    /// whose later holder still believes. Hints others.
    async fn release(&self, token: &Token, seq: Seq, reason: &str) -> Result<Release, StoreError>;

    /// Asks the holder of `token` to hand over; at most 256 characters of `reason` are kept. Does not
    /// touch the row's seq. Hints others. The next claim clears it.
    async fn request_step_down(&self, token: &Token, reason: &str) -> Result<StepDown, StoreError>;

    /// Notes that the store has forgotten, for an instance that has seen a later row than this one, which `found` holds:
    /// the moment, as a claim with [`ClaimRequest::forgotten`] does, and `known`, the highest epoch that the instance
    /// knows of, unless the row's [`Observation::floor`] is above it. The holder's next renewal answers that the store has
    /// forgotten. Touches no other column. Hints others.
    async fn note_forgotten(&self, found: &Token, known: Epoch) -> Result<Noted, StoreError>;

    /// Writes this process's line of the instance table and answers what it learned on the way.
    async fn heartbeat(&self, member: &Member) -> Result<Heartbeat, StoreError>;

    /// Removes this process's line, if it is still this process's: a clean goodbye.
    async fn leave(&self, id: &InstanceId, nonce: Nonce) -> Result<(), StoreError>;

    /// The instance table, ordered by id. Lines older than a day are left out, and of more than [`MEMBERS_READ_MAX`]
    /// those with the oldest heartbeats: the lines of dead processes never hide a live one.
    async fn members(&self) -> Result<Vec<MemberSeen>, StoreError>;

    /// The latest terms, newest first, at most `limit`.
    async fn history(&self, limit: u32) -> Result<Vec<Term>, StoreError>;

    /// When the store was last known to have forgotten, unix milliseconds by its clock: a claim with
    /// [`ClaimRequest::forgotten`] and a renewal that carries the row to another timeline write it. `None` while that
    /// never happened. [`Heartbeat::forgot_ms`] is the same, read with the heartbeat.
    async fn forgot_ms(&self) -> Result<Option<i64>, StoreError>;

    /// Hands the rows that recovery judges to `rows`, from one snapshot: one read-only REPEATABLE READ transaction on
    /// PostgreSQL, one statement on SQLite. Every value comes as text, as it is stored. At no time does the adapter hold
    /// more than a few rows, whatever their number. After an error some rows may have been handed over: start again
    /// with a new judgement.
    ///
    /// [`StoreError::Corrupt`] when a relation or a column is missing, naming it.
    async fn portfolio(&self, rows: &mut dyn PortfolioRows) -> Result<(), StoreError>;

    /// Resolves when another process may have written the row since the last call. May resolve for
    /// nothing and may miss a change: a hint only makes things fast. Never fails; reconnects by itself.
    /// Cancellation safe: a hint that arrived while nobody waited is delivered to the next call.
    async fn changed(&self);
}

/// Receives the rows of the two relations of recovery while they are read; see [`StateStore::portfolio`].
pub trait PortfolioRows: Send {
    /// A row of `recovery.positions` whose status is not `closed` (any letter case). Rows with NULL or unknown status
    /// come too, so that they are judged. Every row comes, ordered by the bytes of `position_id`, so that two rows of
    /// one id follow each other; the place of NULL is open.
    fn position(&mut self, row: &RawPosition);

    /// A row of `recovery.portfolio`. There must be exactly one; the store hands over two at most.
    fn totals(&mut self, row: &RawTotals);
}

/// Most lines of the instance table that are read: more live instances than any group has.
pub const MEMBERS_READ_MAX: u32 = 1_000;

/// Whether [`StateStore::migrate`] may change anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Migrate {
    /// Bring the schema up to date.
    Apply,
    /// Only tell its state.
    Check,
}

/// What a claim writes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClaimRequest {
    /// The row as it was observed; anything else loses.
    pub observed: Version,
    /// The fresh claim.
    pub claim: ClaimId,
    /// Who claims.
    pub holder: InstanceId,
    /// LEADER_TTL of the claimer, which everybody else then waits for.
    pub ttl: Duration,
    /// The highest epoch that the claimer has ever seen in the group, or has asked for. The store may have forgotten it (an older
    /// backup, a standby that lagged); the new epoch is above it all the same (M22).
    pub floor: Epoch,
    /// The store is known to have forgotten: the claimer has seen a later row than this one, or the row is from
    /// another timeline. What may have been executed before is looked up before it is sent.
    pub forgotten: bool,
}

impl ClaimRequest {
    /// The epoch of the term that this claim begins, if it is granted.
    pub fn epoch(&self) -> Epoch {
        self.observed.token.epoch.max(self.floor).next()
    }
}

/// A ticket as Redis has it: one attempt to lead at a time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ticket {
    /// Who holds it, for people.
    pub holder: InstanceId,
    /// The claim it was taken for; `None` when the value is not one of ours.
    pub claim: Option<ClaimId>,
    /// What is wrong with it, or how long it goes on.
    pub remaining: Result<Duration, TicketFault>,
}

/// A ticket that this system cannot have written. It is counted and not waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TicketFault {
    /// The key never expires.
    #[error("the lease key has no expiry")]
    NoExpiry,
    /// It expires later than LEADER_TTL from now: a clock of Redis's host jumped.
    #[error("the lease key outlives LEADER_TTL")]
    TooLong,
    /// The key is a list, a hash, or another type than a string.
    #[error("the lease key is not a string")]
    WrongType,
    /// The value is too large or not `instance claim`.
    #[error("the lease key's value is not one of ours")]
    Malformed,
}

/// Answer to the request for a ticket.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Acquire {
    /// Mine for LEADER_TTL.
    Granted,
    /// Somebody else's (or faulty).
    Held(Ticket),
}

/// Answer to the renewal of a ticket.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TicketRenewal {
    /// Mine for LEADER_TTL from now.
    Renewed,
    /// Not mine; whose it is, if anybody's.
    Lost(Option<Ticket>),
}

/// The leader store of one group: a ticket that spares the state store all attempts but one, and hints.
/// Losing it, or its lying, costs speed and never safety.
#[async_trait]
pub trait LeaderStore: Send + Sync {
    /// What it was opened for.
    fn identity(&self) -> StoreIdentity;

    /// Takes the ticket for `claim` if nobody has it, if it is already `claim`'s, or if it is the ticket
    /// of `void`, the row's claim that is known to be over. One script at the store.
    async fn acquire(&self, claim: ClaimId, void: Option<ClaimId>) -> Result<Acquire, StoreError>;

    /// Extends the ticket to LEADER_TTL if it is `claim`'s.
    async fn renew(&self, claim: ClaimId) -> Result<TicketRenewal, StoreError>;

    /// Deletes the ticket if it is `claim`'s and hints others either way.
    async fn release(&self, claim: ClaimId) -> Result<(), StoreError>;

    /// The ticket, if there is one. Reads at most 512 bytes of the value.
    async fn inspect(&self) -> Result<Option<Ticket>, StoreError>;

    /// As [`StateStore::changed`]: resolves when another process released the ticket, or when the
    /// connection to the store came back.
    async fn changed(&self);
}
