//! [`Local`]: a group by its stores, whether instances run or not.

use super::{AUDIT_LINES, Condition, Decision, Group};
use crate::command::facts::{self, Read};
use crate::command::{ask, open};
use crate::config::Config;
use crate::failure::Failure;
use adapter_http::{CheckJson, InstanceAlert, Token, alerts_of};
use async_trait::async_trait;
use coordinator::clock;
use domain::decision::Decision as Decided;
use domain::handover;
use domain::id::InstanceId;
use domain::lease::Epoch;
use domain::ledger::{Actor, AuditEntry, Signal, SignalId, Totals};
use domain::member::{LeaseSeen, Member, MemberSeen, Term};
use domain::overview::LeaderView;
use domain::ports::{ListQuery, Recorded, Resolution, StepDown, Switch, Switched};
use leader_coordinator::Stores;
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::timeout;

/// Name of the ledger in messages.
const LEDGER: &str = "the ledger";
/// Name of the state store in messages.
const STATE_STORE: &str = "the state store";
/// Timeout of the page of an instance. It is on this host, and the operator waits.
const PAGE_TIME_MAX: Duration = Duration::from_millis(500);

pub struct Local {
    config: Config,
    stores: Stores,
    /// For the pages of instances.
    token: Option<Token>,
}

impl Local {
    pub fn open(config: &Config, token: Option<Token>) -> Result<Self, Failure> {
        Ok(Self { config: config.clone(), stores: open(config)?, token })
    }
}

#[async_trait]
impl Group for Local {
    async fn facts(&self) -> Read {
        facts::read(&self.config, &self.stores).await
    }

    async fn lease(&self) -> Result<LeaseSeen, Failure> {
        ask(STATE_STORE, self.stores.state.lease()).await
    }

    async fn members(&self) -> Result<Vec<MemberSeen>, Failure> {
        ask(STATE_STORE, self.stores.state.members()).await
    }

    async fn history(&self, limit: u32) -> Result<(Vec<Term>, Option<i64>), Failure> {
        let mut terms = ask(STATE_STORE, self.stores.state.history(limit)).await?;
        let lease = self.lease().await?;
        let now_ms = clock::calendar_ms();
        LeaderView::of_lease(&lease, now_ms, now_ms).close_ended(&mut terms);
        Ok((terms, lease.forgot_ms))
    }

    async fn decisions(&self, limit: u32) -> Option<Vec<Decided>> {
        ask(STATE_STORE, self.stores.state.decisions(limit)).await.ok()
    }

    async fn changed(&self, time: Duration) {
        // Without a hint, the time ends the wait.
        let _ = timeout(time, self.stores.state.changed()).await;
    }

    async fn alerts_of(&self, member: &Member) -> Result<Vec<InstanceAlert>, String> {
        if !on_this_host(&member.address) {
            return Err("its page is on another host or has TLS".to_owned());
        }
        alerts_of(&member.address, &member.id, self.token.as_ref(), PAGE_TIME_MAX).await
    }

    async fn find(&self, id: &SignalId) -> Result<Option<Signal>, Failure> {
        ask(LEDGER, self.stores.ledger.find(id)).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Vec<Signal>, Failure> {
        ask(LEDGER, self.stores.ledger.list(query)).await
    }

    async fn audit(&self, id: &SignalId) -> Result<Vec<AuditEntry>, Failure> {
        ask(LEDGER, self.stores.ledger.audit(Some(id), AUDIT_LINES)).await
    }

    async fn totals(&self) -> Result<Totals, Failure> {
        ask(LEDGER, self.stores.ledger.totals()).await
    }

    async fn resolve(&self, decision: Decision<'_>) -> Result<Recorded, Failure> {
        let Decision { id, attempt, outcome, reason } = decision;
        let (id, reason) = (id.clone(), reason.to_owned());
        let resolution = Resolution { id, attempt, outcome, actor: operator(), reason };
        ask(LEDGER, self.stores.ledger.resolve(&resolution)).await
    }

    async fn acknowledge(&self, id: &SignalId, reason: &str) -> Result<Recorded, Failure> {
        ask(LEDGER, self.stores.ledger.acknowledge(id, &operator(), reason)).await
    }

    async fn switch(&self, to: Switch, reason: &str) -> Result<Switched, Failure> {
        ask(LEDGER, self.stores.ledger.switch(to, &operator(), reason)).await
    }

    async fn check_recovery(&self) -> Result<CheckJson, Failure> {
        let verdict = ask(STATE_STORE, async { Ok(self.stores.recovery.recover().await) }).await?;
        Ok(CheckJson::of(&verdict))
    }

    async fn acknowledge_recovery(&self, reason: &str) -> Result<CheckJson, Failure> {
        let verdict = ask(STATE_STORE, async { Ok(self.stores.recovery.recover().await) }).await?;
        let code = verdict.as_ref().err().map(|fault| fault.code);
        ask(STATE_STORE, self.stores.state.acknowledge_recovery(code, &operator(), reason)).await?;
        Ok(CheckJson::of(&verdict))
    }

    async fn step_down(
        &self,
        epoch: Epoch,
        to: Option<&InstanceId>,
        reason: &str,
        _: Condition,
    ) -> Result<StepDown, Failure> {
        let seen = ask(STATE_STORE, self.stores.state.observe()).await?;
        let token = seen.version.token;
        if seen.released || token.epoch != epoch {
            return Ok(StepDown::Superseded);
        }
        let reason = handover::reason(to, reason);
        ask(STATE_STORE, self.stores.state.request_handover(&token, to, &reason)).await
    }

    async fn close(&self) {
        self.stores.close().await;
    }
}

/// The operator, by the user's name and this host.
pub fn operator() -> Actor {
    let user = ["USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    let who = user.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()));
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    Actor { who, origin: format!("command line on {host}") }
}

/// Whether a page is at a loopback address. The instance table is not trusted with requests to other hosts.
pub fn on_this_host(address: &str) -> bool {
    let authority = address.strip_prefix("http://").and_then(|rest| rest.split('/').next());
    let host = authority.and_then(|authority| authority.rsplit_once(':')).map(|(host, _)| host);
    let host = host.map(|host| host.trim_start_matches('[').trim_end_matches(']'));
    host.and_then(|host| host.parse::<IpAddr>().ok()).is_some_and(|ip| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_page_on_this_host_is_read() {
        for here in ["http://127.0.0.1:5000", "http://[::1]:5000/", "http://127.0.0.2:80"] {
            assert!(on_this_host(here), "{here}");
        }
        for elsewhere in [
            "http://10.0.0.7:5000",
            "https://127.0.0.1:5000",
            "http://127.0.0.1.example:80",
            "http://localhost:5000",
            "",
        ] {
            assert!(!on_this_host(elsewhere), "{elsewhere}");
        }
    }
}
