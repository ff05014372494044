//! Of the first level alone. They stand apart because models of concurrency have that file without its tests.

use std::sync::{Arc, Barrier, Weak};
use std::thread;

use super::Digest;
use super::near::Near;

const MIB: u64 = 1024 * 1024;

fn digest(number: u64) -> Digest {
    Digest([number; 4])
}

/// As digests are: different in every part.
fn mixed(number: u64) -> Digest {
    Digest([1, 2, 3, 4].map(|part| (number + part).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(31)))
}

fn holds(near: &Near<u64>, number: u64, generation: u64) -> bool {
    near.get(digest(number), generation, 0).is_some()
}

#[test]
fn what_is_held_under_one_generation_is_not_found_under_another() {
    let near = Near::new(64 * MIB);
    near.put(digest(1), 0, 0, 100, &Arc::new(7));
    assert_eq!(near.get(digest(1), 0, 0).map(|hit| *hit.value), Some(7));
    assert!(!holds(&near, 1, 1), "the next configuration begins without it");
    assert!(!holds(&near, 257, 0), "the same slot, another token");
    near.remove(digest(257));
    assert!(holds(&near, 1, 0));
    near.remove(digest(1));
    assert!(!holds(&near, 1, 0));
}

#[test]
fn a_token_is_due_when_it_comes_again_and_its_place_is_not_in_use() {
    let near = Near::new(64 * MIB);
    assert!(!near.is_due(digest(1)), "it came once");
    assert!(near.is_due(digest(1)), "and again");
    assert!(near.is_due(digest(257)), "the place is still free, and one has come for it");
    near.put(digest(1), 0, 0, 100, &Arc::new(7));

    // The same slot: what is in use stays until another wanted it twice with no use in between.
    let other = digest(257);
    assert!(!near.is_due(other), "it came once");
    assert!(near.is_due(other), "and again, and what is there was not used yet");
    for _ in 0..3 {
        assert!(holds(&near, 1, 0));
        assert!(!near.is_due(other));
    }
    assert!(near.is_due(other));
}

/// However many come once: none is due, and what is held stays.
#[test]
fn tokens_that_come_once_drive_nothing_out() {
    let near = Near::new(64 * MIB);
    for number in 0..256 {
        near.put(digest(number), 0, 0, 100, &Arc::new(number));
    }
    assert!((1_000..100_000).all(|number| !near.is_due(mixed(number))));
    // Nor are those due that come again after many others.
    for _ in 0..10 {
        assert!((1_000..3_000).all(|number| !near.is_due(mixed(number))));
    }
    assert!((0..256).all(|number| holds(&near, number, 0)));
}

/// Tokens that fit in are held, in whatever order they come: marks that overwrite each other keep none out for good.
#[test]
fn tokens_that_come_in_turns_are_held() {
    let near = Near::new(64 * MIB);
    let mut found = 0;
    for _ in 0..100 {
        for number in 0..64 {
            let digest = mixed(number);
            if near.get(digest, 0, 0).is_some() {
                found += 1;
            } else if near.is_due(digest) {
                near.put(digest, 0, 0, 100, &Arc::new(number));
            }
        }
    }
    assert!(found > 4_500, "{found} of 6,400");
}

/// A thread that validated under the old configuration comes late.
#[test]
fn nothing_is_put_in_under_a_generation_that_has_ended() {
    let near = Near::new(64 * MIB);
    near.begin(1);
    near.put(digest(1), 0, 0, 100, &Arc::new(7));
    assert!(!holds(&near, 1, 0));
    near.put(digest(1), 1, 0, 100, &Arc::new(7));
    assert!(holds(&near, 1, 1));
}

/// Threads that sleep give up what they hold too.
#[test]
fn a_new_generation_drops_what_every_thread_holds() {
    let (near, together) = (Near::new(64 * MIB), Barrier::new(5));
    thread::scope(|scope| {
        let hold = |number: u64| {
            let value = Arc::new(number);
            near.put(digest(number), 0, 0, 100, &value);
            let weak = Arc::downgrade(&value);
            drop(value);
            assert!(holds(&near, number, 0) && !holds(&near, number + 1, 0), "each for itself");
            together.wait();
            together.wait();
            weak
        };
        let threads: Vec<_> = (0..4).map(|number| scope.spawn(move || hold(number))).collect();
        together.wait();
        near.begin(1);
        together.wait();
        let values: Vec<Weak<u64>> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert!(values.iter().all(|value| value.upgrade().is_none()));
    });
}

#[test]
fn all_threads_together_stay_within_the_bytes() {
    let (near, together) = (Near::new(16 * MIB), Barrier::new(9));
    let weights = || near.bytes().collect::<Vec<_>>();
    thread::scope(|scope| {
        let fill = |number: u64| {
            for next in 0..2_000 {
                near.put(digest(number + next * 7), 0, 0, 9_000, &Arc::new(next));
            }
            together.wait();
            together.wait();
        };
        // One alone takes all that there is.
        fill_alone(&near);
        assert!(weights()[0] > 900_000, "{:?}", weights());
        (0..8).for_each(|number| drop(scope.spawn(move || fill(number))));
        together.wait();
        let each = weights();
        assert_eq!(each.len(), 9);
        assert!(each.iter().sum::<usize>() <= MIB as usize && each.iter().all(|one| *one > 0), "{each:?}");
        together.wait();
    });
    near.put(digest(9), 0, 0, u32::MAX, &Arc::new(9));
    assert!(!holds(&near, 9, 0), "more than there is room for");
}

fn fill_alone(near: &Near<u64>) {
    (0..500).for_each(|next| near.put(digest(next), 0, 0, 9_000, &Arc::new(next)));
}

#[test]
fn the_main_cache_hears_of_a_token_once_a_second() {
    let near = Near::new(64 * MIB);
    near.put(digest(1), 0, 5, 100, &Arc::new(7));
    let touches = |second| near.get(digest(1), 0, second).map(|hit| hit.touch);
    assert_eq!([5, 5, 6, 6, 7].map(touches), [false, false, true, false, true].map(Some));
    assert_eq!(near.hits(), 5);
}

#[test]
fn a_small_cache_has_no_first_level() {
    let near = Near::new(10_000);
    near.put(digest(1), 0, 0, 100, &Arc::new(7));
    assert!(!holds(&near, 1, 0) && near.max_bytes() == 0);
}
