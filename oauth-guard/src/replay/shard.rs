//! One part of the store in memory: the proofs of some keys, in one block, found by digest, and queued by the second at which
//! they end.

use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};

use hashbrown::HashTable;

use super::Insertion;

/// The queues. An entry that ends later than so many seconds from now is looked at once a round and stays.
const SLOTS: usize = 256;
/// How many ended entries one insertion clears away: more than one, so that the shard never falls behind, and few, so
/// that no request pays for others.
const CLEARED_PER_INSERT: usize = 4;
/// No entry.
const NONE: u32 = u32::MAX;

/// The seconds since the store was made. 136 years of them.
pub(super) type Tick = u32;

/// One used proof.
#[derive(Debug)]
struct Entry {
    digest: u128,
    /// Of its key, for the count.
    key: u64,
    /// The first second at which it no longer counts.
    end: Tick,
    /// The next one in its queue, or among the free ones.
    next: u32,
}

/// Room for entries that all parts draw from, a block at a time, so that they rarely meet here.
#[derive(Debug)]
pub(super) struct Reserve {
    free: AtomicUsize,
    block: usize,
}

impl Reserve {
    pub(super) fn new(capacity: usize, parts: usize) -> Self {
        Self { free: AtomicUsize::new(capacity), block: (capacity / parts / 64).max(1) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.free.load(Ordering::Relaxed) == 0
    }

    fn take(&self) -> usize {
        let less = |free: usize| (free > 0).then(|| free - free.min(self.block));
        self.free
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
            .map_or(0, |free| free.min(self.block))
    }

    fn give(&self, room: usize) {
        self.free.fetch_add(room, Ordering::Relaxed);
    }
}

/// The proofs of some keys.
#[derive(Debug)]
pub(super) struct Shard {
    /// How many entries it may have, of what the [`Reserve`] gave it.
    room: usize,
    /// Indices of entries, by digest.
    found: HashTable<u32>,
    /// How many entries each key has. Beside them under one lock, so that both are looked up at a time.
    counts: HashTable<(u64, u32)>,
    entries: Vec<Entry>,
    free: u32,
    /// Entries by the second of their end, modulo the number of queues.
    slots: Box<[u32]>,
    /// The queue that is being cleared.
    ending: u32,
    /// The next second whose queue was not taken yet.
    next_tick: Tick,
}

/// A proof to note.
#[derive(Clone, Copy, Debug)]
pub(super) struct Proof {
    pub(super) digest: u128,
    /// Of its key.
    pub(super) key: u64,
    /// The first second at which it no longer counts.
    pub(super) end: Tick,
}

/// There is no room at all, or none for this key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Shard {
    pub(super) fn new() -> Self {
        Self {
            room: 0,
            found: HashTable::new(),
            counts: HashTable::new(),
            entries: Vec::new(),
            free: NONE,
            slots: vec![NONE; SLOTS].into(),
            ending: NONE,
            next_tick: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.found.len()
    }

    /// How many entries its memory holds.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.entries.capacity() + self.counts.capacity()
    }

    pub(super) fn has_room(&self) -> bool {
        self.found.len() < self.room
    }

    /// Clears away some of what has ended, and notes the proof unless it is there. `share` is the most that one key may
    /// have.
    pub(super) fn insert(
        &mut self,
        proof: Proof,
        now: Tick,
        share: u32,
        reserve: &Reserve,
    ) -> Result<Insertion, Full> {
        self.clear(now, CLEARED_PER_INSERT, reserve);
        if let Some(entry) = self.find(proof.digest) {
            if now < entry.end {
                return Ok(Insertion::Present);
            }
            // It has ended and was not cleared away yet. Its place in the queue stays; only the digest is let go.
            self.forget(proof.digest);
        }
        if !self.can_take(proof.key, share, reserve) {
            self.clear(now, usize::MAX, reserve);
            if !self.can_take(proof.key, share, reserve) {
                return Err(Full);
            }
        }
        self.push(proof);
        Ok(Insertion::Inserted)
    }

    /// Whether the key has less than its share, and there is room, which is got from the reserve where it is used up.
    fn can_take(&mut self, key: u64, share: u32, reserve: &Reserve) -> bool {
        if self.count(key) >= share {
            return false;
        }
        if !self.has_room() {
            self.room += reserve.take();
        }
        self.has_room()
    }

    fn push(&mut self, Proof { digest, key, end }: Proof) {
        let entry = Entry { digest, key, end, next: NONE };
        let index = match self.entries.get_mut(self.free as usize) {
            Some(free) => {
                let index = mem::replace(&mut self.free, free.next);
                *free = entry;
                index
            }
            None => {
                let Ok(index) = u32::try_from(self.entries.len()) else { return };
                self.entries.push(entry);
                index
            }
        };
        self.queue(index);
        let Self { found, entries, counts, .. } = self;
        found.insert_unique(word(digest), index, |index| hash_of(entries, *index));
        let count = counts.entry(key, |(one, _)| *one == key, |(one, _)| *one).or_insert((key, 0));
        count.into_mut().1 += 1;
    }

    fn count(&self, key: u64) -> u32 {
        self.counts.find(key, |(one, _)| *one == key).map_or(0, |(_, count)| *count)
    }

    /// Clears away at most so many entries that have ended.
    pub(super) fn clear(&mut self, now: Tick, most: usize, reserve: &Reserve) {
        let mut left = most;
        while left > 0 {
            let index = self.ending;
            let Some(entry) = self.entries.get(index as usize) else {
                if self.next_tick > now {
                    break;
                }
                // After a long rest one round over all queues shows every entry.
                let round = u32::try_from(SLOTS).unwrap_or(Tick::MAX);
                self.next_tick = self.next_tick.max((now + 1).saturating_sub(round));
                if let Some(slot) = self.slots.get_mut(self.next_tick as usize % SLOTS) {
                    self.ending = mem::replace(slot, NONE);
                }
                self.next_tick = self.next_tick.saturating_add(1);
                continue;
            };
            left -= 1;
            let (digest, end) = (entry.digest, entry.end);
            self.ending = entry.next;
            if end > now {
                self.queue(index);
                continue;
            }
            if self.is_found_at(digest, index) {
                self.forget(digest);
            }
            if let Some(entry) = self.entries.get_mut(index as usize) {
                entry.next = mem::replace(&mut self.free, index);
            }
        }
        // Room for a block more than there is stays, so that a part in balance does not go back and forth.
        let spare = self.room.saturating_sub(self.found.len());
        if spare >= 2 * reserve.block {
            self.room -= spare - reserve.block;
            reserve.give(spare - reserve.block);
        }
        if self.found.is_empty() && self.entries.len() > SLOTS && self.ending == NONE {
            self.release();
        }
    }

    /// Nothing is noted any more: the memory of a busy hour is given back.
    fn release(&mut self) {
        let Self { next_tick, room, .. } = *self;
        *self = Self { next_tick, room, ..Self::new() };
    }

    fn queue(&mut self, index: u32) {
        let Some(entry) = self.entries.get_mut(index as usize) else { return };
        if let Some(slot) = self.slots.get_mut(entry.end as usize % SLOTS) {
            entry.next = mem::replace(slot, index);
        }
    }

    fn find(&self, digest: u128) -> Option<&Entry> {
        let entries = &self.entries;
        let is_it = |index: &u32| entries.get(*index as usize).is_some_and(|entry| entry.digest == digest);
        entries.get(*self.found.find(word(digest), is_it)? as usize)
    }

    fn is_found_at(&self, digest: u128, index: u32) -> bool {
        self.found.find(word(digest), |one| *one == index).is_some()
    }

    fn forget(&mut self, digest: u128) {
        let Self { found, entries, counts, .. } = self;
        let is_it = |index: &u32| entries.get(*index as usize).is_some_and(|entry| entry.digest == digest);
        let Ok(place) = found.find_entry(word(digest), is_it) else { return };
        let (index, _) = place.remove();
        let Some(key) = entries.get(index as usize).map(|entry| entry.key) else { return };
        let Ok(mut place) = counts.find_entry(key, |(one, _)| *one == key) else { return };
        let (_, count) = place.get_mut();
        *count = count.saturating_sub(1);
        if *count == 0 {
            let _ = place.remove();
        }
    }
}

/// What the table hashes by: the digest is random already.
fn word(digest: u128) -> u64 {
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is as random as the whole")]
    let low = digest as u64;
    low
}

fn hash_of(entries: &[Entry], index: u32) -> u64 {
    entries.get(index as usize).map_or(0, |entry| word(entry.digest))
}
