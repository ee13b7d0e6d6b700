//! Zones: the values from which a panel is yellow or red. The limits come from the rules.

use domain::alert::{Limits, RULES};
use serde_json::{Value, json};

pub const GREEN: &str = "green";
pub const YELLOW: &str = "yellow";
pub const RED: &str = "red";
pub const BLUE: &str = "blue";
/// Grey.
const UNKNOWN: &str = "#808080";

/// The axis extends beyond the last limit by this factor, so that its line is always visible.
const ROOM_ABOVE: f64 = 1.2;

/// A colour, and further colours from a value on.
#[derive(Clone)]
pub struct Zones {
    base: &'static str,
    steps: Vec<(f64, &'static str)>,
}

impl Zones {
    /// No zones.
    pub fn none() -> Self {
        Self { base: GREEN, steps: Vec::new() }
    }

    /// The zones of the rule of that name. Grafana colours from a limit on, and the rule fires above it: a value
    /// equal to a limit is coloured without an alert.
    pub fn of(rule: &str) -> Self {
        Self::between(limits(rule))
    }

    /// The zones of the rule for whole numbers: the zone above a limit begins at the next number.
    pub fn of_whole(rule: &str) -> Self {
        let Limits { warning, critical } = limits(rule);
        let next = |limit: Option<f64>| limit.map(|limit| limit + 1.0);
        Self::between(Limits { warning: next(warning), critical: next(critical) })
    }

    /// Yellow from the limit of the first rule, red from the limit of the second.
    pub fn of_two(warns: &str, is_critical: &str) -> Self {
        Self::between(Limits { warning: limits(warns).warning, critical: limits(is_critical).critical })
    }

    /// Yellow from 1 on.
    pub fn any() -> Self {
        Self { base: GREEN, steps: vec![(1.0, YELLOW)] }
    }

    /// Green below 2, yellow at 2, red from 3 on: facts of three severities.
    pub fn severities() -> Self {
        Self { base: GREEN, steps: vec![(2.0, YELLOW), (3.0, RED)] }
    }

    /// Green at exactly 1.
    pub fn exactly_one() -> Self {
        Self { base: RED, steps: vec![(1.0, GREEN), (2.0, RED)] }
    }

    fn between(limits: Limits) -> Self {
        let steps = [(limits.warning, YELLOW), (limits.critical, RED)];
        let steps = steps.into_iter().filter_map(|(limit, colour)| Some((limit?, colour))).collect();
        Self { base: GREEN, steps }
    }

    /// The drawing on a chart: every limit as a line, the area beyond it shaded.
    pub fn style(&self) -> &'static str {
        if self.judge() { "line+area" } else { "off" }
    }

    /// Minimum range of the axis.
    pub fn axis_max(&self) -> Option<f64> {
        self.steps.last().map(|(limit, _)| limit * ROOM_ABOVE)
    }

    /// True if there are colours.
    pub fn judge(&self) -> bool {
        !self.steps.is_empty()
    }

    /// The thresholds for a chart, as Grafana reads them.
    pub fn on_a_chart(&self) -> Value {
        model(&[(None, self.base)], &self.steps)
    }

    /// The thresholds for single values, as Grafana reads them. Grafana colours a missing value like the lowest zone,
    /// which must not be green.
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
