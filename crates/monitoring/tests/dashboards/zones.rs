//! From which value on a panel is yellow or red. Limits come from the rules, never from here.

use domain::alert::{Limits, RULES};
use serde_json::{Value, json};

pub const GREEN: &str = "green";
pub const YELLOW: &str = "yellow";
pub const RED: &str = "red";
pub const BLUE: &str = "blue";
/// Grey.
const UNKNOWN: &str = "#808080";

/// Some more than the last limit, so that its line is on the picture while all is well.
const ROOM_ABOVE: f64 = 1.2;

/// A colour, and further ones from a value on.
#[derive(Clone)]
pub struct Zones {
    base: &'static str,
    steps: Vec<(f64, &'static str)>,
}

impl Zones {
    /// Nothing is judged.
    pub fn none() -> Self {
        Self { base: GREEN, steps: Vec::new() }
    }

    /// As the rule of that name judges. Grafana colours from a limit on, the rule tells above it: a value exactly on a
    /// limit is coloured and not told.
    pub fn of(rule: &str) -> Self {
        Self::between(limits(rule))
    }

    /// As the rule judges whole numbers: those above a limit begin at the next one.
    pub fn of_whole(rule: &str) -> Self {
        let Limits { warning, critical } = limits(rule);
        let next = |limit: Option<f64>| limit.map(|limit| limit + 1.0);
        Self::between(Limits { warning: next(warning), critical: next(critical) })
    }

    /// Yellow as one rule warns, red as the other is critical.
    pub fn of_two(warns: &str, is_critical: &str) -> Self {
        Self::between(Limits { warning: limits(warns).warning, critical: limits(is_critical).critical })
    }

    /// Yellow as soon as there is one.
    pub fn any() -> Self {
        Self { base: GREEN, steps: vec![(1.0, YELLOW)] }
    }

    /// Good when there is exactly one.
    pub fn exactly_one() -> Self {
        Self { base: RED, steps: vec![(1.0, GREEN), (2.0, RED)] }
    }

    fn between(limits: Limits) -> Self {
        let steps = [(limits.warning, YELLOW), (limits.critical, RED)];
        let steps = steps.into_iter().filter_map(|(limit, colour)| Some((limit?, colour))).collect();
        Self { base: GREEN, steps }
    }

    /// How a chart draws them: every limit as a line, what is beyond it shaded.
    pub fn style(&self) -> &'static str {
        if self.judge() { "line+area" } else { "off" }
    }

    /// How far the axis reaches at least.
    pub fn axis_max(&self) -> Option<f64> {
        self.steps.last().map(|(limit, _)| limit * ROOM_ABOVE)
    }

    /// Whether there is anything to colour.
    pub fn judge(&self) -> bool {
        !self.steps.is_empty()
    }

    /// For a chart, as Grafana reads them.
    pub fn on_a_chart(&self) -> Value {
        model(&[(None, self.base)], &self.steps)
    }

    /// For single values, as Grafana reads them. It colours what is not there like what is below everything, and that must
    /// not look well.
    pub fn of_values(&self) -> Value {
        model(&[(None, UNKNOWN), (Some(0.0), self.base)], &self.steps)
    }
}

fn model(base: &[(Option<f64>, &str)], steps: &[(f64, &str)]) -> Value {
    let steps = steps.iter().map(|(from, colour)| (Some(*from), *colour));
    let steps: Vec<_> = base.iter().copied().chain(steps).collect();
    let steps: Value = steps.iter().map(|(from, colour)| json!({ "color": colour, "value": from })).collect();
    json!({ "mode": "absolute", "steps": steps })
}

fn limits(name: &str) -> Limits {
    let rule = RULES.iter().find(|rule| rule.name == name);
    rule.unwrap_or_else(|| panic!("there is no rule {name}")).limits
}
