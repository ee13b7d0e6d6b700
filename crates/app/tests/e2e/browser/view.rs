//! [`View`]: the page of one instance in a window of the browser.

use crate::wait::until;
use serde_json::{Value, json};
use std::path::PathBuf;
use testkit::browser::{Browser, Extent, Scripts, Window};

/// Functions that every script of a test may call.
const LIBRARY: &str = include_str!("library.js");
/// Runs in the page before its own scripts: notes what the policy blocks and what its scripts fail at.
const WATCH: &str = "
    window.violations = [];
    addEventListener('securitypolicyviolation', event =>
        violations.push(`${event.effectiveDirective} ${event.blockedURI} ${event.sample}`));
    window.failures = [];
    addEventListener('error', event => failures.push(event.message));
    addEventListener('unhandledrejection', event => failures.push(String(event.reason)));";

/// A window with a page.
pub struct View<'a> {
    browser: &'a Browser,
    window: Window,
}

impl<'a> View<'a> {
    /// Opens the page at this address (host and port) in a new window of 1440 by 900 pixels.
    pub fn open(browser: &'a Browser, address: &str) -> Self {
        let view = Self { browser, window: browser.new_window() };
        view.go(&format!("http://{address}/"));
        view
    }

    /// Opens another address in this window.
    pub fn go(&self, url: &str) {
        let browser = self.browser();
        browser.run_first(WATCH);
        browser.resize(1440, 900);
        browser.open(url);
    }

    /// The browser, switched to this window.
    pub fn browser(&self) -> &'a Browser {
        self.browser.switch_to(&self.window);
        self.browser
    }

    /// Opens the same address again, without scripts.
    pub fn reload_without_scripts(&self) {
        let browser = self.browser();
        browser.scripts(Scripts::Blocked);
        let address = browser.run("return location.href", &[]);
        browser.open(address.as_str().expect("an address"));
    }

    /// Runs a script with the functions of the library.
    #[track_caller]
    pub fn run(&self, script: &str) -> Value {
        self.run_with(script, &[])
    }

    /// Runs a script with arguments.
    #[track_caller]
    pub fn run_with(&self, script: &str, arguments: &[Value]) -> Value {
        self.browser().run(&format!("{LIBRARY}\n{script}"), arguments)
    }

    /// Runs a script that returns a list of texts.
    #[track_caller]
    pub fn list(&self, script: &str) -> Vec<String> {
        let list = self.run(script);
        let list = list.as_array().unwrap_or_else(|| panic!("{script} returns {list}")).iter();
        list.map(|one| one.as_str().map_or_else(|| one.to_string(), str::to_owned)).collect()
    }

    /// The sentence that the page shows, with every age as `{age}`.
    pub fn sentence(&self) -> String {
        self.run("return words($('sentence'))").as_str().expect("a text").to_owned()
    }

    /// Waits until the sentence, with `{age}` and `{time}`, is this one.
    pub fn wait_sentence(&self, wanted: &str) {
        until(&format!("the page says {wanted:?}"), || {
            (without_times(&self.sentence()) == wanted).then_some(())
        });
    }

    /// Waits until a condition in JavaScript is true.
    pub fn wait(&self, condition: &str) {
        until(&format!("{condition} in the page"), || {
            (self.run(&format!("return Boolean({condition})")) == true).then_some(())
        });
    }

    /// Marks the document. A document that was loaded again has no mark.
    pub fn mark(&self) {
        self.run("window.mark = 'the first one'");
    }

    /// Asserts that the document is still the one that was marked.
    pub fn assert_not_reloaded(&self) {
        assert_eq!(self.run("return window.mark"), "the first one", "the page was loaded again");
    }

    /// Asserts that the policy has blocked nothing and that no script has failed.
    pub fn assert_no_violation(&self) {
        assert_eq!(self.run("return { violations, failures }"), json!({ "violations": [], "failures": [] }));
    }

    /// Waits until the page shows what the server would write now.
    pub fn wait_as_fresh(&self) {
        let mut last = Vec::new();
        let began = std::time::Instant::now();
        while began.elapsed() < crate::wait::PATIENCE {
            last = self.list("return differences()");
            if last.is_empty() {
                return;
            }
        }
        panic!("the page differs from a fresh one:\n{}", last.join("\n"));
    }

    /// Keeps two pictures as artefacts: `NAME.png` of the first screen, and `NAME-whole.png` of the whole page.
    pub fn keep(&self, name: &str) {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("../test-artefacts/page");
        std::fs::create_dir_all(&folder).expect("a folder in the target directory");
        self.run("scrollTo(0, 0)");
        for (extent, name) in [(Extent::Window, name.to_owned()), (Extent::Page, format!("{name}-whole"))] {
            std::fs::write(folder.join(format!("{name}.png")), self.browser().screenshot(extent))
                .expect("a picture");
        }
    }
}

/// The sentence with every time as `{time}`.
pub fn without_times(sentence: &str) -> String {
    // 2026-11-30 02:44:05 UTC
    const LENGTH: usize = 23;
    let mut text = String::new();
    let mut rest = sentence;
    while let Some(at) = rest.find(" UTC") {
        let end = at + " UTC".len();
        let Some(start) = end.checked_sub(LENGTH) else { break };
        text.push_str(&rest[..start]);
        text.push_str("{time}");
        rest = &rest[end..];
    }
    text + rest
}

/// Whether a text is this sentence with an age in words in place of each `{age}`.
pub fn is_same_but_ages(sentence: &str, text: &str) -> bool {
    let mut parts = sentence.split("{age}");
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    for part in parts {
        match rest[age_len(rest)..].strip_prefix(part) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    rest.is_empty()
}

/// Length of the age at the start of a text: numbers with their units.
fn age_len(text: &str) -> usize {
    let (mut length, mut at) = (0, 0);
    for word in text.split_inclusive(' ') {
        let bare = word.trim_end_matches([' ', '.', ':', ',', ';']);
        if bare.parse::<f64>().is_err() && !["s", "min", "h", "d"].contains(&bare) {
            break;
        }
        length = at + bare.len();
        if bare.len() < word.trim_end().len() {
            break;
        }
        at += word.len();
    }
    length
}

#[test]
fn times_and_ages_are_found_and_nothing_else() {
    let shown = "a has led since 2026-11-30 02:44:05 UTC (epoch 41). Redis has not answered for {age}; the leader does not change.";
    assert_eq!(
        without_times(shown),
        "a has led since {time} (epoch 41). Redis has not answered for {age}; the leader does not change."
    );
    let said = |age: &str| shown.replace("{age}", age);
    for age in ["0 s", "0.4 s", "4 min 19 s", "2 h 33 min"] {
        assert!(is_same_but_ages(shown, &said(age)), "{age}");
    }
    assert!(!is_same_but_ages(shown, &said("long")));
    assert!(!is_same_but_ages(shown, &said("4 s or so")));
    assert!(!is_same_but_ages(shown, &said("4 s").replace("41", "42")));
    assert!(is_same_but_ages("c is silent for {age}.", "c is silent for 4 min 19 s."));
    assert!(!is_same_but_ages("c is silent for {age}.", "c is silent for 4 s. d too."));
}
