//! The records of a claim in the memory: its epoch, before the claim is sent, and its grant, before anything is done
//! under it.

use crate::memory::kept_within;
use crate::shared::Shared;
use domain::election::{Epochs, LeaseAnswer};
use domain::lease::{Seq, Token, Version};
use domain::ports::ClaimRequest;
use domain::time::Time;
use std::time::Duration;

/// Keeps the number of a claim before any store or service can see it: a process that is killed at any moment claims
/// above it in its next run (M22). An error is the answer to a claim that must not be sent.
pub(crate) async fn keep_asked(
    shared: &Shared,
    now: Time,
    limit: Duration,
    request: &ClaimRequest,
) -> Result<(), LeaseAnswer> {
    let Some(memory) = &shared.epochs else { return Ok(()) };
    let (token, seq) = (request.observed.token, request.observed.seq);
    let epochs = Epochs { seen: token.epoch, claim: token.claim, seq, asked: request.epoch() };
    if !shared.ability.allows(request.floor, request.observed.token.epoch) {
        return Err(LeaseAnswer::NotSent);
    }
    let before = kept_within(now, limit, &**memory, epochs).await;
    shared.ability.found(&before);
    match before {
        Ok(before) if is_outdated(request, before) => Err(LeaseAnswer::Outdated(before)),
        Ok(_) => Ok(()),
        Err(_) => Err(LeaseAnswer::NotSent),
    }
}

/// True if the memory contains something that this claim does not take into account.
fn is_outdated(request: &ClaimRequest, before: Epochs) -> bool {
    let Version { token, seq, .. } = request.observed;
    before.floor() >= request.epoch() || before.are_beyond(token, seq) && !request.forgotten
}

/// Keeps the number as granted before anything is done under it, so that an older copy of the lease is noticed after a
/// restart. Leadership does not depend on that: as a claim, the number was kept.
pub(crate) async fn keep_granted(shared: &Shared, now: Time, limit: Duration, token: Token) {
    let Some(memory) = &shared.epochs else { return };
    let epochs = Epochs { seen: token.epoch, claim: token.claim, seq: Seq(0), asked: token.epoch };
    let before = kept_within(now, limit, &**memory, epochs).await;
    shared.remembered(&before);
}
