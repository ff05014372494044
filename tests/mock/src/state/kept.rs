//! What ends by itself, and is forgotten some time later: a server that runs for long holds what it still needs.

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};

/// So many are kept whatever their age: nothing is forgotten in a test of usual size.
const FEW: usize = 1024;

/// Seconds for which an entry is remembered after its end: a client that comes late learns that it has ended, and a
/// clock may be set back.
const REMEMBERED: i64 = 3600;

/// Entries by a secret or a name.
pub(crate) struct Kept<V> {
    entries: HashMap<String, V>,
    /// How many there may be before those that have ended are looked for: twice as many as there were after the last
    /// time, so that each entry pays for a few looks only.
    most: usize,
}

impl<V> Kept<V> {
    /// Adds an entry. If there are many, it first forgets those whose end (a Unix time) is long over; whether it did.
    pub(crate) fn keep(&mut self, key: String, value: V, now: i64, end: impl Fn(&V) -> i64) -> bool {
        let many = self.entries.len() >= self.most;
        if many {
            self.entries.retain(|_, value| now < end(value).saturating_add(REMEMBERED));
            self.most = FEW.max(self.entries.len().saturating_mul(2));
        }
        self.entries.insert(key, value);
        many
    }
}

impl<V> Default for Kept<V> {
    fn default() -> Self {
        Self { entries: HashMap::new(), most: FEW }
    }
}

impl<V> Deref for Kept<V> {
    type Target = HashMap<String, V>;

    fn deref(&self) -> &Self::Target {
        &self.entries
    }
}

impl<V> DerefMut for Kept<V> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ended_long_ago_is_forgotten_when_there_is_much() {
        let mut kept = Kept::default();
        let mut most = 0;
        for n in 0..20_000_i64 {
            kept.keep(n.to_string(), n + 60, n * 10, |end| *end);
            most = most.max(kept.len());
        }
        assert!(most <= FEW + 1, "{most}");
        // What ended within the last hour is there.
        assert!((19_700..20_000).all(|n: i64| kept.contains_key(&n.to_string())));
        // What has not ended is never forgotten.
        let mut kept = Kept::default();
        for n in 0..5_000_i64 {
            kept.keep(n.to_string(), i64::MAX, n, |end| *end);
        }
        assert_eq!(kept.len(), 5_000);
    }
}
