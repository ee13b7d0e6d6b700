//! [`Page`]: the runbook of an alert, with its commands and queries, and its sentences about what they print.
//! CONTRIBUTING.md (A new alert) describes the form.

use std::fs;
use std::path::Path;

/// Directory of the pages.
const PAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/runbooks");

/// The blocks of a page, in order.
#[derive(Debug)]
pub struct Page {
    /// Blocks before the steps.
    pub before: Vec<Block>,
    /// Blocks of each step.
    pub steps: Vec<Vec<Block>>,
    /// Blocks under "When to escalate".
    pub escalation: Vec<Block>,
}

/// A command or a query.
#[derive(Debug)]
pub struct Block {
    pub kind: Kind,
    pub text: String,
    /// The sentence about what it prints.
    pub prints: Prints,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Command,
    Query,
}

impl Page {
    /// Reads the page with that name in docs/runbooks.
    pub fn read(file: &str) -> Self {
        let path = Path::new(PAGES).join(file);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self::parse(&text).unwrap_or_else(|fault| panic!("{file}: {fault}"))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let (before, rest) = text.split_once("\n## Steps\n").ok_or("it has no steps")?;
        let (steps, escalation) = rest.split_once("\n## When to escalate\n").ok_or("it does not escalate")?;
        let mut numbered: Vec<String> = Vec::new();
        for line in steps.lines() {
            if line.starts_with(&format!("{}. ", numbered.len() + 1)) {
                numbered.push(String::new());
            }
            if let Some(step) = numbered.last_mut() {
                step.extend([line, "\n"]);
            }
        }
        let steps = numbered.iter().map(|step| blocks(step)).collect::<Result<_, _>>()?;
        Ok(Self { before: blocks(before)?, steps, escalation: blocks(escalation)? })
    }

    /// All of it.
    pub fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.before.iter().chain(self.steps.iter().flatten()).chain(&self.escalation)
    }
}

fn blocks(text: &str) -> Result<Vec<Block>, String> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((_, from)) = rest.split_once("```") {
        let (block, after) = from.split_once("```").ok_or("a block has no end")?;
        let (language, block) = block.split_once('\n').ok_or("a block is empty")?;
        let kind = match language {
            "sh" => Kind::Command,
            "promql" => Kind::Query,
            other => return Err(format!("a block of {other:?} is neither a command nor a query")),
        };
        let text = block.split_whitespace().collect::<Vec<_>>().join(" ");
        let prints = Prints::parse(after.trim_start(), kind).map_err(|fault| format!("`{text}`: {fault}"))?;
        blocks.push(Block { kind, text, prints });
        rest = after;
    }
    Ok(blocks)
}

/// What a page says that a command or a query prints.
#[derive(Debug, Clone, PartialEq)]
pub struct Prints {
    /// One of these alternatives is true.
    either: Vec<Parts>,
    /// Exit code of the command.
    code: i32,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Parts {
    /// Texts that are somewhere on a line. `...` stands for any text.
    texts: Vec<String>,
    /// Conditions on the values of a query.
    values: Vec<Comparison>,
}

/// Comparison of a value with a number.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Comparison {
    sign: &'static str,
    number: f64,
}

/// Longer signs come first, because each is compared with the beginning of the text.
const SIGNS: [&str; 4] = ["<=", ">=", "<", ">"];
const EQUAL: &str = "";
/// Separator of alternatives.
const ALTERNATIVE: &str = ", or ";

impl Comparison {
    /// `None` for any other text.
    fn parse(text: &str) -> Option<Self> {
        let sign = SIGNS.into_iter().find(|sign| text.starts_with(sign)).unwrap_or(EQUAL);
        let number = text[sign.len()..].trim().parse().ok()?;
        Some(Self { sign, number })
    }

    fn holds(self, value: f64) -> bool {
        match self.sign {
            "<=" => value <= self.number,
            ">=" => value >= self.number,
            "<" => value < self.number,
            ">" => value > self.number,
            _ => (value - self.number).abs() < f64::EPSILON,
        }
    }
}

impl Prints {
    /// Of the first sentence of the text that follows a block.
    fn parse(text: &str, kind: Kind) -> Result<Self, String> {
        let sentence = sentence(text);
        if !sentence.starts_with("Prints ") {
            return Err(format!("no sentence after it begins with `Prints`, but {sentence:?}"));
        }
        let code = match sentence.split_once("exits with ") {
            Some((_, code)) => code.split(' ').next().unwrap_or_default().trim_end_matches(',').parse(),
            None => Ok(0),
        };
        let code = code.map_err(|_| format!("what it exits with is not a number: {sentence:?}"))?;
        let either: Vec<Parts> = sentence.split(ALTERNATIVE).map(|part| Parts::parse(part, kind)).collect();
        let is_vague = |(parts, said): (&Parts, &str)| {
            *parts == Parts::default() && !(kind == Kind::Query && said.contains("nothing"))
        };
        if either.iter().zip(sentence.split(ALTERNATIVE)).any(is_vague) {
            return Err(format!("nothing can be looked for: {sentence:?}"));
        }
        Ok(Self { either, code })
    }

    /// The page with the placeholders replaced by `fill`.
    pub fn filled(&self, fill: impl Fn(&str) -> String) -> Self {
        let fill = |parts: &Parts| Parts {
            texts: parts.texts.iter().map(|text| fill(text)).collect(),
            values: parts.values.clone(),
        };
        Self { either: self.either.iter().map(fill).collect(), code: self.code }
    }

    /// Whether a command printed that and ended so.
    pub fn of_command(&self, printed: &str, code: Option<i32>) -> bool {
        let is_there = |parts: &Parts| parts.texts.iter().all(|text| is_in(text, printed));
        code == Some(self.code) && self.either.iter().any(is_there)
    }

    /// Whether a query printed that: its series as text, and their values.
    pub fn of_query(&self, printed: &str, values: &[f64]) -> bool {
        self.either.iter().any(|parts| parts.of_query(printed, values))
    }
}

impl Parts {
    fn parse(part: &str, kind: Kind) -> Self {
        let mut parts = Self::default();
        for quoted in part.split('`').skip(1).step_by(2) {
            match Comparison::parse(quoted).filter(|_| kind == Kind::Query) {
                Some(value) => parts.values.push(value),
                None => parts.texts.push(quoted.to_owned()),
            }
        }
        parts
    }

    /// Nothing, if nothing is said; otherwise every value is one of those, and each of those is a value.
    fn of_query(&self, printed: &str, values: &[f64]) -> bool {
        if *self == Self::default() {
            return values.is_empty();
        }
        let said = |value: &f64| self.values.iter().any(|comparison| comparison.holds(*value));
        let is_a_value = |comparison: &Comparison| values.iter().any(|value| comparison.holds(*value));
        !values.is_empty()
            && self.texts.iter().all(|text| is_in(text, printed))
            && (self.values.is_empty() || values.iter().all(said))
            && self.values.iter().all(is_a_value)
    }
}

/// The text up to a full stop or a colon that is not quoted.
fn sentence(text: &str) -> String {
    let paragraph = text.split("\n\n").next().unwrap_or_default();
    let paragraph = paragraph.split_whitespace().collect::<Vec<_>>().join(" ") + " ";
    let mut quoted = false;
    let end = paragraph.char_indices().find(|(at, letter)| {
        quoted ^= *letter == '`';
        !quoted && matches!(letter, '.' | ':') && paragraph[at + 1..].starts_with(' ')
    });
    end.map_or(paragraph.as_str(), |(at, _)| &paragraph[..at]).trim().to_owned()
}

/// Whether a line contains the text, with any text in place of `...`, and any number of spaces.
fn is_in(text: &str, printed: &str) -> bool {
    let on_line = |line: &str| {
        let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut rest = line.as_str();
        text.split("...").map(str::trim).all(|part| match rest.find(part) {
            Some(at) => {
                rest = &rest[at + part.len()..];
                true
            }
            None => false,
        })
    };
    printed.lines().any(on_line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prints(text: &str, kind: Kind) -> Prints {
        Prints::parse(text, kind).expect("a sentence")
    }

    #[test]
    fn every_page_says_what_each_of_its_blocks_prints() {
        let mut pages = 0;
        for entry in Path::new(PAGES).read_dir().expect("the pages") {
            let name = entry.expect("an entry").file_name();
            let page = Page::read(name.to_str().expect("a name"));
            assert!(page.blocks().next().is_some(), "{name:?} has nothing to run");
            pages += 1;
        }
        assert!(pages > 0);
    }

    #[test]
    fn words_in_backticks_are_printed_and_the_exit_code_is_the_one_that_is_said() {
        let said =
            prints("Prints one `active` instance and `in doubt ...,\n   done`. Not `this`.", Kind::Command);
        assert!(said.of_command("a  active\nin doubt 1,  done", Some(0)));
        assert!(!said.of_command("a  active\nin doubt 1,  done", Some(1)));
        assert!(!said.of_command("a  active\nin doubt 1,\ndone", Some(0)), "on one line");
        assert!(!said.of_command("in doubt 1, done", Some(0)));
        let said = prints("Prints `a: b`, or `c`, and exits with 3: `d`", Kind::Command);
        assert!(said.of_command("a: b", Some(3)) && said.of_command("c", Some(3)));
        assert!(!said.of_command("d", Some(3)));
    }

    #[test]
    fn every_value_is_one_that_is_said_and_each_of_those_is_there() {
        let said = prints("Prints `1` for one, and `0` for the others.", Kind::Query);
        assert!(said.of_query("", &[0.0, 1.0, 0.0]));
        assert!(!said.of_query("", &[0.0, 0.0]) && !said.of_query("", &[1.0]) && !said.of_query("", &[]));
        assert!(!said.of_query("", &[0.0, 1.0, 2.0]));
        let said = prints("Prints `> 0.5`, or nothing.", Kind::Query);
        assert!(said.of_query("", &[]) && said.of_query("", &[0.6]) && !said.of_query("", &[0.5]));
        let said = prints("Prints the age for each `instance`.", Kind::Query);
        assert!(said.of_query("x{instance=\"a\"} 5", &[5.0]) && !said.of_query("x{} 5", &[5.0]));
    }

    #[test]
    fn a_block_about_which_nothing_can_be_judged_is_a_fault() {
        let page = |after: &str| {
            format!(
                "# A\n\n## Steps\n\n1. How?\n\n   ```sh\n   x y\n   ```\n{after}\n\n## When to escalate\n"
            )
        };
        assert!(Page::parse(&page("\n   Prints `z`.")).is_ok());
        for after in ["", "\n   Then `z`.", "\n   Prints the names.", "\n   Prints the names. `z`"] {
            assert!(Page::parse(&page(after)).is_err(), "{after}");
        }
    }
}
