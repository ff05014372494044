//! The store in memory: bounded, in parts that are locked on their own, and without an eviction.

use std::fmt;
use std::future::{Future, ready};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use highway::{HighwayHash, HighwayHasher, Key};
use oauth_client::clock::Clock;

use super::shard::{Full, Proof, Reserve, Shard, Tick};
use super::{Insertion, ProofId, ReplayError, ReplayHealth, ReplayStore};
use crate::error::{BuildError, Problem};

/// As many entries as there are to a part at least: below that, more parts are no use.
const ENTRIES_PER_SHARD: usize = 4096;
const MOST_SHARDS: usize = 256;
/// How much of the store the proofs of one key may hold.
const SHARE: usize = 64;
/// How long a full store stays silent after it was reported.
const REPORTED_EVERY: u64 = 60;

/// Used proofs in the memory of this process.
///
/// It has a capacity and never drops an entry that still counts: when it is full, or when the proofs of one key hold a
/// 64th of it, further ones fail with [`ReplayError::Full`]. So a client that sends very many proofs locks out only
/// itself. Memory grows with the entries, by 40 to 80 bytes each (up to 40 more in a store for less than a million),
/// and is freed when there are fewer proofs for a while.
///
/// Ends are counted on the [monotonic clock](oauth_client::clock), rounded up to whole seconds.
pub struct MemoryReplayStore {
    /// Random for each store, so that no caller can choose which entries fall together.
    key: Key,
    of_keys: KeyHash,
    clock: Arc<dyn Clock>,
    started: Duration,
    capacity: usize,
    share: u32,
    /// Each has all proofs of its keys.
    shards: Box<[Line<Shard>]>,
    reserve: Reserve,
    full: AtomicU64,
    reported: AtomicU64,
    /// The second in which all parts were cleared of what has ended.
    cleared: AtomicU64,
}

/// On cache lines of its own, so that two cores at work on neighbours do not wait for each other.
#[derive(Debug)]
#[repr(align(128))]
struct Line<T>(Mutex<T>);

impl<T> Line<T> {
    fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemoryReplayStore {
    /// A store for this many proofs, at least 64. With several thousand and more, they are spread over parts, one of
    /// which may be full when the whole has two percent of room left.
    ///
    /// # Errors
    /// `dpop.replay_capacity` when it is below 64 or above 1,000,000,000, or when the system has no random bytes.
    pub fn new(capacity: usize, clock: impl Clock) -> Result<Self, BuildError> {
        Self::with_clock(capacity, Arc::new(clock)).map_err(|message| {
            let field = "dpop.replay_capacity".to_owned();
            BuildError::new(vec![Problem { field, message: message.to_owned() }])
        })
    }

    pub(crate) fn with_clock(capacity: usize, clock: Arc<dyn Clock>) -> Result<Self, &'static str> {
        if !(SHARE..=1_000_000_000).contains(&capacity) {
            return Err("expected 64 to 1,000,000,000 proofs");
        }
        let mut random = [0; 14];
        for word in &mut random {
            *word = getrandom::u64().map_err(|_| "the system has no random bytes for the store of proofs")?;
        }
        let [key @ .., a, b, c, d, e, f, g, h, i, j] = random;
        let wide = |high: u64, low: u64| u128::from(high) << 64 | u128::from(low);
        let parts = (capacity / ENTRIES_PER_SHARD).clamp(1, MOST_SHARDS);
        // A power of two at most, so that a few bits of the digest choose one.
        let parts = 1 << parts.ilog2();
        let started = clock.now().monotonic;
        Ok(Self {
            key: Key(key),
            of_keys: KeyHash([wide(a, b), wide(c, d), wide(e, f), wide(g, h), wide(i, j)]),
            clock,
            started,
            capacity,
            share: u32::try_from(capacity / SHARE).unwrap_or(u32::MAX),
            shards: (0..parts).map(|_| Line(Mutex::new(Shard::new()))).collect(),
            reserve: Reserve::new(capacity, parts),
            full: AtomicU64::new(0),
            reported: AtomicU64::new(0),
            cleared: AtomicU64::new(0),
        })
    }

    /// Notes a proof at once.
    pub(crate) fn insert_now(&self, proof: ProofId<'_>, keep: Duration) -> Result<Insertion, ReplayError> {
        let elapsed = self.clock.now().monotonic.saturating_sub(self.started);
        let now = Tick::try_from(elapsed.as_secs()).unwrap_or(Tick::MAX);
        let end = elapsed.saturating_add(keep);
        let end = end.as_secs().saturating_add(u64::from(end.subsec_nanos() > 0));
        let end = Tick::try_from(end).unwrap_or(Tick::MAX).max(now.saturating_add(1));
        let (digest, key) = self.digest(proof);
        let proof = Proof { digest, key, end };
        match self.try_insert(proof, now) {
            // Other parts may still hold room for what has ended. Once a second is often enough to look.
            Err(Full) if self.cleared.swap(now.into(), Ordering::Relaxed) != u64::from(now) => {
                let _ = self.state();
                self.try_insert(proof, now)
            }
            found => found,
        }
        .map_err(|Full| {
            self.report(now);
            ReplayError::Full
        })
    }

    fn try_insert(&self, proof: Proof, now: Tick) -> Result<Insertion, Full> {
        self.shard(proof.key).lock().insert(proof, now, self.share, &self.reserve)
    }

    /// Proofs noted, and whether there is room for more.
    fn state(&self) -> (usize, bool) {
        let elapsed = self.clock.now().monotonic.saturating_sub(self.started);
        let now = Tick::try_from(elapsed.as_secs()).unwrap_or(Tick::MAX);
        let (mut entries, mut has_room) = (0, true);
        for shard in &self.shards {
            let mut shard = shard.lock();
            shard.clear(now, usize::MAX, &self.reserve);
            entries += shard.len();
            has_room &= shard.has_room();
        }
        (entries, has_room || !self.reserve.is_empty())
    }

    fn digest(&self, proof: ProofId<'_>) -> (u128, u64) {
        let mut both = HighwayHasher::new(self.key);
        both.append(proof.thumbprint());
        both.append(proof.jti().as_bytes());
        let [low, high] = both.finalize128();
        ((u128::from(high) << 64) | u128::from(low), self.of_keys.hash(proof.thumbprint()))
    }

    /// The part that the upper bits choose; the tables inside go by the others.
    #[expect(clippy::indexing_slicing, reason = "below the number of parts, which is at least one")]
    fn shard(&self, key: u64) -> &Line<Shard> {
        &self.shards[(key >> 32) as usize % self.shards.len()]
    }

    #[cold]
    fn report(&self, now: Tick) {
        self.full.fetch_add(1, Ordering::Relaxed);
        let (now, last) = (u64::from(now) + 1, self.reported.load(Ordering::Relaxed));
        if (last == 0 || now >= last + REPORTED_EVERY)
            && self.reported.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            let capacity = self.capacity;
            tracing::warn!(
                target: "oauth_guard", capacity,
                "the store of used proofs is full, or one key's proofs hold a 64th of it: requests with bound tokens are rejected"
            );
        }
    }
}

/// Hashes the thumbprints of keys: the sum of their words, each multiplied with a random number, of which the upper half
/// counts. Two thumbprints have the same hash with a probability of 2^-64, whatever they are (strongly universal hashing by
/// Dietzfelbinger). That is enough for what it decides: where proofs are kept, and which of them are counted together.
struct KeyHash([u128; 5]);

impl KeyHash {
    #[inline]
    fn hash(&self, thumbprint: &[u8; 32]) -> u64 {
        let [factors @ .., start] = &self.0;
        let (words, _) = thumbprint.as_chunks();
        let products = words.iter().zip(factors).map(|(word, factor)| {
            let word = u64::from_le_bytes(*word);
            factor.wrapping_mul(word.into())
        });
        (products.fold(*start, u128::wrapping_add) >> 64) as u64
    }
}

impl ReplayStore for MemoryReplayStore {
    fn insert(
        &self,
        proof: ProofId<'_>,
        keep: Duration,
    ) -> impl Future<Output = Result<Insertion, ReplayError>> + Send {
        ready(self.insert_now(proof, keep))
    }

    fn health(&self) -> ReplayHealth {
        let (entries, ok) = self.state();
        ReplayHealth {
            ok,
            entries: u64::try_from(entries).ok(),
            capacity: u64::try_from(self.capacity).ok(),
            full: self.full.load(Ordering::Relaxed),
            last_error: (!ok).then(|| ReplayError::Full.to_string()),
        }
    }
}

impl fmt::Debug for MemoryReplayStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the key: it would allow a search for proofs that fall together.
        f.debug_struct("MemoryReplayStore").field("capacity", &self.capacity).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
