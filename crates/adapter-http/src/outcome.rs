//! Parses the outcome that a service reports: in its answer to the handler, or as the result of a signal that
//! it pulled.

use domain::ledger::{NOTE_LEN_MAX, Outcome};

/// The valid outcomes, for a message about another word.
pub(crate) const OUTCOMES: &str = "done, sent, rejected, not_executed or unknown";

/// The outcome with that name.
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

/// A note on one line, cut to the length that the ledger stores. A note is never a reason to refuse an
/// outcome: a lost result is worse than a changed note.
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
