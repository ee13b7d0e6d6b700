//! The word list of the language rules: `cargo xtask check` refuses its words, and `cargo xtask words`
//! counts them.
//!
//! Code, quotations of output in code, identifiers and generated sections are exempt by their form ([`text`]); other
//! exemptions are in [`list`].

mod list;
mod rust;
#[cfg(test)]
mod tests;
mod text;

use crate::report::{Findings, listed};
use crate::workspace::{SourceFile, Workspace};
use list::{ANY, EXEMPT, Exempt, REFUSED, Refused};
use std::collections::BTreeMap;
use std::process::ExitCode;
use text::{Token, prose_of_markdown, prose_of_rust, tokens};

/// What kind of text a word is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// Hand-written Markdown, and the hand-written parts of the evidence.
    Document,
    /// A comment or doc comment of a Rust file.
    Comment,
    /// A string literal of a Rust file: help, logs, messages, output.
    Literal,
}

const KINDS: [(Kind, &str); 3] =
    [(Kind::Document, "documents"), (Kind::Comment, "comments"), (Kind::Literal, "literals")];

/// What to do about a refused word.
pub const REMEDY: &str = "use the words behind the second colon; exemptions are in xtask/src/words/list.rs";

/// A refused word in the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    path: String,
    line: usize,
    kind: Kind,
    phrase: &'static str,
    instead: &'static str,
}

/// The step of `cargo xtask check`.
pub fn check(workspace: &Workspace) -> Findings {
    let places = places(workspace).map_err(|problem| vec![problem])?;
    listed(places.iter().map(described).collect(), String::new())
}

/// `cargo xtask words [PATH]`: counts by crate and by word, or the places below a path.
pub fn run(workspace: &Workspace, arguments: &[String]) -> ExitCode {
    let places = match places(workspace) {
        Ok(places) => places,
        Err(problem) => {
            eprintln!("error: {problem}");
            return ExitCode::FAILURE;
        }
    };
    match arguments {
        [] => print!("{}", summary(&places)),
        [path] => places
            .iter()
            .filter(|place| place.path.starts_with(path.as_str()))
            .for_each(|place| println!("{}", described(place))),
        _ => {
            eprintln!("usage: cargo xtask words [PATH]");
            return ExitCode::from(crate::EXIT_USAGE);
        }
    }
    ExitCode::SUCCESS
}

fn described(place: &Place) -> String {
    let Place { path, line, phrase, instead, .. } = place;
    format!("{path}:{line}: `{phrase}`: {instead}")
}

fn places(workspace: &Workspace) -> Result<Vec<Place>, String> {
    let files = workspace.files(&["md", "rs", "txt"])?;
    Ok(files.iter().flat_map(places_in).collect())
}

fn places_in(file: &SourceFile) -> Vec<Place> {
    let texts: Vec<(Kind, Vec<Token>)> = match kind_of(&file.path) {
        None => Vec::new(),
        Some(Kind::Document) => vec![(Kind::Document, tokens(1, &prose_of_markdown(&file.text)))],
        Some(Kind::Comment | Kind::Literal) => rust::passages(&file.text)
            .into_iter()
            .map(|passage| {
                let prose = prose_of_rust(&passage);
                (passage.kind, tokens(passage.line, &prose))
            })
            .collect(),
    };
    let found = texts.iter().flat_map(|(kind, tokens)| {
        found(tokens).into_iter().map(|(line, phrase, instead)| Place {
            path: file.path.clone(),
            line,
            kind: *kind,
            phrase,
            instead,
        })
    });
    found.filter(|place| !is_exempt(place)).collect()
}

/// Other text files are test data.
fn kind_of(path: &str) -> Option<Kind> {
    let (_, extension) = path.rsplit_once('.')?;
    match extension {
        "md" => Some(Kind::Document),
        "txt" => path.starts_with("docs/").then_some(Kind::Document),
        "rs" => Some(Kind::Comment),
        _ => None,
    }
}

fn is_exempt(place: &Place) -> bool {
    EXEMPT.iter().any(|exempt| {
        let here =
            place.path == exempt.path || exempt.path.ends_with('/') && place.path.starts_with(exempt.path);
        here && (exempt.phrase == ANY || exempt.phrase == place.phrase)
    })
}

/// The refused phrases, each with the line on which it begins.
fn found(tokens: &[Token]) -> Vec<(usize, &'static str, &'static str)> {
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        for Refused { phrases, instead } in &REFUSED {
            let phrase = phrases.iter().find(|phrase| begins_with(&tokens[at..], phrase));
            found.extend(phrase.map(|phrase| (tokens[at].line, *phrase, *instead)));
        }
    }
    found
}

fn begins_with(tokens: &[Token], phrase: &str) -> bool {
    let words: Vec<&str> = phrase.split(' ').collect();
    tokens.len() >= words.len() && words.iter().zip(tokens).all(|(word, token)| token.word == *word)
}

/// A table of counts: a line for each crate or folder, then one for each phrase.
fn summary(places: &[Place]) -> String {
    let mut by_part: BTreeMap<&str, [usize; KINDS.len()]> = BTreeMap::new();
    let mut by_phrase: BTreeMap<&str, [usize; KINDS.len()]> = BTreeMap::new();
    let mut total = [0; KINDS.len()];
    for place in places {
        let column = KINDS.iter().position(|(kind, _)| *kind == place.kind).unwrap_or_default();
        by_part.entry(part_of(&place.path)).or_default()[column] += 1;
        by_phrase.entry(place.phrase).or_default()[column] += 1;
        total[column] += 1;
    }
    let row = |name: &str, cells: [String; KINDS.len()]| {
        let [documents, comments, literals] = cells;
        format!("{name:<24}{documents:>11}{comments:>11}{literals:>11}\n")
    };
    let counted =
        |name: &str, counts: &[usize; KINDS.len()]| row(name, counts.map(|count| count.to_string()));
    let mut text = row("", KINDS.map(|(_, name)| name.to_owned()));
    text.extend(by_part.iter().map(|(name, counts)| counted(name, counts)));
    text.push_str(&counted("total", &total));
    text.push('\n');
    text.extend(by_phrase.iter().map(|(name, counts)| counted(name, counts)));
    text.push_str("\nexempt:\n");
    for Exempt { phrase, path, reason } in &EXEMPT {
        let what = if *phrase == ANY { "all words" } else { phrase };
        text.extend([path, ": ", what, ": ", reason, "\n"]);
    }
    text
}

/// `crates/NAME`, or the first folder, or the file.
fn part_of(path: &str) -> &str {
    let depth = if path.starts_with("crates/") { 2 } else { 1 };
    path.match_indices('/').nth(depth - 1).map_or(path, |(at, _)| &path[..at])
}
