//! What a person reads in a Rust file: its comments and its string literals. Identifiers are left out.

use super::Kind;

/// A comment, over several lines if they follow one another, or a string literal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passage {
    pub kind: Kind,
    /// The number of its first line in the file.
    pub line: usize,
    /// Without the marks of a comment, the quotes of a literal, and with a space for each escape.
    pub text: String,
}

/// All passages, in their order.
pub fn passages(source: &str) -> Vec<Passage> {
    let mut lexer = Lexer { rest: source, line: 1, found: Vec::new() };
    while !lexer.rest.is_empty() {
        lexer.step();
    }
    lexer.found
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    found: Vec<Passage>,
}

impl Lexer<'_> {
    fn step(&mut self) {
        if self.rest.starts_with("//") {
            self.line_comment();
        } else if self.rest.starts_with("/*") {
            self.block_comment();
        } else if let Some((prefix, hashes)) = raw_string(self.rest) {
            self.raw_string(prefix, hashes);
        } else if self.rest.starts_with('"') {
            self.string();
        } else if self.rest.starts_with('\'') {
            let length = character_length(self.rest);
            self.skip(length);
        } else {
            // An identifier at once, so that no letter in it begins a raw string.
            let name =
                self.rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(self.rest.len());
            let other = self.rest.chars().next().map_or(0, char::len_utf8);
            self.skip(if name == 0 { other } else { name });
        }
    }

    fn skip(&mut self, bytes: usize) {
        let (skipped, rest) = self.rest.split_at(bytes);
        self.line += skipped.matches('\n').count();
        self.rest = rest;
    }

    fn line_comment(&mut self) {
        let end = self.rest.find('\n').unwrap_or(self.rest.len());
        let text = self.rest[..end].trim_start_matches('/').trim_start_matches('!');
        let line = self.line;
        match self.found.last_mut() {
            Some(last)
                if last.kind == Kind::Comment && last.line + last.text.matches('\n').count() + 1 == line =>
            {
                last.text.push('\n');
                last.text.push_str(text);
            }
            _ => self.found.push(Passage { kind: Kind::Comment, line, text: text.to_owned() }),
        }
        self.skip(end);
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        let mut at = 0;
        let end = loop {
            let rest = &self.rest[at..];
            if rest.starts_with("/*") {
                depth += 1;
                at += 2;
            } else if rest.starts_with("*/") {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    break at;
                }
            } else if let Some(c) = rest.chars().next() {
                at += c.len_utf8();
            } else {
                break at;
            }
        };
        let text = self.rest[..end].trim_matches(['/', '*', '!']).to_owned();
        self.found.push(Passage { kind: Kind::Comment, line: self.line, text });
        self.skip(end);
    }

    fn raw_string(&mut self, prefix: usize, hashes: usize) {
        let close = format!("\"{}", "#".repeat(hashes));
        let body = &self.rest[prefix..];
        let end = body.find(&close).unwrap_or(body.len());
        self.found.push(Passage { kind: Kind::Literal, line: self.line, text: body[..end].to_owned() });
        self.skip((prefix + end + close.len()).min(self.rest.len()));
    }

    fn string(&mut self) {
        let mut text = String::new();
        let mut length = 1;
        let mut characters = self.rest[1..].chars();
        while let Some(c) = characters.next() {
            length += c.len_utf8();
            match c {
                '"' => break,
                '\\' => {
                    let escaped = characters.next();
                    length += escaped.map_or(0, char::len_utf8);
                    text.push(if escaped == Some('\n') { '\n' } else { ' ' });
                }
                other => text.push(other),
            }
        }
        self.found.push(Passage { kind: Kind::Literal, line: self.line, text });
        self.skip(length);
    }
}

/// For `r"`, `r#"`, `br#"` and `cr"`: the bytes up to the text, and the hashes.
fn raw_string(text: &str) -> Option<(usize, usize)> {
    let rest = text.strip_prefix(['b', 'c']).unwrap_or(text).strip_prefix('r')?;
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    let quoted = rest[hashes..].strip_prefix('"')?;
    Some((text.len() - quoted.len(), hashes))
}

/// Bytes of the character literal, or 1 for a lifetime.
fn character_length(text: &str) -> usize {
    let mut characters = text.char_indices().skip(1);
    match characters.next() {
        // What is escaped may be a quote; `\u{..}` ends with the next one.
        Some((_, '\\')) => {
            characters.next();
            characters.find(|(_, c)| *c == '\'').map_or(1, |(at, _)| at + 1)
        }
        Some(_) => characters.next().filter(|(_, c)| *c == '\'').map_or(1, |(at, _)| at + 1),
        None => 1,
    }
}
