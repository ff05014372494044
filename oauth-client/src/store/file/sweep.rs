//! Lease files of entries that are long gone.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use super::lease::{self, Place};
use super::{disk, document::Document};

/// How long a lease file is kept that belongs to no entry: longer than any login takes.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// Removes the lease files beside this store whose entries are gone and that have not been used for a day. What cannot
/// be removed now stays: it does no harm.
pub(super) fn remove_old_leases(store: &Path, document: &Document, place: impl Fn(u64) -> Place) {
    let Some(prefix) = store.file_name().and_then(|name| name.to_str()).map(|name| format!("{name}.")) else {
        return;
    };
    let entries: HashSet<_> = document.entries.keys().map(|key| lease::hash(key)).collect();
    let Ok(files) = fs::read_dir(disk::directory(store)) else { return };
    for file in files.flatten() {
        let name = file.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(&prefix)?.strip_suffix(".lease"));
        let Some(number) = number.filter(|number| number.len() == 16) else { continue };
        let Ok(number) = u64::from_str_radix(number, 16) else { continue };
        // By the file system's clock on both sides.
        let age = file.metadata().and_then(|metadata| metadata.modified()).map(|at| at.elapsed());
        let old = age.is_ok_and(|age| age.is_ok_and(|age| age >= KEPT));
        if old && !entries.contains(&number) {
            let _ = remove(&place(number));
        }
    }
}

/// Under both of its locks; a process that has opened one of the files meanwhile finds that it no longer has its name,
/// and opens it anew.
fn remove(place: &Place) -> Option<()> {
    let _changing = disk::try_lock(&place.lock).ok()??;
    let _unused = disk::try_lock(&place.lease).ok()??;
    fs::remove_file(&place.lease).ok()?;
    fs::remove_file(&place.lock).ok()
}
