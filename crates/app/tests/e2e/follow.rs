//! Follows the runbook of an alert: runs its commands and queries in order, and compares what they print with
//! the page.

use crate::command::Said;
use crate::monitoring::windows_faster;
use crate::runbook::{Block, Kind, Page};
use crate::wait::until;
use crate::watched::Watched;
use monitoring::rules::{ExportedRule, GROUPS};
use serde_json::Value;

/// Every alert.
pub fn rules() -> impl Iterator<Item = &'static ExportedRule> {
    GROUPS.iter().flat_map(|group| group.rules)
}

fn rule(alert: &str) -> &'static ExportedRule {
    rules().find(|rule| rule.alert == alert).unwrap_or_else(|| panic!("there is no alert {alert}"))
}

impl Watched {
    /// Waits until the condition of the alert, its query, is true; not for its duration.
    pub fn raised(&self, alert: &str) {
        until(&format!("the condition of {alert}"), || (!self.condition(alert)?.is_empty()).then_some(()));
    }

    /// Waits until the condition is false.
    pub fn over(&self, alert: &str) {
        until(&format!("the end of {alert}"), || self.condition(alert)?.is_empty().then_some(()));
    }

    fn condition(&self, alert: &str) -> Option<Vec<Value>> {
        self.series(&(rule(alert).expr)())
    }

    /// Waits until the condition of the alert is true, and follows its page. For pages on which the operator
    /// has nothing to do.
    pub fn follow(&mut self, alert: &'static str) {
        self.follow_with(alert, |_, _| {});
    }

    /// As [`Self::follow`]. `operator` acts at a step after the step's commands and queries have run.
    pub fn follow_with(&mut self, alert: &'static str, operator: impl FnMut(&mut Self, usize)) {
        self.raised(alert);
        self.steps(alert, operator);
    }

    /// Follows the page, whether or not the condition is true.
    pub fn steps(&mut self, alert: &'static str, mut operator: impl FnMut(&mut Self, usize)) {
        let runbook = rule(alert).runbook();
        let page = Page::read(runbook.rsplit('/').next().unwrap_or_default());
        let mut reader = Reader { alert, listing: None };
        for block in &page.before {
            reader.run(self, block);
        }
        for (number, step) in page.steps.iter().enumerate() {
            for block in step {
                reader.run(self, block);
            }
            operator(self, number + 1);
        }
        for block in &page.escalation {
            reader.run(self, block);
        }
        let pauses = |block: &Block| block.text.starts_with("coordinator signals pause");
        if page.blocks().any(pauses) {
            // The kill switch must be off at the next page.
            self.group.carry_out(&["signals", "resume", "--reason", "the next page"]);
        }
        self.followed.push(alert);
    }

    /// Asserts that these pages were followed and that no other fault was found.
    pub fn finish(self, pages: &[&str]) {
        assert_eq!(self.followed, pages);
        self.group.finish();
    }

    /// Prometheus' answer to a query of a rule or a page; `None` while it does not answer.
    fn series(&self, query: &str) -> Option<Vec<Value>> {
        self.monitoring.query(&windows_faster(query))?.as_array().cloned()
    }
}

/// The current position on a page.
struct Reader {
    alert: &'static str,
    /// Arguments of the last command that listed signals.
    listing: Option<Vec<String>>,
}

impl Reader {
    fn run(&mut self, watched: &Watched, block: &Block) {
        let what = format!("what the page about {} says of `{}`", self.alert, block.text);
        match block.kind {
            Kind::Query => Self::wait(&what, || {
                let series = watched.series(&block.text).ok_or("no answer".to_owned())?;
                let printed: Vec<String> = series.iter().map(written).collect();
                let values: Vec<f64> = series.iter().filter_map(value).collect();
                let printed = printed.join("\n");
                block.prints.of_query(&printed, &values).then_some(()).ok_or(printed)
            }),
            Kind::Command => self.command(watched, block, &what),
        }
    }

    fn command(&mut self, watched: &Watched, block: &Block, what: &str) {
        let mut arguments = words(&block.text);
        assert_eq!(arguments.remove(0), "coordinator", "{what}");
        let mut prints = block.prints.clone();
        if arguments.iter().any(|word| PLACES.contains(&word.as_str())) {
            let signal = self.signal(watched, what);
            arguments = arguments.iter().map(|text| signal.fill(text)).collect();
            prints = prints.filled(|text| signal.fill(text));
        }
        if arguments.iter().any(|word| word == INSTANCE) {
            let gone = gone(watched, what);
            arguments.iter_mut().filter(|word| *word == INSTANCE).for_each(|word| word.clone_from(&gone));
            prints = prints.filled(|text| text.replace(INSTANCE, &gone));
        }
        if arguments.starts_with(&["signals".to_owned(), "list".to_owned()]) {
            self.listing = Some(arguments.clone());
        }
        let run = || {
            let said = call(watched, &arguments);
            let printed = format!("{}\n{}", said.stdout, said.stderr);
            assert!(!printed.contains("panicked"), "{what}: {said:?}");
            prints.of_command(&printed, said.code).then_some(()).ok_or(format!("{said:?}"))
        };
        if arguments.iter().any(|word| word == "--reason") {
            // The command changes something, so it is not repeated.
            run().unwrap_or_else(|printed| panic!("not {what}: {printed}"));
        } else {
            Self::wait(what, run);
        }
    }

    /// Repeats a command that only reads until its sentence is true.
    fn wait(what: &str, mut attempt: impl FnMut() -> Result<(), String>) {
        let mut last = String::new();
        until(what, || match attempt() {
            Ok(()) => Some(()),
            Err(printed) => {
                if printed != last {
                    eprintln!("not yet {what}: {printed}");
                    last = printed;
                }
                None
            }
        });
    }

    /// The first signal in the list that the page printed last, read again now.
    fn signal(&self, watched: &Watched, what: &str) -> Filled {
        let listing = self.listing.as_ref().unwrap_or_else(|| panic!("{what}: no signals were listed"));
        let listing: Vec<String> = listing.iter().cloned().chain(["--json".to_owned()]).collect();
        let first = call(watched, &listing).json()["signals"][0].take();
        assert!(first.is_object(), "{what}: no signal is listed by {listing:?}");
        let text = |name: &str| first[name].as_str().unwrap_or_default().to_owned();
        Filled([text("id"), first["attempt"].to_string(), text("instrument")])
    }
}

/// Placeholders of the page for the id, the attempt and the instrument of a signal.
const PLACES: [&str; 3] = ["ID", "N", "NAME"];

/// Placeholder of the page for an instance that is gone.
const INSTANCE: &str = "INSTANCE";

/// The first instance that is gone.
fn gone(watched: &Watched, what: &str) -> String {
    until(&format!("an instance is gone, for {what}"), || {
        let status = watched.group.command(&["status", "--json"]).json();
        let mut instances = status["instances"].as_array()?.iter();
        instances.find(|one| one["state"] == "gone")?["id"].as_str().map(str::to_owned)
    })
}

/// Values of the placeholders.
struct Filled([String; 3]);

impl Filled {
    fn fill(&self, text: &str) -> String {
        let word = |word: &str| {
            let place = PLACES.iter().position(|place| *place == word);
            place.map_or_else(|| word.to_owned(), |place| self.0[place].clone())
        };
        text.split(' ').map(word).collect::<Vec<_>>().join(" ")
    }
}

fn call(watched: &Watched, arguments: &[String]) -> Said {
    watched.group.connected(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

/// The words of a command as a shell splits them: by spaces, except in double quotes.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (at, part) in command.split('"').enumerate() {
        if at % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

/// A series in Prometheus' notation, with its value.
fn written(series: &Value) -> String {
    let labels = series["metric"].as_object().into_iter().flatten();
    // JSON quotes a text as Prometheus does.
    let label = |(name, value): (&String, &Value)| format!("{name}={value}");
    let labels: Vec<String> = labels.map(label).collect();
    format!("{{{}}} {}", labels.join(","), series["value"][1].as_str().unwrap_or_default())
}

fn value(series: &Value) -> Option<f64> {
    series["value"][1].as_str()?.parse().ok()
}
