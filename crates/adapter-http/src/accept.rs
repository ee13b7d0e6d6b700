//! Content negotiation of the metrics: whether a client prefers Prometheus text or JSON.

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;

/// Most ranges that are read from a header; a scraper sends five.
const RANGES_MAX: usize = 32;

/// A form of the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Prometheus text.
    Text,
    /// The JSON page.
    Json,
}

impl Form {
    /// The preferred form: text only if the client prefers it to JSON. Without a header, and if the client
    /// accepts neither, JSON.
    pub(crate) fn preferred(headers: &HeaderMap) -> Self {
        let ranges: Vec<_> = headers
            .get_all(ACCEPT)
            .into_iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .take(RANGES_MAX)
            .filter_map(range)
            .collect();
        let text = weight(&ranges, &["text/plain", "application/openmetrics-text"], "text/*");
        let json = weight(&ranges, &["application/json"], "application/*");
        if text > json { Self::Text } else { Self::Json }
    }
}

/// The weight of a form in thousandths: that of the best range that names it, else of its family, else of any
/// type.
fn weight(ranges: &[(String, u16)], types: &[&str], family: &str) -> u16 {
    let best = |names: &[&str]| {
        ranges.iter().filter(|(name, _)| names.contains(&name.as_str())).map(|(_, weight)| *weight).max()
    };
    best(types).or_else(|| best(&[family])).or_else(|| best(&["*/*"])).unwrap_or(0)
}

/// A media range and its weight in thousandths; `None` if the weight is malformed.
fn range(text: &str) -> Option<(String, u16)> {
    let mut parts = text.split(';').map(str::trim);
    let name = parts.next()?.to_ascii_lowercase();
    let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    Some((name, weight.map_or(Some(1_000), thousandths)?))
}

/// A weight as in RFC 9110: `0`, `1`, or with up to three decimals.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if !decimals.bytes().all(|byte| byte.is_ascii_digit()) || decimals.len() > 3 {
        return None;
    }
    let decimals: u16 = format!("{decimals:0<3}").parse().ok()?;
    match (whole, decimals) {
        ("0", decimals) => Some(decimals),
        ("1", 0) => Some(1_000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn preferred(headers: &[&str]) -> Form {
        let values = headers.iter().map(|text| (ACCEPT, HeaderValue::from_str(text).expect("a header")));
        Form::preferred(&values.collect())
    }

    #[test]
    fn scrapers_get_text() {
        let new = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                   application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;q=0.4,\
                   text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        let old = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                   text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;q=0.7,\
                        text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for header in
            [new, old, protobuf, "text/plain", "TEXT/PLAIN; Q=0.1", "text/*", "application/openmetrics-text"]
        {
            assert_eq!(preferred(&[header]), Form::Text, "{header}");
        }
        assert_eq!(preferred(&["application/json;q=0.5", "text/plain"]), Form::Text);
        assert_eq!(preferred(&["application/json;q=0.998, text/plain;q=0.999"]), Form::Text);
    }

    #[test]
    fn other_clients_get_json() {
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";
        let script = "application/json, text/plain, */*";
        for header in [browser, script, "*/*", "application/json", "text/html", "", ",;,", "text/plain;q=0"] {
            assert_eq!(preferred(&[header]), Form::Json, "{header}");
        }
        assert_eq!(preferred(&[]), Form::Json);
    }

    #[test]
    fn a_malformed_weight_counts_for_nothing() {
        for weight in ["2", "1.1", "0.1234", "-1", "", "0.x", "nan"] {
            assert_eq!(preferred(&[&format!("text/plain;q={weight}")]), Form::Json, "{weight}");
        }
        for weight in ["1", "1.", "1.000", "0.001", "0.1"] {
            assert_eq!(preferred(&[&format!("text/plain;q={weight}")]), Form::Text, "{weight}");
        }
    }
}
