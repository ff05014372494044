//! Step 2: is the token in the cache?
//!
//! The cache holds identity, never a decision: lifetime, key, issuer and rules are checked again on every hit.
//! Rejections are not cached.
//!
//! It has two levels: the main one, which all threads share, and [`near`], where each thread holds what it sees most.

mod near;
#[cfg(test)]
mod near_tests;

use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use highway::{HighwayHash, HighwayHasher, Key};
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use self::near::Near;
use crate::claims::{Held, Verified};
use crate::sync::thread;

/// A token's digest: HighwayHash with 256 bits of output, under a key that is random for each guard and never
/// leaves it.
///
/// Why this is enough: a token is taken for another one only if both have the same digest. Two colliding tokens take
/// 2^128 tries, a second token with a given digest 2^256. Without the key an attacker cannot search offline, and the
/// digest is never shown, so online tries reveal nothing. HighwayHash is designed and analysed as a keyed function
/// against such an attacker. A 64-bit hash is too short: two of four billion tokens collide by chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Digest([u64; 4]);

#[cfg(test)]
impl Digest {
    pub(crate) fn for_tests(number: u64) -> Self {
        Self([number; 4])
    }
}

impl std::hash::Hash for Digest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0[0]);
    }
}

/// Verified tokens by digest, with a capacity in bytes.
pub(crate) struct TokenCache<T> {
    key: Key,
    max_bytes: u64,
    near: Near<Held<T>>,
    entries: Option<Cache<Digest, Arc<Verified<T>>, AlreadyRandom>>,
    hits: Counter,
    misses: Counter,
}

impl<T: Send + Sync + 'static> TokenCache<T> {
    /// `None` when the system has no random bytes.
    pub(crate) fn new(max_bytes: u64) -> Option<Self> {
        let mut key = [0; 4];
        for word in &mut key {
            *word = getrandom::u64().ok()?;
        }
        let near = Near::new(max_bytes);
        let entries = (max_bytes > 0).then(|| {
            Cache::builder()
                // Both levels together stay within it.
                .max_capacity(max_bytes - near.max_bytes())
                .weigher(|_, verified: &Arc<Verified<T>>| verified.weight())
                // Tokens are used for minutes and then never again: recency is a better guide than frequency.
                .eviction_policy(EvictionPolicy::lru())
                .build_with_hasher(AlreadyRandom)
        });
        let (hits, misses) = (Counter::default(), Counter::default());
        Some(Self { key: Key(key), max_bytes, near, entries, hits, misses })
    }

    pub(crate) fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// The token's digest, by which the cache knows it. `None` without a cache.
    #[inline]
    pub(crate) fn known_as(&self, token: &[u8]) -> Option<Digest> {
        self.entries.is_some().then(|| self.digest(token))
    }

    /// What this thread holds of the token under that generation of the configuration. `second` is of the monotonic clock.
    #[inline]
    pub(crate) fn near(&self, digest: Digest, generation: u64, second: u64) -> Option<Arc<Held<T>>> {
        let hit = self.near.get(digest, generation, second)?;
        if hit.touch {
            self.touch(digest);
        }
        Some(hit.value)
    }

    /// Keeps an entry recent in the main cache. Once a second for each thread, since it writes what all threads share.
    #[cold]
    fn touch(&self, digest: Digest) {
        drop(self.peek(digest));
    }

    /// The entry of the main cache.
    pub(crate) fn get(&self, digest: Digest) -> Option<Arc<Verified<T>>> {
        let found = self.entries.as_ref()?.get(&digest);
        match &found {
            Some(_) => self.hits.add(),
            None => self.misses.add(),
        }
        found
    }

    /// Whether a token that was found in the main cache is to be held by this thread as well.
    pub(crate) fn is_to_be_held(&self, digest: Digest) -> bool {
        self.near.is_due(digest)
    }

    /// Holds it for this thread, unless a reload has put another generation in force.
    pub(crate) fn hold(&self, digest: Digest, generation: u64, second: u64, held: &Arc<Held<T>>) {
        self.near.put(digest, generation, second, held.weight(), held);
    }

    /// This thread no longer holds it.
    #[cold]
    pub(crate) fn let_go(&self, digest: Digest) {
        self.near.remove(digest);
    }

    /// That generation of the configuration is in force: no thread holds anything of another one when this returns, or will.
    pub(crate) fn begin(&self, generation: u64) {
        self.near.begin(generation);
    }

    /// An entry, without counting a hit or a miss.
    pub(crate) fn peek(&self, digest: Digest) -> Option<Arc<Verified<T>>> {
        self.entries.as_ref()?.get(&digest)
    }

    /// Stores it under the digest that [`get`](Self::get) returned, or under a new one.
    pub(crate) fn insert(&self, token: &[u8], digest: Option<Digest>, verified: &Arc<Verified<T>>) {
        if self.entries.is_some() {
            self.insert_as(digest.unwrap_or_else(|| self.digest(token)), verified);
        }
    }

    /// Stores it under that digest.
    pub(crate) fn insert_as(&self, digest: Digest, verified: &Arc<Verified<T>>) {
        if let Some(entries) = &self.entries {
            entries.insert(digest, Arc::clone(verified));
        }
    }

    pub(crate) fn remove(&self, digest: Digest) {
        self.near.remove(digest);
        if let Some(entries) = &self.entries {
            entries.invalidate(&digest);
        }
    }

    /// Entries, bytes, hits and misses.
    pub(crate) fn stats(&self) -> (u64, u64, u64, u64) {
        let (entries, bytes) = self.entries.as_ref().map_or((0, 0), |cache| {
            cache.run_pending_tasks();
            (cache.entry_count(), cache.weighted_size())
        });
        (entries, bytes, self.near.hits() + self.hits.sum(), self.misses.sum())
    }

    pub(crate) fn digest(&self, token: &[u8]) -> Digest {
        Digest(HighwayHasher::new(self.key).hash256(token))
    }
}

impl<T> fmt::Debug for TokenCache<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the key: it would allow a search for collisions.
        f.debug_struct("TokenCache").field("enabled", &self.entries.is_some()).finish_non_exhaustive()
    }
}

/// Passes on the one word that a [`Digest`] hashes to: it is random already.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AlreadyRandom;

impl BuildHasher for AlreadyRandom {
    type Hasher = Word;

    fn build_hasher(&self) -> Word {
        Word(0)
    }
}

pub(crate) struct Word(u64);

impl Hasher for Word {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = word;
    }
}

/// A counter that several cores write without passing one cache line around.
#[derive(Debug, Default)]
struct Counter([Line; 8]);

#[derive(Debug, Default)]
#[repr(align(64))]
struct Line(AtomicU64);

impl Counter {
    fn add(&self) {
        if let Some(line) = self.0.get(thread::number().unwrap_or(0) % 8) {
            line.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn sum(&self) -> u64 {
        self.0.iter().map(|line| line.0.load(Ordering::Relaxed)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An attacker who knows the digests of one process must not be able to search for collisions in another.
    #[test]
    fn the_digest_of_a_token_differs_between_caches() {
        let caches: Vec<_> = (0..8).map(|_| TokenCache::<()>::new(1024).unwrap()).collect();
        for (index, cache) in caches.iter().enumerate() {
            assert_eq!(cache.digest(b"a token"), cache.digest(b"a token"));
            assert_ne!(cache.digest(b"a token"), cache.digest(b"another"));
            for other in &caches[..index] {
                assert_ne!(cache.digest(b"a token"), other.digest(b"a token"));
                assert!(cache.key.0.iter().zip(other.key.0).all(|(one, other)| *one != other), "every word");
            }
        }
    }
}
