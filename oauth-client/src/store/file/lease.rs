//! The right to refresh one entry: a lock of the operating system, and beside it a record of who holds it until when.
//!
//! The lock is what counts while its holder is well: when a process dies, it is free at once. A process that hangs
//! keeps its lock, so once the time in its record is over, another takes the lease by writing a record of its own.
//! A second lock file of the entry makes lock and record change together.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{disk, failed};
use crate::clock::Clock;
use crate::store::{StoreError, StoreKey};

/// How often a busy lock is tried for when a lease is given back.
const MAX_TRIES_TO_END: u32 = 5;

#[derive(Clone, Serialize, Deserialize)]
struct Record {
    /// The process, for diagnosis.
    pid: u32,
    /// Distinguishes the leases of one process.
    id: u64,
    /// When it ends, as Unix time in milliseconds.
    until_ms: u64,
    /// Whether its holder took it from one that hangs, and so has the record but not the lock.
    taken_over: bool,
    /// The boot that the next field counts from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    boot: Option<String>,
    /// When it ends on the machine's monotonic clock, in milliseconds: no step of the wall clock ends a lease early.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until_monotonic_ms: Option<u64>,
}

/// One moment on the clocks that leases are judged by.
pub(super) struct Moment {
    wall: Duration,
    monotonic: Duration,
    boot: Option<String>,
}

impl Moment {
    pub(super) fn of(clock: &dyn Clock) -> Self {
        let now = clock.now();
        Self { wall: now.wall, monotonic: now.monotonic, boot: clock.boot_id().map(str::to_owned) }
    }
}

impl Record {
    fn new(now: &Moment, longest: Duration, taken_over: bool) -> Self {
        let (pid, id) = (std::process::id(), random());
        let mut record = Self { pid, id, until_ms: 0, taken_over, boot: None, until_monotonic_ms: None };
        record.extend(now, longest);
        record
    }

    fn extend(&mut self, now: &Moment, longest: Duration) {
        self.until_ms = milliseconds(now.wall.saturating_add(longest));
        self.boot.clone_from(&now.boot);
        let until = now.monotonic.saturating_add(longest);
        self.until_monotonic_ms = now.boot.as_ref().map(|_| milliseconds(until));
    }

    fn end(&mut self) {
        (self.until_ms, self.boot, self.until_monotonic_ms) = (0, None, None);
    }

    fn is_over(&self, now: &Moment) -> bool {
        match (&self.boot, self.until_monotonic_ms, &now.boot) {
            (Some(theirs), Some(until), Some(ours)) if theirs == ours => until <= milliseconds(now.monotonic),
            _ => self.until_ms <= milliseconds(now.wall),
        }
    }

    fn is_of(&self, other: &Self) -> bool {
        (self.pid, self.id) == (other.pid, other.id)
    }
}

/// The files of an entry's lease.
#[derive(Clone)]
pub(super) struct Place {
    /// Locked by its holder, and with the record in it.
    pub(super) lease: PathBuf,
    /// Where the record is instead, on systems on which a locked file cannot be read (Windows). The locked file is empty
    /// then; in one that is not, a version that knows no other place has its record.
    pub(super) record: Option<PathBuf>,
    /// Locked while lock and record change.
    pub(super) lock: PathBuf,
}

/// A lease; it ends when this is dropped.
pub(super) struct Held {
    files: Files,
    record: Record,
    place: Place,
}

struct Files {
    /// Locked, but by a holder that has taken the lease from one that hangs.
    lease: File,
    /// With the record in it, where that is another file.
    record: Option<File>,
}

impl Files {
    fn open(place: &Place) -> Result<Self, StoreError> {
        let lease = disk::open_lock(&place.lease)?;
        let record = place.record.as_deref().map(disk::open_lock).transpose()?;
        Ok(Self { lease, record })
    }

    fn record(&mut self) -> &mut File {
        self.record.as_mut().unwrap_or(&mut self.lease)
    }

    /// Whether the holder of the lock is of a version that writes its record into the locked file.
    fn is_of_an_earlier_version(&self) -> bool {
        self.record.is_some() && self.lease.metadata().is_ok_and(|metadata| metadata.len() > 0)
    }
}

/// Takes the lease if it is free, and if that can be found out now.
pub(super) fn take(place: Place, now: &Moment, longest: Duration) -> Result<Option<Held>, StoreError> {
    let Some(_changing) = disk::try_lock(&place.lock)? else { return Ok(None) };
    let mut files = Files::open(&place)?;
    let free = match files.lease.try_lock() {
        Ok(()) => true,
        Err(std::fs::TryLockError::WouldBlock) => false,
        Err(std::fs::TryLockError::Error(error)) => return Err(failed(&place.lease, "locked", error)),
    };
    if !free && files.is_of_an_earlier_version() {
        return Ok(None);
    }
    let taken = match read(files.record()) {
        // No record, or a damaged one: its end is unknown, and its holder has the lock.
        Err(_) | Ok(None) => !free,
        Ok(Some(record)) => !record.is_over(now) && (!free || record.taken_over),
    };
    if taken {
        return Ok(None);
    }
    let record = Record::new(now, longest, !free);
    let written = match (free, &files.record) {
        // What an earlier version left there.
        (true, Some(_)) => files.lease.set_len(0),
        _ => Ok(()),
    };
    let written = written.and_then(|()| write(files.record(), Some(&record)));
    written.map_err(|error| failed(&place.lease, "written", error))?;
    Ok(Some(Held { files, record, place }))
}

impl Held {
    /// Makes it last this long from now. `Some(false)`: another holder has taken it; `None`: not known yet.
    pub(super) fn renew(&mut self, now: &Moment, longest: Duration) -> Result<Option<bool>, StoreError> {
        let Some(_changing) = disk::try_lock(&self.place.lock)? else { return Ok(None) };
        let ours = match read(self.files.record()) {
            Ok(Some(record)) => record.is_of(&self.record),
            // Damaged, or not to be read: with the lock in hand no other holder can have come.
            Ok(None) | Err(_) => !self.record.taken_over,
        };
        if ours {
            self.record.extend(now, longest);
            write(self.files.record(), Some(&self.record))
                .map_err(|error| failed(&self.place.lease, "written", error))?;
        }
        Ok(Some(ours))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Any process that finds the lock free takes it, record or not; so when the record cannot be taken back, only one that
        // was taken over delays other processes, and that until it expires.
        let try_lock = || {
            std::thread::yield_now();
            disk::try_lock(&self.place.lock).ok().flatten()
        };
        let Some(_changing) = (0..MAX_TRIES_TO_END).find_map(|_| try_lock()) else { return };
        if let Ok(Some(mut record)) = read(self.files.record())
            && record.is_of(&self.record)
        {
            // While the one it was taken from still hangs on to the lock, a record that has run out says that the lease
            // is free; none at all would say that its holder is well.
            record.end();
            let over = record.taken_over.then_some(record);
            let _ = write(self.files.record(), over.as_ref());
        }
    }
}

/// A number for the name of an entry's lease file, the same in every process and version (FNV-1a). Two entries of one
/// number merely wait for each other.
pub(super) fn name_of(key: &StoreKey) -> u64 {
    hash(key.as_str())
}

pub(super) fn hash(key: &str) -> u64 {
    key.bytes()
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const LONGEST: Duration = Duration::from_secs(15);

    fn at(seconds: u64) -> Moment {
        let now = Duration::from_secs(seconds);
        Moment { wall: now, monotonic: now, boot: Some("one".to_owned()) }
    }

    /// As on Windows, where no process can read a file that another one has locked.
    #[test]
    fn a_record_beside_the_locked_file_tells_when_a_holder_that_hangs_has_lost_the_lease() {
        let directory =
            std::env::temp_dir().join(format!("oauth-client-lease-{}-{}", std::process::id(), random()));
        let beside = |name| directory.join(name);
        let place =
            Place { lease: beside("a.lease"), record: Some(beside("a.record")), lock: beside("a.lock") };
        let take = |now: u64| take(place.clone(), &at(now), LONGEST).unwrap();

        let mut hangs = take(0).unwrap();
        assert_eq!(fs::read(&place.lease).unwrap(), b"", "nothing is to be read there");
        assert!(take(14).is_none());
        assert_eq!(hangs.renew(&at(14), LONGEST).unwrap(), Some(true));
        assert!(take(28).is_none());
        let mut next = take(30).unwrap();
        assert_eq!(hangs.renew(&at(31), LONGEST).unwrap(), Some(false), "it finds out when it goes on");
        assert_eq!(next.renew(&at(31), LONGEST).unwrap(), Some(true));
        drop(next);
        let next = take(32).unwrap();
        drop(hangs);
        assert!(take(33).is_none(), "whose lock is free now, and whose record is not its own");
        drop(next);
        drop(take(34).unwrap());

        // A process of an earlier version has the lock, and its record where it cannot be read.
        let earlier = disk::try_lock(&place.lease).unwrap().unwrap();
        fs::write(&place.lease, "{}").unwrap();
        let over = Record { until_ms: 0, ..Record::new(&at(0), Duration::ZERO, false) };
        fs::write(beside("a.record"), serde_json::to_vec(&over).unwrap()).unwrap();
        assert!(take(9999).is_none(), "it is taken to be well");
        drop(earlier);
        let next = take(9999).unwrap();
        assert_eq!(fs::read(&place.lease).unwrap(), b"");
        drop(next);
        fs::remove_dir_all(directory).unwrap();
    }
}
