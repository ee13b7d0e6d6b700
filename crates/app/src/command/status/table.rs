//! The status as text: at most 80 characters a line, with short ids, unless the operator wants everything.

use super::seen::{Fires, KillSwitch, Seen};
use crate::command::ids::ShortIds;
use crate::command::table::{date, table, visible};
use crate::command::terminal::{Colour, Tint, WIDTH, brief, wrap};
use domain::alert::FORGOT_SHOWN;
use domain::member::Health;
use domain::overview::{InstanceState, InstanceView, Phrase, Problem};
use std::cmp::Reverse;
use std::time::Duration;

/// Length of the severities in front of an alert: the indent of its next lines.
const LEVEL: usize = 10;

/// Column of the facts.
const NAME: usize = 27;
const KILL_SWITCH: &str = "kill switch";
const OFF: &str = "off";

/// How much of the status is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Lines of at most 80 characters, with short ids.
    Narrow,
    /// Every column and whole ids.
    Wide,
}

/// The status as text.
pub fn render(seen: &Seen, extent: Extent, colour: Colour) -> String {
    let ids = match extent {
        Extent::Wide => ShortIds::none(),
        Extent::Narrow => {
            let members = seen.members().iter().map(|seen| &seen.member.id);
            // The leader may have left the instance table.
            let holder = seen.lease().and_then(|lease| lease.holder.as_ref());
            let absent = holder.filter(|id| !seen.members().iter().any(|seen| seen.member.id == **id));
            ShortIds::of(members.chain(absent))
        }
    };
    let view = View { seen, extent, colour, ids };
    [view.sentence(), view.instances(), view.facts(), view.alerts()].join("\n\n")
}

struct View<'a> {
    seen: &'a Seen,
    extent: Extent,
    colour: Colour,
    ids: ShortIds,
}

impl View<'_> {
    fn sentence(&self) -> String {
        let level = self.seen.overview.level;
        let lines = self.wrapped(&self.words(&self.seen.overview.sentence), 0);
        lines.split('\n').map(|line| self.colour.paint(Tint::of(level), line)).collect::<Vec<_>>().join("\n")
    }

    fn words(&self, phrase: &Phrase) -> String {
        self.short(&phrase.render(self.seen.now_ms(), |at_ms| format!("{} UTC", date(at_ms))))
    }

    /// A text of another program, with short ids.
    fn short(&self, text: &str) -> String {
        self.ids.shorten(&visible(text))
    }

    fn wrapped(&self, text: &str, indent: usize) -> String {
        match self.extent {
            Extent::Wide => text.to_owned(),
            Extent::Narrow => wrap(text, WIDTH, indent),
        }
    }

    fn instances(&self) -> String {
        const HEADER: [&str; 8] =
            ["INSTANCE", "STATE", "EPOCH", "HEARTBEAT", "REDIS AWAY", "ALERTS", "PAGE", "HOST"];
        let rows: Vec<Vec<String>> = self.seen.overview.instances.iter().map(|view| self.row(view)).collect();
        // Columns from the right that a narrow table leaves out, if it is too wide with them.
        let columns = match self.extent {
            Extent::Wide => [HEADER.len()].to_vec(),
            Extent::Narrow => vec![7, 6, 4],
        };
        let tables = columns.iter().map(|columns| {
            let rows: Vec<Vec<String>> = rows.iter().map(|row| row[..*columns].to_vec()).collect();
            table(&HEADER[..*columns], &rows)
        });
        let fits = |text: &String| text.lines().all(|line| line.chars().count() <= WIDTH);
        let mut tables: Vec<String> = tables.collect();
        let chosen = tables.iter().position(fits).unwrap_or(tables.len() - 1);
        self.tinted(&tables.swap_remove(chosen))
    }

    fn row(&self, view: &InstanceView) -> Vec<String> {
        let member = self.seen.members().iter().find(|seen| seen.member.id == view.id);
        vec![
            self.ids.short(view.id.as_str()).to_owned(),
            role(view),
            view.epoch.to_string(),
            brief(view.heartbeat_age),
            if view.fallback { "yes" } else { "no" }.to_owned(),
            member.map_or("", |seen| seen.member.alerts.as_str()).to_owned(),
            visible(&view.address),
            visible(&view.host),
        ]
    }

    /// Each row in the colour of its instance. The header has none.
    fn tinted(&self, table: &str) -> String {
        let mut lines = table.split('\n');
        let header = lines.next().unwrap_or_default().to_owned();
        let rows = lines.zip(&self.seen.overview.instances).map(|(line, view)| match tint(view) {
            Some(tint) => self.colour.paint(tint, line),
            None => line.to_owned(),
        });
        [header].into_iter().chain(rows).collect::<Vec<_>>().join("\n")
    }

    fn facts(&self) -> String {
        let seen = self.seen;
        let redis = match &seen.ticket {
            None => "not used".to_owned(),
            Some(Err(failure)) => visible(&failure.message),
            Some(Ok(_)) => self.ids.short(seen.leader_redis().unwrap_or("none")).to_owned(),
        };
        let held = match (&seen.failure, seen.leader_db()) {
            (Some(failure), _) => format!("unknown: {}", visible(&failure.message)),
            (None, Some(id)) => format!("{} (epoch {})", self.ids.short(id), self.epoch()),
            (None, None) => format!("none (epoch {})", self.epoch()),
        };
        let switch = match seen.kill_switch() {
            KillSwitch::Unknown => "unknown".to_owned(),
            KillSwitch::Off => OFF.to_owned(),
            KillSwitch::On(paused) => format!(
                "ON since {} UTC by {}: {}",
                date(paused.since_ms),
                visible(&paused.who),
                visible(&paused.reason)
            ),
        };
        let mut facts =
            vec![("leader in the state store", held), ("leader in Redis", redis), (KILL_SWITCH, switch)];
        let forgot_ms = seen.lease().and_then(|lease| lease.forgot_ms);
        facts.extend(store_forgot(forgot_ms, seen.now_ms()).map(|text| ("the store forgot", text)));
        let mut lines: Vec<String> = facts.iter().map(|(name, value)| self.fact(name, value)).collect();
        let unable = seen.overview.instances.iter().filter_map(|view| {
            let why = view.cannot_lead.as_deref()?;
            Some(self.wrapped(&self.short(&format!("{} cannot lead: {why}", view.id)), 2))
        });
        lines.extend(unable);
        lines.join("\n")
    }

    /// A name, and its value from column 28 on.
    fn fact(&self, name: &str, value: &str) -> String {
        let value = match self.extent {
            Extent::Wide => value.to_owned(),
            Extent::Narrow => wrap(value, WIDTH - NAME, 0),
        };
        let paint = |line: &str| match name {
            KILL_SWITCH if value != OFF => self.colour.paint(Tint::Warning, line),
            _ => line.to_owned(),
        };
        let lines: Vec<String> = value.split('\n').map(paint).collect();
        format!("{name:<NAME$}{}", lines.join(&format!("\n{:NAME$}", "")))
    }

    fn epoch(&self) -> String {
        self.seen.lease().map_or_else(|| "-".to_owned(), |lease| lease.epoch.to_string())
    }

    /// The worst first.
    fn alerts(&self) -> String {
        let problems =
            self.seen.overview.problems.iter().map(|problem| (problem.level, self.problem(problem)));
        let fires = self.seen.fires.iter().map(|fires| (fires.level, self.fires(fires)));
        let mut all: Vec<(Health, String)> = problems.chain(fires).collect();
        all.sort_by_key(|(level, _)| Reverse(*level));
        if all.is_empty() {
            return format!("{:<NAME$}none", "alerts");
        }
        all.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join("\n")
    }

    /// A problem of the group. Its title names the instance if it concerns one.
    fn problem(&self, problem: &Problem) -> String {
        let age = problem.since_ms.map(|since_ms| self.seen.now_ms().saturating_sub(since_ms));
        let age = age.map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or(0)));
        let lasted = age.map_or_else(String::new, |age| format!(" for {}", brief(age)));
        let text = format!("{}: {}{lasted}", problem.alert, self.words(&problem.title));
        self.alert(problem.level, &text)
    }

    fn fires(&self, fires: &Fires) -> String {
        let id = self.ids.short(fires.instance.as_str());
        let message = self.short(&fires.message);
        let text = match &fires.alert {
            Some(alert) => format!("{} on {id}: {message}", visible(alert)),
            None => format!("{id}: {message}"),
        };
        self.alert(fires.level, &text)
    }

    fn alert(&self, level: Health, text: &str) -> String {
        let word = match level {
            Health::Ok => "NOTE",
            level => level.as_str(),
        };
        let text = match self.extent {
            Extent::Wide => text.to_owned(),
            Extent::Narrow => wrap(text, WIDTH - LEVEL, 0).replace('\n', &format!("\n{:LEVEL$}", "")),
        };
        format!("{}{text}", self.colour.paint(Tint::of(level), &format!("{word:<LEVEL$}")))
    }
}

fn role(view: &InstanceView) -> String {
    match view.cannot_lead {
        Some(_) => format!("{}, cannot lead", view.state.as_str()),
        None => view.state.as_str().to_owned(),
    }
}

/// The colour of a row; none for an instance that simply waits.
fn tint(view: &InstanceView) -> Option<Tint> {
    match view.state {
        _ if view.cannot_lead.is_some() => Some(Tint::Warning),
        InstanceState::Active => Some(Tint::Good),
        InstanceState::Standby | InstanceState::Starting | InstanceState::Recovering => None,
        InstanceState::Stale | InstanceState::Unknown => Some(Tint::Warning),
        InstanceState::Halted | InstanceState::Gone => Some(Tint::Bad),
    }
}

/// The moment of a loss, for as long as the alert StoreForgot fires.
fn store_forgot(forgot_ms: Option<i64>, now_ms: i64) -> Option<String> {
    let at_ms = forgot_ms?;
    let ago_ms = u128::try_from(now_ms.saturating_sub(at_ms)).unwrap_or(0);
    let text = format!("{} UTC: a standby was promoted or a backup restored", date(at_ms));
    (ago_ms < FORGOT_SHOWN.as_millis()).then_some(text)
}
