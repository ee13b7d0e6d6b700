//! One panel: its queries, its drawing, and its description.

use crate::table::Column;
use crate::zones::Zones;
use monitoring::rules::GROUPS;
use serde_json::{Value, json};

/// In a query: the selected job and group. For values of the whole group, from any of its instances.
const GROUP: (&str, &str) = ("$group", r#"job="$job", group=~"${group}""#);
/// In a query: the selected job and instances.
const HERE: (&str, &str) = ("$here", r#"job="$job", group=~"${group}", instance=~"$instance""#);

/// The path at which Grafana serves files that are mounted below its `public` directory, as [`crate::provisioning`]
/// configures it.
const SERVED: &str = "/public";

/// The drawing of a panel.
pub enum Drawing {
    /// The latest value of each series.
    Stat {
        /// `name` shows the name of a series instead of its value.
        text: &'static str,
    },
    /// Over time.
    Chart {
        /// Grafana's name of the style.
        style: &'static str,
        /// The interpolation between the points.
        joined: &'static str,
    },
    /// Side by side.
    Table(Vec<Column>),
}

/// A number and the text shown for it.
#[derive(Clone, Copy)]
pub struct Says(pub u8, pub &'static str, pub &'static str);

struct Target {
    expr: String,
    legend: &'static str,
}

/// A panel under construction.
pub struct Panel {
    pub width: u32,
    pub height: u32,
    title: &'static str,
    drawing: Drawing,
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
    panel(title, unit, (6, 4), Drawing::Stat { text: "auto" })
}

/// Small: the names of the latest series.
pub fn names(title: &'static str) -> Panel {
    panel(title, "none", (6, 4), Drawing::Stat { text: "name" })
}

/// Half of the width: lines.
pub fn lines(title: &'static str, unit: &'static str) -> Panel {
    panel(title, unit, (12, 8), Drawing::Chart { style: "line", joined: "linear" })
}

/// Half of the width: a number that stays constant until it changes.
pub fn steps(title: &'static str, unit: &'static str) -> Panel {
    panel(title, unit, (12, 8), Drawing::Chart { style: "line", joined: "stepAfter" })
}

/// Half of the width: bars.
pub fn bars(title: &'static str, unit: &'static str) -> Panel {
    panel(title, unit, (12, 8), Drawing::Chart { style: "bars", joined: "linear" })
}

/// The whole width: a line for each instance, or for each value of the first column.
pub fn table(title: &'static str, columns: Vec<Column>) -> Panel {
    let targets = columns.iter().filter_map(Column::expr).map(|expr| target(expr, "")).collect();
    Panel { targets, ..panel(title, "none", (24, 6), Drawing::Table(columns)) }
}

fn panel(title: &'static str, unit: &'static str, size: (u32, u32), drawing: Drawing) -> Panel {
    Panel {
        width: size.0,
        height: size.1,
        title,
        drawing,
        unit,
        about: "",
        runbooks: &[],
        targets: Vec::new(),
        zones: Zones::none(),
        says: Vec::new(),
        absent: "unknown",
    }
}

/// The query with the selected job, group and instances.
pub fn selected(expr: &str) -> String {
    expr.replace(GROUP.0, GROUP.1).replace(HERE.0, HERE.1)
}

fn target(expr: &str, legend: &'static str) -> Target {
    Target { expr: selected(expr), legend }
}

impl Panel {
    /// Sets the description: the meaning, with the impact in money.
    pub fn described(self, about: &'static str) -> Self {
        Self { about, ..self }
    }

    /// Sets the alerts about the panel's values.
    pub fn runbooks(self, runbooks: &'static [&'static str]) -> Self {
        Self { runbooks, ..self }
    }

    /// Adds a query, with the name of its series.
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

    /// Sets the text for a missing value; by default that it is unknown.
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

    /// The panel as Grafana reads it.
    pub fn model(&self, id: usize, at: (u32, u32)) -> Value {
        let mut model = json!({
            "id": id,
            "type": self.drawing.kind(),
            "title": self.title,
            "description": self.description(),
            "datasource": datasource(),
            "gridPos": { "x": at.0, "y": at.1, "w": self.width, "h": self.height },
            "targets": self.targets.iter().zip('A'..).map(|(target, id)| self.target(target, id)).collect::<Vec<_>>(),
            "fieldConfig": { "defaults": self.defaults(), "overrides": [] },
            "options": self.options(),
        });
        if let Drawing::Table(columns) = &self.drawing {
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
        let over_time = matches!(self.drawing, Drawing::Chart { .. });
        json!({
            "refId": id.to_string(),
            "datasource": datasource(),
            "editorMode": "code",
            "expr": target.expr,
            "legendFormat": target.legend,
            "format": if matches!(self.drawing, Drawing::Table(_)) { "table" } else { "time_series" },
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
        if let Drawing::Chart { style, joined } = self.drawing {
            defaults["thresholds"] = self.zones.on_a_chart();
            defaults["color"]["mode"] = "palette-classic".into();
            defaults["custom"] = json!({
                "drawStyle": style,
                "lineInterpolation": joined,
                "lineWidth": 2,
                "fillOpacity": if style == "bars" { 60 } else { 0 },
                // A gap means that the value was unknown.
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
        match &self.drawing {
            Drawing::Stat { text } => json!({
                "reduceOptions": { "calcs": ["lastNotNull"], "fields": "", "values": false },
                "textMode": text,
                "colorMode": if judged { "background" } else { "none" },
                "graphMode": "none",
                "justifyMode": "auto",
                "orientation": "auto",
            }),
            Drawing::Chart { .. } => json!({
                "legend": { "showLegend": true, "displayMode": "list", "placement": "bottom", "calcs": ["lastNotNull"] },
                "tooltip": { "mode": "multi", "sort": "desc" },
            }),
            Drawing::Table(_) => json!({ "showHeader": true, "cellHeight": "sm" }),
        }
    }
}

impl Drawing {
    fn kind(&self) -> &'static str {
        match self {
            Self::Stat { .. } => "stat",
            Self::Chart { .. } => "timeseries",
            Self::Table(_) => "table",
        }
    }
}

/// The data source that the reader selected.
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

/// The address of a document of this repository for a reader of Grafana.
pub fn served(path: &str) -> String {
    if path.contains("://") { path.to_owned() } else { format!("{SERVED}/{path}") }
}

/// The address under which the runbooks are served; `cargo xtask codegen --runbook-base URL` writes it.
fn runbook_base() -> String {
    let path = crate::generated::root().join("docker/runbook-base");
    std::fs::read_to_string(path).expect("docker/runbook-base").trim().to_owned()
}

/// The runbook of that alert.
pub fn runbook(alert: &str) -> String {
    let rule = GROUPS.iter().flat_map(|group| group.rules).find(|rule| rule.alert == alert);
    rule.unwrap_or_else(|| panic!("there is no alert {alert}")).runbook_url(&runbook_base())
}
