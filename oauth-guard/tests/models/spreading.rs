//! The pointer of services that spreads its counts: threads clone one parent at the same time.

use std::sync::atomic::{AtomicUsize, Ordering};

use loom::sync::Arc;

use crate::spread::Spread;
use crate::sync::thread::spawn;

/// Says when it ends.
struct Target(std::sync::Arc<AtomicUsize>);

impl Drop for Target {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Fails when what counts for another thread holds the count of its parent instead of the target: loom reports the circle as a
/// leak.
#[test]
fn the_target_ends_once_with_the_last_of_the_clones_that_threads_make() {
    loom::model(|| {
        let ended = std::sync::Arc::<AtomicUsize>::default();
        let parent = Arc::new(Spread::new(Arc::new(Target(std::sync::Arc::clone(&ended)))));
        let other = {
            let (parent, ended) = (Arc::clone(&parent), std::sync::Arc::clone(&ended));
            spawn(1, move || {
                let child = Spread::clone(&parent);
                drop(parent);
                assert_eq!(ended.load(Ordering::SeqCst), 0, "the child lives");
                child
            })
        };
        let own = Spread::clone(&parent);
        drop(parent);
        drop(other.join().unwrap());
        drop(own);
        assert_eq!(ended.load(Ordering::SeqCst), 1);
    });
}
