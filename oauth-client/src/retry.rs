//! Backoff: how long to wait before the next attempt.

use std::time::Duration;

/// Tries within one refresh, the first included.
pub(crate) const MAX_ATTEMPTS: u32 = 3;

/// The wait before the next try within one refresh: 200 ms, doubled each time, jittered.
pub(crate) fn between_attempts(attempt: u32) -> Duration {
    jittered(exponential(Duration::from_millis(200), attempt, Duration::from_secs(5)))
}

/// How long a source keeps away from the server after so many refreshes in a row have failed: a second, doubled
/// each time, a minute at most, jittered.
pub(crate) fn after_failures(failures: u32) -> Duration {
    jittered(exponential(Duration::from_secs(1), failures.saturating_sub(1), Duration::from_secs(60)))
}

fn exponential(base: Duration, doublings: u32, most: Duration) -> Duration {
    base.saturating_mul(2_u32.saturating_pow(doublings)).min(most)
}

/// Between three quarters and the whole of it, so that clients that failed together do not come back together.
pub(crate) fn jittered(whole: Duration) -> Duration {
    whole - whole / 4 / 255 * u32::from(random_byte())
}

fn random_byte() -> u8 {
    let mut byte = [0];
    // Jitter spreads load and guards nothing: without randomness it is merely not spread.
    let _ = getrandom::fill(&mut byte);
    byte[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_their_cap_and_never_overflow() {
        assert!(between_attempts(0) <= Duration::from_millis(200));
        assert!(
            after_failures(1) <= Duration::from_secs(1) && after_failures(1) >= Duration::from_millis(750)
        );
        assert!(after_failures(u32::MAX) <= Duration::from_secs(60));
        assert!(jittered(Duration::MAX) >= Duration::MAX / 4 * 3 - Duration::from_secs(1));
        assert!(after_failures(u32::MAX) >= Duration::from_secs(45));
    }
}
