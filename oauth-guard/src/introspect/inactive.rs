//! Tokens that a server has called inactive.

use std::collections::HashMap;
use std::mem;
use std::time::Duration;

use crate::cache::{AlreadyRandom, Digest};
use crate::defaults::INTROSPECTION_NEGATIVES;

/// Inactive tokens, and until when they count as such on the monotonic clock: the latest ones, up to a number.
///
/// In two halves: when the newer one is full, the older one goes, and it takes its place. So an insertion never looks for
/// what has to go, and a token stays for at least as long as it takes to invent as many as a half has, from its last use on.
#[derive(Default)]
pub(super) struct Inactive {
    newer: Half,
    older: Half,
}

/// How many a half has.
const MOST: usize = (INTROSPECTION_NEGATIVES / 2) as usize;

type Half = HashMap<Digest, Duration, AlreadyRandom>;

impl Inactive {
    pub(super) fn has(&mut self, digest: Digest, now: Duration) -> bool {
        let Some(until) = self.until(digest).filter(|until| now < *until) else { return false };
        // One that comes again and again is not asked about for the sake of those that come once.
        if !self.newer.contains_key(&digest) {
            self.insert(digest, until);
        }
        true
    }

    fn until(&self, digest: Digest) -> Option<Duration> {
        self.newer.get(&digest).or_else(|| self.older.get(&digest)).copied()
    }

    pub(super) fn insert(&mut self, digest: Digest, until: Duration) {
        if self.newer.len() >= MOST {
            // Its room is used again.
            mem::swap(&mut self.newer, &mut self.older);
            self.newer.clear();
        }
        self.newer.insert(digest, until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_latest_are_known_within_their_time_and_their_number_is_bounded() {
        let mut inactive = Inactive::default();
        let digest = |number: usize| Digest::for_tests(number as u64);
        for number in 0..10 * MOST {
            inactive.insert(digest(number), s(10));
            assert!(inactive.newer.len() + inactive.older.len() <= 2 * MOST);
            for latest in [0, 1, MOST - 1] {
                let known = |number| inactive.until(digest(number)) == Some(s(10));
                assert!(number < latest || known(number - latest), "{number} {latest}");
            }
            assert!(!inactive.has(digest(number), s(10)) && !inactive.has(digest(number + 1), s(0)));
        }
        assert!(!inactive.has(digest(0), s(0)));
        inactive.insert(digest(0), s(20));
        inactive.insert(digest(0), s(15));
        assert!(!inactive.has(digest(0), s(15)), "the last word counts");
    }

    #[test]
    fn one_that_is_used_stays_however_many_others_come() {
        let mut inactive = Inactive::default();
        let digest = |number: usize| Digest::for_tests(number as u64);
        inactive.insert(digest(0), s(10));
        for number in 1..10 * MOST {
            inactive.insert(digest(number), s(10));
            assert!(!number.is_multiple_of(1000) || inactive.has(digest(0), s(9)), "{number}");
            assert!(inactive.newer.len() <= MOST && inactive.older.len() <= MOST);
        }
        assert!(!inactive.has(digest(0), s(10)), "use does not make it last longer");
    }
}
