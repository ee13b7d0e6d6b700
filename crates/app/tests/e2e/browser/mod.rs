//! Tests of the operator's page in a real browser, on real instances and stores. Each test starts one browser, because a
//! start takes seconds, and looks at the page in several windows and states.
//!
//! - [`view`], with `library.js`: a page in a window, and what a reader sees of it.
//! - [`follows`]: the page follows a failover, an outage and a lost connection without being loaded again.
//! - [`states`]: each state has the sentence that `coordinator why` prints.
//! - [`shape`]: layout, policy, hostile texts, many signals, no scripts.
//! - [`access`]: headings, names, contrast, targets and the keyboard; keeps the pictures in
//!   `target/test-artefacts/page`.

mod access;
mod follows;
mod shape;
mod states;
mod view;
