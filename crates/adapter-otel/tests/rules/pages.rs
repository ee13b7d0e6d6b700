//! Checks the queries in the runbooks with promtool: an operator who copies one in a hurry must get a valid
//! query.

use crate::promtool;
use std::fmt::Write;
use std::path::{Path, PathBuf};

const BEGIN: &str = "```promql\n";
const END: &str = "```";

/// Each query with its page.
fn queries() -> Vec<(String, String)> {
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/runbooks");
    let mut pages: Vec<_> =
        pages.read_dir().expect("docs/runbooks").map(|entry| entry.expect("an entry").path()).collect();
    pages.sort();
    pages.iter().flat_map(|page| queries_of(page)).collect()
}

fn queries_of(path: &Path) -> Vec<(String, String)> {
    let name = path.file_stem().expect("a name").to_string_lossy();
    let page = std::fs::read_to_string(path).expect("a page");
    let blocks = page.split(BEGIN).skip(1);
    let query = |block: &str| block.split(END).next().expect("a first part").trim().to_owned();
    blocks.map(|block| (name.clone().into_owned(), query(block))).collect()
}

#[test]
fn promtool_takes_every_query_of_the_pages() {
    let mut file = String::from("groups:\n  - name: pages\n    rules:\n");
    let queries = queries();
    assert!(!queries.is_empty());
    for (page, query) in &queries {
        writeln!(file, "      - record: query\n        labels: {{page: {page}}}\n        expr: |")
            .expect("it grows");
        query.lines().for_each(|line| writeln!(file, "          {}", line.trim()).expect("it grows"));
    }
    let path: PathBuf = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pages.yml");
    std::fs::write(&path, file).expect("a file");
    promtool(&["check", "rules", "--lint=none"], &[path]);
}
