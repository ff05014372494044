//! Leases in files: no step of the wall clock ends one, and what is in doubt is not free.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use oauth_client::clock::{Clock, Now};
use oauth_client::store::{FileStore, Lease, TokenStore};

use crate::contract::{key, tokens};
use crate::directory::Directory;

/// The clocks of a machine, which all its processes share.
#[derive(Clone, Debug)]
struct Machine {
    now: Arc<Mutex<Now>>,
    boot: &'static str,
}

impl Machine {
    fn new() -> Self {
        let now = Now { wall: Duration::from_secs(1_893_456_000), monotonic: Duration::from_secs(1000) };
        Self { now: Arc::new(Mutex::new(now)), boot: "one" }
    }

    fn pass(&self, seconds: u64) {
        let mut now = self.now.lock().unwrap();
        now.wall += Duration::from_secs(seconds);
        now.monotonic += Duration::from_secs(seconds);
    }

    fn step_wall(&self, seconds: u64) {
        self.now.lock().unwrap().wall += Duration::from_secs(seconds);
    }
}

impl Clock for Machine {
    fn now(&self) -> Now {
        *self.now.lock().unwrap()
    }

    fn boot_id(&self) -> Option<&str> {
        Some(self.boot)
    }
}

async fn take(directory: &Directory, machine: &Machine) -> Option<Lease> {
    let store = FileStore::new(directory.file()).clock(machine.clone());
    store.lease(&key("alice"), Duration::from_secs(15)).await.unwrap()
}

fn file(directory: &Directory, end: &str) -> PathBuf {
    let files = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path());
    files.into_iter().find(|path| path.to_str().unwrap().ends_with(end)).unwrap()
}

#[tokio::test]
async fn a_step_of_the_wall_clock_or_a_suspend_ends_no_lease() {
    let (directory, machine) = (Directory::new(), Machine::new());
    let lease = take(&directory, &machine).await.unwrap();
    machine.step_wall(8 * 3600);
    assert!(take(&directory, &machine).await.is_none());
    machine.pass(14);
    assert!(lease.renew(Duration::from_secs(15)).await.unwrap());
    machine.pass(14);
    assert!(take(&directory, &machine).await.is_none(), "it counts from when it was renewed");
    machine.pass(2);
    let next = take(&directory, &machine).await.expect("its time is over on the clock that never steps");
    assert!(!lease.renew(Duration::from_secs(15)).await.unwrap(), "and its holder notices");
    assert!(next.renew(Duration::from_secs(15)).await.unwrap());
}

/// Another machine on the same file system, or this one before it was started again: only the wall clock is common.
#[tokio::test]
async fn of_another_boot_the_wall_clock_counts() {
    let (directory, machine) = (Directory::new(), Machine::new());
    let _lease = take(&directory, &machine).await.unwrap();
    let other = Machine { boot: "two", ..machine.clone() };
    assert!(take(&directory, &other).await.is_none());
    machine.step_wall(16);
    assert!(take(&directory, &other).await.is_some());
}

/// The previous version wrote no boot and no monotonic time, and reads records that have them.
#[tokio::test]
async fn records_of_the_previous_version_are_understood() {
    let (directory, machine) = (Directory::new(), Machine::new());
    let _lease = take(&directory, &machine).await.unwrap();
    let record = file(&directory, ".lease");
    let mut known: serde_json::Value = serde_json::from_slice(&fs::read(&record).unwrap()).unwrap();
    for name in ["pid", "id", "until_ms", "taken_over"] {
        assert!(known.get(name).is_some(), "{known}");
    }
    for name in ["boot", "until_monotonic_ms"] {
        assert!(known.as_object_mut().unwrap().remove(name).is_some(), "{known}");
    }
    fs::write(&record, known.to_string()).unwrap();
    assert!(take(&directory, &machine).await.is_none());
    machine.step_wall(16);
    assert!(take(&directory, &machine).await.is_some());
}

#[tokio::test]
async fn a_locked_lease_file_with_a_damaged_record_is_not_free() {
    for damage in ["", "{", "null", "[]", r#"{"pid": "x"}"#] {
        let (directory, machine) = (Directory::new(), Machine::new());
        let lease = take(&directory, &machine).await.unwrap();
        fs::write(file(&directory, ".lease"), damage).unwrap();
        machine.pass(3600);
        assert!(take(&directory, &machine).await.is_none(), "{damage:?}: its holder has the lock");
        // Renewing mends it; and from then on its end counts again.
        assert!(lease.renew(Duration::from_secs(15)).await.unwrap(), "{damage:?}");
        machine.pass(16);
        drop(take(&directory, &machine).await.expect("its time is over"));
        drop(lease);
        assert!(take(&directory, &machine).await.is_some(), "{damage:?}");
    }
}

#[tokio::test]
async fn a_lock_that_another_process_holds_means_not_yet() {
    let (directory, machine) = (Directory::new(), Machine::new());
    drop(take(&directory, &machine).await.unwrap());
    // A write by another process, which takes long.
    let mut writing = fs::File::options();
    writing.write(true).create(true).truncate(false);
    let store = writing.open(directory.path().join("tokens.json.lock")).unwrap();
    store.lock().unwrap();
    drop(take(&directory, &machine).await.expect("the store's lock is none of a lease"));
    // Another process at the same lease.
    let entries = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path());
    let of_the_entry = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.ends_with(".lock") && name != "tokens.json.lock"
    };
    let entry = writing.open(entries.into_iter().find(of_the_entry).unwrap()).unwrap();
    entry.lock().unwrap();
    assert!(take(&directory, &machine).await.is_none(), "no error");
    drop(entry);
    assert!(take(&directory, &machine).await.is_some());
    drop(store);
    let store = FileStore::new(directory.file());
    store.compare_and_swap(&key("alice"), None, Some(&tokens("one"))).await.unwrap();
}

#[tokio::test]
async fn a_lease_is_given_back_where_it_may_block() {
    let (directory, machine) = (Directory::new(), Machine::new());
    let lease = take(&directory, &machine).await.unwrap();
    let mut giving = Box::pin(lease.give_back());
    let polled = giving.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending(), "the runtime's own thread touches no file");
    giving.await;
    assert!(take(&directory, &machine).await.is_some());
}
