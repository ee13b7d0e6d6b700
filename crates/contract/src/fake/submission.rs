//! Submissions of the [`SignalLedger`](domain::ports::SignalLedger) in memory.

use super::database::Tables;
use super::state_store::FakeStateStore;
use domain::id::GroupId;
use domain::ledger::{Actor, HookName, NewSignal, Signal, SignalState};
use domain::ports::Submit;
use std::collections::BTreeMap;

impl FakeStateStore {
    pub(super) fn do_submit(&self, new: &[NewSignal], actor: &Actor) -> Vec<Submit> {
        let mut tables = self.database.tables();
        new.iter().map(|new| self.submit_one(&mut tables, new, actor)).collect()
    }

    fn submit_one(&self, tables: &mut Tables, new: &NewSignal, actor: &Actor) -> Submit {
        let (now_ms, id) = (tables.now_ms(), new.id());
        let signals = tables.signals.entry(self.opening.group.clone()).or_default();
        let fingerprint = |signal: &&Signal| {
            signal.instruction.timestamp_s == new.instruction.timestamp_s
                && signal.fingerprint() == domain::ledger::Fingerprint::of(&new.instruction)
        };
        let first = signals.iter().find(fingerprint).cloned();
        let is_equal = first.as_ref().is_some_and(|first| first.instruction == new.instruction);
        if !is_equal && let Some(nearest) = nearest_of_hook(&self.opening.group, signals, &tables.hooks, new)
        {
            self.note_with(tables, actor, "folded", Some(&nearest), Some(new.fold_note()));
            return Submit::Folded(nearest);
        }
        if let Some(first) = first {
            let equal = first.instruction == new.instruction;
            let taken = signals.iter().find(|signal| signal.id == id && signal.id != first.id).cloned();
            return match taken {
                Some(other) if new.id.is_some() => Submit::Conflict(other),
                Some(_) | None if equal => Submit::Repeated(first),
                Some(_) | None => Submit::Conflict(first),
            };
        }
        if let Some(other) = signals.iter().find(|signal| signal.id == id).cloned() {
            return Submit::Conflict(other);
        }
        let signal = Signal {
            id,
            instruction: new.instruction.clone(),
            arrival: signals.last().map_or(1, |last| last.arrival + 1),
            state: SignalState::Received,
            attempt: 0,
            received_ms: now_ms,
            claimed_ms: None,
            settled_ms: None,
            note: None,
        };
        signals.push(signal.clone());
        if let Some(hook) = &new.hook {
            tables.hooks.insert((self.opening.group.clone(), signal.arrival), hook.name.clone());
        }
        tables.forgotten.entry(self.opening.group.clone()).or_default().submitted(&signal);
        self.note(tables, actor, signal.state.name().as_str(), Some(&signal));
        tables.signal_listeners.wake_all(&self.opening.group);
        Submit::Accepted(signal)
    }
}

/// The signal that an alert is folded into.
fn nearest_of_hook(
    group: &GroupId,
    signals: &[Signal],
    hooks: &BTreeMap<(GroupId, u64), HookName>,
    new: &NewSignal,
) -> Option<Signal> {
    let hook = new.hook.as_ref().filter(|hook| hook.window_s > 0)?;
    let (wanted, apart) = (&new.instruction, |signal: &Signal| {
        signal.instruction.timestamp_s.abs_diff(new.instruction.timestamp_s)
    });
    let of_window = signals.iter().filter(|signal| {
        let Signal { instruction: known, arrival, .. } = signal;
        hooks.get(&(group.clone(), *arrival)) == Some(&hook.name)
            && (&known.instrument, &known.signal_type, &known.position)
                == (&wanted.instrument, &wanted.signal_type, &wanted.position)
            && apart(signal) <= u64::from(hook.window_s)
    });
    of_window.min_by_key(|signal| (apart(signal), signal.arrival)).cloned()
}
