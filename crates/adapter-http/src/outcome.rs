//! What a service says became of a signal: in its answer to the handler, or in a result that it hands in.

use domain::ledger::{NOTE_LEN_MAX, Outcome};

/// The words for it, for whoever used another one.
pub(crate) const OUTCOMES: &str = "done, sent, rejected, not_executed or unknown";

/// The outcome of that name.
pub(crate) fn outcome(text: &str) -> Option<Outcome> {
    match text {
        "done" => Some(Outcome::Done),
        "sent" => Some(Outcome::Sent),
        "rejected" => Some(Outcome::Rejected),
        "not_executed" => Some(Outcome::Received),
        "unknown" => Some(Outcome::InDoubt),
        _ => None,
    }
}

/// A note on one line, as long as the ledger keeps it. A note is never a reason to refuse an outcome: a result
/// that is lost is worse than one whose note was mended.
pub(crate) fn note(text: &str) -> String {
    text.trim().chars().take(NOTE_LEN_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_these_words_are_outcomes() {
        for word in ["done", "sent", "rejected", "not_executed", "unknown"] {
            assert!(outcome(word).is_some() && OUTCOMES.contains(word), "{word}");
        }
        for word in ["", "Done", " done", "filled", "received", "in_doubt", "expired"] {
            assert_eq!(outcome(word), None, "{word}");
        }
    }

    #[test]
    fn a_note_is_one_line_of_bounded_length() {
        assert_eq!(note(" order\n42\u{0} "), "order 42 ".to_owned());
        assert_eq!(note(&"₹".repeat(300)).chars().count(), NOTE_LEN_MAX);
    }
}
