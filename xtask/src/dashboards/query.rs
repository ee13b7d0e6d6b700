//! Reads one query of a dashboard: replaces Grafana's variables and parses the result as Prometheus does.

use super::known::Known;
use promql_parser::label::Matchers;
use promql_parser::parser::{Expr, VectorSelector, parse};
use promql_parser::util::{ExprVisitor, walk_expr};

/// The label that separates groups.
const JOB: &str = "job";
/// Replaces variables that are durations, which Grafana computes.
const DURATIONS: [(&str, &str); 3] = [("__rate_interval", "2m"), ("__interval", "30s"), ("__range", "1h")];
/// Replaces variables that the reader has chosen.
const CHOSEN: &str = "chosen";

/// Subject of a query.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The job that the reader has chosen.
    Job,
    /// All jobs.
    AllJobs,
}

/// The faults of `expr`, which may use `variables`.
pub fn problems(expr: &str, scope: Scope, variables: &[&str], known: &Known) -> Vec<String> {
    if expr.trim().is_empty() {
        return vec!["the query is empty".to_owned()];
    }
    let parsed = substituted(expr, variables)
        .and_then(|expr| parse(&expr).map_err(|error| format!("not PromQL: {error}")));
    let mut selectors = Selectors::default();
    match parsed {
        Ok(parsed) => {
            let Ok(_) = walk_expr(&mut selectors, &parsed);
        }
        Err(problem) => return vec![format!("{problem} in `{expr}`")],
    }
    let found = selectors.0.iter().flat_map(|selector| wrong(selector, scope, known));
    found.map(|problem| format!("{problem} in `{expr}`")).collect()
}

fn wrong(VectorSelector { name, matchers, .. }: &VectorSelector, scope: Scope, known: &Known) -> Vec<String> {
    let Some(name) = name else { return vec!["a selector has no name".to_owned()] };
    let Some(labels) = known.labels(name) else { return vec![format!("nothing exports `{name}`")] };
    let asked = asked(matchers);
    let unknown = asked.iter().filter(|label| !labels.contains(**label));
    let mut problems: Vec<_> = unknown.map(|label| format!("`{name}` has no label `{label}`")).collect();
    if scope == Scope::Job && !asked.contains(&JOB) {
        problems.push(format!("`{name}` is asked for in every job"));
    }
    problems
}

fn asked(matchers: &Matchers) -> Vec<&str> {
    let all = matchers.matchers.iter().chain(matchers.or_matchers.iter().flatten());
    all.map(|matcher| matcher.name.as_str()).collect()
}

#[derive(Default)]
struct Selectors(Vec<VectorSelector>);

impl ExprVisitor for Selectors {
    type Error = std::convert::Infallible;

    fn pre_visit(&mut self, expr: &Expr) -> Result<bool, Self::Error> {
        match expr {
            Expr::VectorSelector(selector) => self.0.push(selector.clone()),
            Expr::MatrixSelector(range) => self.0.push(range.vs.clone()),
            _ => {}
        }
        Ok(true)
    }
}

/// The query with a value for every variable. `$1` is none: `label_replace` uses it.
fn substituted(expr: &str, variables: &[&str]) -> Result<String, String> {
    let mut whole = String::new();
    let mut rest = expr;
    while let Some((before, after)) = rest.split_once('$') {
        whole.push_str(before);
        let (written, name) = variable(after);
        if name.chars().all(|c| c.is_ascii_digit()) {
            whole.push('$');
            whole.push_str(written);
        } else if let Some((_, duration)) = DURATIONS.iter().find(|(known, _)| *known == name) {
            whole.push_str(duration);
        } else if variables.contains(&name) {
            whole.push_str(CHOSEN);
        } else {
            return Err(format!("there is no variable `{name}`"));
        }
        rest = &after[written.len()..];
    }
    Ok(whole + rest)
}

/// The variable at the begin of a text: as written, and without braces and format (`{job:raw}` is `job`).
fn variable(text: &str) -> (&str, &str) {
    let word = |text: &str| text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    match text.strip_prefix('{').and_then(|inner| Some((inner, inner.find('}')?))) {
        Some((inner, end)) => (&text[..end + 2], &inner[..word(inner)]),
        None => (&text[..word(text)], &text[..word(text)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "| `a` | gauge | 1 |  |\n| `b_total` | counter | 1 | `state` |\n| `c` | histogram | s |  |\n\
                        | `job:a:max` | recording rule | 1 |  |\n";

    fn found(expr: &str) -> Vec<String> {
        problems(expr, Scope::Job, &["job", "instance"], &Known::of(PAGE))
    }

    #[test]
    fn sound_queries_pass() {
        for expr in [
            r#"max by (job) (a{job="$job", instance=~"${instance:regex}"}) > 0"#,
            r#"sum(rate(b_total{job="$job", state!="x"}[$__rate_interval]))"#,
            r#"histogram_quantile(0.9, sum by (le) (increase(c_bucket{job="$job", le!="1"}[$__range]))) >= 0"#,
            r#"job:a:max{job="$job"} or label_replace(a{job="$job"}, "x", "$1", "instance", "(.*)")"#,
            r#"a{job="$job"} - a{job="$job"} offset 1m"#,
        ] {
            assert_eq!(found(expr), Vec::<String>::new());
        }
    }

    #[test]
    fn each_slip_is_found() {
        for (expr, problem) in [
            ("  ", "the query is empty"),
            (r#"max(a{job="$job"}"#, "not PromQL"),
            (r#"a{job="$job"} != """#, "not PromQL"),
            (r#"aa{job="$job"}"#, "nothing exports `aa`"),
            (r#"rate(bb_total{job="$job"}[5m])"#, "nothing exports `bb_total`"),
            (r#"c{job="$job"}"#, "nothing exports `c`"),
            (r#"a_bucket{job="$job"}"#, "nothing exports `a_bucket`"),
            (r#"{job="$job"}"#, "a selector has no name"),
            (r#"b_total{job="$job", stat="x"}"#, "`b_total` has no label `stat`"),
            ("a", "`a` is asked for in every job"),
            (r#"a{job="$job"} > on (job) max_over_time(a[1h])"#, "`a` is asked for in every job"),
            (r#"a{job="$jobs"}"#, "there is no variable `jobs`"),
            (r#"a{job="${cluster}"}"#, "there is no variable `cluster`"),
        ] {
            let found = found(expr);
            assert_eq!(found.len(), 1, "{expr}: {found:?}");
            assert!(found[0].starts_with(problem), "{expr}: {found:?}");
        }
    }

    #[test]
    fn which_jobs_there_are_is_asked_of_all() {
        assert_eq!(problems("a", Scope::AllJobs, &[], &Known::of(PAGE)), Vec::<String>::new());
    }
}
