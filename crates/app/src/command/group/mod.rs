//! [`Group`]: what the commands of an operator need from a group, from its stores or from the HTTP server of one of its
//! instances (`--server`). A command prints the same in both cases.

mod decode;
mod local;
mod remote;

pub use local::{on_this_host, operator};

use super::facts::Read;
use crate::cli::Remote as Wanted;
use crate::config::{Config, system_tls};
use crate::failure::Failure;
use adapter_http::{CheckJson, InstanceAlert};
use async_trait::async_trait;
use domain::decision::Decision as Decided;
use domain::id::InstanceId;
use domain::lease::Epoch;
use domain::ledger::{AuditEntry, Outcome, Signal, SignalId, Totals};
use domain::member::{LeaseSeen, Member, MemberSeen, Term};
use domain::ports::{ListQuery, Recorded, StepDown, Switch, Switched};
use std::time::Duration;

/// Whether a handover is requested although no instance can take over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Only if the leader is alive and another instance can take over.
    WithSuccessor,
    /// In any case.
    Always,
}

/// The decision of an operator about a signal.
#[derive(Debug, Clone, Copy)]
pub struct Decision<'a> {
    /// The signal.
    pub id: &'a SignalId,
    /// The attempt that the operator has checked.
    pub attempt: u32,
    /// Done, rejected, or received, which sends it again.
    pub outcome: Outcome,
    /// The reason for the audit.
    pub reason: &'a str,
}

/// A group as an operator reaches it.
#[async_trait]
pub trait Group: Send + Sync {
    /// Everything about the group at one moment; what does not answer is unknown.
    async fn facts(&self) -> Read;

    /// The lease.
    async fn lease(&self) -> Result<LeaseSeen, Failure>;

    /// The instance table.
    async fn members(&self) -> Result<Vec<MemberSeen>, Failure>;

    /// The latest terms, newest first, and when the state store was found to have forgotten (unix milliseconds).
    async fn history(&self, limit: u32) -> Result<(Vec<Term>, Option<i64>), Failure>;

    /// The latest decisions of operators that concern no signal, newest first; `None` if they cannot be read here. The other
    /// answers count without them: the tables may be older than this binary.
    async fn decisions(&self, limit: u32) -> Option<Vec<Decided>>;

    /// Waits until something may have changed, at most for `time`.
    async fn changed(&self, time: Duration);

    /// The alerts that one instance reports.
    ///
    /// # Errors
    /// Why they are unknown, as a sentence.
    async fn alerts_of(&self, member: &Member) -> Result<Vec<InstanceAlert>, String>;

    /// The signal with that id.
    async fn find(&self, id: &SignalId) -> Result<Option<Signal>, Failure>;

    /// Signals, the latest first.
    async fn list(&self, query: &ListQuery) -> Result<Vec<Signal>, Failure>;

    /// The latest lines of the audit of a signal, newest first.
    async fn audit(&self, id: &SignalId) -> Result<Vec<AuditEntry>, Failure>;

    /// The totals of the signals.
    async fn totals(&self) -> Result<Totals, Failure>;

    /// Records a decision about a signal.
    async fn resolve(&self, decision: Decision<'_>) -> Result<Recorded, Failure>;

    /// Records that the operator knows that a signal expired.
    async fn acknowledge(&self, id: &SignalId, reason: &str) -> Result<Recorded, Failure>;

    /// Turns the kill switch.
    async fn switch(&self, to: Switch, reason: &str) -> Result<Switched, Failure>;

    /// Checks the portfolio as a new leader would.
    async fn check_recovery(&self) -> Result<CheckJson, Failure>;

    /// Records that the operator takes responsibility for the failed recoveries so far. Returns the check of this moment.
    async fn acknowledge_recovery(&self, reason: &str) -> Result<CheckJson, Failure>;

    /// Requests a handover from the leader of that epoch, to that instance or to any.
    async fn step_down(
        &self,
        epoch: Epoch,
        to: Option<&InstanceId>,
        reason: &str,
        condition: Condition,
    ) -> Result<StepDown, Failure>;

    /// Closes every connection.
    async fn close(&self);
}

/// Most lines of the audit that are shown for one signal; it usually has about ten.
pub const AUDIT_LINES: u32 = 200;

/// The group: behind the server that the command line names, otherwise behind the stores of the settings.
pub fn open(config: &Config, wanted: &Wanted) -> Result<Box<dyn Group>, Failure> {
    let token = wanted.token()?;
    Ok(match wanted.server()? {
        Some(server) if token.is_some() && !server.keeps_secrets() => {
            return Err(Failure::usage(format!(
                "--server: {server} is on another host, and anybody between could read the token: use an https \
                 address"
            )));
        }
        Some(server) => Box::new(remote::Remote::new(server.with_tls(system_tls()), token)),
        None => Box::new(local::Local::open(config, token)?),
    })
}
