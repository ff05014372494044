//! The first level of the cache: threads hold what they validated, while a reload ends it.

use std::sync::{Arc, Weak};

use crate::Digest;
use crate::near::Near;
use crate::sync::thread::spawn;

const MIB: u64 = 1024 * 1024;
/// Enough for two entries of one slot each.
const BYTES: u64 = 64 * 1024;

fn digest(number: u64) -> Digest {
    Digest([number; 4])
}

/// Validated under a generation, and held.
fn hold(near: &Near<u64>, generation: u64) -> Weak<u64> {
    let value = Arc::new(generation);
    near.put(digest(1), generation, 0, 100, &value);
    Arc::downgrade(&value)
}

/// Fails when `Near::put` compares the generation before it locks its place, when `Near::begin` empties the places before it
/// says which generation is in force, and when `Near::make` does not lock the number of places.
#[test]
fn of_what_was_validated_before_a_reload_nothing_is_held_after_it() {
    loom::model(|| {
        let near = Arc::new(Near::new(BYTES));
        let threads = [1, 2].map(|number| {
            let near = Arc::clone(&near);
            spawn(number, move || hold(&near, 0))
        });
        near.begin(1);
        for held in threads.map(|thread| thread.join().unwrap()) {
            assert!(held.upgrade().is_none());
        }
        // What comes under the new one stays.
        assert!(hold(&near, 1).upgrade().is_some());
        assert!(near.get(digest(1), 1, 0).is_some() && near.get(digest(1), 0, 0).is_none());
    });
}

/// Fails when `Near::get` does not compare the generation, and when `Near::begin` leaves what a thread has that had its place
/// before.
#[test]
fn a_thread_that_serves_under_the_new_configuration_finds_nothing_of_the_old_one() {
    loom::model(|| {
        let near = Arc::new(Near::new(BYTES));
        let serving = Arc::clone(&near);
        let serving = spawn(1, move || {
            let held = hold(&serving, 0);
            let found = serving.get(digest(1), 1, 0);
            assert!(found.is_none_or(|hit| *hit.value == 1));
            held
        });
        near.begin(1);
        assert!(serving.join().unwrap().upgrade().is_none());
    });
}

/// Fails when `Near::make` does not make the others smaller, and when it does not lock the number of places.
#[test]
fn threads_that_begin_at_the_same_time_share_the_bytes() {
    loom::model(|| {
        let near = Arc::new(Near::new(MIB));
        let (all, most) = (near.max_bytes(), u32::try_from(near.max_bytes() * 2 / 5).unwrap());
        let held: Vec<_> = [1, 2]
            .map(|number| {
                let near = Arc::clone(&near);
                // Each has room for both alone, and for one with the other one there.
                spawn(number, move || {
                    [1, 2].map(|number| {
                        let value = Arc::new(number);
                        near.put(digest(number), 0, 0, most, &value);
                        Arc::downgrade(&value)
                    })
                })
            })
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect();
        let held = held.iter().filter(|value| value.upgrade().is_some()).count() as u64;
        assert!((1..=all / u64::from(most)).contains(&held), "{held}");
    });
}
