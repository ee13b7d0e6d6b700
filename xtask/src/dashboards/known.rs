//! The series and labels that a query may use: those in the tables of docs/metrics.md.

use std::collections::{BTreeMap, BTreeSet};

/// Labels that Prometheus adds to every scraped series.
const SCRAPED: [&str; 3] = ["job", "group", "instance"];
/// The series in which a histogram is exported.
const HISTOGRAM: [&str; 3] = ["_bucket", "_sum", "_count"];
/// The label of the first of them.
const BOUND: &str = "le";

/// Series by their names, each with its labels.
pub struct Known(BTreeMap<String, BTreeSet<String>>);

impl Known {
    /// Reads the rows of all tables whose first cell is a name: `| name | type | unit | labels |`.
    pub fn of(page: &str) -> Self {
        let mut known = BTreeMap::new();
        for line in page.lines() {
            let cells: Vec<_> = line.split('|').map(str::trim).collect();
            let ["", name, kind, _unit, labels, ..] = cells.as_slice() else { continue };
            let Some(name) = quoted(name).next() else { continue };
            let labels: BTreeSet<_> = quoted(labels).chain(SCRAPED).map(str::to_owned).collect();
            if *kind == "histogram" {
                let mut labels = labels;
                labels.insert(BOUND.to_owned());
                known.extend(HISTOGRAM.map(|series| (format!("{name}{series}"), labels.clone())));
            } else {
                known.insert(name.to_owned(), labels);
            }
        }
        Self(known)
    }

    /// The labels of the series with that name.
    pub fn labels(&self, name: &str) -> Option<&BTreeSet<String>> {
        self.0.get(name)
    }
}

/// The words in backticks.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_and_prose_is_not() {
        let known = Known::of(
            "`prose` | about | metrics\n\n| name | type | unit | labels | since |\n|---|---|---|---|---|\n\
             | `a` | gauge | 1 |  | always |\n| `b` | gauge | 1 | `x`, `y` | always |\n| `c_s` | histogram | s |  | from 0 |\n",
        );
        let labels = |name: &str| {
            known.labels(name).map(|labels| labels.iter().map(String::as_str).collect::<Vec<_>>())
        };
        assert_eq!(labels("a"), Some(vec!["group", "instance", "job"]));
        assert_eq!(labels("b"), Some(vec!["group", "instance", "job", "x", "y"]));
        assert_eq!(labels("c_s_bucket"), Some(vec!["group", "instance", "job", "le"]));
        assert_eq!(labels("c_s"), None);
        assert_eq!(labels("prose"), None);
        assert_eq!(labels("name"), None);
    }
}
