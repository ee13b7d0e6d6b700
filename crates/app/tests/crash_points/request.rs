//! The requests that are dropped: how each is prepared, made, and what it changes.

use crate::database::Database;
use crate::process::Process;
use crate::wait::block_on;
use domain::lease::{Seq, Token};
use domain::ledger::{NewSignal, Settlement, SignalId};
use domain::ports::{
    Claim, ClaimRequest, Recorded, Release, Renewal, SignalClaim, StepDown, StoreError, Submit,
};

/// A method of the ledger, or a write of the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    Submit,
    ClaimNext,
    Settle,
    TakeOver,
    Resolve,
    Counts,
    Submitted,
    Claim,
    Renew,
    Release,
    StepDown,
}

impl Request {
    pub const ALL: [Self; 11] = [
        Self::Submit,
        Self::ClaimNext,
        Self::Settle,
        Self::TakeOver,
        Self::Resolve,
        Self::Counts,
        Self::Submitted,
        Self::Claim,
        Self::Renew,
        Self::Release,
        Self::StepDown,
    ];

    /// Brings the signal `id` and the row to where the request starts from.
    pub fn prepare(self, others: &Process, id: &SignalId) -> Prepared {
        let token = others.lead();
        let ledger = &others.ledger;
        if !matches!(self, Self::Submit) {
            submit(others, id);
        }
        if matches!(self, Self::Settle | Self::TakeOver | Self::Resolve) {
            let claimed = block_on(ledger.claim_next(&token));
            assert!(matches!(&claimed, Ok(SignalClaim::Claimed(signal)) if signal.id == *id), "{claimed:?}");
        }
        if matches!(self, Self::Resolve) {
            let doubted = block_on(ledger.take_over(&token)).expect("the store answers");
            assert_eq!(doubted.expect("the token is the row's").len(), 1);
        }
        Prepared { token, id: id.clone(), claim: others.claim_request() }
    }

    /// Makes it; whether the answer is the one to be had from there.
    pub async fn make(self, process: &Process, prepared: &Prepared) -> Result<bool, StoreError> {
        let Prepared { token, id, claim } = prepared;
        let (state, ledger) = (&process.state, &process.ledger);
        Ok(match self {
            Self::Submit => matches!(ledger.submit(&signal(id)).await?, Submit::Accepted(_)),
            Self::ClaimNext => {
                matches!(ledger.claim_next(token).await?, SignalClaim::Claimed(signal) if signal.id == *id)
            }
            Self::Settle => ledger.settle(token, id, Settlement::Done).await? == Recorded::Recorded,
            Self::TakeOver => ledger.take_over(token).await?.is_some_and(|signals| signals.len() == 1),
            Self::Resolve => ledger.resolve(token, id, Settlement::Rejected).await? == Recorded::Recorded,
            Self::Counts => ledger.counts().await?.received == 1,
            Self::Submitted => {
                ledger.submitted().await;
                true
            }
            Self::Claim => matches!(state.claim(claim).await?, Claim::Granted(_)),
            Self::Renew => matches!(state.renew(token, Seq(1)).await?, Renewal::Renewed { .. }),
            Self::Release => state.release(token, Seq(1), "tested").await? == Release::Released,
            Self::StepDown => state.request_step_down(token, "tested").await? == StepDown::Requested,
        })
    }

    /// What was there before, changed as the whole request changes it.
    pub fn changes(self, before: &View) -> View {
        let mut after = before.clone();
        let becomes = |state: &str| Some(state.to_owned());
        match self {
            Self::Submit => after.signal = becomes("received"),
            Self::ClaimNext => after.signal = becomes("claimed"),
            Self::Settle => after.signal = becomes("done"),
            Self::TakeOver => after.signal = becomes("in_doubt"),
            Self::Resolve => after.signal = becomes("rejected"),
            Self::Counts | Self::Submitted => {}
            Self::Claim => (after.epoch, after.terms) = (before.epoch + 1, before.terms + 1),
            Self::Renew => after.seq = 1,
            Self::Release => (after.seq, after.held, after.open_terms) = (1, false, 0),
            Self::StepDown => "tested".clone_into(&mut after.resign),
        }
        after
    }
}

/// What a request is made with.
pub struct Prepared {
    pub token: Token,
    pub id: SignalId,
    claim: ClaimRequest,
}

/// What the requests change, as a connection of somebody else's reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The state of the signal; `None` when there is none.
    pub signal: Option<String>,
    pub epoch: u64,
    seq: u64,
    held: bool,
    resign: String,
    terms: u64,
    open_terms: u64,
}

impl View {
    pub fn of(database: &Database, id: &SignalId) -> Self {
        let signal = database.text(&format!("SELECT state FROM coordinator_signal WHERE id = '{id}'"));
        let ended = match database {
            Database::Sqlite(_) => "to_ms",
            Database::Postgres(_) => "to_at",
        };
        let row = database.text(&format!(
            "SELECT epoch || ' ' || seq || ' ' || CASE WHEN released THEN 'released' ELSE 'held' END || ' '
                 || coalesce(resign, '-') || ' ' || (SELECT count(*) FROM coordinator_term)
                 || ' ' || (SELECT count(*) FROM coordinator_term WHERE {ended} IS NULL)
             FROM coordinator_lease"
        ));
        let row = row.expect("a migrated group has a row");
        let [epoch, seq, held, resign, terms, open_terms] = row.split(' ').collect::<Vec<_>>()[..] else {
            panic!("not six words: {row}");
        };
        let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("{row}"));
        Self {
            signal,
            epoch: number(epoch),
            seq: number(seq),
            held: held == "held",
            resign: resign.to_owned(),
            terms: number(terms),
            open_terms: number(open_terms),
        }
    }
}

/// Submits a signal, which is acknowledged.
pub fn submit(process: &Process, id: &SignalId) {
    let answer = block_on(process.ledger.submit(&signal(id)));
    assert!(matches!(answer, Ok(Submit::Accepted(_))), "{answer:?}");
}

fn signal(id: &SignalId) -> NewSignal {
    NewSignal { id: id.clone(), body: "{}".to_owned() }
}
