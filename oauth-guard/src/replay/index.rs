//! Which entry has a digest: a hash table of whole lines of the processor's cache, so that a look-up and an insertion touch
//! one of them.
//!
//! Among a million entries each line that is touched is one that memory has to be waited for. In a line there are twelve
//! places, each with a byte of the hash and the number of an entry; what finds its line full goes to the next one.

/// How many places a line has.
const PLACES: usize = 12;
/// How many of them are taken on average before there are twice as many lines.
const MOST_TAKEN: usize = 9;

#[derive(Debug, Default)]
pub(super) struct Index {
    lines: Box<[Line]>,
}

#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line {
    /// A byte of each entry's hash. Zero: the place is free.
    tags: [u8; PLACES],
    /// How many entries had to go further because this line was full.
    passed: u32,
    entries: [u32; PLACES],
}

const EMPTY: Line = Line { tags: [0; PLACES], passed: 0, entries: [0; PLACES] };

/// Where an entry was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    line: usize,
    place: usize,
    pub(super) entry: u32,
}

impl Index {
    /// The entry with this hash that is the right one.
    #[inline]
    pub(super) fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<Place> {
        let tag = tag(hash);
        for line in self.way(hash) {
            let found = self.lines.get(line)?;
            let mut wanted = found.places_with(tag);
            while wanted != 0 {
                let place = wanted.trailing_zeros() as usize;
                let entry = *found.entries.get(place)?;
                if is_it(entry) {
                    return Some(Place { line, place, entry });
                }
                wanted &= wanted - 1;
            }
            if found.passed == 0 {
                break;
            }
        }
        None
    }

    /// Adds an entry that is not there, beside `count` others. `hash_of` tells the hashes of those.
    #[inline]
    pub(super) fn insert(&mut self, hash: u64, entry: u32, count: usize, hash_of: impl Fn(u32) -> u64) {
        if count >= self.lines.len() * MOST_TAKEN {
            self.grow(hash_of);
        }
        self.put(hash, entry);
    }

    pub(super) fn remove(&mut self, hash: u64, found: Place) {
        for line in self.way(hash) {
            let Some(here) = self.lines.get_mut(line) else { return };
            if line == found.line {
                if let Some(tag) = here.tags.get_mut(found.place) {
                    *tag = 0;
                }
                return;
            }
            here.passed = here.passed.saturating_sub(1);
        }
    }

    /// All entries, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> {
        self.lines.iter().flat_map(Line::taken)
    }

    fn put(&mut self, hash: u64, entry: u32) {
        for line in self.way(hash) {
            let Some(here) = self.lines.get_mut(line) else { return };
            let place = here.places_with(0).trailing_zeros() as usize;
            if let (Some(free), Some(at)) = (here.tags.get_mut(place), here.entries.get_mut(place)) {
                (*free, *at) = (tag(hash), entry);
                return;
            }
            here.passed += 1;
        }
    }

    #[cold]
    fn grow(&mut self, hash_of: impl Fn(u32) -> u64) {
        let larger = (self.lines.len() * 2).max(2);
        let smaller = std::mem::replace(&mut self.lines, vec![EMPTY; larger].into());
        for entry in smaller.iter().flat_map(Line::taken) {
            self.put(hash_of(entry), entry);
        }
    }

    /// The lines that an entry may be in, the usual one first. Their number is a power of two, or none.
    #[inline]
    fn way(&self, hash: u64) -> impl Iterator<Item = usize> + use<> {
        let count = self.lines.len();
        let first = usize::try_from(hash >> 8 & 0xFFFF_FFFF).unwrap_or(0);
        (0..count).map(move |step| first.wrapping_add(step) & (count - 1))
    }
}

impl Line {
    fn taken(&self) -> impl Iterator<Item = u32> + use<> {
        self.tags.into_iter().zip(self.entries).filter(|(tag, _)| *tag != 0).map(|(_, entry)| entry)
    }

    /// A bit for each place with this tag.
    #[inline]
    fn places_with(&self, tag: u8) -> u32 {
        self.tags.iter().enumerate().fold(0, |bits, (place, one)| bits | u32::from(*one == tag) << place)
    }
}

#[inline]
fn tag(hash: u64) -> u8 {
    hash.to_le_bytes()[0].max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All in one line, so that most have to go further.
    #[test]
    fn what_passes_full_lines_is_found_until_it_is_removed() {
        let (mut index, hash) = (Index::default(), |entry: u32| u64::from(entry % 3));
        let find = |index: &Index, entry: u32| index.find(hash(entry), |one| one == entry);
        for entry in 0..100 {
            index.insert(hash(entry), entry, entry as usize, hash);
        }
        assert!((0..100).all(|entry| find(&index, entry).is_some_and(|place| place.entry == entry)));
        for entry in (0..100).step_by(2) {
            let place = find(&index, entry).unwrap();
            index.remove(hash(entry), place);
        }
        assert!((0..100).all(|entry| find(&index, entry).is_some() == (entry % 2 == 1)));
        for entry in (1..100).step_by(2) {
            let place = find(&index, entry).unwrap();
            index.remove(hash(entry), place);
        }
        assert!(index.lines.iter().all(|line| line.passed == 0 && line.tags == [0; PLACES]));
    }

    #[test]
    fn a_line_is_a_line_of_the_processors_cache() {
        assert_eq!(size_of::<Line>(), 64);
    }
}
