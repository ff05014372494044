//! What may be used once: identifiers of assertions and proofs that were seen, for as long as they could come again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

#[derive(Default)]
pub(crate) struct Replays(Mutex<HashMap<String, i64>>);

impl Replays {
    /// Whether `id`, which is worthless from the Unix time `until` on, is seen for the first time.
    pub(crate) fn is_first(&self, id: String, until: i64, now: i64) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|_, until| *until > now);
        seen.insert(id, until).is_none()
    }

    pub(crate) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_use_is_noticed_until_the_first_has_expired() {
        let seen = Replays::default();
        let uses = [("a", 0), ("a", 9), ("b", 9), ("a", 10)]
            .map(|(id, now)| seen.is_first(id.into(), now + 10, now));
        assert_eq!(uses, [true, false, true, false]);
        assert!(seen.is_first("a".to_owned(), 40, 20));
    }
}
