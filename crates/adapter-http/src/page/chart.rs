//! A chart of the last hour as SVG: zones and lines of the thresholds, and up to four series.
//!
//! The outer SVG is measured in pixels and percent, so its text is undistorted at any width without a script. An inner
//! SVG stretches the lines (60 minutes by [`HEIGHT`]). The scale is fixed: the same picture always means the same. A
//! value beyond the scale stays at the edge, and the chart says so.

use super::tree::{Element, Node, el, of_class};
use super::words::{Level, status};

/// Samples of one hour, with both ends.
pub(crate) const SAMPLES: usize = 61;
const HEIGHT: f64 = 120.0;
/// Space for the width of a line at the top and at the bottom.
const EDGE: f64 = 2.0;

/// One line of a chart.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    /// Its name in the legend; empty if the chart has only one.
    pub(crate) name: String,
    /// The class of its line: each has its own dashes.
    pub(crate) class: &'static str,
    /// One value for each minute, the present one last; `None` is unknown.
    pub(crate) values: Vec<Option<f64>>,
}

/// A chart without its series.
#[derive(Debug, Clone)]
pub(crate) struct Chart {
    pub(crate) title: &'static str,
    pub(crate) unit: &'static str,
    /// Decimals of a value.
    pub(crate) digits: usize,
    /// The end of the scale.
    pub(crate) top: f64,
    pub(crate) scale: Scale,
    /// The thresholds, and the text at their lines.
    pub(crate) warning: (f64, String),
    pub(crate) critical: (f64, String),
    pub(crate) level: Level,
    /// The present minute, unix milliseconds.
    pub(crate) end_ms: i64,
}

/// How a value becomes a height.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scale {
    Linear,
    /// From 1 on, for latencies.
    Logarithmic,
    /// Linear, as bars.
    Bars,
}

impl Chart {
    fn y(&self, value: f64) -> f64 {
        let share = match self.scale {
            Scale::Linear | Scale::Bars => value / self.top,
            Scale::Logarithmic => value.max(1.0).log10() / self.top.log10(),
        };
        HEIGHT - EDGE - share.clamp(0.0, 1.0) * (HEIGHT - 2.0 * EDGE)
    }

    /// The figure.
    pub(crate) fn draw(&self, series: &[Series]) -> Node {
        let legend = series.iter().map(|one| self.legend(one));
        // An alert that cannot be measured is not OK.
        let is_known = series.iter().any(|one| present(one).is_some());
        let level = if is_known || self.level != Level::Ok { self.level } else { Level::Unknown };
        let caption = el("figcaption")
            .with(el("h3").with(self.title))
            .with(of_class("span", "when").with("now"))
            .with(status(level, level.word()));
        let present: Vec<String> = series
            .iter()
            .map(|one| format!("{} {}", one.name, self.written(present(one))).trim_start().to_owned())
            .collect();
        let plot = of_class("div", "plotbox")
            .attr("role", "img")
            .attr("aria-label", format!("{}, last hour. Now: {}", self.title, present.join(", ")))
            .attr("data-label", format!("{}, last hour, in minutes", self.title))
            .attr("data-end", self.end_ms.to_string())
            .with(self.plot(series));
        let ticks = ["60 min ago", "45 min", "30 min", "15 min", "now"].map(|tick| el("span").with(tick));
        el("figure")
            .attr("data-level", level.name())
            .with(caption)
            .with(of_class("p", "legend").all(legend))
            .with(plot)
            .with(of_class("p", "axis").attr("aria-hidden", "true").all(ticks))
            .into()
    }

    fn written(&self, value: Option<f64>) -> String {
        value.map_or_else(|| "unknown".to_owned(), |value| format!("{value:.*}{}", self.digits, self.unit))
    }

    /// The line's key, its name, its present value, and all values for the script to read out.
    fn legend(&self, series: &Series) -> Element {
        let values: Vec<String> = series
            .values
            .iter()
            .map(|value| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.*}", self.digits)))
            .collect();
        let key = of_class("svg", "key").attr("width", "18").attr("height", "8").attr("aria-hidden", "true");
        let line = of_class("line", series.class).attr("x2", "18").attr("y1", "4").attr("y2", "4");
        let value = el("b")
            .attr("data-v", values.join(" "))
            .attr("data-unit", self.unit)
            .attr("data-none", self.written(None))
            .with(self.written(present(series)));
        el("span").with(key.with(line)).with(format!("{} ", series.name).trim_start().to_owned()).with(value)
    }

    fn plot(&self, series: &[Series]) -> Element {
        let (warning, critical) = (self.y(self.warning.0), self.y(self.critical.0));
        let zone = |class: &str, from: f64, to: f64| {
            of_class("rect", class)
                .attr("x", "0")
                .attr("width", "100%")
                .attr("y", number(to))
                .attr("height", number(from - to))
        };
        let is_above = series.iter().filter_map(present).any(|value| value > self.top);
        let off = is_above
            .then(|| of_class("text", "off").attr("x", "99%").attr("y", "13").with("above the scale"));
        let hand = of_class("line", "hand")
            .attr("y1", "0")
            .attr("y2", number(HEIGHT))
            .attr("x1", "100%")
            .attr("x2", "100%")
            .attr("visibility", "hidden");
        of_class("svg", "plot")
            .attr("width", "100%")
            .attr("height", number(HEIGHT))
            .attr("aria-hidden", "true")
            .with(zone("zw", warning, critical))
            .with(zone("zc", critical, EDGE))
            .all(rule("grid", "tick", HEIGHT - EDGE, &self.foot()))
            .all(rule("tw", "tw", warning, &self.warning.1))
            .all(rule("tc", "tc", critical, &self.critical.1))
            .maybe(unknown(series))
            .maybe(off)
            .all(self.marks(series))
            .with(hand)
    }

    /// The text at the foot of the scale.
    fn foot(&self) -> String {
        match self.scale {
            Scale::Linear => format!("0{}", self.unit),
            Scale::Logarithmic => format!("1{}", self.unit),
            Scale::Bars => "0".to_owned(),
        }
    }

    fn marks(&self, series: &[Series]) -> Vec<Element> {
        if self.scale == Scale::Bars {
            let values = series.iter().flat_map(|one| one.values.iter().enumerate());
            return values.filter_map(|(minute, value)| self.bar(minute, (*value)?)).collect();
        }
        let lines = series.iter().map(|one| of_class("path", one.class).attr("d", self.path(&one.values)));
        let svg = of_class("svg", "lines")
            .attr("width", "100%")
            .attr("height", number(HEIGHT))
            .attr("viewBox", format!("0 0 {} {HEIGHT}", SAMPLES - 1))
            .attr("preserveAspectRatio", "none");
        vec![svg.all(lines)]
    }

    fn bar(&self, minute: usize, value: f64) -> Option<Element> {
        (value > 0.0).then(|| {
            of_class("rect", "bar")
                .attr("x", format!("{}%", number(share(minute, SAMPLES))))
                .attr("width", "1.3%")
                .attr("y", number(self.y(value)))
                .attr("height", number(HEIGHT - EDGE - self.y(value)))
        })
    }

    /// A line through the known values, with a gap where one is unknown.
    fn path(&self, values: &[Option<f64>]) -> String {
        let mut path = Vec::new();
        let mut before: Option<f64> = None;
        for (minute, value) in values.iter().enumerate() {
            let at = value.map(|value| self.y(value).round());
            match (before, at) {
                (_, None) => {}
                (None, Some(at)) if minute == 0 => path.push(format!("M0 {at}")),
                // A short line, in case the next value is unknown.
                (None, Some(at)) => path.push(format!("M{}.5 {at}H{minute}", minute - 1)),
                (Some(_), Some(at)) => path.push(format!("L{minute} {at}")),
            }
            before = at;
        }
        path.concat()
    }
}

fn present(series: &Series) -> Option<f64> {
    series.values.last().copied().flatten()
}

/// A grey block over the last minutes, from the latest one with a value on.
fn unknown(series: &[Series]) -> Option<Element> {
    let latest = series.iter().filter_map(|one| one.values.iter().rposition(Option::is_some)).max();
    let from = match latest {
        Some(latest) if latest + 1 == SAMPLES => return None,
        Some(latest) => share(latest, SAMPLES - 1),
        None => 0.0,
    };
    let block = of_class("rect", "zu").attr("x", format!("{}%", number(from))).attr("width", "100%");
    Some(block.attr("y", "0").attr("height", number(HEIGHT)))
}

fn rule(class: &'static str, text: &'static str, y: f64, label: &str) -> [Element; 2] {
    let line = of_class("line", class)
        .attr("x1", "0")
        .attr("x2", "100%")
        .attr("y1", number(y))
        .attr("y2", number(y));
    [line, of_class("text", text).attr("x", "0").attr("y", number(y - 4.0)).with(label)]
}

#[expect(clippy::cast_precision_loss, reason = "an hour has 61 samples")]
fn share(minute: usize, of: usize) -> f64 {
    minute as f64 / of as f64 * 100.0
}

/// At most one decimal.
fn number(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::tree::html;
    use super::*;

    fn chart(scale: Scale) -> Chart {
        Chart {
            title: "Failures",
            unit: " %",
            digits: 1,
            top: 16.0,
            scale,
            warning: (5.0, "warning above 5 %".to_owned()),
            critical: (10.0, "critical above 10 %".to_owned()),
            level: Level::Ok,
            end_ms: 0,
        }
    }

    fn drawn(scale: Scale, values: Vec<Option<f64>>) -> String {
        html(&[chart(scale).draw(&[Series { name: String::new(), class: "s0", values }])], 0)
    }

    #[test]
    fn an_unknown_value_is_a_gap_and_never_zero() {
        let mut values = vec![Some(0.0); SAMPLES];
        values[10] = None;
        values[SAMPLES - 1] = None;
        let shown = drawn(Scale::Linear, values);
        assert!(shown.contains("L9 118M10.5 118H11L12 118"), "{shown}");
        assert!(shown.contains("class=\"zu\" x=\"98.3%\""), "the chart ends in a grey block: {shown}");
        assert!(shown.contains(">unknown</b>") && !shown.contains(">0.0 %</b>"), "{shown}");
    }

    #[test]
    fn a_value_above_the_scale_stays_at_its_edge_and_is_named() {
        let shown = drawn(Scale::Linear, vec![Some(99.0); SAMPLES]);
        assert!(shown.contains("M0 2L1 2") && shown.contains("above the scale"), "{shown}");
        assert!(shown.contains(">99.0 %</b>"), "the legend has the value: {shown}");
        assert!(!drawn(Scale::Linear, vec![Some(1.0); SAMPLES]).contains("above the scale"));
    }

    #[test]
    fn the_zones_lie_between_the_thresholds() {
        let shown = drawn(Scale::Linear, vec![None; SAMPLES]);
        assert!(shown.contains("class=\"zw\" x=\"0\" width=\"100%\" y=\"45.5\" height=\"36.2\""), "{shown}");
        assert!(shown.contains("class=\"zu\" x=\"0%\""), "nothing was measured: {shown}");
    }

    #[test]
    fn a_bar_is_drawn_for_each_minute_with_a_value() {
        let mut values = vec![Some(0.0); SAMPLES];
        values[60] = Some(8.0);
        assert_eq!(drawn(Scale::Bars, values).matches("class=\"bar\"").count(), 1);
    }
}
