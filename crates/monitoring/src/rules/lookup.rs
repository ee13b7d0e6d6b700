//! Lookup of metric names and rule limits at compile time: an unknown name does not compile.

use domain::alert::{Limits, RULES};
use domain::catalog::CATALOG;

/// The name, if the catalog has it.
pub(super) const fn metric(name: &'static str) -> &'static str {
    let mut n = 0;
    while n < CATALOG.len() {
        if same(CATALOG[n].name, name) {
            return name;
        }
        n += 1;
    }
    panic!("the catalog has no metric of that name")
}

/// The number above which the in-process rule of that name warns.
pub(super) const fn warning(rule: &str) -> f64 {
    limits(rule).warning.expect("the rule warns")
}

/// The number above which the in-process rule of that name is critical.
pub(super) const fn critical(rule: &str) -> f64 {
    limits(rule).critical.expect("the rule can be critical")
}

const fn limits(rule: &str) -> Limits {
    let mut n = 0;
    while n < RULES.len() {
        if same(RULES[n].name, rule) {
            return RULES[n].limits;
        }
        n += 1;
    }
    panic!("there is no rule of that name")
}

const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut n = 0;
    while n < a.len() && n < b.len() && a[n] == b[n] {
        n += 1;
    }
    n == a.len() && n == b.len()
}
