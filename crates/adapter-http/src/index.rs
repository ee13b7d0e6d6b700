//! The start page for the operator: this instance, the leader, and links to the other pages.

use crate::backend::LeaderView;
use crate::pages::{Prefix, SignalPages};
use crate::signals;
use domain::alert::Report;
use domain::metrics::Snapshot;
use std::fmt::Write;
use std::time::Duration;

/// The page loads nothing from elsewhere and contains no script or style.
pub(crate) const CONTENT_SECURITY_POLICY: &str = "default-src 'self'";

const PATHS: [(&str, &str); 9] = [
    ("/status", "the instances and the leader in both stores"),
    ("/history", "the terms of the leaders"),
    ("/signals", "the signals, the latest first"),
    ("/coordinator/metrics", "metrics and alerts as JSON"),
    ("/metrics", "metrics for Prometheus"),
    ("/runbooks", "what to do about each alert"),
    ("/leader", "200 on the active leader, 503 on other instances"),
    ("/readyz", "200 while this instance could take over"),
    ("/livez", "200 while this process serves"),
];

/// The page. Everything that came from outside is escaped.
pub(crate) fn index(
    report: Option<&Report>,
    leader: &LeaderView,
    signals: SignalPages,
    prefix: &Prefix,
) -> String {
    let prefix = escape(&prefix.0);
    let is_served = |path: &str| signals == SignalPages::Served || path != signals::PATH;
    let mut rows = Vec::new();
    match report {
        Some(Report { snapshot, alerts }) => {
            rows.push(("Instance", snapshot.instance.to_string()));
            rows.push(("State", snapshot.view.state.to_string()));
            rows.push(("Alerts", alerts.overall.as_str().to_owned()));
            rows.push(("Version", snapshot.version.clone()));
        }
        None => rows.push(("Instance", "starting".to_owned())),
    }
    rows.push(("Leader", leader.id.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string)));
    rows.extend(leader.address.clone().map(|address| ("Its page", address)));
    rows.extend(leader.epoch.map(|epoch| ("Epoch", epoch.to_string())));
    rows.extend(report.into_iter().flat_map(|report| signal_rows(&report.snapshot)));

    let mut page = String::from(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>Coordinator</title>\n</head>\n<body>\n\
         <h1>Coordinator</h1>\n<dl>\n",
    );
    for (name, value) in rows {
        writeln!(page, "<dt>{name}</dt><dd>{}</dd>", escape(&value)).expect("a String takes everything");
    }
    page.push_str("</dl>\n<ul>\n");
    for (path, what) in PATHS.into_iter().filter(|(path, _)| is_served(path)) {
        writeln!(page, "<li><a href=\"{prefix}{path}\">{path}</a> {what}</li>")
            .expect("a String takes everything");
    }
    page.push_str("</ul>\n</body>\n</html>\n");
    page
}

/// The rows about the ledger that the operator needs first; none before the ledger was counted.
fn signal_rows(snapshot: &Snapshot) -> Vec<(&'static str, String)> {
    let Some(totals) = &snapshot.totals else { return Vec::new() };
    let aged = |count: u64, oldest: Option<Duration>, word: &str| {
        let age = oldest.map(|age| format!(", the oldest {word} for {} s", age.as_secs()));
        format!("{count}{}", age.unwrap_or_default())
    };
    let limited = |count: u32, limit: Option<u32>| match limit {
        Some(limit) => format!("{count} of at most {limit}"),
        None => format!("{count}, no limit"),
    };
    let limits = snapshot.signal_limits;
    let mut rows = vec![
        ("Signals waiting", aged(totals.received, totals.oldest_received, "waiting")),
        ("Signals claimed", totals.claimed.to_string()),
        ("Signals sent, results to come", totals.sent.to_string()),
        ("Signals in doubt", aged(totals.in_doubt, totals.oldest_in_doubt, "in doubt")),
        ("Sent in the last minute", limited(totals.sent_last_minute, limits.per_minute)),
        ("Sent in the last day", limited(totals.sent_last_day, limits.per_day)),
        ("Expired in the last day", totals.expired_last_day.to_string()),
    ];
    let switch = match &totals.paused {
        Some(paused) => format!("on: no signal is sent. {} (by {})", paused.reason, paused.who),
        None => "off".to_owned(),
    };
    rows.push(("Kill switch", switch));
    rows
}

/// Escapes a text for a place between tags.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        assert_eq!(
            escape("<b a=\"1\" b='2'>&\u{1b}\n"),
            "&lt;b a=&quot;1&quot; b=&#39;2&#39;&gt;&amp;\u{fffd}\u{fffd}"
        );
        let leader = LeaderView { address: Some("<script>".to_owned()), ..LeaderView::default() };
        assert!(!index(None, &leader, SignalPages::Served, &Prefix::default()).contains("<script"));
    }
}
