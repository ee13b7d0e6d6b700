//! Tables, dates and foreign texts for a terminal.

use std::ops::RangeInclusive;

/// Aligns `rows` under `header`, with two spaces between columns and none at the end of a line.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([header[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells.zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        padded.join("  ").trim_end().to_owned()
    };
    let head = line(&mut header.iter().copied());
    let body = rows.iter().map(|row| line(&mut row.iter().map(String::as_str)));
    std::iter::once(head).chain(body).collect::<Vec<_>>().join("\n")
}

/// Unix milliseconds as a date in UTC; `-` if the number is no date.
pub fn date(unix_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(unix_ms)
        .map_or_else(|_| "-".to_owned(), |time| time.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

/// Format characters that change the direction in which a terminal shows a text.
const BIDIRECTIONAL: [RangeInclusive<char>; 3] =
    ['\u{200e}'..='\u{200f}', '\u{202a}'..='\u{202e}', '\u{2066}'..='\u{2069}'];

/// A text from another program, made safe for a terminal: characters that move the cursor or are invisible
/// are escaped.
pub fn visible(text: &str) -> String {
    let moves = |c: char| c.is_control() || BIDIRECTIONAL.iter().any(|range| range.contains(&c));
    let show = |c: char| if moves(c) { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(show).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_have_no_tail() {
        let rows = vec![vec!["a".to_owned(), "leader".to_owned()], vec!["long".to_owned(), String::new()]];
        assert_eq!(table(&["ID", "ROLE"], &rows), "ID    ROLE\na     leader\nlong");
    }

    #[test]
    fn nothing_in_a_text_moves_the_cursor() {
        assert_eq!(visible("{\"price\": \"₹1\"}"), "{\"price\": \"₹1\"}");
        assert_eq!(visible("a\u{1b}[2J\nb\u{9b}"), "a\\u{1b}[2J\\nb\\u{9b}");
        assert_eq!(visible("a\u{202e}b"), "a\\u{202e}b");
    }

    #[test]
    fn dates_are_utc() {
        assert_eq!(date(1_700_000_000_000), "2023-11-14 22:13:20");
        assert_eq!(date(i64::MAX), "-");
    }
}
