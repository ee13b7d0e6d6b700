//! Checks that relative links in Markdown files are valid: the file exists, and the heading, if one is named.

use crate::report::{Findings, listed};
use crate::workspace::{SourceFile, Workspace};
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

/// Checks every relative link of every Markdown file.
pub fn check(workspace: &Workspace) -> Findings {
    let documents = workspace.files(&["md"]).map_err(|problem| vec![problem])?;
    let found = problems(&documents, &|path| workspace.root().join(path).exists());
    listed(found, format!("{} files", documents.len()))
}

fn problems(documents: &[SourceFile], exists: &dyn Fn(&Path) -> bool) -> Vec<String> {
    let headings: BTreeMap<&Path, Vec<String>> =
        documents.iter().map(|document| (Path::new(&document.path), anchors(&document.text))).collect();
    let mut problems = Vec::new();
    for document in documents {
        for (line, target) in links(&document.text) {
            if let Err(reason) = follow(Path::new(&document.path), &target, &headings, exists) {
                problems.push(format!("{}:{line}: `{target}`: {reason}", document.path));
            }
        }
    }
    problems
}

fn follow(
    from: &Path,
    target: &str,
    headings: &BTreeMap<&Path, Vec<String>>,
    exists: &dyn Fn(&Path) -> bool,
) -> Result<(), &'static str> {
    if target.contains("://") || target.starts_with("mailto:") {
        return Ok(());
    }
    let (path, anchor) = target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
    let path =
        if path.is_empty() { from.to_owned() } else { resolve(from, path).ok_or("leaves the repository")? };
    if !exists(&path) {
        return Err("no such file");
    }
    match (anchor, headings.get(path.as_path())) {
        (Some(anchor), Some(known)) if !known.iter().any(|heading| heading == anchor) => {
            Err("no such heading")
        }
        // The page that shows the file uses a line of a source file (`#L12`); it is not checked.
        (Some(_) | None, Some(_) | None) => Ok(()),
    }
}

/// The path from the root, or `None` if it is above the root.
fn resolve(from: &Path, path: &str) -> Option<PathBuf> {
    let mut resolved = match path.strip_prefix('/') {
        Some(_) => PathBuf::new(),
        None => from.parent()?.to_owned(),
    };
    for component in Path::new(path).components() {
        match component {
            Component::ParentDir => resolved.pop().then_some(())?,
            Component::Normal(name) => resolved.push(name),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    Some(resolved)
}

/// Numbered targets of `[text](target)` and `[label]: target`, outside code.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (line, number) in prose(text) {
        let line = without_code(line);
        let inline = line.match_indices("](").map(|(at, _)| &line[at + 2..]);
        let definition = line.strip_prefix('[').and_then(|label| label.split_once("]: "));
        for rest in inline.chain(definition.map(|(_, target)| target)) {
            // `path "title"`: the title is not part of the path.
            let target = rest.split([')', ' ']).next().unwrap_or(rest);
            found.push((number, target.to_owned()));
        }
    }
    found
}

/// The line without `code`, which may contain an example of a link.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect()
}

/// Numbered lines outside fenced code.
fn prose(text: &str) -> impl Iterator<Item = (&str, usize)> {
    let mut fenced = false;
    text.lines().zip(1..).filter(move |(line, _)| {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            return false;
        }
        !fenced
    })
}

/// The anchors of a document's headings, as a forge generates them: lower case, spaces as hyphens, without
/// punctuation, and a number after a repeated one.
fn anchors(text: &str) -> Vec<String> {
    let mut slugs: Vec<String> = Vec::new();
    let mut anchors = Vec::new();
    for (line, _) in prose(text) {
        let title = line.trim_start_matches('#');
        if title.len() == line.len() || !title.starts_with(' ') {
            continue;
        }
        let slug: String = title.trim().to_lowercase().chars().filter_map(slug_character).collect();
        let repeated = slugs.iter().filter(|known| **known == slug).count();
        anchors.push(if repeated == 0 { slug.clone() } else { format!("{slug}-{repeated}") });
        slugs.push(slug);
    }
    anchors
}

fn slug_character(c: char) -> Option<char> {
    match c {
        ' ' => Some('-'),
        '-' | '_' => Some(c),
        c if c.is_alphanumeric() => Some(c),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(path: &str, text: &str) -> SourceFile {
        SourceFile { path: path.to_owned(), text: text.to_owned() }
    }

    fn found(documents: &[SourceFile]) -> Vec<String> {
        problems(documents, &|path| {
            path == Path::new("src/a.rs") || documents.iter().any(|d| Path::new(&d.path) == path)
        })
    }

    #[test]
    fn links_that_lead_somewhere_pass() {
        let readme = document(
            "README.md",
            "# Top\n[guide](docs/guide.md#how-to-start) [code](src/a.rs#L3) [here](#top) [net](https://example.org)\n\
             [also]: docs/guide.md \"title\"\n```\n[not a link](nowhere.md)\n```\nand `[shown](code.md)`\n",
        );
        let guide = document("docs/guide.md", "## How to start?\n[back](../README.md) [root](/README.md)\n");
        assert_eq!(found(&[readme, guide]), Vec::<String>::new());
    }

    #[test]
    fn broken_links_are_named_with_their_line() {
        let text = "# T\n[a](gone.md)\n[b](#gone)\n[c](../../up.md)\n[d]: also-gone.md\n";
        assert_eq!(
            found(&[document("docs/x.md", text)]),
            [
                "docs/x.md:2: `gone.md`: no such file",
                "docs/x.md:3: `#gone`: no such heading",
                "docs/x.md:4: `../../up.md`: leaves the repository",
                "docs/x.md:5: `also-gone.md`: no such file",
            ]
        );
    }

    #[test]
    fn repeated_headings_are_numbered() {
        assert_eq!(
            anchors("# A b\n## A b\n#not\n```\n# code\n```\n### `x`, y_z\n"),
            ["a-b", "a-b-1", "x-y_z"]
        );
    }
}
