//! The record of a campaign in parts: a JSON file that is replaced as a whole, so that it is complete
//! whenever this process is killed. A lock on a file next to it allows only one process at a time.

use super::directory_of;
use serde_json::{Map, Value, json};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// A part that has ended.
pub struct Done {
    /// Whether there was a violation.
    pub result: String,
    /// The counts of the program.
    pub figures: Value,
}

/// See the [module](self).
pub struct Record {
    path: PathBuf,
    directory: PathBuf,
    value: Value,
    /// Held until this is dropped.
    _lock: File,
}

impl Record {
    /// Opens the record, or begins one. A part that was under way when the last run ended becomes an
    /// interrupted one.
    ///
    /// # Errors
    /// If another process has it, or it is of another campaign, commit, size of parts or first seed.
    pub fn open(
        path: &Path,
        campaign: &str,
        commit: &str,
        part: u64,
        first: u64,
        now: &str,
    ) -> Result<Self, String> {
        let directory = directory_of(path)?;
        let lock_path = path.with_extension("lock");
        let problem = |error: std::io::Error| format!("{}: {error}", lock_path.display());
        let lock = File::create(&lock_path).map_err(problem)?;
        if lock.try_lock().is_err() {
            return Err(format!("another process is running the parts of {}", path.display()));
        }
        let identity = json!({ "campaign": campaign, "commit": commit, "part_size": part, "first": first });
        let value = match fs::read_to_string(path) {
            Ok(text) => {
                serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                json!({ "of": identity, "parts": [], "interrupted": [], "running": null, "totals": {} })
            }
            Err(error) => return Err(format!("{}: {error}", path.display())),
        };
        if value["of"] != identity {
            let (has, wants) = (&value["of"], &identity);
            return Err(format!(
                "{} is a record of {has}, not of {wants}: go on with it there, or name another file by --record",
                path.display()
            ));
        }
        let mut record = Self { path: path.to_owned(), directory, value, _lock: lock };
        record.interrupt(now)?;
        Ok(record)
    }

    /// Directory for the files of parts.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn parts(&self) -> &[Value] {
        self.value["parts"].as_array().map_or(&[], Vec::as_slice)
    }

    fn number(&self, name: &str) -> u64 {
        self.value["of"][name].as_u64().unwrap_or_default()
    }

    /// The sums of all counted parts.
    pub fn faults(&self) -> u64 {
        self.value["totals"]["faults_total"].as_u64().unwrap_or_default()
    }

    /// The first and the last seed (simulation) or fault (chaos) of the next part.
    pub fn next(&self) -> (u64, u64) {
        let begin = if self.value["of"]["campaign"] == "sim" { self.number("first") } else { 1 };
        let from = self.parts().last().and_then(|part| part["to"].as_u64()).map_or(begin, |to| to + 1);
        (from, from + self.number("part_size") - 1)
    }

    /// The seed from which a part of chaos is drawn.
    pub fn seed_of_the_next(&self) -> u64 {
        self.number("first") + u64::try_from(self.parts().len()).unwrap_or(u64::MAX)
    }

    /// A violation ends a record: no further part follows.
    pub fn refuse_after_a_failure(&self) -> Result<(), String> {
        match self.parts().iter().find(|part| part["result"] != "nothing broke") {
            None => Ok(()),
            Some(part) => Err(format!(
                "the part from {} to {} has found something ({}), and nothing is run after it: see {}",
                part["from"],
                part["to"],
                part["result"],
                self.path.display()
            )),
        }
    }

    /// Records the begin of a part.
    pub fn begin(&mut self, now: &str, machine: &str) -> Result<(), String> {
        let (from, to) = self.next();
        let mut running = json!({ "from": from, "to": to, "began": now, "machine": machine });
        if self.value["of"]["campaign"] == "chaos" {
            running["seed"] = self.seed_of_the_next().into();
        }
        self.value["running"] = running;
        self.write()
    }

    /// Records the end of the part: from now on it counts.
    pub fn count(&mut self, done: Done, now: &str) -> Result<(), String> {
        let mut part = self.value["running"].take();
        part["ended"] = now.into();
        part["result"] = done.result.into();
        add(&mut self.value["totals"], &done.figures);
        part["figures"] = done.figures;
        push(&mut self.value["parts"], part);
        self.write()
    }

    fn interrupt(&mut self, now: &str) -> Result<(), String> {
        let mut part = self.value["running"].take();
        if part.is_null() {
            return Ok(());
        }
        part["found_interrupted"] = now.into();
        push(&mut self.value["interrupted"], part);
        self.write()
    }

    /// The record as a line to print.
    pub fn state(&self) -> String {
        let (from, _) = self.next();
        let interrupted = self.value["interrupted"].as_array().map_or(0, Vec::len);
        format!(
            "{}, commit {}: {} parts counted, {} faults; {interrupted} interrupted parts not counted; next from {from}; {}",
            self.value["of"]["campaign"].as_str().unwrap_or_default(),
            self.value["of"]["commit"].as_str().unwrap_or_default(),
            self.parts().len(),
            self.faults(),
            self.path.display()
        )
    }

    /// Replaces the file. After a crash of the machine the file is the old or the new one.
    fn write(&self) -> Result<(), String> {
        let new = self.path.with_extension("new");
        let problem = |error: std::io::Error| format!("{}: {error}", new.display());
        let mut file = File::create(&new).map_err(problem)?;
        file.write_all(format!("{:#}\n", self.value).as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(problem)?;
        fs::rename(&new, &self.path).map_err(problem)
    }
}

fn push(list: &mut Value, item: Value) {
    if let Some(list) = list.as_array_mut() {
        list.push(item);
    }
}

/// Adds counts, also those in objects (faults by their kind). A value that is not a whole number is left out.
fn add(totals: &mut Value, figures: &Value) {
    let Some(figures) = figures.as_object() else { return };
    if !totals.is_object() {
        *totals = Value::Object(Map::new());
    }
    for (name, figure) in figures {
        match (figure.as_u64(), figure.is_object()) {
            (Some(number), _) => totals[name] = (totals[name].as_u64().unwrap_or_default() + number).into(),
            (None, true) => add(&mut totals[name], figure),
            (None, false) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-11-30T00:00:00Z";

    /// A directory that is removed at the end.
    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Self {
            let place =
                std::env::temp_dir().join(format!("coordinator-nightly-{}-{name}", std::process::id()));
            Self(place)
        }

        fn open(&self, campaign: &str, commit: &str) -> Result<Record, String> {
            Record::open(&self.0.join("record.json"), campaign, commit, 10, 5, NOW)
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            // A test that failed before the first record leaves none.
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn done(faults: u64) -> Done {
        let figures = json!({ "faults_total": faults, "faults": { "kill": faults }, "ratio": 0.5 });
        Done { result: "nothing broke".to_owned(), figures }
    }

    #[test]
    fn a_part_that_was_interrupted_is_played_again_and_counted_once() {
        let place = Place::new("interrupted");
        let mut record = place.open("sim", "abc").unwrap();
        assert_eq!(record.next(), (5, 14));
        record.begin(NOW, "a machine").unwrap();
        record.count(done(100), NOW).unwrap();
        assert_eq!(record.next(), (15, 24));
        record.begin(NOW, "a machine").unwrap();
        // The test kills the part here, after it has found something.
        drop(record);
        let mut record = place.open("sim", "abc").unwrap();
        assert_eq!((record.next(), record.faults()), ((15, 24), 100));
        assert_eq!(record.value["interrupted"][0]["from"], 15);
        record.begin(NOW, "a machine").unwrap();
        record.count(done(50), NOW).unwrap();
        drop(record);
        let record = place.open("sim", "abc").unwrap();
        assert_eq!((record.faults(), record.parts().len()), (150, 2));
        assert_eq!(record.value["totals"]["faults"]["kill"], 150);
        assert_eq!(record.value["totals"]["ratio"], Value::Null, "a ratio has no sum");
        let bounds = |part: &Value| (part["from"].as_u64(), part["to"].as_u64());
        let parts: Vec<_> = record.parts().iter().map(bounds).collect();
        assert_eq!(parts, [(Some(5), Some(14)), (Some(15), Some(24))]);
        assert_eq!(record.value["interrupted"].as_array().map(Vec::len), Some(1));
    }

    #[test]
    fn a_record_has_one_process_and_one_commit() {
        let place = Place::new("commit");
        let record = place.open("chaos", "abc").unwrap();
        assert_eq!((record.next(), record.seed_of_the_next()), ((1, 10), 5));
        assert!(place.open("chaos", "abc").is_err_and(|problem| problem.contains("another process")));
        let mut record = record;
        record.begin(NOW, "a machine").unwrap();
        record.count(done(10), NOW).unwrap();
        assert_eq!((record.next(), record.seed_of_the_next()), ((11, 20), 6));
        drop(record);
        for (campaign, commit) in [("chaos", "def"), ("sim", "abc")] {
            assert!(place.open(campaign, commit).is_err_and(|problem| problem.contains("is a record of")));
        }
    }

    #[test]
    fn nothing_is_run_after_a_part_that_found_something() {
        let place = Place::new("failure");
        let mut record = place.open("sim", "abc").unwrap();
        record.begin(NOW, "a machine").unwrap();
        assert_eq!(record.refuse_after_a_failure(), Ok(()));
        record.count(Done { result: "FAILED: exit status: 1".to_owned(), ..done(7) }, NOW).unwrap();
        let refused = record.refuse_after_a_failure().unwrap_err();
        assert!(refused.contains("from 5 to 14"), "{refused}");
    }
}
