//! The right to refresh one entry: a lock of the operating system, and beside it a record of who holds it until when.
//!
//! The lock is what counts while its holder is well: when a process dies, it is free at once. A process that hangs
//! keeps its lock, so once the time in its record is over, another takes the lease by writing a record of its own.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{disk, failed};
use crate::store::{StoreError, StoreKey};

#[derive(Serialize, Deserialize, PartialEq, Eq)]
struct Record {
    /// The process, for diagnosis.
    pid: u32,
    /// Distinguishes the leases of one process.
    id: u64,
    /// When it ends, as Unix time in milliseconds.
    until_ms: u64,
    /// Whether its holder took it from one that hangs, and so has the record but not the lock.
    taken_over: bool,
}

/// A lease; it ends when this is dropped.
pub(super) struct Held {
    file: File,
    record: Record,
    lock: PathBuf,
}

/// Takes the lease if it is free. The store's lock must be held: it makes lock and record change together.
pub(super) fn take(
    path: PathBuf,
    lock: PathBuf,
    now: Duration,
    longest: Duration,
) -> Result<Option<Held>, StoreError> {
    let mut file = disk::open_lock(&path)?;
    let free = match file.try_lock() {
        Ok(()) => true,
        Err(std::fs::TryLockError::WouldBlock) => false,
        Err(std::fs::TryLockError::Error(error)) => return Err(failed(&path, "locked", error)),
    };
    let now_ms = milliseconds(now);
    let taken = match read(&mut file) {
        // Where a locked file cannot be read (Windows), its holder is taken to be well.
        Err(_) => !free,
        // No record: it is not refreshing yet, or not any more.
        Ok(None) => !free,
        Ok(Some(record)) => record.until_ms > now_ms && (!free || record.taken_over),
    };
    if taken {
        return Ok(None);
    }
    let record = Record {
        pid: std::process::id(),
        id: random(),
        until_ms: now_ms.saturating_add(milliseconds(longest)),
        taken_over: !free,
    };
    write(&mut file, Some(&record)).map_err(|error| failed(&path, "written", error))?;
    Ok(Some(Held { file, record, lock }))
}

impl Drop for Held {
    fn drop(&mut self) {
        // Any process that finds the lock free takes it, record or not; so when the record cannot be taken back, only one that
        // was taken over delays other processes, and that until it expires.
        let Ok(Some(_lock)) = disk::try_lock(&self.lock) else { return };
        if let Ok(Some(record)) = read(&mut self.file)
            && record == self.record
        {
            // While the one it was taken from still hangs on to the lock, a record that has run out says that the lease
            // is free; none at all would say that its holder is well.
            let over = record.taken_over.then_some(Record { until_ms: 0, ..record });
            let _ = write(&mut self.file, over.as_ref());
        }
    }
}

/// A number for the name of an entry's lease file, the same in every process and version (FNV-1a). Two entries of one
/// number merely wait for each other.
pub(super) fn name_of(key: &StoreKey) -> u64 {
    key.as_str()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// What is written in the file; `None` when there is nothing, or nothing that makes sense.
fn read(file: &mut File) -> io::Result<Option<Record>> {
    let mut text = Vec::new();
    file.rewind()?;
    file.take(4096).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text).ok())
}

fn write(file: &mut File, record: Option<&Record>) -> io::Result<()> {
    let text = record.map(serde_json::to_vec).transpose()?.unwrap_or_default();
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(&text)
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn random() -> u64 {
    // Without randomness two leases of one process look alike, and the process id still distinguishes processes.
    getrandom::u64().unwrap_or(0)
}
