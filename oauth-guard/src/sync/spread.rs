//! A shared pointer for services, which are cloned with every request.
//!
//! All clones of an `Arc` write one count, and pass the line that it is on from core to core. Here each parent counts its
//! clones apart, and those that several threads make at the same time by thread.

use std::ops::Deref;

use crate::sync::{Arc, OnceLock, thread};

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

#[cfg(test)]
impl<C> Spread<C> {
    pub(crate) fn counted_at(&self) -> usize {
        std::ptr::from_ref(&*self.here).addr()
    }

    /// Whether other threads count its clones apart.
    pub(crate) fn has_a_table(&self) -> bool {
        self.clones.get().is_some_and(|clones| clones.others.get().is_some())
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
    fn other(own: &Arc<Self>, thread: Option<usize>) -> &Arc<Self> {
        let Some(number) = thread else { return own };
        // A connection that moves from thread to thread has no clones while it does: it needs no table.
        if own.others.get().is_none() && Arc::strong_count(own) == 1 {
            return own;
        }
        let others = own.others.get_or_init(|| (0..PLACES).map(|_| OnceLock::new()).collect());
        let other = others.get(number % PLACES);
        other.map_or(own, |other| other.get_or_init(|| Self::for_clones_of(own, thread)))
    }
}

impl<C> Clone for Spread<C> {
    #[inline]
    fn clone(&self) -> Self {
        let thread = thread::number();
        let clones = self.clones.get_or_init(|| Counted::for_clones_of(&self.here, thread));
        let here = if clones.thread == thread { clones } else { Counted::other(clones, thread) };
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
