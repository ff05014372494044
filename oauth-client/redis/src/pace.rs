//! How often a lease that another process holds is asked for: a fleet that waits must not keep Redis busy.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// So many questions at once, and so many a second: in any second at most 30.
const BURST: f64 = 5.0;
const PER_SECOND: f64 = 25.0;
/// Who has been refused for so long does not wait any more.
const FORGOTTEN: Duration = Duration::from_secs(2);
/// When so many are remembered, those that do not wait any more are taken out.
const MANY: usize = 1024;

#[derive(Debug)]
pub(crate) struct Pace(Mutex<State>);

#[derive(Debug)]
struct State {
    tokens: f64,
    at: Instant,
    /// The leases that were refused, and when last.
    refused: HashMap<String, Instant>,
}

/// What may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// For the lease.
    Lease,
    /// Whether it is free, which costs less: it was not, a moment ago.
    IsFree,
    /// Nothing; too much was asked just now.
    Nothing,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(State { tokens: BURST, at: Instant::now(), refused: HashMap::new() }))
    }

    /// What may be asked about this lease now.
    pub(crate) fn next(&self, lease: &str) -> Question {
        let mut state = self.state();
        let now = Instant::now();
        let waits = |at: &Instant| now.saturating_duration_since(*at) < FORGOTTEN;
        if !state.refused.get(lease).is_some_and(waits) {
            return Question::Lease;
        }
        let since = now.saturating_duration_since(state.at).as_secs_f64();
        state.tokens = since.mul_add(PER_SECOND, state.tokens).min(BURST);
        state.at = now;
        if state.tokens < 1.0 {
            // It waits on.
            state.refused.insert(lease.to_owned(), now);
            return Question::Nothing;
        }
        state.tokens -= 1.0;
        Question::IsFree
    }

    pub(crate) fn refused(&self, lease: &str) {
        let mut state = self.state();
        let now = Instant::now();
        if state.refused.len() >= MANY {
            state.refused.retain(|_, at| now.saturating_duration_since(*at) < FORGOTTEN);
        }
        state.refused.insert(lease.to_owned(), now);
    }

    pub(crate) fn granted(&self, lease: &str) {
        self.state().refused.remove(lease);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_waits_asks_no_more_than_thirty_times_a_second_together() {
        let pace = Pace::new();
        assert_eq!(pace.next("free"), Question::Lease);
        for n in 0..100 {
            pace.refused(&n.to_string());
        }
        let mut asked = Vec::new();
        for _ in 0..100 {
            tokio::time::advance(Duration::from_millis(50)).await;
            let mut count = 0;
            for n in 0..100 {
                let lease = n.to_string();
                if pace.next(&lease) != Question::Nothing {
                    count += 1;
                    pace.refused(&lease);
                }
            }
            asked.push(count);
            // One that is not waited for is asked for at once.
            assert_eq!(pace.next("free"), Question::Lease);
        }
        assert!(asked.windows(20).all(|second| second.iter().sum::<usize>() <= 30), "{asked:?}");
        assert!(asked.iter().sum::<usize>() > 100, "{asked:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_not_asked_for_long_starts_anew() {
        let pace = Pace::new();
        pace.refused("a");
        assert_eq!(pace.next("a"), Question::IsFree);
        tokio::time::advance(FORGOTTEN).await;
        assert_eq!(pace.next("a"), Question::Lease);
        pace.refused("a");
        pace.granted("a");
        assert_eq!(pace.next("a"), Question::Lease);
    }
}
