//! One part of the store in memory: entries in one block, found by digest, and queued by the second at which they end.

use std::mem;

use hashbrown::HashTable;

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

#[derive(Debug)]
pub(super) struct Shard {
    most: usize,
    /// Indices of entries, by digest.
    found: HashTable<u32>,
    entries: Vec<Entry>,
    free: u32,
    /// Entries by the second of their end, modulo the number of queues.
    slots: Box<[u32]>,
    /// The queue that is being cleared.
    ending: u32,
    /// The next second whose queue was not taken yet.
    next_tick: Tick,
}

/// What an insertion found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Present,
    Full,
    /// Not there, and there is room.
    Vacant,
}

impl Shard {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            found: HashTable::new(),
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
    pub(super) fn room(&self) -> usize {
        self.entries.capacity()
    }

    pub(super) fn has_room(&self) -> bool {
        self.found.len() < self.most
    }

    /// Clears away some of what has ended, and looks for the proof. `cleared` gets the key of each entry that left.
    pub(super) fn look(&mut self, digest: u128, now: Tick, cleared: &mut dyn FnMut(u64)) -> Found {
        self.clear(now, CLEARED_PER_INSERT, cleared);
        if let Some(entry) = self.find(digest) {
            if now < entry.end {
                return Found::Present;
            }
            // It has ended and was not cleared away yet. Its place in the queue stays; only the digest is let go.
            self.forget(digest, cleared);
        }
        if !self.has_room() {
            self.clear(now, usize::MAX, cleared);
            if !self.has_room() {
                return Found::Full;
            }
        }
        Found::Vacant
    }

    /// Notes a proof that [`look`](Self::look) found vacant.
    pub(super) fn insert(&mut self, digest: u128, key: u64, end: Tick) {
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
        let Self { found, entries, .. } = self;
        found.insert_unique(word(digest), index, |index| hash_of(entries, *index));
    }

    /// Clears away at most so many entries that have ended.
    pub(super) fn clear(&mut self, now: Tick, most: usize, cleared: &mut dyn FnMut(u64)) {
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
                self.forget(digest, cleared);
            }
            if let Some(entry) = self.entries.get_mut(index as usize) {
                entry.next = mem::replace(&mut self.free, index);
            }
        }
        if self.found.is_empty() && self.entries.len() > SLOTS && self.ending == NONE {
            self.release();
        }
    }

    /// Nothing is noted any more: the memory of a busy hour is given back.
    fn release(&mut self) {
        let next_tick = self.next_tick;
        *self = Self { next_tick, ..Self::new(self.most) };
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

    fn forget(&mut self, digest: u128, cleared: &mut dyn FnMut(u64)) {
        let Self { found, entries, .. } = self;
        let is_it = |index: &u32| entries.get(*index as usize).is_some_and(|entry| entry.digest == digest);
        if let Ok(place) = found.find_entry(word(digest), is_it) {
            let (index, _) = place.remove();
            if let Some(entry) = entries.get(index as usize) {
                cleared(entry.key);
            }
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
