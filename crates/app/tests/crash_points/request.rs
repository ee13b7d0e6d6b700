//! The requests that are dropped: their preparation, their execution, and their effect.

use crate::database::Database;
use crate::process::Process;
use crate::wait::block_on;
use contract::signal_ledger::{client, signal};
use domain::lease::{Seq, Token};
use domain::ledger::{Limits, Outcome, SignalId};
use domain::ports::{
    Claim, ClaimRequest, InFlight, Recorded, Release, Renewal, Report, Resolution, SignalClaim, StepDown,
    StoreError, Submit, Switch, Switched,
};

/// A method of the ledger, or a write of the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    Submit,
    ClaimSignals,
    Settle,
    TakeOver,
    Decide,
    Switch,
    Counts,
    Submitted,
    Claim,
    Renew,
    Release,
    StepDown,
}

impl Request {
    pub const ALL: [Self; 12] = [
        Self::Submit,
        Self::ClaimSignals,
        Self::Settle,
        Self::TakeOver,
        Self::Decide,
        Self::Switch,
        Self::Counts,
        Self::Submitted,
        Self::Claim,
        Self::Renew,
        Self::Release,
        Self::StepDown,
    ];

    /// Brings the signal `id` and the lease to the start of the request.
    pub fn prepare(self, others: &Process, id: &SignalId) -> Prepared {
        let token = others.lead();
        let ledger = &others.ledger;
        if !matches!(self, Self::Submit) {
            submit(others, id);
        }
        if matches!(self, Self::Settle | Self::TakeOver | Self::Decide) {
            let claimed = block_on(ledger.claim_signals(&token, Limits::NONE, 1));
            let one = |signals: &[domain::ledger::Signal]| signals.len() == 1 && signals[0].id == *id;
            assert!(matches!(&claimed, Ok(SignalClaim::Claimed(signals)) if one(signals)), "{claimed:?}");
        }
        if matches!(self, Self::Decide) {
            let doubted = block_on(ledger.take_over(&token, InFlight::Only(&[]))).expect("the store answers");
            assert_eq!(doubted.expect("the token is the row's").len(), 1);
        }
        Prepared { token, id: id.clone(), claim: others.claim_request() }
    }

    /// Makes the request; returns whether the answer is the expected one.
    pub async fn make(self, process: &Process, prepared: &Prepared) -> Result<bool, StoreError> {
        let Prepared { token, id, claim } = prepared;
        let (state, ledger) = (&process.state, &process.ledger);
        Ok(match self {
            Self::Submit => {
                matches!(ledger.submit_one(&signal(id.as_str()), &client()).await?, Submit::Accepted(_))
            }
            Self::ClaimSignals => {
                let claim = ledger.claim_signals(token, Limits::NONE, 1).await?;
                matches!(claim, SignalClaim::Claimed(signals) if signals[0].id == *id)
            }
            Self::Settle => {
                let (id, outcome) = (id.clone(), Outcome::Done);
                let report = Report { id, attempt: 1, outcome, note: None };
                ledger.record(token, &[report]).await? == Some(vec![Recorded::Recorded])
            }
            Self::TakeOver => {
                let doubted = ledger.take_over(token, InFlight::Only(&[])).await?;
                doubted.is_some_and(|signals| signals.len() == 1)
            }
            Self::Decide => {
                let decision = Resolution {
                    id: id.clone(),
                    attempt: 1,
                    outcome: Outcome::Rejected,
                    actor: client(),
                    reason: "tested".to_owned(),
                };
                ledger.resolve(&decision).await? == Recorded::Recorded
            }
            Self::Switch => ledger.switch(Switch::Pause, &client(), "tested").await? == Switched::Turned,
            Self::Counts => ledger.counts().await?.received == 1,
            Self::Submitted => {
                ledger.submitted().await;
                true
            }
            Self::Claim => matches!(state.claim(claim).await?, Claim::Granted(_)),
            Self::Renew => {
                matches!(state.renew(token, Seq(1), token.timeline).await?, Renewal::Renewed { .. })
            }
            Self::Release => state.release(token, Seq(1), "tested").await? == Release::Released,
            Self::StepDown => state.request_step_down(token, "tested").await? == StepDown::Requested,
        })
    }

    /// `before`, changed as the whole request changes it.
    pub fn changes(self, before: &View) -> View {
        let mut after = before.clone();
        let becomes = |state: &str| Some(state.to_owned());
        match self {
            Self::Submit => after.signal = becomes("received"),
            Self::ClaimSignals => after.signal = becomes("claimed"),
            Self::Settle => after.signal = becomes("done"),
            Self::TakeOver => after.signal = becomes("in_doubt"),
            Self::Decide => after.signal = becomes("rejected"),
            Self::Switch => after.paused = true,
            Self::Counts | Self::Submitted => {}
            Self::Claim => (after.epoch, after.terms) = (before.epoch + 1, before.terms + 1),
            Self::Renew => after.seq = 1,
            Self::Release => (after.seq, after.held, after.open_terms) = (1, false, 0),
            Self::StepDown => "tested".clone_into(&mut after.resign),
        }
        after
    }
}

/// Arguments of a request.
pub struct Prepared {
    pub token: Token,
    pub id: SignalId,
    claim: ClaimRequest,
}

/// Everything that the requests change, read by another connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The state of the signal; `None` if it does not exist.
    pub signal: Option<String>,
    pub epoch: u64,
    seq: u64,
    held: bool,
    resign: String,
    paused: bool,
    terms: u64,
    open_terms: u64,
}

impl View {
    pub fn of(database: &Database, id: &SignalId) -> Self {
        let signal = database.text(&format!("SELECT state FROM coordinator_signal WHERE id = '{id}'"));
        let (ended, paused) = match database {
            Database::Sqlite(_) => ("to_ms", "paused_ms"),
            Database::Postgres(_) => ("to_at", "paused_at"),
        };
        let row = database.text(&format!(
            "SELECT epoch || ' ' || seq || ' ' || CASE WHEN released THEN 'released' ELSE 'held' END || ' '
                 || coalesce(resign, '-') || ' '
                 || (SELECT CASE WHEN {paused} IS NULL THEN 'on' ELSE 'paused' END FROM coordinator_dispatch)
                 || ' ' || (SELECT count(*) FROM coordinator_term)
                 || ' ' || (SELECT count(*) FROM coordinator_term WHERE {ended} IS NULL)
             FROM coordinator_lease"
        ));
        let row = row.expect("a migrated group has a row");
        let [epoch, seq, held, resign, paused, terms, open_terms] = row.split(' ').collect::<Vec<_>>()[..]
        else {
            panic!("not seven words: {row}");
        };
        let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("{row}"));
        Self {
            signal,
            epoch: number(epoch),
            seq: number(seq),
            held: held == "held",
            resign: resign.to_owned(),
            paused: paused == "paused",
            terms: number(terms),
            open_terms: number(open_terms),
        }
    }
}

/// Submits a signal and asserts the acknowledgement.
pub fn submit(process: &Process, id: &SignalId) {
    let answer = block_on(process.ledger.submit_one(&signal(id.as_str()), &client()));
    assert!(matches!(answer, Ok(Submit::Accepted(_))), "{answer:?}");
}
