//! Finds placeholders that a chart left unfilled in a message.

/// Longest name of a placeholder, in bytes; `{{strategy.order.alert_message}}` has 28.
const NAME_LEN_MAX: usize = 64;

/// The first placeholder in the text, such as `{{ticker}}` or `{{plot("High")}}`, with its braces.
pub(crate) fn placeholder(text: &str) -> Option<&str> {
    let mut from = 0;
    while let Some(at) = text[from..].find("{{") {
        let start = from + at;
        let rest = &text[start + 2..];
        let end = rest.find(['{', '}']).filter(|end| rest[*end..].starts_with("}}"));
        if let Some(end) = end.filter(|end| is_name(&rest[..*end])) {
            return Some(&text[start..start + 2 + end + 2]);
        }
        from = start + 1;
    }
    None
}

fn is_name(text: &str) -> bool {
    text.len() <= NAME_LEN_MAX
        && text.contains(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_.-() \"\\".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_of_charts_are_found_by_name() {
        for (text, expected) in [
            ("{{ticker}}", "{{ticker}}"),
            ("a {{ close }} b {{open}}", "{{ close }}"),
            ("{{{exchange}}}", "{{exchange}}"),
            ("{{plot(\"High\")}}", "{{plot(\"High\")}}"),
            ("{{strategy.order.action}}", "{{strategy.order.action}}"),
            ("{{₹}}{{plot_0}}", "{{plot_0}}"),
        ] {
            assert_eq!(placeholder(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn other_braces_are_none() {
        for text in [
            "",
            "{",
            "{{",
            "{{}}",
            "{{ }}",
            "{{a}",
            "{a}}",
            "{{a{b}}",
            r#"{"a":{"b":{}}}"#,
            "{{1}}",
            "{{a,b}}",
        ] {
            assert_eq!(placeholder(text), None, "{text}");
        }
        assert_eq!(placeholder(&format!("{{{{{}}}}}", "a".repeat(65))), None);
    }
}
