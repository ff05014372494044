//! What the files share between threads, as loom has it. arc-swap and `OnceLock` are opaque to loom; in their place are
//! acquiring reads and releasing writes, which is less than they promise.

pub(crate) mod thread;

pub(crate) use loom::model;
pub(crate) use loom::sync::atomic::{AtomicU64, AtomicUsize};
pub(crate) use loom::sync::{Arc, Mutex, MutexGuard};

use loom::sync::atomic::Ordering;

/// All values that were stored; the last one is in force.
pub(crate) struct ArcSwap<T> {
    stored: std::sync::Mutex<Vec<std::sync::Arc<T>>>,
    last: AtomicUsize,
}

impl<T> ArcSwap<T> {
    pub(crate) fn new(value: std::sync::Arc<T>) -> Self {
        Self { stored: std::sync::Mutex::new(vec![value]), last: AtomicUsize::new(0) }
    }

    pub(crate) fn load(&self) -> std::sync::Arc<T> {
        let last = self.last.load(Ordering::Acquire);
        std::sync::Arc::clone(&self.stored.lock().unwrap()[last])
    }

    pub(crate) fn store(&self, value: std::sync::Arc<T>) {
        let next = {
            let mut stored = self.stored.lock().unwrap();
            stored.push(value);
            stored.len() - 1
        };
        self.last.store(next, Ordering::Release);
    }
}

pub(crate) struct OnceLock<T> {
    value: std::sync::OnceLock<T>,
    is_set: AtomicUsize,
    writer: Mutex<()>,
}

impl<T> OnceLock<T> {
    pub(crate) fn new() -> Self {
        Self { value: std::sync::OnceLock::new(), is_set: AtomicUsize::new(0), writer: Mutex::new(()) }
    }

    pub(crate) fn get(&self) -> Option<&T> {
        (self.is_set.load(Ordering::Acquire) == 1).then(|| self.value.get().unwrap())
    }

    pub(crate) fn set(&self, value: T) -> Result<(), T> {
        let _writer = self.writer.lock().unwrap();
        self.value.set(value)?;
        self.is_set.store(1, Ordering::Release);
        Ok(())
    }

    pub(crate) fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
        if let Some(value) = self.get() {
            return value;
        }
        let _writer = self.writer.lock().unwrap();
        let value = self.value.get_or_init(make);
        self.is_set.store(1, Ordering::Release);
        value
    }
}
