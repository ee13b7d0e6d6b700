//! The reason of an operator's action, for the history or the audit.

/// Longest reason in characters; the stores keep no more.
pub(super) const LEN_MAX: usize = 256;

/// Parses a reason.
///
/// # Errors
/// What is required, as a sentence.
pub fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    if (1..=LEN_MAX).contains(&text.chars().count()) && !text.contains(char::is_control) {
        Ok(text.to_owned())
    } else {
        Err(format!("a reason is 1 to {LEN_MAX} characters on one line"))
    }
}
