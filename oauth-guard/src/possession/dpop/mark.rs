//! How far ahead the wall clock was. A proof is as old as the wall clock says, and what was noted of it ends by the
//! monotonic clock: where the wall clock is set back in between, a used proof would be young again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use oauth_client::clock::Now;

use super::AHEAD;

/// The furthest that the wall clock was ahead of the monotonic one when proofs were checked. Outlives reloads.
#[derive(Debug)]
pub(in crate::possession) struct ClockMark {
    /// What both clocks are counted from, so that seconds fit into half a word.
    origin: Now,
    /// A [`Seen`], in one word: no lock is needed, and it is written once a second.
    seen: AtomicU64,
}

/// By how much the wall clock was ahead, and when that was last so, in seconds.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Seen {
    lead: i32,
    at: u32,
}

impl ClockMark {
    pub(in crate::possession) fn new(origin: Now) -> Self {
        // Nothing was seen yet: a clock that is set right before the first proof delays none.
        Self { origin, seen: AtomicU64::new(Seen { lead: i32::MIN, at: 0 }.packed()) }
    }

    /// The wall time by which a proof is too old, in seconds: the present one, or where the clock was set back, what it
    /// would show otherwise.
    ///
    /// That holds for as long as a proof that was used before could pass by the time after. Where the clock was set back
    /// by more than `max_age`, no proof made now would pass: then it is taken to have been wrong before, and
    /// the earlier time holds only for as long as used proofs are noted.
    pub(super) fn latest(&self, now: Now, max_age: u64) -> u64 {
        let present = self.seen_at(now);
        let mut held = 0;
        let noted = max_age.saturating_add(AHEAD + 1);
        let update = |packed| {
            let seen = Seen::unpacked(packed);
            let behind = seen.behind(present);
            // One second may be due to rounding, and the notes last longer than that.
            let is_set_back = behind > 1;
            let danger = if behind > max_age { noted } else { noted.saturating_add(behind + 1) };
            if is_set_back && u64::from(present.at.saturating_sub(seen.at)) <= danger {
                held = behind;
                return None;
            }
            held = 0;
            let lead = if is_set_back { present.lead } else { present.lead.max(seen.lead) };
            let next = Seen { lead, at: present.at.max(seen.at) };
            (next != seen).then(|| next.packed())
        };
        let _ = self.seen.fetch_update(Ordering::Relaxed, Ordering::Relaxed, update);
        now.wall.as_secs().saturating_add(held)
    }

    /// The furthest that the clock would show, however long ago it was set back: no proof that was used has a later time
    /// than this and [`AHEAD`].
    pub(in crate::possession) fn furthest(&self, now: Now) -> u64 {
        let seen = Seen::unpacked(self.seen.load(Ordering::Relaxed));
        now.wall.as_secs().saturating_add(seen.behind(self.seen_at(now)))
    }

    fn seen_at(&self, now: Now) -> Seen {
        let monotonic = now.monotonic.saturating_sub(self.origin.monotonic);
        let wall = millis(now.wall).saturating_sub(millis(self.origin.wall));
        // To the nearest second, since both clocks are not read at quite the same time.
        let lead = wall.saturating_sub(millis(monotonic)).saturating_add(500).div_euclid(1000);
        let out_of_range = if lead < 0 { i32::MIN } else { i32::MAX };
        Seen {
            lead: i32::try_from(lead).unwrap_or(out_of_range),
            at: u32::try_from(monotonic.as_secs()).unwrap_or(u32::MAX),
        }
    }
}

impl Seen {
    /// By how many seconds the wall clock was set back since.
    fn behind(self, present: Self) -> u64 {
        u64::try_from(i64::from(self.lead) - i64::from(present.lead)).unwrap_or(0)
    }

    fn packed(self) -> u64 {
        u64::from(self.lead.cast_unsigned()) << 32 | u64::from(self.at)
    }

    #[expect(clippy::cast_possible_truncation, reason = "each half of the word is taken for itself")]
    fn unpacked(packed: u64) -> Self {
        Self { lead: ((packed >> 32) as u32).cast_signed(), at: packed as u32 }
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(wall: u64, monotonic: u64) -> Now {
        Now { wall: Duration::from_secs(wall), monotonic: Duration::from_secs(monotonic) }
    }

    #[test]
    fn the_earlier_time_goes_on_where_the_clock_was_set_back() {
        let mark = ClockMark::new(at(1_000, 50));
        assert_eq!(mark.latest(at(1_000, 50), 60), 1_000);
        assert_eq!(mark.latest(at(1_040, 90), 60), 1_040);
        // Back by 30 seconds, for the 66 of the notes and those 30.
        assert_eq!(mark.latest(at(1_010, 90), 60), 1_040);
        assert_eq!(mark.latest(at(1_107, 187), 60), 1_137);
        assert_eq!(mark.furthest(at(1_107, 187)), 1_137);
        assert_eq!(mark.latest(at(1_108, 188), 60), 1_108);
        assert_eq!(mark.furthest(at(1_108, 188)), 1_108);
        // Set right again, which is no step back.
        assert_eq!(mark.latest(at(1_140, 190), 60), 1_140);
    }

    #[test]
    fn odd_clocks_are_no_panic() {
        let far = Now { wall: Duration::MAX, monotonic: Duration::MAX };
        for origin in [at(0, 0), at(0, 1_000_000), at(u64::MAX, 0), far] {
            for now in [at(0, 0), at(5, u64::MAX), at(u64::MAX, 3), far] {
                let mark = ClockMark::new(origin);
                assert_eq!(mark.latest(now, 60), now.wall.as_secs(), "nothing was seen before");
                assert!(mark.latest(at(7, 7), u64::MAX) >= 7);
                assert!(mark.furthest(at(9, 9)) >= 9);
            }
        }
    }

    #[test]
    fn what_is_seen_fits_into_one_word() {
        for lead in [i32::MIN, -1, 0, 1, i32::MAX] {
            for at in [0, 1, u32::MAX] {
                let seen = Seen { lead, at };
                assert!(Seen::unpacked(seen.packed()) == seen);
            }
        }
    }
}
