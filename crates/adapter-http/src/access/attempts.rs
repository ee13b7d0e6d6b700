//! [`Attempts`]: failed attempts of each address, within a window: wrong credentials, and wrong secrets of hooks.
//!
//! The limit does not delay a client with a valid credential: otherwise a client behind the same proxy could lock it
//! out, and a signal would be lost. A token has 256 random bits, so the limit need not prevent guesses.

use crate::problem::Problem;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Failed attempts of an address that are answered with their reason; more than a person makes by mistake.
pub(crate) const FAILURES_MAX: u32 = 10;
/// The time after which an address may fail again.
const WINDOW: Duration = Duration::from_mins(1);
/// Most addresses that are counted; about 100 KiB.
const ADDRESSES_MAX: usize = 1_024;

#[derive(Debug, Default)]
pub(crate) struct Attempts(Mutex<HashMap<IpAddr, Window>>);

#[derive(Debug, Clone, Copy)]
struct Window {
    since: Instant,
    failures: u32,
}

impl Attempts {
    /// Counts a failed attempt. The time until the address may fail again, if it has failed too often.
    pub(crate) fn failed(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let address = network(address);
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if windows.len() >= ADDRESSES_MAX && !windows.contains_key(&address) {
            windows.retain(|_, window| now < window.since + WINDOW);
            let oldest = windows.iter().min_by_key(|(_, window)| window.since).map(|(address, _)| *address);
            if let Some(oldest) = oldest.filter(|_| windows.len() >= ADDRESSES_MAX) {
                windows.remove(&oldest);
            }
        }
        let window = windows.entry(address).or_insert(Window { since: now, failures: 0 });
        if now >= window.since + WINDOW {
            *window = Window { since: now, failures: 0 };
        }
        window.failures = window.failures.saturating_add(1);
        (window.failures > FAILURES_MAX).then(|| (window.since + WINDOW).saturating_duration_since(now))
    }
}

/// 429 with the time until the address may fail again.
pub(crate) fn too_many(detail: &str, wait: Duration) -> Response {
    let mut response = Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).into_response();
    // Rounded up: a repetition after it is not refused again.
    response.headers_mut().insert(RETRY_AFTER, (wait.as_secs() + 1).into());
    response
}

/// An IPv4 address, or the network of an IPv6 address that one client owns: 64 bits.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(four) => IpAddr::V4(four),
        IpAddr::V6(six) => IpAddr::V6(Ipv6Addr::from_bits(six.to_bits() & (u128::MAX << 64))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_fail_again_after_the_window() {
        let (attempts, start) = (Attempts::default(), Instant::now());
        let [one, other] = ["10.0.0.1", "10.0.0.2"].map(|text| text.parse().expect("an address"));
        for _ in 0..FAILURES_MAX {
            assert_eq!(attempts.failed(one, start), None);
        }
        let later = start + WINDOW / 2;
        assert_eq!(attempts.failed(one, later), Some(WINDOW / 2));
        assert_eq!(attempts.failed(other, later), None, "each address has its count");
        assert_eq!(attempts.failed(one, start + WINDOW), None);
    }

    #[test]
    fn a_network_of_ipv6_is_one_client_and_the_number_of_clients_is_bounded() {
        let (attempts, start) = (Attempts::default(), Instant::now());
        for host in 0..=FAILURES_MAX {
            let address = format!("2001:db8::{host:x}").parse().expect("an address");
            assert_eq!(attempts.failed(address, start).is_some(), host == FAILURES_MAX, "{host}");
        }
        for host in 0..2 * u32::try_from(ADDRESSES_MAX).expect("small") {
            attempts.failed(IpAddr::V4(host.into()), start);
        }
        assert_eq!(attempts.0.lock().expect("no panic").len(), ADDRESSES_MAX);
    }
}
