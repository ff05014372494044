//! Backoff: how long to wait before the next attempt.

use std::cell::Cell;
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

thread_local! {
    /// The state of a sequence that takes the place of randomness on this thread.
    static SEED: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Makes all jitter on this thread follow from this number, so that a simulation is the same every time.
#[doc(hidden)]
pub fn seed_jitter(seed: u64) {
    SEED.set(Some(seed));
}

fn random_byte() -> u8 {
    if let Some(seed) = SEED.get() {
        // SplitMix64.
        let next = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        SEED.set(Some(next));
        let mixed = (next ^ (next >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        return mixed.to_be_bytes()[0];
    }
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
