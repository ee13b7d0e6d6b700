//! `coordinator runbook`: the runbook of an alert in the terminal, as Markdown. Needs no store and no configuration.

use super::table::{table, visible};
use crate::failure::Failure;
use crate::output;
use adapter_http::{runbook as find, runbooks};

/// Prints the runbook of that alert, or the list of all alerts.
pub fn runbook(name: Option<&str>) -> Result<(), Failure> {
    let Some(name) = name else {
        let rows: Vec<Vec<String>> = runbooks()
            .map(|(alert, severity, page)| vec![alert.to_owned(), severity.to_owned(), page])
            .collect();
        return output::line(table(&["ALERT", "SEVERITY", "PAGE"], &rows));
    };
    match find(name) {
        Some(page) => output::write(page),
        None => Err(Failure::usage(format!(
            "there is no runbook {}; `coordinator runbook` lists them",
            visible(name)
        ))),
    }
}
