//! A case: a situation, and the alerts that fire in it.

use monitoring::rules::{EXPOSURE, ExportedRule, GROUPS, LEADERS, OF_GROUP};

pub use monitoring::rules::JOB;

/// Two instances of the same group, so that a rule that fires once per instance is noticed.
pub const INSTANCES: [&str; 2] = ["a:5000", "b:5000"];

/// The text for a missing value.
pub const UNKNOWN_RUPEES: &str = "an unknown number of rupees";

/// The text for leaders without a metric.
pub const UNKNOWN_LEADERS: &str = "Redis names an unknown instance and the database an unknown instance";

/// Series over time, and the expected alerts.
pub struct Case {
    /// The situation, for readers of the file.
    pub name: &'static str,
    pub series: Vec<Series>,
    pub checks: Vec<Check>,
}

/// One series; promtool reads a value every [`super::yaml::INTERVAL_S`] seconds.
pub struct Series {
    /// The name with its labels.
    pub name: String,
    /// The values in promtool's notation: `1+0x10` is 1 and ten times 1 more, `_` is no value.
    pub values: String,
}

/// One alert at one time.
pub struct Check {
    pub at_minutes: u32,
    pub alert: &'static str,
    pub fires: Vec<Firing>,
}

/// A firing alert.
pub struct Firing {
    /// Its labels in addition to those of its rule.
    pub labels: &'static [(&'static str, &'static str)],
    /// The text of `$value` for an operator.
    pub value: &'static str,
    /// The text of the exposure.
    pub rupees: &'static str,
    /// The text of the leaders that the stores name.
    pub leaders: &'static str,
}

pub fn case(
    name: &'static str,
    series: impl IntoIterator<Item = Vec<Series>>,
    checks: impl Into<Vec<Check>>,
) -> Case {
    Case { name, series: series.into_iter().flatten().collect(), checks: checks.into() }
}

/// The same values on every instance.
pub fn everywhere(metric: &str, values: &str) -> Vec<Series> {
    INSTANCES.map(|instance| series(metric, instance, values)).into()
}

/// These values, one for each of the [`INSTANCES`].
pub fn each(metric: &str, values: [&str; 2]) -> Vec<Series> {
    let [a, b] = INSTANCES;
    vec![series(metric, a, values[0]), series(metric, b, values[1])]
}

/// A series of an instance, scraped as [`JOB`].
pub fn series(metric: &str, instance: &str, values: &str) -> Series {
    labelled(metric, &[("job", JOB), ("instance", instance)], values)
}

/// A series with these labels.
pub fn labelled(metric: &str, labels: &[(&str, &str)], values: &str) -> Series {
    let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
    Series { name: format!("{metric}{{{}}}", labels.join(",")), values: values.to_owned() }
}

/// The alert fires for [`JOB`], with `value`.
pub fn fires(at_minutes: u32, alert: &'static str, value: &'static str) -> Check {
    fires_for(&[("job", JOB)], at_minutes, alert, value)
}

/// The alert fires for the first of the [`INSTANCES`], with `value`.
pub fn fires_for_a(at_minutes: u32, alert: &'static str, value: &'static str) -> Check {
    fires_for(&[("job", JOB), ("instance", INSTANCES[0])], at_minutes, alert, value)
}

/// The alert fires only for these labels, with `value`.
pub fn fires_for(
    labels: &'static [(&'static str, &'static str)],
    at_minutes: u32,
    alert: &'static str,
    value: &'static str,
) -> Check {
    Check {
        at_minutes,
        alert,
        fires: vec![Firing { labels, value, rupees: UNKNOWN_RUPEES, leaders: UNKNOWN_LEADERS }],
    }
}

/// No alert of the group fires at any of these times.
pub fn all_quiet(group: &str, at_minutes: &[u32]) -> Vec<Check> {
    let rules = GROUPS.iter().filter(|known| known.name == group).flat_map(|group| group.rules);
    rules.flat_map(|rule| at_minutes.iter().map(|at| quiet(*at, rule.alert))).collect()
}

/// The alert does not fire.
pub fn quiet(at_minutes: u32, alert: &'static str) -> Check {
    Check { at_minutes, alert, fires: Vec::new() }
}

impl Firing {
    /// The annotations of `rule`, as Prometheus writes them.
    pub fn annotations(&self, rule: &ExportedRule) -> Vec<(&'static str, String)> {
        rule.annotations(&crate::runbook_base())
            .into_iter()
            .map(|(name, template)| (name, self.fill(&template)))
            .collect()
    }

    fn fill(&self, template: &str) -> String {
        let group = self.labels.iter().find(|label| label.0 == "group");
        let group = group.map_or_else(String::new, |label| format!(" {}", label.1));
        let template =
            template.replace(EXPOSURE, self.rupees).replace(OF_GROUP, &group).replace(LEADERS, self.leaders);
        let mut filled = String::new();
        let mut rest = template.as_str();
        while let Some((before, from)) = rest.split_once("{{") {
            let (what, after) = from.split_once("}}").expect("it is closed");
            filled.push_str(before);
            // Only the first word: the case gives the format of the value.
            filled.push_str(self.word(what.trim().split(' ').next().expect("a word")));
            rest = after;
        }
        filled + rest
    }

    fn word(&self, word: &str) -> &'static str {
        if word == "$value" {
            return self.value;
        }
        let label =
            word.strip_prefix("$labels.").and_then(|name| self.labels.iter().find(|label| label.0 == name));
        label.unwrap_or_else(|| panic!("{word} in a text: add its value here")).1
    }
}
