//! Step 2: has this very token been judged before?
//!
//! What is remembered is who the caller is, never that he may pass: time, key, issuer and policy are asked again
//! on every hit. Refusals are not remembered.

use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use highway::{HighwayHash, HighwayHasher, Key};
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use crate::claims::Verified;

/// A token's digest: HighwayHash with 256 bits of output, under a key that is drawn at random for each guard and
/// never leaves it.
///
/// Why this is enough: to be taken for another token, a token has to have the same digest. Finding two that
/// collide needs 2^128 tries by chance, and one that meets a given token 2^256; whoever does not know the key
/// cannot try at home, and the digest shows up nowhere, so that trying online teaches nothing. HighwayHash is
/// designed and analysed as a keyed function against such an attacker. A 64-bit hash would not do: two tokens of
/// four billion collide by chance.
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
    entries: Option<Cache<Digest, Arc<Verified<T>>, AlreadyRandom>>,
    hits: Counter,
    misses: Counter,
}

impl<T: Send + Sync + 'static> TokenCache<T> {
    /// `None` when the system has no randomness to give.
    pub(crate) fn new(max_bytes: u64) -> Option<Self> {
        let mut key = [0; 4];
        for word in &mut key {
            *word = getrandom::u64().ok()?;
        }
        let entries = (max_bytes > 0).then(|| {
            Cache::builder()
                .max_capacity(max_bytes)
                .weigher(|_, verified: &Arc<Verified<T>>| verified.weight())
                // Tokens are used for minutes and then never again: recency tells more than frequency.
                .eviction_policy(EvictionPolicy::lru())
                .build_with_hasher(AlreadyRandom)
        });
        Some(Self { key: Key(key), max_bytes, entries, hits: Counter::default(), misses: Counter::default() })
    }

    pub(crate) fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// What is known of the token, and the digest to remember it by if nothing is. `None` without a cache.
    pub(crate) fn look_up(&self, token: &[u8]) -> Option<(Digest, Option<Arc<Verified<T>>>)> {
        let entries = self.entries.as_ref()?;
        let digest = self.digest(token);
        let found = entries.get(&digest);
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.add();
        Some((digest, found))
    }

    /// Remembers it under the digest that looking it up has brought, or one made now.
    pub(crate) fn remember(&self, token: &[u8], digest: Option<Digest>, verified: &Arc<Verified<T>>) {
        if let Some(entries) = &self.entries {
            entries.insert(digest.unwrap_or_else(|| self.digest(token)), Arc::clone(verified));
        }
    }

    pub(crate) fn forget(&self, digest: Digest) {
        if let Some(entries) = &self.entries {
            entries.invalidate(&digest);
        }
    }

    pub(crate) fn report(&self) -> (u64, u64, u64, u64) {
        let (entries, bytes) = self.entries.as_ref().map_or((0, 0), |cache| {
            cache.run_pending_tasks();
            (cache.entry_count(), cache.weighted_size())
        });
        (entries, bytes, self.hits.sum(), self.misses.sum())
    }

    fn digest(&self, token: &[u8]) -> Digest {
        Digest(HighwayHasher::new(self.key).hash256(token))
    }
}

impl<T> fmt::Debug for TokenCache<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The key stays out: with it, collisions could be looked for.
        f.debug_struct("TokenCache").field("enabled", &self.entries.is_some()).finish_non_exhaustive()
    }
}

/// Passes on the one word a [`Digest`] hashes to: it is as random as a hash gets.
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
