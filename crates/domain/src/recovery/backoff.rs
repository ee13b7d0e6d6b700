//! How long to wait before the database is asked again.

use core::time::Duration;

/// How long to wait after `attempt` failed attempts in a row before the next one: 1, 2, 4 s, then 5 s
/// every time. The first failed attempt is number 1; nothing has failed at 0, so nothing is waited for.
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
