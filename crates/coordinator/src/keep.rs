//! What the driver keeps of a claim: the number before the claim is sent, and that it was granted before anything is done
//! under it.

use crate::memory::kept_within;
use crate::shared::Shared;
use domain::election::Epochs;
use domain::lease::{Seq, Token};
use domain::ports::ClaimRequest;
use domain::time::Time;
use std::time::Duration;

/// Keeps the number of a claim before any store or service can see it: a process that is killed at any moment claims
/// above it in its next life (M22). Returns whether the claim may be sent.
pub(crate) async fn keep_asked(shared: &Shared, now: Time, limit: Duration, request: &ClaimRequest) -> bool {
    let Some(memory) = &shared.epochs else { return true };
    let (token, seq) = (request.observed.token, request.observed.seq);
    let epochs = Epochs { seen: token.epoch, claim: token.claim, seq, asked: request.epoch() };
    if !shared.ability.allows(request.floor, request.observed.token.epoch) {
        return false;
    }
    let kept = kept_within(now, limit, &**memory, epochs).await;
    shared.ability.found(&kept);
    kept.is_ok()
}

/// Keeps the number as granted before anything is done under it, so that an older copy of the lease is noticed after a
/// restart. Leadership does not depend on that: as a claim, the number was kept.
pub(crate) async fn keep_granted(shared: &Shared, now: Time, limit: Duration, token: Token) {
    let Some(memory) = &shared.epochs else { return };
    let epochs = Epochs { seen: token.epoch, claim: token.claim, seq: Seq(0), asked: token.epoch };
    let kept = kept_within(now, limit, &**memory, epochs).await;
    shared.ability.found(&kept);
}
