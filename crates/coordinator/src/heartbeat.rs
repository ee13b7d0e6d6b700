//! The heartbeat: this process's line of the instance table, for operators. No election rule reads it, and
//! it runs on another runtime than the driver, so that it can neither delay nor be delayed by a renewal.

use crate::clock;
use crate::recover::{Purpose, recover};
use crate::shared::Shared;
use domain::alert::Report;
use domain::decision::Subject;
use domain::id::InstanceId;
use domain::lease::Epoch;
use domain::member::{HEARTBEAT_INTERVAL_MAX, Heartbeat, Member, heartbeat_interval};
use domain::metrics::Fact;
use domain::ports::StoreError;
use domain::settings::{Differing, SharedSettings};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

/// How often a standby whose recovery failed tries again whether it could take over now.
const RECHECK: Duration = Duration::from_secs(30);

/// Decisions of operators that an instance keeps: more than are made in a day.
const DECISIONS_KEPT: u32 = 100;

/// Another live process uses this instance's id, and it was first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IdInUse {
    pub(crate) since_ms: i64,
}

/// Writes heartbeats until the coordinator stops; ends early only when another process uses the id.
pub(crate) async fn heartbeat(shared: Arc<Shared>) -> Result<(), IdInUse> {
    shared.heartbeat_running.store(true, Ordering::Relaxed);
    let _mark = Mark(&shared);
    let interval = heartbeat_interval(shared.settings.ttl);
    let mut seen = shared.leadership.subscribe();
    let mut ability = shared.ability.subscribe();
    let mut failing = false;
    let mut rival = None;
    let mut differing = Vec::new();
    let mut rechecked = Instant::now();
    loop {
        let state = seen.borrow_and_update().state;
        if seen.borrow().stopped {
            return Ok(());
        }
        let next = Instant::now() + interval;
        check_memory(&shared).await;
        ability.mark_unchanged();
        failing = match once(&shared).await {
            Ok(heartbeat) => {
                heard(&shared, &heartbeat);
                if let Some(members) = compare(&shared, interval, &mut differing).await {
                    read_decisions(&shared, &members).await;
                }
                let before = std::mem::replace(&mut rival, heartbeat.displaced);
                // The first time may be the line of a dead process that a restored database brought back; a dead process
                // does not write it again.
                if let Some((_, since_ms)) = heartbeat.displaced
                    && before == heartbeat.displaced
                    && since_ms < shared.settings.started_ms
                {
                    return Err(IdInUse { since_ms });
                }
                false
            }
            Err(error) => {
                if !failing {
                    tracing::warn!("heartbeat: {error}");
                }
                true
            }
        };
        // While heartbeats fail, a recovery from the same database fails too.
        if !failing && rechecked.elapsed() >= RECHECK {
            rechecked = Instant::now();
            recheck(&shared).await;
        }
        let changed = wait_for_change(&mut seen, state);
        // The sender is in `shared`, which this task holds.
        let able = async { drop(ability.changed().await) };
        tokio::select! { biased; () = sleep_until(next) => {}, () = changed => {}, () = able => {} }
    }
}

/// Waits for a state that operators should see now rather than at the next heartbeat.
async fn wait_for_change(seen: &mut watch::Receiver<crate::Leadership>, state: domain::member::MemberState) {
    // The sender is in `shared`, which this task holds.
    let _ = seen.wait_for(|now| now.state != state || now.stopped).await;
}

/// Checks whether this instance could keep an epoch: a standby whose disk is full should report it before it is needed.
async fn check_memory(shared: &Shared) {
    let Some(memory) = &shared.epochs else { return };
    let time_max = shared.settings.heartbeat;
    let checked = timeout(time_max, memory.check()).await;
    shared.remembered(&checked.unwrap_or_else(|_| {
        Err(format!(
            "the epochs cannot be checked within {time_max:?}: the disk of the data directory is slow"
        ))
    }));
}

async fn once(shared: &Shared) -> Result<Heartbeat, StoreError> {
    let settings = &shared.settings;
    let Report { snapshot, alerts } = shared.report();
    let member = Member {
        id: settings.id.clone(),
        nonce: settings.nonce,
        host: settings.host.clone(),
        address: settings.address.clone(),
        state: snapshot.view.state,
        epoch: snapshot.view.epoch.unwrap_or(Epoch(0)),
        fallback: snapshot.view.fallback,
        alerts: alerts.overall,
        version: settings.version.clone(),
        started_ms: settings.started_ms,
        settings: settings.published.clone(),
        cannot_lead: shared.ability.missing(),
        sync_p95: snapshot.window.latency.and_then(|latency| latency.p95),
    };
    let started = Instant::now();
    let answer = timeout(settings.heartbeat, shared.state_store.heartbeat(&member)).await;
    if matches!(answer, Ok(Ok(_))) {
        shared.commits.committed(started.elapsed());
    }
    match answer {
        Ok(answer) => answer,
        Err(_) => Err(StoreError::Unknown(format!("not written within {:?}", settings.heartbeat))),
    }
}

fn heard(shared: &Shared, heartbeat: &Heartbeat) {
    shared.record(Fact::Heartbeat { at_ms: clock::calendar_ms() });
    shared.record(Fact::ChangesLastHour(heartbeat.changes_last_hour));
    if let Some(at_ms) = heartbeat.forgot_ms {
        shared.record(Fact::StoreForgot(at_ms));
    }
    if heartbeat.displaced.is_some() {
        let id = &shared.settings.id;
        tracing::warn!("another process was started with the id {id}: it will find that out and stop");
    }
}

/// Compares the settings of the live instances. Logs a difference once, and when it changes or ends. Returns the ids in
/// the instance table.
async fn compare(shared: &Shared, interval: Duration, known: &mut Vec<Differing>) -> Option<Vec<InstanceId>> {
    // Without an answer nothing changes: the table is read again with the next heartbeat.
    let Ok(Ok(members)) = timeout(shared.settings.heartbeat, shared.state_store.members()).await else {
        return None;
    };
    let ids = members.iter().map(|seen| seen.member.id.clone()).collect();
    let live =
        members.into_iter().filter(|seen| seen.heartbeat_age < interval.max(HEARTBEAT_INTERVAL_MAX) * 3);
    let instances: Vec<_> = live.map(|seen| (seen.member.id, seen.member.settings)).collect();
    let differing = SharedSettings::differing(&instances);
    if differing == *known {
        return Some(ids);
    }
    for differing in &differing {
        tracing::warn!(
            "instances of this group are configured differently: {} ({})",
            differing.setting,
            differing.instances()
        );
    }
    if differing.is_empty() {
        tracing::info!("all instances of this group have the same settings again");
    }
    known.clone_from(&differing);
    shared.record(Fact::SettingsDiffer(differing));
    Some(ids)
}

/// Reads the latest decisions of operators, for the metrics and the page. A removed instance that is among `members` has
/// written a heartbeat since, so its removal counts no longer.
async fn read_decisions(shared: &Shared, members: &[InstanceId]) {
    // Without an answer nothing changes: they are read again with the next heartbeat.
    let read = shared.state_store.decisions(DECISIONS_KEPT);
    if let Ok(Ok(mut decisions)) = timeout(shared.settings.heartbeat, read).await {
        decisions.retain(|one| match &one.subject {
            Subject::InstanceRemoved { id, .. } => !members.contains(id),
            Subject::RecoveryAcknowledged { .. } => true,
        });
        shared.record(Fact::Decisions(decisions));
    }
}

/// Tries a failed recovery again on a standby, to find out whether it could lead. The elector repeats a leader's.
async fn recheck(shared: &Shared) {
    let failed = matches!(&*shared.recovered.borrow(), Some(Err(_)));
    if failed && !shared.leadership.borrow().state.leads() {
        let _ = recover(shared, Purpose::Readiness).await;
    }
}

/// Records that the heartbeats have ended, in whatever way.
struct Mark<'a>(&'a Shared);

impl Drop for Mark<'_> {
    fn drop(&mut self) {
        self.0.heartbeat_running.store(false, Ordering::Relaxed);
    }
}
