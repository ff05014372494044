//! Who waits for a revocation: an index by mark, so that a revocation wakes those that it may concern and no other.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::marks::{Mark, Marks, NONE};

#[derive(Debug, Default)]
pub(crate) struct Watchers {
    /// By mark, and by a number of their own.
    waiting: Mutex<BTreeMap<(Mark, u64), Arc<Notify>>>,
    count: AtomicUsize,
    next: AtomicU64,
}

impl Watchers {
    /// Adds one that is woken for any of these marks.
    pub(super) fn add(&self, marks: Marks) -> Watcher<'_> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let watcher = Watcher { watchers: self, marks, number, woken: Arc::new(Notify::new()) };
        let mut waiting = self.waiting();
        for mark in watcher.marks() {
            waiting.insert((mark, number), Arc::clone(&watcher.woken));
        }
        drop(waiting);
        self.count.fetch_add(1, Ordering::Relaxed);
        watcher
    }

    /// The target of this mark is revoked.
    pub(super) fn wake(&self, mark: Mark) {
        // Always locked: one who was added before is woken, one who is added later sees the entry.
        let waiting = self.waiting();
        waiting.range((mark, 0)..=(mark, u64::MAX)).for_each(|(_, woken)| woken.notify_one());
    }

    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<(Mark, u64), Arc<Notify>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One that waits. When it is dropped nothing of it is left.
#[derive(Debug)]
pub(super) struct Watcher<'a> {
    watchers: &'a Watchers,
    marks: Marks,
    number: u64,
    woken: Arc<Notify>,
}

impl Watcher<'_> {
    /// Returns when something that may concern it was revoked since it was added, or since it last returned.
    pub(super) async fn woken(&self) {
        self.woken.notified().await;
    }

    fn marks(&self) -> impl Iterator<Item = Mark> {
        self.marks.0.into_iter().filter(|mark| *mark != NONE)
    }
}

impl Drop for Watcher<'_> {
    fn drop(&mut self) {
        let mut waiting = self.watchers.waiting();
        for mark in self.marks() {
            waiting.remove(&(mark, self.number));
        }
        drop(waiting);
        self.watchers.count.fetch_sub(1, Ordering::Relaxed);
    }
}
