//! Numbers of threads, as each one says it.

use std::cell::Cell;

/// How many threads have places of their own.
pub(crate) const PLACES: usize = 3;

loom::thread_local! {
    static MINE: Cell<usize> = Cell::new(0);
}

pub(crate) fn number() -> Option<usize> {
    MINE.try_with(Cell::get).ok()
}

/// Starts a thread of that number.
pub(crate) fn spawn<T: 'static>(
    number: usize,
    run: impl FnOnce() -> T + 'static,
) -> loom::thread::JoinHandle<T> {
    loom::thread::spawn(move || {
        MINE.with(|mine| mine.set(number));
        run()
    })
}
