//! One panel: what it asks, how it is drawn, and what it says of itself.

use crate::table::Column;
use crate::zones::Zones;
use monitoring::rules::GROUPS;
use serde_json::{Value, json};

/// In a query: the job that the reader chose. For what the group as a whole is, whoever tells it.
const GROUP: (&str, &str) = ("$group", r#"job="$job""#);
/// In a query: the job and the instances that the reader chose.
const HERE: (&str, &str) = ("$here", r#"job="$job", instance=~"$instance""#);

/// Where Grafana serves what is mounted below its own `public` directory, as [`crate::provisioning`] says.
const SERVED: &str = "/public";

/// How a panel is drawn.
pub enum Look {
    /// The latest value of each series.
    Stat {
        /// `name` shows what a series is called instead of its value.
        text: &'static str,
    },
    /// Over time.
    Chart {
        /// As Grafana calls it.
        style: &'static str,
        /// How the points are joined.
        joined: &'static str,
    },
    /// Side by side.
    Table(Vec<Column>),
}

/// A number, and what it says.
#[derive(Clone, Copy)]
pub struct Says(pub u8, pub &'static str, pub &'static str);

struct Target {
    expr: String,
    legend: &'static str,
}

/// A panel in the making.
pub struct Panel {
    pub width: u32,
    pub height: u32,
    title: &'static str,
    look: Look,
    unit: &'static str,
    about: &'static str,
    runbooks: &'static [&'static str],
    targets: Vec<Target>,
    zones: Zones,
    says: Vec<Says>,
    absent: &'static str,
}

/// Small: the latest values.
pub fn stat(title: &'static str, unit: &'static str) -> Panel {
    panel(title, unit, (6, 4), Look::Stat { text: "auto" })
}

/// Small: what the latest series are called.
pub fn names(title: &'static str) -> Panel {
    panel(title, "none", (6, 4), Look::Stat { text: "name" })
}

/// Half of the width: lines.
pub fn lines(title: &'static str, unit: &'static str) -> Panel {
    panel(title, unit, (12, 8), Look::Chart { style: "line", joined: "linear" })
}

/// Half of the width: a number that stays until it changes.
pub fn steps(title: &'static str, unit: &'static str) -> Panel {
    panel(title, unit, (12, 8), Look::Chart { style: "line", joined: "stepAfter" })
}

/// Half of the width: bars.
pub fn bars(title: &'static str, unit: &'static str) -> Panel {
    panel(title, unit, (12, 8), Look::Chart { style: "bars", joined: "linear" })
}

/// The whole width: a line for each instance, or whatever the first column is.
pub fn table(title: &'static str, columns: Vec<Column>) -> Panel {
    let targets = columns.iter().filter_map(Column::expr).map(|expr| target(expr, "")).collect();
    Panel { targets, ..panel(title, "none", (24, 6), Look::Table(columns)) }
}

fn panel(title: &'static str, unit: &'static str, size: (u32, u32), look: Look) -> Panel {
    Panel {
        width: size.0,
        height: size.1,
        title,
        look,
        unit,
        about: "",
        runbooks: &[],
        targets: Vec::new(),
        zones: Zones::none(),
        says: Vec::new(),
        absent: "unknown",
    }
}

fn target(expr: &str, legend: &'static str) -> Target {
    Target { expr: expr.replace(GROUP.0, GROUP.1).replace(HERE.0, HERE.1), legend }
}

impl Panel {
    /// What it means, in money where it does.
    pub fn says_of_itself(self, about: &'static str) -> Self {
        Self { about, ..self }
    }

    /// The alerts that are told of what it shows.
    pub fn runbooks(self, runbooks: &'static [&'static str]) -> Self {
        Self { runbooks, ..self }
    }

    /// A query, and what its series are called.
    pub fn query(mut self, legend: &'static str, expr: &str) -> Self {
        self.targets.push(target(expr, legend));
        self
    }

    pub fn zones(self, zones: Zones) -> Self {
        Self { zones, ..self }
    }

    pub fn mapped(self, says: impl Into<Vec<Says>>) -> Self {
        Self { says: says.into(), ..self }
    }

    /// What it says in place of a value that is not told; by default that it is unknown.
    pub fn absent(self, absent: &'static str) -> Self {
        Self { absent, ..self }
    }

    pub fn sized(self, width: u32, height: u32) -> Self {
        Self { width, height, ..self }
    }

    pub fn title(&self) -> &'static str {
        self.title
    }

    pub fn about(&self) -> &'static str {
        self.about
    }

    /// As Grafana reads it.
    pub fn model(&self, id: usize, at: (u32, u32)) -> Value {
        let mut model = json!({
            "id": id,
            "type": self.look.kind(),
            "title": self.title,
            "description": self.description(),
            "datasource": datasource(),
            "gridPos": { "x": at.0, "y": at.1, "w": self.width, "h": self.height },
            "targets": self.targets.iter().zip('A'..).map(|(target, id)| self.target(target, id)).collect::<Vec<_>>(),
            "fieldConfig": { "defaults": self.defaults(), "overrides": [] },
            "options": self.options(),
        });
        if let Look::Table(columns) = &self.look {
            model["transformations"] = Column::transformations(columns);
            model["fieldConfig"]["overrides"] = Column::overrides(columns);
        }
        model
    }

    fn description(&self) -> String {
        let pages: Vec<_> =
            self.runbooks.iter().map(|alert| format!("[{alert}]({})", runbook(alert))).collect();
        let what_to_do = if pages.len() > 1 { "Runbooks" } else { "Runbook" };
        if pages.is_empty() {
            return self.about.to_owned();
        }
        format!("{}\n\n{what_to_do}: {}", self.about, pages.join(", "))
    }

    fn target(&self, target: &Target, id: char) -> Value {
        let over_time = matches!(self.look, Look::Chart { .. });
        json!({
            "refId": id.to_string(),
            "datasource": datasource(),
            "editorMode": "code",
            "expr": target.expr,
            "legendFormat": target.legend,
            "format": if matches!(self.look, Look::Table(_)) { "table" } else { "time_series" },
            "instant": !over_time,
            "range": over_time,
        })
    }

    fn defaults(&self) -> Value {
        let mut defaults = json!({
            "unit": self.unit,
            "noValue": self.absent,
            "mappings": mappings(&self.says),
            "thresholds": self.zones.of_values(),
            "color": { "mode": "thresholds" },
        });
        if let Look::Chart { style, joined } = self.look {
            defaults["thresholds"] = self.zones.on_a_chart();
            defaults["color"]["mode"] = "palette-classic".into();
            defaults["custom"] = json!({
                "drawStyle": style,
                "lineInterpolation": joined,
                "lineWidth": 2,
                "fillOpacity": if style == "bars" { 60 } else { 0 },
                // A gap is what was not known.
                "spanNulls": false,
                "axisSoftMin": 0,
                "axisSoftMax": self.zones.axis_max(),
                "thresholdsStyle": { "mode": self.zones.style() },
            });
        }
        defaults
    }

    fn options(&self) -> Value {
        let judged = self.zones.judge() || !self.says.is_empty();
        match &self.look {
            Look::Stat { text } => json!({
                "reduceOptions": { "calcs": ["lastNotNull"], "fields": "", "values": false },
                "textMode": text,
                "colorMode": if judged { "background" } else { "none" },
                "graphMode": "none",
                "justifyMode": "auto",
                "orientation": "auto",
            }),
            Look::Chart { .. } => json!({
                "legend": { "showLegend": true, "displayMode": "list", "placement": "bottom", "calcs": ["lastNotNull"] },
                "tooltip": { "mode": "multi", "sort": "desc" },
            }),
            Look::Table(_) => json!({ "showHeader": true, "cellHeight": "sm" }),
        }
    }
}

impl Look {
    fn kind(&self) -> &'static str {
        match self {
            Self::Stat { .. } => "stat",
            Self::Chart { .. } => "timeseries",
            Self::Table(_) => "table",
        }
    }
}

/// The source that the reader chose.
pub fn datasource() -> Value {
    json!({ "type": "prometheus", "uid": "${datasource}" })
}

/// Texts in place of numbers.
pub fn mappings(says: &[Says]) -> Value {
    if says.is_empty() {
        return json!([]);
    }
    let texts = says.iter().enumerate().map(|(index, Says(value, text, colour))| {
        (value.to_string(), json!({ "text": text, "color": colour, "index": index }))
    });
    json!([{ "type": "value", "options": texts.collect::<serde_json::Map<_, _>>() }])
}

/// A document of this repository, as Grafana's reader reaches it.
pub fn served(path: &str) -> String {
    if path.contains("://") { path.to_owned() } else { format!("{SERVED}/{path}") }
}

/// The page of that alert.
pub fn runbook(alert: &str) -> String {
    let rule = GROUPS.iter().flat_map(|group| group.rules).find(|rule| rule.alert == alert);
    served(&rule.unwrap_or_else(|| panic!("there is no alert {alert}")).runbook())
}
