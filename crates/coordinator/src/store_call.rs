//! One request of the election to a store, and the log line if the answer shows that the store has forgotten.

use domain::election::{LeaseAnswer, LeaseRequest, TicketAnswer, TicketRequest};
use domain::lease::Token;
use domain::ports::{Claim, LeaderStore, LeaseStore, Noted, Renewal, StoreError};

/// Carries out a request of the election on the lease.
pub(crate) async fn lease_call(
    store: &dyn LeaseStore,
    request: LeaseRequest,
) -> Result<LeaseAnswer, StoreError> {
    match request {
        LeaseRequest::Observe => store.observe().await.map(LeaseAnswer::Observed),
        LeaseRequest::Claim(request) => {
            let answer = store.claim(&request).await?;
            if let (true, Claim::Granted(token)) = (request.forgotten, &answer) {
                forgotten(request.observed.token, *token);
            }
            Ok(LeaseAnswer::Claim(answer))
        }
        LeaseRequest::Renew { token, seq, current } => {
            let answer = store.renew(&token, seq, current).await?;
            if let Renewal::Renewed { timeline, forgotten: true, .. } = answer {
                forgotten(token, Token { timeline, ..token });
            }
            Ok(LeaseAnswer::Renewal(answer))
        }
        LeaseRequest::Release { token, seq, reason } => {
            store.release(&token, seq, &reason).await.map(LeaseAnswer::Release)
        }
        LeaseRequest::Note { found, known } => {
            let noted = store.note_forgotten(&found, known).await?;
            if noted == Noted::Noted {
                tracing::error!(
                    found = found.epoch.0,
                    known = known.0,
                    "the state store has forgotten (a backup was restored): its lease is behind one that this instance \
                     has seen. The leader will release the lease; signals from before are looked up before they \
                     are sent"
                );
            }
            Ok(LeaseAnswer::Note(noted))
        }
    }
}

/// Logs that the store has forgotten acknowledged writes, or may have: `lease` is the token that the lease had there,
/// `now` the one that it has now.
fn forgotten(lease: Token, now: Token) {
    tracing::error!(
        found = lease.epoch.0,
        found_timeline = lease.timeline.0,
        epoch = now.epoch.0,
        timeline = now.timeline.0,
        "the state store has forgotten (a standby was promoted, or a backup restored): signals from before are looked \
         up before they are sent"
    );
}

/// Carries out a request of the election on the ticket.
pub(crate) async fn ticket_call(
    store: &dyn LeaderStore,
    request: TicketRequest,
) -> Result<TicketAnswer, StoreError> {
    match request {
        TicketRequest::Acquire { claim, superseded } => {
            store.acquire(claim, superseded).await.map(TicketAnswer::Acquire)
        }
        TicketRequest::Renew(claim) => store.renew(claim).await.map(TicketAnswer::Renewal),
        TicketRequest::Release(claim) => store.release(claim).await.map(|()| TicketAnswer::Released),
        TicketRequest::Inspect => store.inspect().await.map(TicketAnswer::Inspected),
    }
}
