//! Of the spread pointer alone. They stand apart because models of concurrency have that file without its tests.

use std::sync::{Arc, Barrier};
use std::thread;

use super::spread::Spread;

fn counts<C>(one: &Spread<C>) -> usize {
    one.counted_at()
}

#[test]
fn clones_of_one_parent_on_one_thread_share_a_count_and_no_others_do() {
    let parent = Spread::new(Arc::new(7));
    let (first, second) = (parent.clone(), parent.clone());
    assert_eq!((counts(&first), **first), (counts(&second), 7));
    assert_ne!(counts(&first), counts(&parent));
    let (of_first, of_second) = (first.clone(), second.clone());
    assert_ne!(counts(&of_first), counts(&of_second), "other parents");
    assert_ne!(counts(&of_first), counts(&first));
    assert_ne!(counts(&of_second), counts(&second));
}

#[test]
fn threads_that_clone_at_the_same_time_count_apart() {
    let parent = Spread::new(Arc::new(7));
    let together = Barrier::new(4);
    let mut all: Vec<usize> = thread::scope(|scope| {
        let clone = || {
            let first = parent.clone();
            together.wait();
            let second = parent.clone();
            together.wait();
            let third = parent.clone();
            assert_eq!((counts(&second), **first), (counts(&third), 7));
            counts(&third)
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(clone)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 4);
}

#[test]
fn one_that_moves_from_thread_to_thread_makes_no_table() {
    let parent = Spread::new(Arc::new(7));
    drop(parent.clone());
    thread::scope(|scope| scope.spawn(|| drop(parent.clone())).join().unwrap());
    assert!(!parent.has_a_table());
}

/// Nothing holds the target but services: when the last one is gone, it is.
#[test]
fn the_target_ends_with_the_last_clone() {
    let target = Arc::new(7);
    let parent = Spread::new(Arc::clone(&target));
    let children: Vec<_> = thread::scope(|scope| {
        let held = parent.clone();
        let clone = || {
            let child = parent.clone();
            (child.clone(), child)
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(clone)).collect();
        drop(held);
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    drop(parent);
    assert!(Arc::strong_count(&target) > 1, "children live on");
    drop(children);
    assert_eq!(Arc::strong_count(&target), 1);
}
