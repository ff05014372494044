//! Turns at a lock file within this process. The lock of the operating system excludes; a turn only keeps those who
//! wait for it in this process in line, so that none is overtaken for ever.

use std::collections::HashMap;
use std::path::{Path, PathBuf, absolute};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Mutex as Line, OwnedMutexGuard};

/// The lines of this process, by lock file.
static LINES: Mutex<Option<HashMap<PathBuf, Weak<Line<()>>>>> = Mutex::new(None);

/// So many lines may be there before those without a member are looked for.
const SWEEP_AT: usize = 64;

/// Waits for the turn at this lock file; `None` when it takes too long, say because the one whose turn it is lives in a
/// runtime that is no longer driven. The lock is then tried for without it.
pub(super) async fn turn(path: &Path, patience: Duration) -> Option<OwnedMutexGuard<()>> {
    tokio::time::timeout(patience, line(path).lock_owned()).await.ok()
}

fn line(path: &Path) -> Arc<Line<()>> {
    let path = absolute(path).unwrap_or_else(|_| path.to_owned());
    // A panic elsewhere leaves whole entries behind: each change is one insert or removal.
    let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    let lines = lines.get_or_insert_with(HashMap::new);
    if let Some(line) = lines.get(&path).and_then(Weak::upgrade) {
        return line;
    }
    if lines.len() >= SWEEP_AT {
        lines.retain(|_, line| line.strong_count() > 0);
    }
    let line = Arc::new(Line::new(()));
    lines.insert(path, Arc::downgrade(&line));
    line
}
