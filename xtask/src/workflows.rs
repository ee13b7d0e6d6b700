//! Actions that the workflows use: each is pinned by the hash of a commit, because a tag can be moved to other code. The
//! release that the hash belongs to is in the comment behind it.

use crate::report::{Findings, listed};
use crate::workspace::Workspace;

const FOLDER: &str = ".github/workflows/";
const USES: &str = "uses:";
/// Hexadecimal digits of a commit.
const HASH_LENGTH: usize = 40;

/// Lists the actions that are not pinned.
pub fn check(workspace: &Workspace) -> Findings {
    let files = workspace.files(&["yml", "yaml"]).map_err(|problem| vec![problem])?;
    let mut problems = Vec::new();
    let mut actions = 0;
    for file in files.iter().filter(|file| file.path.starts_with(FOLDER)) {
        for (number, line) in (1..).zip(file.text.lines()) {
            let Some(action) = action(line) else { continue };
            actions += 1;
            if !is_pinned(action) {
                let path = &file.path;
                problems
                    .push(format!("{path}:{number}: `{action}` needs the hash of a commit and `# VERSION`"));
            }
        }
    }
    listed(problems, format!("{actions} actions"))
}

/// What a line uses, with its comment.
fn action(line: &str) -> Option<&str> {
    let step = line.trim_start().trim_start_matches("- ");
    step.strip_prefix(USES).map(str::trim)
}

/// Whether it is `OWNER/NAME@HASH # VERSION`, or an action of this repository.
fn is_pinned(action: &str) -> bool {
    if action.starts_with("./") {
        return true;
    }
    let Some((action, version)) = action.split_once(" # ") else { return false };
    let Some((_, hash)) = action.split_once('@') else { return false };
    let is_digit = |digit: char| digit.is_ascii_digit() || ('a'..='f').contains(&digit);
    hash.len() == HASH_LENGTH && hash.chars().all(is_digit) && !version.trim().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_with_its_version_pins() {
        let hash = "0123456789abcdef0123456789abcdef01234567";
        assert!(is_pinned(&format!("actions/checkout@{hash} # v7.0.1")));
        assert!(is_pinned("./.github/actions/own"));
        assert!(!is_pinned(&format!("actions/checkout@{hash}")), "which release is it?");
        assert!(!is_pinned("actions/checkout@v7 # v7"), "a tag moves");
        assert!(!is_pinned(&format!("actions/checkout@{} # v7", &hash[..7])), "a short hash is ambiguous");
        assert!(!is_pinned("actions/checkout # v7"));
    }

    #[test]
    fn every_form_of_a_step_is_read() {
        assert_eq!(action("      - uses: a/b@c # v1"), Some("a/b@c # v1"));
        assert_eq!(action("        uses: a/b@c"), Some("a/b@c"));
        assert_eq!(action("      - run: echo uses: a"), None);
    }
}
