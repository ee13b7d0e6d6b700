//! Backoff between attempts to read the database.

use core::time::Duration;

/// The wait after `attempt` failed attempts in a row: 1, 2, 4 s, then 5 s every time. The first failed attempt is
/// number 1; for 0 there is no wait.
pub fn backoff(attempt: u32) -> Duration {
    Duration::from_secs(match attempt {
        0 => 0,
        1 => 1,
        2 => 2,
        3 => 4,
        4.. => 5,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_to_four_seconds_and_stays_at_five() {
        let waits = [1, 2, 3, 4, 5, u32::MAX].map(|attempt| backoff(attempt).as_secs());
        assert_eq!(waits, [1, 2, 4, 5, 5, 5]);
    }
}
