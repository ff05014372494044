//! The writes that go on in the background.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

/// How long a program that ends waits for a store that takes nothing.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often the store is tried meanwhile.
const HURRY: Duration = Duration::from_millis(500);

/// How many writes there are, and how to hurry them.
pub(super) struct Writes {
    count: Arc<watch::Sender<usize>>,
    hurry: watch::Sender<()>,
}

/// One write; it has ended when this is dropped.
pub(super) struct Underway {
    count: Arc<watch::Sender<usize>>,
    hurry: watch::Receiver<()>,
}

impl Writes {
    pub(super) fn new() -> Self {
        Self { count: Arc::new(watch::Sender::new(0)), hurry: watch::Sender::new(()) }
    }

    pub(super) fn begin(&self) -> Underway {
        self.count.send_modify(|count| *count += 1);
        Underway { count: Arc::clone(&self.count), hurry: self.hurry.subscribe() }
    }

    /// Has all of them tried at once, or given up where a newer set is there.
    pub(super) fn hurry(&self) {
        self.hurry.send_replace(());
    }

    /// Waits until all are done, and has them tried at once; false when the store takes them not in time.
    pub(super) async fn settle(&self) -> bool {
        let mut count = self.count.subscribe();
        let settling = async {
            loop {
                self.hurry();
                let done = count.wait_for(|count| *count == 0);
                if tokio::time::timeout(HURRY, done).await.is_ok() {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, settling).await.is_ok()
    }
}

impl Underway {
    /// Waits until the next try is due.
    pub(super) async fn pause(&mut self, wait: Duration) {
        // The sender lives as long as the source, which the write keeps alive.
        let _ = tokio::time::timeout(wait, self.hurry.changed()).await;
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.count.send_modify(|count| *count = count.saturating_sub(1));
    }
}
