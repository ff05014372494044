//! A shared pointer for services, which are cloned with every request.
//!
//! All clones of an `Arc` write one count, and pass the line that it is on from core to core. Here each parent counts its
//! clones apart, and those that several threads make at the same time by thread.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use crate::thread;

/// How many threads count apart.
const PLACES: usize = 64;

pub(crate) struct Spread<C> {
    /// Where this one is counted.
    here: Arc<Counted<C>>,
    /// Where its clones are, once there are any.
    clones: OnceLock<Arc<Counted<C>>>,
}

/// A count on a line of the processor's cache for itself, and the target, which is counted only by those.
#[repr(align(64))]
struct Counted<C> {
    target: Arc<C>,
    thread: Option<usize>,
    /// Counts of other threads. They count the target and not this one, so that nothing is kept alive in a circle.
    others: OnceLock<Box<[OnceLock<Arc<Self>>]>>,
}

impl<C> Spread<C> {
    pub(crate) fn new(target: Arc<C>) -> Self {
        Self { here: Arc::new(Counted::new(target, None)), clones: OnceLock::new() }
    }
}

impl<C> Counted<C> {
    fn new(target: Arc<C>, thread: Option<usize>) -> Self {
        Self { target, thread, others: OnceLock::new() }
    }

    fn for_clones_of(parent: &Self, thread: Option<usize>) -> Arc<Self> {
        Arc::new(Self::new(Arc::clone(&parent.target), thread))
    }

    /// Where clones count that another thread makes.
    #[cold]
    fn other(self: &Arc<Self>, thread: Option<usize>) -> &Arc<Self> {
        let Some(number) = thread else { return self };
        // A connection that moves from thread to thread has no clones while it does: it needs no table.
        if self.others.get().is_none() && Arc::strong_count(self) == 1 {
            return self;
        }
        let others = self.others.get_or_init(|| (0..PLACES).map(|_| OnceLock::new()).collect());
        let other = others.get(number % PLACES);
        other.map_or(self, |other| other.get_or_init(|| Self::for_clones_of(self, thread)))
    }
}

impl<C> Clone for Spread<C> {
    #[inline]
    fn clone(&self) -> Self {
        let thread = thread::number();
        let clones = self.clones.get_or_init(|| Counted::for_clones_of(&self.here, thread));
        let here = if clones.thread == thread { clones } else { clones.other(thread) };
        Self { here: Arc::clone(here), clones: OnceLock::new() }
    }
}

impl<C> Deref for Spread<C> {
    type Target = Arc<C>;

    #[inline]
    fn deref(&self) -> &Arc<C> {
        &self.here.target
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    fn counts<C>(one: &Spread<C>) -> *const Counted<C> {
        Arc::as_ptr(&one.here)
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
                counts(&third).addr()
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
        assert!(parent.clones.get().unwrap().others.get().is_none());
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
}
