//! One part of the store in memory: the proofs of some keys, in one block, found by digest, and queued by the second at which
//! they end.
//!
//! What takes time here is to wait for memory: for lines of the processor's cache that are far away among a million entries,
//! and for those that another core has written last. So an insertion touches one line of the index and one for the entry
//! itself, and writes one line of the part, which is that of its lock.

use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};

use hashbrown::HashTable;

use super::Insertion;
use super::index::{self, Index};

/// The queues. An entry that ends later than so many seconds from now is looked at once a round and stays.
const SLOTS: usize = 256;
const QUEUES: Tick = 256;
/// How many ended entries one insertion clears away: more than one, so that the shard never falls behind, and few, so
/// that no request pays for others.
const CLEARED_PER_INSERT: usize = 4;
/// No entry.
const NONE: u32 = u32::MAX;

/// The seconds since the store was made. 136 years of them.
pub(super) type Tick = u32;

/// One used proof.
#[derive(Clone, Copy, Debug)]
struct Entry {
    digest: u128,
    /// Of its key, for the count.
    key: u64,
    /// The first second at which it no longer counts.
    end: Tick,
    /// The next one in its queue, or among the free ones.
    next: u32,
}

const UNUSED: Entry = Entry { digest: 0, key: 0, end: 0, next: NONE };

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
///
/// In this order: what each insertion writes stands next to the lock, on one line of the processor's cache with it. What is
/// behind it changes when a table grows.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Shard {
    /// How many proofs are noted.
    count: u32,
    /// How many entries were ever used. Those that are not are behind them.
    used: u32,
    /// How many entries it may have, of what the [`Reserve`] gave it.
    room: usize,
    free: u32,
    /// The queue that is being cleared.
    ending: u32,
    /// The next second whose queue was not taken yet.
    next_tick: Tick,
    /// One of the queues, in place of what `slots` has there: most entries go into the same one, one after the other.
    open: Open,
    rest: Rest,
}

#[derive(Debug)]
#[repr(C, align(8))]
struct Open {
    slot: u32,
    first: u32,
}

#[derive(Debug)]
struct Rest {
    /// Entries by digest.
    found: Index,
    /// How many entries each key has: counted once there are so many that one key could have more than its share.
    counts: Option<Counts>,
    entries: Box<[Entry]>,
    /// Entries by the second of their end, modulo the number of queues. None before the first.
    slots: Box<[u32]>,
}

type Counts = HashTable<(u64, u32)>;

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
            count: 0,
            room: 0,
            used: 0,
            free: NONE,
            ending: NONE,
            next_tick: 0,
            open: Open { slot: 0, first: NONE },
            rest: Rest {
                found: Index::default(),
                counts: None,
                entries: Box::default(),
                slots: Box::default(),
            },
        }
    }

    pub(super) fn len(&self) -> usize {
        self.count as usize
    }

    /// How many entries its memory holds.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.rest.entries.len() + self.rest.counts.as_ref().map_or(0, HashTable::capacity)
    }

    pub(super) fn has_room(&self) -> bool {
        self.len() < self.room
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
        let Rest { found, entries, .. } = &self.rest;
        let is_it =
            |index: u32| entries.get(index as usize).is_some_and(|entry| entry.digest == proof.digest);
        if let Some(place) = found.find(word(proof.digest), is_it) {
            if entries.get(place.entry as usize).is_some_and(|entry| now < entry.end) {
                return Ok(Insertion::Present);
            }
            // It has ended and was not cleared away yet. Its place in the queue stays; only the digest is let go.
            self.forget(place);
        }
        if !self.has_share(proof.key, share) || !self.gets_room(reserve) {
            self.clear(now, usize::MAX, reserve);
            if !self.has_share(proof.key, share) || !self.gets_room(reserve) {
                return Err(Full);
            }
        }
        self.push(proof);
        Ok(Insertion::Inserted)
    }

    /// Whether the key has less than its share. With fewer proofs in all than that it has.
    #[inline]
    fn has_share(&mut self, key: u64, share: u32) -> bool {
        self.count < share && self.rest.counts.is_none() || self.counts_less(key, share)
    }

    #[cold]
    fn counts_less(&mut self, key: u64, share: u32) -> bool {
        // As many again have to come before they are counted once more.
        if self.count < share.div_ceil(2) {
            self.rest.counts = None;
            return true;
        }
        let Rest { found, counts, entries, .. } = &mut self.rest;
        let counts = counts.get_or_insert_with(|| {
            let mut counts = Counts::new();
            for entry in found.iter().filter_map(|index| entries.get(index as usize)) {
                add(&mut counts, entry.key);
            }
            counts
        });
        counts.find(key, |(one, _)| *one == key).is_none_or(|(_, count)| *count < share)
    }

    /// Whether there is room, which is got from the reserve where it is used up.
    fn gets_room(&mut self, reserve: &Reserve) -> bool {
        if !self.has_room() {
            self.room += reserve.take();
        }
        self.has_room()
    }

    fn push(&mut self, Proof { digest, key, end }: Proof) {
        let entry = Entry { digest, key, end, next: NONE };
        let index = match self.rest.entries.get_mut(self.free as usize) {
            Some(free) => {
                let index = mem::replace(&mut self.free, free.next);
                *free = entry;
                index
            }
            None => {
                let index = self.used;
                if index as usize == self.rest.entries.len() {
                    self.grow();
                }
                let Some(unused) = self.rest.entries.get_mut(index as usize) else { return };
                *unused = entry;
                self.used += 1;
                index
            }
        };
        self.queue(index);
        let Rest { found, counts, entries, .. } = &mut self.rest;
        found.insert(word(digest), index, self.count as usize, |index| hash_of(entries, index));
        self.count += 1;
        if let Some(counts) = counts {
            add(counts, key);
        }
    }

    /// Twice as many entries.
    #[cold]
    fn grow(&mut self) {
        let count = (self.rest.entries.len() * 2).max(16);
        if u32::try_from(count).is_err() {
            return;
        }
        let mut entries = mem::take(&mut self.rest.entries).into_vec();
        entries.resize(count, UNUSED);
        self.rest.entries = entries.into();
    }

    /// Clears away at most so many entries that have ended.
    pub(super) fn clear(&mut self, now: Tick, most: usize, reserve: &Reserve) {
        let mut left = most;
        while left > 0 {
            let index = self.ending;
            let Some(entry) = self.rest.entries.get(index as usize) else {
                if self.next_tick > now {
                    break;
                }
                // After a long rest one round over all queues shows every entry.
                let round = u32::try_from(SLOTS).unwrap_or(Tick::MAX);
                self.next_tick = self.next_tick.max((now + 1).saturating_sub(round));
                self.ending = self.take_queue(self.next_tick);
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
            // It may be gone already, and its digest be that of another entry.
            if let Some(place) = self.rest.found.find(word(digest), |one| one == index) {
                self.forget(place);
            }
            if let Some(entry) = self.rest.entries.get_mut(index as usize) {
                entry.next = mem::replace(&mut self.free, index);
            }
        }
        // Room for a block more than there is stays, so that a part in balance does not go back and forth.
        let spare = self.room.saturating_sub(self.len());
        if spare >= 2 * reserve.block {
            self.room -= spare - reserve.block;
            reserve.give(spare - reserve.block);
        }
        if self.count == 0 && self.used as usize > SLOTS && self.ending == NONE {
            self.release();
        }
    }

    /// Nothing is noted any more: the memory of a busy hour is given back.
    fn release(&mut self) {
        let Self { next_tick, room, .. } = *self;
        *self = Self { next_tick, room, ..Self::new() };
    }

    #[inline]
    fn queue(&mut self, index: u32) {
        let Some(entry) = self.rest.entries.get_mut(index as usize) else { return };
        let slot = entry.end % QUEUES;
        if slot != self.open.slot {
            if self.rest.slots.is_empty() {
                self.rest.slots = vec![NONE; SLOTS].into();
            }
            if let Some(closed) = self.rest.slots.get_mut(self.open.slot as usize) {
                *closed = self.open.first;
            }
            let opened = self.rest.slots.get_mut(slot as usize);
            self.open = Open { slot, first: opened.map_or(NONE, |first| mem::replace(first, NONE)) };
        }
        entry.next = mem::replace(&mut self.open.first, index);
    }

    fn take_queue(&mut self, second: Tick) -> u32 {
        let slot = second % QUEUES;
        if slot == self.open.slot {
            return mem::replace(&mut self.open.first, NONE);
        }
        self.rest.slots.get_mut(slot as usize).map_or(NONE, |first| mem::replace(first, NONE))
    }

    fn forget(&mut self, place: index::Place) {
        let Rest { found, counts, entries, .. } = &mut self.rest;
        let Some(entry) = entries.get(place.entry as usize) else { return };
        found.remove(word(entry.digest), place);
        self.count -= 1;
        let Some(counts) = counts else { return };
        let Ok(mut of_key) = counts.find_entry(entry.key, |(one, _)| *one == entry.key) else { return };
        let (_, count) = of_key.get_mut();
        *count = count.saturating_sub(1);
        if *count == 0 {
            let _ = of_key.remove();
        }
    }
}

fn add(counts: &mut Counts, key: u64) {
    let count = counts.entry(key, |(one, _)| *one == key, |(one, _)| *one).or_insert((key, 0));
    count.into_mut().1 += 1;
}

/// What the table hashes by: the digest is random already.
#[inline]
fn word(digest: u128) -> u64 {
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is as random as the whole")]
    let low = digest as u64;
    low
}

fn hash_of(entries: &[Entry], index: u32) -> u64 {
    entries.get(index as usize).map_or(0, |entry| word(entry.digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_each_insertion_writes_is_on_one_line_with_the_lock() {
        // A lock of the standard library takes eight bytes.
        assert!(8 + std::mem::offset_of!(Shard, rest) <= 64, "{}", std::mem::offset_of!(Shard, rest));
        assert!(8 + size_of::<Shard>() <= 128, "{}", size_of::<Shard>());
    }
}
