//! Submissions of the [`SignalLedger`](domain::ports::SignalLedger) in memory.

use super::database::Tables;
use super::state_store::FakeStateStore;
use domain::id::GroupId;
use domain::ledger::{Actor, Dated, FromHook, NewSignal, Signal, SignalState};
use domain::ports::Submit;
use std::collections::BTreeMap;

impl FakeStateStore {
    pub(super) fn do_submit(&self, new: &[NewSignal], actor: &Actor) -> Vec<Submit> {
        let mut tables = self.database.tables();
        new.iter().map(|new| self.submit_one(&mut tables, new, actor)).collect()
    }

    fn submit_one(&self, tables: &mut Tables, new: &NewSignal, actor: &Actor) -> Submit {
        let (now_ms, id) = (tables.now_ms(), new.id());
        self.expire_late_of_window(tables, new, actor);
        let signals = tables.signals.entry(self.opening.group.clone()).or_default();
        let fingerprint = |signal: &&Signal| {
            signal.instruction.timestamp_s == new.instruction.timestamp_s
                && signal.fingerprint() == domain::ledger::Fingerprint::of(&new.instruction)
        };
        let first = signals.iter().find(fingerprint).cloned();
        let is_equal = first.as_ref().is_some_and(|first| first.instruction == new.instruction);
        if !is_equal
            && let Some(nearest) = nearest_of_hook(&self.opening.group, signals, &tables.hooks, new, |_| true)
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
            tables.hooks.insert((self.opening.group.clone(), signal.arrival), hook.clone());
        }
        tables.forgotten.entry(self.opening.group.clone()).or_default().submitted(&signal, new.window_s());
        self.note(tables, actor, signal.state.name().as_str(), Some(&signal));
        tables.signal_listeners.wake_all(&self.opening.group);
        Submit::Accepted(signal)
    }

    /// Expires late signals of the window of an alert, unless it is a repetition.
    fn expire_late_of_window(&self, tables: &mut Tables, new: &NewSignal, actor: &Actor) {
        let group = &self.opening.group;
        let signals = tables.signals.get(group).map_or(&[][..], Vec::as_slice);
        if signals.iter().any(|signal| signal.instruction == new.instruction) {
            return;
        }
        let now_ms = tables.now_ms();
        let forgotten = tables.forgotten.get(group).cloned().unwrap_or_default();
        while let Some(near) = nearest_of_hook(
            group,
            tables.signals.get(group).map_or(&[][..], Vec::as_slice),
            &tables.hooks,
            new,
            |signal| {
                let late = signal.instruction.expires_ms.is_some_and(|at| at <= now_ms);
                signal.state == SignalState::Received && late && !forgotten.is_unasked(signal)
            },
        ) {
            self.change(tables, actor, |signal| {
                let is_it = signal.id == near.id;
                if is_it {
                    signal.state = SignalState::Expired;
                    signal.settled_ms = Some(now_ms);
                }
                is_it
            });
        }
    }
}

/// The signal that an alert is folded into.
fn nearest_of_hook(
    group: &GroupId,
    signals: &[Signal],
    hooks: &BTreeMap<(GroupId, u64), FromHook>,
    new: &NewSignal,
    counts: impl Fn(&Signal) -> bool,
) -> Option<Signal> {
    let hook = new.hook.as_ref().filter(|hook| hook.window_s > 0)?;
    let (wanted, apart) = (&new.instruction, |signal: &Signal| {
        signal.instruction.timestamp_s.abs_diff(new.instruction.timestamp_s)
    });
    let of_hook: Vec<&Signal> = signals
        .iter()
        .filter(|signal| {
            let of = hooks.get(&(group.clone(), signal.arrival));
            of.is_some_and(|of| of.name == hook.name) && signal.instruction.instrument == wanted.instrument
        })
        .collect();
    let ended = |near: &Signal| {
        let (one, other) = (near.instruction.timestamp_s, wanted.timestamp_s);
        hook.dated == Dated::BySender
            && of_hook.iter().any(|between| {
                let at = between.instruction.timestamp_s;
                between.instruction.signal_type != wanted.signal_type
                    && at > one.min(other)
                    && at < one.max(other)
            })
    };
    let never_sent = |signal: &Signal| match signal.state {
        SignalState::Expired => true,
        SignalState::Rejected => signal.claimed_ms.is_none(),
        SignalState::Received
        | SignalState::Claimed(_)
        | SignalState::Sent(_)
        | SignalState::Done
        | SignalState::InDoubt => false,
    };
    let of_window = of_hook.iter().copied().filter(|signal| {
        let known = &signal.instruction;
        (&known.signal_type, &known.position) == (&wanted.signal_type, &wanted.position)
            && apart(signal) <= u64::from(new.window_s())
            && !never_sent(signal)
            && !ended(signal)
            && counts(signal)
    });
    of_window.min_by_key(|signal| (apart(signal), signal.arrival)).cloned()
}
