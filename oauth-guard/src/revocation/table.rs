//! The entries, as requests read them: a filter that says no to nearly every token, and behind it 4,096 sorted shards.
//!
//! A read takes no lock and writes nothing that other cores read. A write replaces one shard, which is small however many
//! entries there are, so no write takes long.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::marks::{Mark, Marks, NONE};
use crate::defaults::{REVOCATION_FILTER_WORDS as WORDS, REVOCATION_SHARDS as SHARDS};
use crate::sync::{ArcSwap, AtomicU64, AtomicUsize, OnceLock};

/// A target that is revoked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    mark: Mark,
    /// The last second in which a token that it meets was issued.
    issued_before: u64,
    end: End,
}

/// When an entry may end, in seconds since the Unix epoch. The highest bit says that it is the time at which it came, and
/// that a token's longest lifetime is to be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End(u64);

const RELATIVE: u64 = 1 << 63;

impl End {
    pub(super) fn at(seconds: u64) -> Self {
        Self(seconds & !RELATIVE)
    }

    pub(super) fn after(seconds: u64) -> Self {
        Self(seconds | RELATIVE)
    }

    pub(super) fn seconds(self, longest: u64) -> u64 {
        if self.0 & RELATIVE == 0 { self.0 } else { (self.0 & !RELATIVE).saturating_add(longest) }
    }
}

/// What an insertion did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Inserted {
    /// Whether the target was not in the list.
    pub(super) is_new: bool,
    /// Whether tokens may be met that were not met before.
    pub(super) changed: bool,
    /// How many others ended.
    pub(super) ended: usize,
}

pub(super) struct Table {
    /// One is read; the other is being rebuilt, or out of use.
    filters: [Filter; 2],
    /// Counts the filters that were read; the lowest bit says which one is.
    active: AtomicUsize,
    shards: Box<[ArcSwap<Vec<Entry>>]>,
}

impl Table {
    /// For so many entries at most.
    pub(super) fn new(max_entries: usize) -> Self {
        let empty = Arc::new(Vec::new());
        Self {
            filters: [Filter::new(max_entries), Filter::new(max_entries)],
            active: AtomicUsize::new(0),
            shards: (0..SHARDS).map(|_| ArcSwap::new(Arc::clone(&empty))).collect(),
        }
    }

    /// Whether an entry meets a token with these marks.
    pub(super) fn meets(&self, marks: &Marks, issued_at: Option<u64>) -> bool {
        self.meets_as_of(self.active.load(Ordering::Acquire), marks, issued_at)
    }

    /// With the filter that was read when it began. One that was taken out of use meanwhile may be empty by now: then it looks
    /// again.
    #[inline]
    fn meets_as_of(&self, mut active: usize, marks: &Marks, issued_at: Option<u64>) -> bool {
        loop {
            let filter = self.filters.get(active & 1);
            let words = filter.and_then(|filter| Some((filter, filter.words.get()?)));
            let is_met = words.is_some_and(|(filter, words)| {
                marks.0.iter().any(|mark| filter.may_have(words, *mark) && self.finds(*mark, issued_at))
            });
            let now = self.active.load(Ordering::Acquire);
            if is_met || now == active {
                return is_met;
            }
            active = now;
        }
    }

    /// Whether the target is in the list.
    pub(super) fn has(&self, mark: Mark) -> bool {
        self.shard(mark).load().binary_search_by_key(&mark, |entry| entry.mark).is_ok()
    }

    #[cold]
    fn finds(&self, mark: Mark, issued_at: Option<u64>) -> bool {
        if mark == NONE {
            return false;
        }
        let shard = self.shard(mark).load();
        let found = shard.binary_search_by_key(&mark, |entry| entry.mark).ok().and_then(|at| shard.get(at));
        // A revocation by time meets tokens without `iat` too.
        found.is_some_and(|entry| issued_at.is_none_or(|iat| iat <= entry.issued_before))
    }

    /// Only one caller at a time. Entries of the shard that ended are dropped on the way.
    pub(super) fn insert(
        &self,
        mark: Mark,
        issued_before: u64,
        end: End,
        now: u64,
        longest: u64,
        rebuilding: bool,
    ) -> Inserted {
        let shard = self.shard(mark);
        let old = shard.load();
        let at = old.binary_search_by_key(&mark, |entry| entry.mark);
        if let Some(known) = at.ok().and_then(|at| old.get(at))
            && known.issued_before >= issued_before
            && known.end.seconds(longest) >= end.seconds(longest)
        {
            return Inserted::default();
        }
        let mut new = Vec::with_capacity(old.len() + 1);
        let mut ended = 0;
        let mut entry = Entry { mark, issued_before, end };
        for one in old.iter() {
            if one.mark == mark {
                entry.issued_before = entry.issued_before.max(one.issued_before);
                if one.end.seconds(longest) > entry.end.seconds(longest) {
                    entry.end = one.end;
                }
            } else if one.end.seconds(longest) > now {
                new.push(*one);
            } else {
                ended += 1;
            }
        }
        let place = new.partition_point(|one| one.mark < mark);
        new.insert(place, entry);
        new.shrink_to_fit();
        shard.store(Arc::new(new));
        // Last: a reader that finds the mark in the filter finds the entry.
        if let Some(filter) = self.filters.get(self.active.load(Ordering::Acquire) & 1) {
            filter.add(mark);
        }
        if rebuilding && let Some(filter) = self.spare() {
            filter.add(mark);
        }
        Inserted { is_new: at.is_err(), changed: true, ended }
    }

    /// Drops what ended from these shards, and returns how many entries that were.
    pub(super) fn sweep(&self, from: usize, shards: usize, now: u64, longest: u64) -> usize {
        let chosen = self.shards.iter().skip(from % SHARDS).take(shards);
        let swept = chosen.map(|shard| {
            let old = shard.load();
            let is_alive = |entry: &&Entry| entry.end.seconds(longest) > now;
            let alive = old.iter().filter(is_alive).count();
            if alive < old.len() {
                shard.store(Arc::new(old.iter().filter(is_alive).copied().collect()));
            }
            old.len() - alive
        });
        swept.sum()
    }

    /// Begins to rebuild the filter: bits of entries that ended stay in it, and make requests look further than they need to.
    pub(super) fn begin_rebuild(&self) {
        if let Some(filter) = self.spare() {
            filter.clear();
        }
    }

    /// Adds the marks of some shards. Returns whether those were the last.
    pub(super) fn rebuild(&self, from: usize, shards: usize) -> bool {
        let Some(filter) = self.spare() else { return true };
        for shard in self.shards.iter().skip(from).take(shards) {
            shard.load().iter().for_each(|entry| filter.add(entry.mark));
        }
        let is_done = from + shards >= SHARDS;
        if is_done {
            self.active.fetch_add(1, Ordering::AcqRel);
        }
        is_done
    }

    pub(super) const fn shards() -> usize {
        SHARDS
    }

    /// How many marks the filter holds before it says yes too often.
    pub(super) fn filter_capacity(&self) -> usize {
        self.filters.first().map_or(0, Filter::capacity)
    }

    fn spare(&self) -> Option<&Filter> {
        self.filters.get((self.active.load(Ordering::Acquire) & 1) ^ 1)
    }

    fn shard(&self, mark: Mark) -> &ArcSwap<Vec<Entry>> {
        // The highest twelve bits; the filter uses others.
        let index = usize::try_from(mark[0] >> 52).unwrap_or(0);
        &self.shards[index % SHARDS]
    }
}

/// A Bloom filter of 64-bit words: all bits of a mark are in one word.
struct Filter {
    /// Made with the first mark.
    words: OnceLock<Box<[AtomicU64]>>,
    count: usize,
}

impl Filter {
    /// 16 bits for each entry: of a full list, about one mark in a hundred looks as if it were in it.
    fn new(max_entries: usize) -> Self {
        Self { words: OnceLock::new(), count: max_entries.div_ceil(4).next_power_of_two().max(WORDS) }
    }

    fn capacity(&self) -> usize {
        self.count * 4
    }

    fn add(&self, mark: Mark) {
        let words = self.words.get_or_init(|| (0..self.count).map(|_| AtomicU64::new(0)).collect());
        if let Some(word) = words.get(self.index(mark)) {
            word.fetch_or(bits(mark), Ordering::Release);
        }
    }

    #[inline]
    fn may_have(&self, words: &[AtomicU64], mark: Mark) -> bool {
        let bits = bits(mark);
        words.get(self.index(mark)).is_some_and(|word| word.load(Ordering::Acquire) & bits == bits)
    }

    fn clear(&self) {
        if let Some(words) = self.words.get() {
            // A reader that sees it sees that another filter is in use, too.
            words.iter().for_each(|word| word.store(0, Ordering::Release));
        }
    }

    #[inline]
    fn index(&self, mark: Mark) -> usize {
        // The lowest bit is always set; the count is a power of two.
        usize::try_from((mark[0] >> 1) & 0xFFFF_FFFF).unwrap_or(0) & (self.count - 1)
    }
}

/// Four bits of a word.
#[inline]
fn bits(mark: Mark) -> u64 {
    let bit = |shift: u32| 1 << ((mark[1] >> shift) & 63);
    bit(0) | bit(6) | bit(12) | bit(18)
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Table")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::model;

    #[test]
    fn a_reader_that_two_filters_overtake_finds_the_entry() {
        model(|| {
            let table = Table::new(1);
            let mark = [(1 << 52) | 1, 7];
            table.insert(mark, u64::MAX, End::at(100), 1, 0, false);
            let marks = Marks([NONE, mark, NONE, NONE, NONE]);
            let seen = table.active.load(Ordering::Acquire);
            // It stands still here, while one filter is rebuilt, and its own is about to be.
            table.begin_rebuild();
            assert!(table.rebuild(0, SHARDS));
            table.begin_rebuild();
            assert!(table.meets_as_of(seen, &marks, None));
            assert!(table.meets(&marks, None));
        });
    }
}
