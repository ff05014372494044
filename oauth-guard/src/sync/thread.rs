//! Small numbers for threads, so that each has a place of its own in a table. A thread that ends gives its number back.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many threads have places of their own in a table. More of them share places, which costs time and nothing else.
pub(crate) const PLACES: usize = 256;

/// The number of this thread. `None` while the thread is ending.
#[inline]
pub(crate) fn number() -> Option<usize> {
    thread_local! {
        static MINE: Number = Number::take();
    }
    MINE.try_with(|mine| mine.0).ok()
}

struct Number(usize);

impl Number {
    fn take() -> Self {
        let mut numbers = numbers();
        Self(numbers.free.pop_first().unwrap_or_else(|| {
            numbers.next += 1;
            numbers.next - 1
        }))
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        numbers().free.insert(self.0);
    }
}

struct Numbers {
    next: usize,
    free: BTreeSet<usize>,
}

fn numbers() -> MutexGuard<'static, Numbers> {
    static NUMBERS: Mutex<Numbers> = Mutex::new(Numbers { next: 0, free: BTreeSet::new() });
    NUMBERS.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    #[test]
    fn threads_have_different_numbers_that_come_back() {
        let highest = || {
            let together = Barrier::new(8);
            let mut all: Vec<usize> = thread::scope(|scope| {
                let threads: Vec<_> = (0..8)
                    .map(|_| {
                        scope.spawn(|| {
                            let mine = number().unwrap();
                            assert_eq!(number(), Some(mine));
                            together.wait();
                            mine
                        })
                    })
                    .collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            all.sort_unstable();
            assert!(all.windows(2).all(|pair| pair[0] != pair[1]), "{all:?}");
            all[7]
        };
        // Other tests of this process have threads too, but not hundreds at a time.
        assert!((0..100).map(|_| highest()).max().unwrap() < 400);
    }
}
