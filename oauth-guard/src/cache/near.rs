//! The first level of the cache: for each thread, some of the tokens that it sees most.
//!
//! A hit writes what only this thread writes: the lock of its own place, and the count of an `Arc` of its own. The places
//! belong to the cache and not to the threads, so that they end with it, wherever the threads are.
//!
//! What is here was valid when it came in. The code that takes it out checks all that can have changed since: time,
//! key, issuer, revocations. A reload is the one change that an entry does not show by itself; [`Near::begin`] drops
//! what was held before it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, TryLockError};

use super::Digest;
use crate::sync::thread::{self, PLACES};
use crate::sync::{AtomicU64, Mutex, MutexGuard, OnceLock};

/// The most tokens that one thread has here.
const MOST_SLOTS: u64 = 256;

/// How many tokens a thread remembers that it does not hold. Few: what comes again after a long time is not worth a slot.
const SEEN: usize = 64;

pub(super) struct Near<V> {
    /// By the number of the thread. None where the cache is too small to be worth it.
    places: Box<[OnceLock<Box<Place<V>>>]>,
    slots: usize,
    /// Of all places together.
    max_bytes: usize,
    /// The generation of the snapshot in force. Written by a reload only.
    generation: AtomicU64,
    /// How many places are in use. Locked before any place.
    used: Mutex<usize>,
}

/// On lines of the processor's cache that hold nothing of another thread.
#[repr(align(128))]
struct Place<V>(Mutex<Slots<V>>);

struct Slots<V> {
    slots: Box<[Option<Slot<V>>]>,
    /// The weight of all entries, and the most that it may be.
    bytes: usize,
    max_bytes: usize,
    /// Where the next entry goes out when there is no room.
    next: usize,
    hits: u64,
    /// For which slots a token has come.
    wanted: Box<[bool]>,
    /// Tokens that came lately and are not held, by half a word of their digests.
    seen: [u32; SEEN],
}

struct Slot<V> {
    digest: Digest,
    generation: u64,
    /// Whether it was used since another token wanted its place.
    used: bool,
    /// When it was last used in the main cache too, in seconds of the monotonic clock.
    touched: u64,
    /// As the main cache counts it, although most entries are there as well and take no memory of their own.
    weight: u32,
    value: Arc<V>,
}

/// What a thread has of a token.
pub(super) struct Hit<V> {
    pub(super) value: Arc<V>,
    /// Whether the main cache should hear of it, so that the entry stays recent there.
    pub(super) touch: bool,
}

impl<V> Near<V> {
    /// For a cache of so many bytes in all: a sixteenth of them, divided among the threads.
    pub(super) fn new(cache_bytes: u64) -> Self {
        let slots = (cache_bytes / (64 * 1024)).min(MOST_SLOTS);
        // A power of two, so that some bits of the digest choose one.
        let slots = slots.checked_ilog2().map_or(0, |bits| 1 << bits);
        Self {
            places: (0..if slots == 0 { 0 } else { PLACES }).map(|_| OnceLock::new()).collect(),
            slots: usize::try_from(slots).unwrap_or_default(),
            max_bytes: if slots == 0 { 0 } else { usize::try_from(cache_bytes / 16).unwrap_or(usize::MAX) },
            generation: AtomicU64::new(0),
            used: Mutex::new(0),
        }
    }

    /// The most that all entries may take.
    pub(super) fn max_bytes(&self) -> u64 {
        u64::try_from(self.max_bytes).unwrap_or(u64::MAX)
    }

    /// What this thread holds, if it is of this generation.
    #[inline]
    pub(super) fn get(&self, digest: Digest, generation: u64, second: u64) -> Option<Hit<V>> {
        let mut slots = self.mine()?.try_lock()?;
        let slot = slots.at(digest)?.as_mut().filter(|slot| slot.is(digest, generation))?;
        let touch = slot.touched != second;
        slot.touched = second;
        slot.used = true;
        let value = Arc::clone(&slot.value);
        slots.hits += 1;
        Some(Hit { value, touch })
    }

    /// Whether this thread should hold a token that it does not: the second that comes for a free place, or one that comes again
    /// after a short time, unless what is in its place is in use. Most tokens among many come once, and would drive out those
    /// that come often.
    pub(super) fn is_due(&self, digest: Digest) -> bool {
        self.mine_or_new().and_then(Place::try_lock).is_some_and(|mut slots| slots.is_due(digest))
    }

    /// Holds it for this thread, in place of what its slot had, unless a reload has taken place since `generation`.
    pub(super) fn put(&self, digest: Digest, generation: u64, second: u64, weight: u32, value: &Arc<V>) {
        let Some(mut slots) = self.mine_or_new().and_then(Place::try_lock) else { return };
        // Under the lock: `begin` says which generation is in force before it locks the place to empty it.
        if self.generation.load(Ordering::Acquire) != generation {
            return;
        }
        const OWN: usize = size_of::<Slot<()>>();
        let weight = weight.saturating_add(u32::try_from(OWN).unwrap_or(u32::MAX));
        let value = Arc::clone(value);
        let entry = Slot { digest, generation, used: false, touched: second, weight, value };
        let dropped = slots.put(entry);
        drop(slots);
        // A claims type of the user's may do anything when it is dropped.
        drop(dropped);
    }

    /// This thread no longer holds it.
    pub(super) fn remove(&self, digest: Digest) {
        let Some(mut slots) = self.mine().and_then(Place::try_lock) else { return };
        let dropped = slots.remove(digest);
        drop(slots);
        drop(dropped);
    }

    /// From now on that generation is in force: what any thread holds of another one is dropped before this returns.
    pub(super) fn begin(&self, generation: u64) {
        // Locked, so that no place is made that neither is emptied here nor knows of the new generation.
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        self.generation.store(generation, Ordering::Release);
        let dropped: Vec<_> = self.places().flat_map(|place| place.lock().empty()).collect();
        drop(used);
        drop(dropped);
    }

    pub(super) fn hits(&self) -> u64 {
        self.places().map(|place| place.lock().hits).sum()
    }

    /// What the entries of each thread weigh.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> impl Iterator<Item = usize> {
        self.places().map(|place| place.lock().bytes)
    }

    fn places(&self) -> impl Iterator<Item = &Place<V>> {
        self.places.iter().filter_map(|place| place.get().map(Box::as_ref))
    }

    #[inline]
    fn mine(&self) -> Option<&Place<V>> {
        self.places.get(thread::number()? % PLACES)?.get().map(Box::as_ref)
    }

    fn mine_or_new(&self) -> Option<&Place<V>> {
        let place = self.places.get(thread::number()? % PLACES)?;
        if place.get().is_none() {
            drop(self.make(place));
        }
        place.get().map(Box::as_ref)
    }

    /// Makes a place. The others make room for it: returns what they had.
    #[cold]
    fn make(&self, place: &OnceLock<Box<Place<V>>>) -> Vec<Slot<V>> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if place.get().is_some() {
            return Vec::new();
        }
        *used += 1;
        let each = self.max_bytes / *used;
        let dropped = self.places().flat_map(|other| other.lock().shrink_to(each)).collect();
        let _ = place.set(Box::new(Place(Mutex::new(Slots::new(self.slots, each)))));
        dropped
    }
}

impl<V> Place<V> {
    /// `None` while another thread is at it: the caller does without.
    #[inline]
    fn try_lock(&self) -> Option<MutexGuard<'_, Slots<V>>> {
        match self.0.try_lock() {
            Ok(slots) => Some(slots),
            Err(TryLockError::Poisoned(slots)) => Some(slots.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Slots<V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V> Slots<V> {
    fn new(slots: usize, max_bytes: usize) -> Self {
        Self {
            slots: (0..slots).map(|_| None).collect(),
            bytes: 0,
            max_bytes,
            next: 0,
            hits: 0,
            wanted: vec![false; slots].into(),
            seen: [0; SEEN],
        }
    }

    fn is_due(&mut self, digest: Digest) -> bool {
        // It drives nothing out. And tokens that come in turns do not overwrite each other's marks for good.
        if matches!(self.at(digest), Some(None)) {
            let slot = self.slot_of(digest);
            return self.wanted.get_mut(slot).is_some_and(|wanted| std::mem::replace(wanted, true));
        }
        // A word that neither the main cache nor the slots go by.
        let word = digest.0[2];
        let (mark, place) = (word as u32, usize::try_from(word >> 32).unwrap_or(0) % SEEN);
        let Some(seen) = self.seen.get_mut(place) else { return false };
        if std::mem::replace(seen, mark) != mark {
            return false;
        }
        match self.at(digest) {
            Some(Some(slot)) => !std::mem::replace(&mut slot.used, false),
            _ => true,
        }
    }

    #[inline]
    fn at(&mut self, digest: Digest) -> Option<&mut Option<Slot<V>>> {
        let slot = self.slot_of(digest);
        self.slots.get_mut(slot)
    }

    #[inline]
    fn slot_of(&self, digest: Digest) -> usize {
        // Another word of the digest than the one the main cache hashes by.
        usize::try_from(digest.0[1] & 0xFFFF).unwrap_or(0) & self.slots.len().wrapping_sub(1)
    }

    /// Returns what has to go for it.
    fn put(&mut self, entry: Slot<V>) -> Vec<Slot<V>> {
        let weight = entry.weight();
        let mut dropped: Vec<_> = self.at(entry.digest).and_then(Option::take).into_iter().collect();
        self.bytes = self.bytes.saturating_sub(dropped.iter().map(Slot::weight).sum());
        dropped.extend(self.make_room(weight));
        if self.bytes.saturating_add(weight) > self.max_bytes {
            dropped.push(entry);
        } else if let Some(slot) = self.at(entry.digest) {
            *slot = Some(entry);
            self.bytes += weight;
        }
        dropped
    }

    fn shrink_to(&mut self, max_bytes: usize) -> Vec<Slot<V>> {
        self.max_bytes = max_bytes;
        self.make_room(0)
    }

    fn empty(&mut self) -> Vec<Slot<V>> {
        self.bytes = 0;
        self.slots.iter_mut().filter_map(Option::take).collect()
    }

    fn make_room(&mut self, weight: usize) -> Vec<Slot<V>> {
        let mut dropped = Vec::new();
        for _ in 0..self.slots.len() {
            if self.bytes.saturating_add(weight) <= self.max_bytes {
                break;
            }
            self.next = (self.next + 1) % self.slots.len();
            if let Some(slot) = self.slots.get_mut(self.next).and_then(Option::take) {
                self.bytes = self.bytes.saturating_sub(slot.weight());
                dropped.push(slot);
            }
        }
        dropped
    }

    fn remove(&mut self, digest: Digest) -> Option<Slot<V>> {
        let slot = self.at(digest)?.take_if(|slot| slot.digest == digest)?;
        self.bytes = self.bytes.saturating_sub(slot.weight());
        Some(slot)
    }
}

impl<V> Slot<V> {
    fn weight(&self) -> usize {
        usize::try_from(self.weight).unwrap_or(usize::MAX)
    }

    #[inline]
    fn is(&self, digest: Digest, generation: u64) -> bool {
        self.digest == digest && self.generation == generation
    }
}
