//! Step 2: has this very token been judged before?
//!
//! What is remembered is who the caller is, never that he may pass: time, key, issuer and policy are asked again
//! on every hit. Refusals are not remembered.

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
    recent: Recent<T>,
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
        let (recent, hits, misses) = (Recent::new(max_bytes), Counter::default(), Counter::default());
        Some(Self { key: Key(key), max_bytes, recent, entries, hits, misses })
    }

    pub(crate) fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// What is known of the token, and the digest to remember it by if nothing is. `None` without a cache.
    pub(crate) fn look_up(&self, token: &[u8]) -> Option<(Digest, Option<Arc<Verified<T>>>)> {
        let entries = self.entries.as_ref()?;
        let digest = self.digest(token);
        if let Some(found) = self.recent.get(digest) {
            self.hits.add();
            if now_and_then::<16>() {
                // So that it is not taken for one that nobody uses any more.
                drop(entries.get(&digest));
            }
            return Some((digest, Some(found)));
        }
        let found = entries.get(&digest);
        match &found {
            Some(verified) => {
                self.hits.add();
                if now_and_then::<8>() {
                    self.recent.put(digest, verified);
                }
            }
            None => self.misses.add(),
        }
        Some((digest, found))
    }

    /// Remembers it under the digest that looking it up has brought, or one made now.
    pub(crate) fn remember(&self, token: &[u8], digest: Option<Digest>, verified: &Arc<Verified<T>>) {
        if let Some(entries) = &self.entries {
            entries.insert(digest.unwrap_or_else(|| self.digest(token)), Arc::clone(verified));
        }
    }

    pub(crate) fn forget(&self, digest: Digest) {
        self.recent.forget(digest);
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

/// A first level: some of the tokens that are used most, each in the one place that its digest gives it. Looking there
/// takes no lock and writes nothing that other cores read. What is found is asked the same questions as anything else
/// that is remembered, so that it may stand here a little longer than in the cache proper.
struct Recent<T>(Box<[ArcSwapOption<Placed<T>>]>);

struct Placed<T> {
    digest: Digest,
    verified: Arc<Verified<T>>,
}

impl<T> Recent<T> {
    /// As many places as take up a hundredth of the cache's bytes or so, when all are taken; few for all that.
    fn new(max_bytes: u64) -> Self {
        let places = (max_bytes / (64 * 1024)).min(256);
        Self((0..places).map(|_| ArcSwapOption::empty()).collect())
    }

    fn get(&self, digest: Digest) -> Option<Arc<Verified<T>>> {
        let placed = self.place(digest)?.load();
        placed.as_ref().filter(|placed| placed.digest == digest).map(|placed| Arc::clone(&placed.verified))
    }

    fn put(&self, digest: Digest, verified: &Arc<Verified<T>>) {
        if let Some(place) = self.place(digest) {
            place.store(Some(Arc::new(Placed { digest, verified: Arc::clone(verified) })));
        }
    }

    fn forget(&self, digest: Digest) {
        if let Some(place) = self.place(digest)
            && place.load().as_ref().is_some_and(|placed| placed.digest == digest)
        {
            place.store(None);
        }
    }

    fn place(&self, digest: Digest) -> Option<&ArcSwapOption<Placed<T>>> {
        // Another word than the one that the cache proper goes by.
        let places = u64::try_from(self.0.len()).ok()?;
        self.0.get(usize::try_from(digest.0[1].checked_rem(places)?).ok()?)
    }
}

/// Says yes once in so many times, on each thread by itself and in no order that requests could fall in step with.
fn now_and_then<const TIMES: u32>() -> bool {
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
