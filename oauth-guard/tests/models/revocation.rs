//! The list of revocations, while its filter is rebuilt.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;

use crate::defaults;
use crate::marks::{self, Marks, NONE};
use crate::table::{End, Table};

const SHARDS: usize = defaults::REVOCATION_SHARDS;

/// A target in the first shard.
const REVOKED: marks::Mark = [1, 7];

fn insert(table: &Table, is_rebuilding: bool) {
    table.insert(REVOKED, u64::MAX, End::at(100), 1, 0, is_rebuilding);
}

/// A request of a revoked token. When it begins after the revocation has returned, which it knows by the flag, it is
/// rejected.
fn request(table: &Arc<Table>, returned: &Arc<AtomicBool>) -> thread::JoinHandle<()> {
    let (table, returned) = (Arc::clone(table), Arc::clone(returned));
    thread::spawn(move || {
        if returned.load(Ordering::Acquire) {
            assert!(table.meets(&Marks([NONE, REVOKED, NONE, NONE, NONE]), None));
        }
    })
}

/// Fails when `Table::meets_as_of` does not look once more which filter is in force, and when `Table::rebuild` counts it with
/// `Ordering::Relaxed`: the writer empties the filter that was read.
#[test]
fn a_revoked_token_is_met_while_the_filter_is_rebuilt_again_and_again() {
    loom::model(|| {
        let (table, returned) = (Arc::new(Table::new(1)), Arc::new(AtomicBool::new(false)));
        let request = request(&table, &returned);
        insert(&table, false);
        returned.store(true, Ordering::Release);
        table.begin_rebuild();
        assert!(table.rebuild(0, SHARDS));
        table.begin_rebuild();
        request.join().unwrap();
    });
}

/// Fails when `Table::insert` does not add the mark to the filter that is being rebuilt.
#[test]
fn a_token_that_is_revoked_in_the_middle_of_a_rebuild_is_met() {
    loom::model(|| {
        let (table, returned) = (Arc::new(Table::new(1)), Arc::new(AtomicBool::new(false)));
        let request = request(&table, &returned);
        table.begin_rebuild();
        // The shard of the mark is behind it.
        assert!(!table.rebuild(0, 1));
        insert(&table, true);
        returned.store(true, Ordering::Release);
        assert!(table.rebuild(1, SHARDS - 1));
        request.join().unwrap();
    });
}
