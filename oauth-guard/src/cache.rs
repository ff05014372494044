//! Step 2: is the token in the cache?
//!
//! The cache holds identity, never a decision: lifetime, key, issuer and rules are checked again on every hit.
//! Rejections are not cached.

use std::cell::Cell;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use highway::{HighwayHash, HighwayHasher, Key};
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use crate::claims::Verified;

/// A token's digest: HighwayHash with 256 bits of output, under a key that is random for each guard and never
/// leaves it.
///
/// Why this is enough: a token is taken for another one only if both have the same digest. Two colliding tokens take
/// 2^128 tries, a second token with a given digest 2^256. Without the key an attacker cannot search offline, and the
/// digest is never shown, so online tries reveal nothing. HighwayHash is designed and analysed as a keyed function
/// against such an attacker. A 64-bit hash is too short: two of four billion tokens collide by chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Digest([u64; 4]);

impl std::hash::Hash for Digest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0[0]);
    }
}

/// Verified tokens by digest, with a capacity in bytes.
pub(crate) struct TokenCache<T> {
    key: Key,
    max_bytes: u64,
    recent: Recent<T>,
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
        let entries = (max_bytes > 0).then(|| {
            Cache::builder()
                .max_capacity(max_bytes)
                .weigher(|_, verified: &Arc<Verified<T>>| verified.weight())
                // Tokens are used for minutes and then never again: recency is a better guide than frequency.
                .eviction_policy(EvictionPolicy::lru())
                .build_with_hasher(AlreadyRandom)
        });
        let (recent, hits, misses) = (Recent::new(max_bytes), Counter::default(), Counter::default());
        Some(Self { key: Key(key), max_bytes, recent, entries, hits, misses })
    }

    pub(crate) fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// The token's digest, and its entry if there is one. `None` without a cache.
    pub(crate) fn get(&self, token: &[u8]) -> Option<(Digest, Option<Arc<Verified<T>>>)> {
        let entries = self.entries.as_ref()?;
        let digest = self.digest(token);
        if let Some(found) = self.recent.get(digest) {
            self.hits.add();
            if one_in::<16>() {
                // Keeps the entry recent in the main cache.
                drop(entries.get(&digest));
            }
            return Some((digest, Some(found)));
        }
        let found = entries.get(&digest);
        match &found {
            Some(verified) => {
                self.hits.add();
                if one_in::<8>() {
                    self.recent.put(digest, verified);
                }
            }
            None => self.misses.add(),
        }
        Some((digest, found))
    }

    /// An entry, without counting a hit or a miss.
    pub(crate) fn peek(&self, digest: Digest) -> Option<Arc<Verified<T>>> {
        self.entries.as_ref()?.get(&digest)
    }

    /// Stores it under the digest that [`get`](Self::get) returned, or under a new one.
    pub(crate) fn insert(&self, token: &[u8], digest: Option<Digest>, verified: &Arc<Verified<T>>) {
        if let Some(entries) = &self.entries {
            entries.insert(digest.unwrap_or_else(|| self.digest(token)), Arc::clone(verified));
        }
    }

    pub(crate) fn remove(&self, digest: Digest) {
        self.recent.remove(digest);
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
        (entries, bytes, self.hits.sum(), self.misses.sum())
    }

    pub(crate) fn digest(&self, token: &[u8]) -> Digest {
        Digest(HighwayHasher::new(self.key).hash256(token))
    }
}

/// A first level: some of the tokens that are used most, each in the one slot that its digest selects. A read takes no
/// lock and writes nothing that other cores read. Entries are checked like all others on each hit, so one may stay here a
/// little longer than in the main cache.
struct Recent<T>(Box<[ArcSwapOption<Slot<T>>]>);

struct Slot<T> {
    digest: Digest,
    verified: Arc<Verified<T>>,
}

impl<T> Recent<T> {
    /// When all slots are used they take about a hundredth of the cache's bytes.
    fn new(max_bytes: u64) -> Self {
        let slots = (max_bytes / (64 * 1024)).min(256);
        Self((0..slots).map(|_| ArcSwapOption::empty()).collect())
    }

    fn get(&self, digest: Digest) -> Option<Arc<Verified<T>>> {
        let slot = self.slot(digest)?.load();
        slot.as_ref().filter(|slot| slot.digest == digest).map(|slot| Arc::clone(&slot.verified))
    }

    fn put(&self, digest: Digest, verified: &Arc<Verified<T>>) {
        if let Some(slot) = self.slot(digest) {
            slot.store(Some(Arc::new(Slot { digest, verified: Arc::clone(verified) })));
        }
    }

    fn remove(&self, digest: Digest) {
        if let Some(slot) = self.slot(digest)
            && slot.load().as_ref().is_some_and(|slot| slot.digest == digest)
        {
            slot.store(None);
        }
    }

    fn slot(&self, digest: Digest) -> Option<&ArcSwapOption<Slot<T>>> {
        // Another word of the digest than the one the main cache hashes by.
        let slots = u64::try_from(self.0.len()).ok()?;
        self.0.get(usize::try_from(digest.0[1].checked_rem(slots)?).ok()?)
    }
}

/// True once in so many calls, per thread and in a pseudo-random order that requests cannot fall into step with.
fn one_in<const TIMES: u32>() -> bool {
    thread_local! {
        static DICE: Cell<u32> = const { Cell::new(0) };
    }
    // A linear congruential generator, whose high bits are the better ones.
    let roll = |dice: &Cell<u32>| {
        let next = dice.get().wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        dice.set(next);
        next >> 16
    };
    DICE.try_with(roll).is_ok_and(|roll| roll % TIMES == 0)
}

impl<T> fmt::Debug for TokenCache<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the key: it would allow a search for collisions.
        f.debug_struct("TokenCache").field("enabled", &self.entries.is_some()).finish_non_exhaustive()
    }
}

/// Passes on the one word that a [`Digest`] hashes to: it is random already.
#[derive(Clone, Copy, Debug, Default)]
struct AlreadyRandom;

impl BuildHasher for AlreadyRandom {
    type Hasher = Word;

    fn build_hasher(&self) -> Word {
        Word(0)
    }
}

struct Word(u64);

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
        thread_local! {
            static MINE: usize = {
                static NEXT: AtomicU64 = AtomicU64::new(0);
                usize::try_from(NEXT.fetch_add(1, Ordering::Relaxed) % 8).unwrap_or(0)
            };
        }
        let mine = MINE.try_with(|mine| *mine).unwrap_or(0);
        if let Some(line) = self.0.get(mine) {
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
