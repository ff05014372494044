//! Throttles replacements of rejected tokens: an API that rejects every token must not flood the token endpoint.

use std::time::Duration;

/// How many tokens may be rejected in a row before replacements are throttled. Genuine revocations come one at a time.
const BURST: u32 = 10;
/// Then one replacement in so long.
const REFILL: Duration = Duration::from_secs(10);

/// A token bucket over the replacements of rejected tokens.
#[derive(Debug)]
pub(super) struct Throttle {
    left: u32,
    counted_from: Duration,
}

impl Throttle {
    pub(super) fn new(now: Duration) -> Self {
        Self { left: BURST, counted_from: now }
    }

    /// Whether one more rejected token may be replaced now (`now` on the monotonic clock).
    pub(super) fn allows(&mut self, now: Duration) -> bool {
        let since = now.saturating_sub(self.counted_from);
        let refilled = u32::try_from(since.as_millis() / REFILL.as_millis()).unwrap_or(u32::MAX);
        self.left = self.left.saturating_add(refilled).min(BURST);
        self.counted_from = if self.left == BURST { now } else { self.counted_from + REFILL * refilled };
        self.left.checked_sub(1).map(|left| self.left = left).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_at_once_then_one_in_ten_seconds() {
        let at = Duration::from_secs;
        let mut bound = Throttle::new(at(0));
        assert_eq!((0..100).filter(|_| bound.allows(at(0))).count(), 10);
        assert!(!bound.allows(at(9)));
        assert!(bound.allows(at(10)) && !bound.allows(at(10)));
        assert_eq!((11..=60).filter(|second| bound.allows(at(*second))).count(), 5);
        assert_eq!((0..100).filter(|_| bound.allows(at(100_000))).count(), 10, "it fills up, and not beyond");
    }
}
