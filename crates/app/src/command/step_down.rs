//! `coordinator step-down`: a planned handover, asked of the leader through the state store.

use super::{ask, open};
use crate::compose::Stores;
use crate::config::Config;
use crate::failure::Failure;
use crate::output::line;
use domain::lease::Token;
use domain::member::Term;
use domain::ports::StepDown;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// A look at the history when no hint came.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Terms read to find the one before and the one after.
const TERMS_READ: u32 = 8;

/// Asks the leader to hand over, waits for the next one, and prints it with the gap.
pub async fn step_down(config: &Config, reason: &str) -> Result<(), Failure> {
    let stores = open(config)?;
    let outcome = hand_over(config, &stores, reason).await;
    stores.close().await;
    outcome
}

async fn hand_over(config: &Config, stores: &Stores, reason: &str) -> Result<(), Failure> {
    let row = ask("the state store", stores.state.observe()).await?;
    let token = row.version.token;
    let Some(holder) = row.holder.filter(|_| !row.released) else {
        return Err(Failure::other("nobody leads, so there is nothing to hand over"));
    };
    match ask("the state store", stores.state.request_step_down(&token, reason)).await? {
        StepDown::Requested => line(format_args!("asked {holder} (epoch {}) to hand over", token.epoch))?,
        StepDown::Superseded => {
            return Err(Failure::other(format!(
                "{holder} stopped leading just now; see `coordinator status`"
            )));
        }
    }
    // The leader drains for a heartbeat, then another claims; if nobody else is there, it comes back itself
    // after three heartbeats. A leader that is gone is replaced when its lease has run out.
    let patience = config.leader_ttl * 3;
    let until = Instant::now() + patience;
    while Instant::now() < until {
        let terms = ask("the state store", stores.state.history(TERMS_READ)).await?;
        if let Some(next) = successor(&terms, &token) {
            return tell(&terms, &token, next);
        }
        let _ = timeout(LOOK_AGAIN, stores.state.changed()).await;
    }
    Err(Failure::other(format!("nobody has taken over within {patience:?}; see `coordinator status`")))
}

/// The newest term of that epoch: a leader may have carried its row to a later timeline since it began.
fn is(term: &Term, token: &Token) -> bool {
    term.epoch == token.epoch
}

/// The term that came next. Newest first, so it stands just before the one asked for.
fn successor<'a>(terms: &'a [Term], token: &Token) -> Option<&'a Term> {
    let asked = terms.iter().position(|term| is(term, token))?;
    asked.checked_sub(1).map(|next| &terms[next])
}

fn tell(terms: &[Term], token: &Token, next: &Term) -> Result<(), Failure> {
    let ended = terms.iter().find(|term| is(term, token)).and_then(|term| term.to_ms);
    let gap = ended.map(|ended| next.from_ms - ended);
    let gap = gap.map_or_else(String::new, |gap| format!(", {gap} ms without a leader"));
    line(format_args!("{} leads (epoch {}){gap}", next.holder, next.epoch))
}
