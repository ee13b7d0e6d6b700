//! The section about long runs: the records of `cargo xtask nightly` that are next to the other records, finished or
//! not. It states exactly what was run, and nothing about a missing record.

use super::page::number;
use crate::nightly::Campaign;
use serde_json::Value;
use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// The file of each campaign, its name and the unit of its parts.
const RECORDS: [(Campaign, &str, &str, &str); 2] = [
    (Campaign::Sim, "nightly-sim.json", "simulation", "seeds"),
    (Campaign::Chaos, "nightly-chaos.json", "chaos", "faults"),
];
const HEAD: &str = "\n## Long runs\n\n\
    By `cargo xtask nightly`, in parts; a part that was interrupted is played again from its beginning and counts once.\n\n\
    | campaign | commit | parts | from .. to | faults | began | ended | machine | result | interrupted parts |\n\
    |---|---|---|---|---|---|---|---|---|---|\n";

/// The section, or nothing without a record.
pub fn section(folder: &Path) -> Result<String, String> {
    let mut text = String::new();
    for (campaign, file, name, unit) in RECORDS {
        let path = folder.join(file);
        let record = match fs::read_to_string(&path) {
            Ok(record) => record,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(format!("{}: {error}", path.display())),
        };
        let record = serde_json::from_str(&record).map_err(|error| format!("{}: {error}", path.display()))?;
        text.push_str(
            &line(&record, campaign, name, unit).ok_or(format!("{}: no part is counted", path.display()))?,
        );
    }
    Ok(if text.is_empty() { text } else { format!("{HEAD}{text}") })
}

fn line(record: &Value, campaign: Campaign, name: &str, unit: &str) -> Option<String> {
    let parts = record["parts"].as_array()?;
    let (first, last) = (parts.first()?, parts.last()?);
    let word = |value: &Value| value.as_str().unwrap_or("unknown").to_owned();
    let mut machines: Vec<String> = parts.iter().map(|part| word(&part["machine"])).collect();
    machines.sort();
    machines.dedup();
    let failed = parts.iter().find(|part| part["result"] != "nothing broke");
    let result = word(&failed.unwrap_or(last)["result"]);
    let interrupted = record["interrupted"].as_array().map_or(0, Vec::len);
    let mut line = String::new();
    // Writing to a String does not fail.
    let _ = writeln!(
        line,
        "| {name} | {} | {} | {unit} {} .. {} | {} of {} | {} | {} | {} | {result} | {interrupted} |",
        word(&record["of"]["commit"]),
        parts.len(),
        number(&first["from"]),
        number(&last["to"]),
        number(&record["totals"]["faults_total"]),
        number(&campaign.faults().into()),
        word(&first["began"]),
        word(&last["ended"]),
        machines.join("; "),
    );
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn record(results: [&str; 2]) -> Value {
        let part = |(from, result): (u64, &&str)| {
            json!({ "from": from, "to": from + 9, "began": format!("began {from}"), "ended": format!("ended {from}"),
                    "machine": "2 processors", "result": result })
        };
        let parts: Vec<Value> = [1, 11].into_iter().zip(&results).map(part).collect();
        json!({ "of": { "commit": "abc" }, "parts": parts, "interrupted": [{}], "totals": { "faults_total": 1234 } })
    }

    #[test]
    fn a_line_says_what_was_run_and_what_came_of_it() {
        assert_eq!(
            line(&record(["nothing broke", "nothing broke"]), Campaign::Chaos, "chaos", "faults").as_deref(),
            Some(
                "| chaos | abc | 2 | faults 1 .. 20 | 1,234 of 20,000 | began 1 | ended 11 | 2 processors | nothing broke | 1 |\n"
            )
        );
        let failed =
            line(&record(["FAILED: exit status: 1", "nothing broke"]), Campaign::Sim, "sim", "seeds")
                .unwrap();
        assert!(failed.contains("| FAILED: exit status: 1 |"), "{failed}");
        assert_eq!(line(&json!({ "parts": [] }), Campaign::Sim, "sim", "seeds"), None);
    }

    #[test]
    fn without_records_there_is_no_section() {
        assert_eq!(section(Path::new("/nowhere")), Ok(String::new()));
    }
}
