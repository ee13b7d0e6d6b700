//! The expiry of a signal between its claim and the call of its handler.

use std::time::Duration;

/// Whether a signal must not be sent any more: `claimed_ms` and `expires_ms` are times by the store's clock, and
/// `since_asked` is the time since the claim was requested, by this process's clock. The two clocks are not compared.
pub(super) fn has_expired(claimed_ms: Option<i64>, expires_ms: Option<i64>, since_asked: Duration) -> bool {
    expires_ms.zip(claimed_ms).is_some_and(|(expires_ms, claimed_ms)| {
        since_asked >= Duration::from_millis(u64::try_from(expires_ms - claimed_ms).unwrap_or(0))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_that_was_long_on_its_way_is_not_sent_after_its_time() {
        let ms = Duration::from_millis;
        for (expires_ms, since_asked, expected) in [
            (None, Duration::MAX, false),
            (Some(1_500), ms(499), false),
            (Some(1_500), ms(500), true),
            (Some(900), ms(0), true),
        ] {
            assert_eq!(has_expired(Some(1_000), expires_ms, since_asked), expected, "{expires_ms:?}");
        }
    }
}
