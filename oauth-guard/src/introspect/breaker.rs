//! Leaves a server in trouble alone for a while.

use std::time::Duration;

use crate::defaults::{INTROSPECTION_FIRST_PAUSE, INTROSPECTION_LONGEST_PAUSE, INTROSPECTION_TRIES};

/// Counts failures in a row. After some of them no question is asked until a pause is over, which doubles with each
/// failure; then one question shows whether the server works again.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    failures: u32,
    /// On the monotonic clock.
    closed_until: Duration,
    /// Until when the server itself has asked to be left alone.
    asked_until: Duration,
    /// Until when it counts that the server rejects this guard as a client.
    rejected_until: Duration,
    /// The one question that may be asked after a pause is under way.
    probing: bool,
    /// Counts the pauses. Questions that were let through before the last one say nothing about what came after them.
    round: u64,
    /// Why the last question failed, until one succeeds.
    pub(super) last_error: Option<String>,
}

impl Breaker {
    /// Whether a question may be asked now; else how long to wait.
    pub(super) fn admit(&mut self, now: Duration) -> Result<(), Duration> {
        if now < self.closed_until {
            return Err(self.closed_until.saturating_sub(now));
        }
        if !self.is_open() {
            return Ok(());
        }
        if self.probing {
            return Err(INTROSPECTION_FIRST_PAUSE);
        }
        self.probing = true;
        Ok(())
    }

    /// What a configuration that is loaded now has to know of it: what the server asked for. Our own pauses end, since the
    /// reload may have mended what was wrong.
    pub(super) fn after_reload(&self) -> Self {
        Self { closed_until: self.asked_until, asked_until: self.asked_until, ..Self::default() }
    }

    /// The round in which a question is let through now.
    pub(super) fn round(&self) -> u64 {
        self.round
    }

    /// A question that was let through in that round succeeded. One of before the last pause neither shortens that, nor ends
    /// the question that shows whether the server works again.
    pub(super) fn succeeded(&mut self, round: u64) {
        if round == self.round {
            *self = Self { round, ..Self::default() };
        }
    }

    /// `retry_after` is the server's own word, which counts at once.
    pub(super) fn failed(&mut self, now: Duration, retry_after: Option<Duration>) {
        self.failures = self.failures.saturating_add(1);
        self.probing = false;
        let doublings = self.failures.saturating_sub(INTROSPECTION_TRIES).min(16);
        let pause = INTROSPECTION_FIRST_PAUSE
            .saturating_mul(2u32.saturating_pow(doublings))
            .min(INTROSPECTION_LONGEST_PAUSE);
        let own = if self.is_open() { pause } else { Duration::ZERO };
        let asked = retry_after.map(|wanted| wanted.min(INTROSPECTION_LONGEST_PAUSE));
        let pause = asked.map_or(own, |asked| asked.max(own));
        self.asked_until = now.saturating_add(asked.unwrap_or_default());
        self.closed_until = now.saturating_add(pause);
        self.round += u64::from(!pause.is_zero());
    }

    /// A question that was let through before the last pause failed. Many that fail together are one sign of trouble.
    pub(super) fn failed_late(&mut self, now: Duration, retry_after: Option<Duration>) {
        if let Some(wanted) = retry_after {
            let until = now.saturating_add(wanted.min(INTROSPECTION_LONGEST_PAUSE));
            if until > self.closed_until {
                // Another pause: what is under way was let through before it.
                (self.closed_until, self.asked_until) = (until, until);
                self.round += 1;
                self.probing = false;
            }
        }
    }

    /// A question that was let through in that round ended without an outcome.
    pub(super) fn abandoned(&mut self, round: u64) {
        if round == self.round {
            self.probing = false;
        }
    }

    /// The server rejects this guard as a client. Others are asked on, since it may have changed its mind: this is for the
    /// operator. It ends by itself, since a service that gets no requests for it would ask no more questions. Returns
    /// whether it is the first time since a question succeeded.
    pub(super) fn rejected(&mut self, now: Duration) -> bool {
        let is_first = self.rejected_until.is_zero();
        self.rejected_until = now.saturating_add(INTROSPECTION_LONGEST_PAUSE);
        is_first
    }

    /// How long callers should wait before they try again.
    pub(super) fn pause(&self, now: Duration) -> Duration {
        self.closed_until.saturating_sub(now).max(INTROSPECTION_FIRST_PAUSE)
    }

    /// Whether the pause is over. Then a question is asked, and whether it succeeds is seen by that alone.
    pub(super) fn is_ok(&self, now: Duration) -> bool {
        now >= self.closed_until && now >= self.rejected_until
    }

    fn is_open(&self) -> bool {
        self.failures >= INTROSPECTION_TRIES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn pauses_grow_and_one_question_ends_them() {
        let mut breaker = Breaker::default();
        for _ in 0..INTROSPECTION_TRIES {
            assert_eq!(breaker.admit(s(0)), Ok(()));
            breaker.failed(s(0), None);
        }
        assert_eq!(breaker.admit(s(0)), Err(s(1)));
        let mut now = s(0);
        for pause in [1, 2, 4, 8, 16, 30, 30] {
            assert!(breaker.admit(now + s(pause) - Duration::from_millis(1)).is_err(), "{pause}");
            now += s(pause);
            assert_eq!(breaker.admit(now), Ok(()), "{pause}");
            assert!(breaker.admit(now).is_err(), "one question at a time, {pause}");
            breaker.failed(now, None);
        }
        now += s(30);
        assert_eq!(breaker.admit(now), Ok(()));
        breaker.abandoned(breaker.round());
        assert_eq!(breaker.admit(now), Ok(()));
        breaker.succeeded(breaker.round());
        assert_eq!((breaker.admit(now), breaker.admit(now)), (Ok(()), Ok(())));
    }

    #[test]
    fn a_success_of_before_a_pause_ends_neither_it_nor_the_question_after_it() {
        let mut breaker = Breaker::default();
        let before = breaker.round();
        breaker.failed(s(0), Some(s(9)));
        breaker.succeeded(before);
        assert_eq!(breaker.admit(s(1)), Err(s(8)));
        for _ in 1..INTROSPECTION_TRIES {
            assert_eq!(breaker.admit(s(9)), Ok(()));
            breaker.failed(s(9), None);
        }
        assert_eq!(breaker.admit(s(10)), Ok(()));
        breaker.succeeded(before);
        assert!(breaker.admit(s(10)).is_err(), "one question at a time");
        // The server asks for a pause while that one is under way, so that its success is one of before, too.
        let probe = breaker.round();
        breaker.failed_late(s(10), Some(s(5)));
        breaker.succeeded(probe);
        assert_eq!(breaker.admit(s(11)), Err(s(4)));
        assert_eq!(breaker.admit(s(15)), Ok(()));
        assert!(breaker.admit(s(15)).is_err(), "one question at a time");
        breaker.succeeded(breaker.round());
        assert_eq!((breaker.admit(s(15)), breaker.admit(s(15))), (Ok(()), Ok(())));
    }

    #[test]
    fn questions_that_fail_together_cause_one_pause() {
        let mut breaker = Breaker::default();
        let round = breaker.round();
        for _ in 0..INTROSPECTION_TRIES {
            assert_eq!(breaker.admit(s(0)), Ok(()));
            breaker.failed(s(0), None);
        }
        assert_ne!(breaker.round(), round);
        breaker.failed_late(s(0), None);
        assert_eq!(breaker.admit(s(0)), Err(s(1)));
        assert_eq!(breaker.admit(s(1)), Ok(()));
        breaker.abandoned(round);
        breaker.failed_late(s(1), None);
        assert!(breaker.admit(s(1)).is_err(), "the one after the pause is still under way");
        breaker.failed_late(s(1), Some(s(9)));
        assert_eq!(breaker.admit(s(2)), Err(s(8)));
    }

    #[test]
    fn retry_after_counts_at_once() {
        let mut breaker = Breaker::default();
        breaker.failed(s(10), Some(s(7)));
        assert_eq!(breaker.admit(s(16)), Err(s(1)));
        assert_eq!(breaker.pause(s(12)), s(5));
        assert_eq!(breaker.admit(s(17)), Ok(()));
    }
}
