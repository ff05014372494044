//! The store in a file.

mod disk;
mod document;
mod lease;
mod queue;
#[cfg(unix)]
mod sweep;
#[cfg(not(unix))]
mod sweep {
    //! A file that is open cannot be removed there, so that old lease files stay.

    use super::{document::Document, lease::Place};

    pub(super) fn remove_old_leases(_: &std::path::Path, _: &Document, _: impl Fn(u64) -> Place) {}
}

#[cfg(feature = "keyring")]
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub(super) use self::document::encode;
use super::{Lease, LeaseGuard, Revision, StoreError, StoreKey, Stored, Swap, TokenStore};
use crate::clock::{Clock, SystemClock};
use crate::retry::jittered;
use crate::token::TokenSet;

/// How often a lock that another process holds is tried for. It is held for one write, a few milliseconds.
const LOCK_POLL: Duration = Duration::from_millis(10);
/// How long it is tried for, and how long the wait for a turn in this process may last before.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);
/// How often old lease files are looked for, in seconds on the monotonic clock.
const SWEEP_INTERVAL: u64 = 3600;

/// A store in one file, for tokens that outlive the process and for several processes that share them.
///
/// ```no_run
/// # use oauth_client::{Client, grant};
/// use oauth_client::store::FileStore;
///
/// # fn run(client: Client, login: oauth_client::Secret) -> Result<(), oauth_client::Error> {
/// let store = FileStore::new("/var/lib/orders/tokens.json");
/// let source = client.source(grant::refresh_token(login)).store(store).build()?;
/// # Ok(()) }
/// ```
///
/// One file is [for one user](TokenStore::is_for_one_user). Where it keeps several users, each source names its user with
/// [`subject`](crate::grant::TokenRequest::subject), or they get each other's tokens.
///
/// The tokens are in the file in the clear, so it is made readable to its owner alone (mode 0600, and 0700 for a
/// directory that has to be made), from its first moment on. If others may read the file, it is made private, with a
/// warning. A symbolic link, a file with several names, and anything that is not a file are refused. So is a file
/// that this library did not write or that is damaged: it is never overwritten, and the error says what to do.
///
/// # The files beside it
/// `tokens.json` does not stay alone: there will be `tokens.json.lock`, and for each entry one such as
/// `tokens.json.2f6b1c09d4e8a37f.lease` with a `.lock` of the same number, on Windows a `.record`, too. They hold no
/// tokens, only which process refreshes until when. Leave them where they are while a program runs; they need no backup,
/// and old ones are removed automatically, but on Windows. To leave them out of version control or a backup, exclude `tokens.json*`.
///
/// # Several processes
/// Beside `tokens.json` there are `tokens.json.lock`, held during a write, and for each entry a `tokens.json.….lease`,
/// held during a refresh, with a `tokens.json.….lock` that is held while the lease changes hands. All are locks of the
/// operating system: when a process dies, however it dies, they are free at once. A process that hangs while it
/// refreshes delays the others until the end of its lease, 15 s after it was last renewed; the end is written in the
/// lease file (on Windows, where a locked file cannot be read, in the `.record` beside it) together with the process id,
/// on the monotonic clock of this boot where there is one ([`Clock::boot_id`]), so that a step of the wall clock ends
/// none early. Deleting the files while a process runs
/// defeats their purpose. All this needs a file system with working `flock`, which some network file systems lack.
///
/// # What is removed automatically
/// Each write drops entries without a refresh token whose access token expired more than a day ago, and
/// [log-outs](crate::store#log-outs) after 180 days; once an hour the lease files go that belong to no entry and are a day
/// old. On Windows, where a file that is open keeps its name, the lease files stay; each is a few bytes.
///
/// A log-out is an entry of some hundred bytes until the next login of that entry. Each write replaces the whole file,
/// so where many thousand users log out in 180 days and do not come back, another store is the better one.
///
/// # What a crash leaves
/// A write replaces the file as a whole (a temporary file beside it, synced, renamed, the directory synced), so there
/// is always either the old set of tokens or the new one. There is one moment that no client can protect: a server that
/// rotates refresh tokens has retired the old one when it responds, and until that response is written here, a few
/// milliseconds later, the new one exists in memory only. A process killed, or a runtime shut down, in between leaves
/// the old set, and its refresh token will be refused. Waiting for [`TokenSource::settle`](crate::TokenSource::settle)
/// before shutting down avoids it; a shutdown that drops the runtime lets a write that has begun run to its end.
#[derive(Clone, Debug)]
pub struct FileStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    /// When old lease files are looked for next, in seconds on the monotonic clock.
    next_sweep: AtomicU64,
}

impl FileStore {
    /// A store in this file. Nothing is touched yet: the file, and its directory if need be, are made by the first
    /// write.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self::with(path.into(), Arc::new(SystemClock))
    }

    /// Another clock than the machine's, to judge by whether a lease has run out.
    #[must_use]
    pub fn clock(self, clock: impl Clock) -> Self {
        Self::with(self.0.path.clone(), Arc::new(clock))
    }

    fn with(path: PathBuf, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Inner { path, clock, next_sweep: AtomicU64::new(0) }))
    }

    /// Holds the lock of the store until it is dropped; `None` while another process holds it.
    #[cfg(feature = "keyring")]
    pub(super) fn try_lock(&self) -> Result<Option<File>, StoreError> {
        disk::try_lock(&self.0.beside("lock"))
    }

    /// The turn at that lock among those of this process; `None` when it takes too long.
    #[cfg(feature = "keyring")]
    pub(super) async fn turn(&self) -> Option<tokio::sync::OwnedMutexGuard<()>> {
        queue::turn(&self.0.beside("lock"), LOCK_TIMEOUT).await
    }

    /// Removes old lease files, as for a store whose entries are not known.
    #[cfg(feature = "keyring")]
    pub(super) fn tidy(&self) {
        self.0.sweep(&document::Document::default());
    }

    /// Runs file work where it may block.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let inner = Arc::clone(&self.0);
        match tokio::task::spawn_blocking(move || work(&inner)).await {
            Ok(result) => result,
            Err(_) => Err(StoreError::new("the runtime is shutting down; ask again in another")),
        }
    }

    /// Runs file work with the store's lock held. The lock is tried for and never waited for, so that a shutdown does
    /// not hang on it; those of this process take turns.
    async fn locked<T: Send + 'static>(
        &self,
        work: impl Fn(&Inner) -> Result<T, StoreError> + Clone + Send + 'static,
    ) -> Result<T, StoreError> {
        let path = self.0.beside("lock");
        let mut deadline = None;
        loop {
            let turn = queue::turn(&path, LOCK_TIMEOUT).await;
            let deadline = *deadline.get_or_insert_with(|| tokio::time::Instant::now() + LOCK_TIMEOUT);
            let (work, lock) = (work.clone(), path.clone());
            let attempt = move |inner: &Inner| {
                // It ends with the work, even where the runtime of its owner is no longer driven.
                let _turn = turn;
                match disk::try_lock(&lock)? {
                    // The lock goes when the file is closed, which is after the work.
                    Some(_lock) => work(inner).map(Some),
                    None => Ok(None),
                }
            };
            if let Some(done) = self.blocking(attempt).await? {
                return Ok(done);
            }
            if tokio::time::Instant::now() >= deadline {
                return Err(StoreError::new(format!(
                    "{} is held by another process for longer than {LOCK_TIMEOUT:?}; find out which and end it",
                    path.display()
                )));
            }
            tokio::time::sleep(jittered(LOCK_POLL)).await;
        }
    }
}

impl Inner {
    /// The path of a file that goes with the store's own.
    fn beside(&self, what: &str) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(".");
        path.push(what);
        path.into()
    }

    /// The files of the lease with this number.
    fn place(&self, number: u64) -> lease::Place {
        let beside = |what| self.beside(&format!("{number:016x}.{what}"));
        let record = cfg!(windows).then(|| beside("record"));
        lease::Place { lease: beside("lease"), record, lock: beside("lock") }
    }

    /// Looks for old lease files, once in a while.
    fn sweep(&self, document: &document::Document) {
        let now = self.clock.now().monotonic.as_secs();
        if now >= self.next_sweep.load(Ordering::Relaxed) {
            self.next_sweep.store(now.saturating_add(SWEEP_INTERVAL), Ordering::Relaxed);
            sweep::remove_old_leases(&self.path, document, |number| self.place(number));
        }
    }

    fn read(&self) -> Result<document::Document, StoreError> {
        match disk::read(&self.path, document::is_ours)? {
            Some(bytes) => document::decode(&bytes, &self.path),
            None => Ok(document::Document::default()),
        }
    }
}

impl TokenStore for FileStore {
    async fn load(&self, key: &StoreKey) -> Result<Option<Stored>, StoreError> {
        let key = key.clone();
        // No lock: the file is replaced as a whole, so what is there is complete.
        self.blocking(move |inner| Ok(inner.read()?.entries.remove(key.as_str()).map(Into::into))).await
    }

    async fn compare_and_swap(
        &self,
        key: &StoreKey,
        expected: Option<Revision>,
        tokens: Option<&TokenSet>,
    ) -> Result<Swap, StoreError> {
        let (key, tokens) = (key.clone(), tokens.cloned());
        self.locked(move |inner| {
            let mut document = inner.read()?;
            if document.revision_of(&key) != expected {
                return Ok(Swap::Conflict);
            }
            document.prune(inner.clock.now().wall);
            let revision = document.set(&key, tokens.clone());
            disk::replace(&inner.path, &inner.beside("tmp"), &encode(&document)?)?;
            inner.sweep(&document);
            Ok(Swap::Done(revision))
        })
        .await
    }

    async fn lease(&self, key: &StoreKey, longest: Duration) -> Result<Option<Lease>, StoreError> {
        let place = self.0.place(lease::name_of(key));
        let turn = queue::turn(&place.lock, LOCK_TIMEOUT).await;
        let held = self.blocking(move |inner| {
            let _turn = turn;
            lease::take(place, &lease::Moment::of(&inner.clock), longest)
        });
        let guard = |held| FileLease { store: self.clone(), held: Arc::new(Mutex::new(Some(held))) };
        Ok(held.await?.map(|held| Lease::renewable(guard(held))))
    }

    fn is_for_one_user(&self) -> bool {
        true
    }
}

struct FileLease {
    store: FileStore,
    /// Until it is given back.
    held: Arc<Mutex<Option<lease::Held>>>,
}

impl LeaseGuard for FileLease {
    async fn renew(&self, longest: Duration) -> Result<bool, StoreError> {
        let deadline = tokio::time::Instant::now() + LOCK_TIMEOUT;
        loop {
            let held = Arc::clone(&self.held);
            let renewed = self.store.blocking(move |inner| {
                match &mut *held.lock().unwrap_or_else(PoisonError::into_inner) {
                    Some(held) => held.renew(&lease::Moment::of(&inner.clock), longest),
                    None => Ok(Some(false)),
                }
            });
            match renewed.await? {
                Some(ours) => return Ok(ours),
                None if tokio::time::Instant::now() >= deadline => {
                    return Err(StoreError::new(format!(
                        "a lock beside {} is busy for longer than {LOCK_TIMEOUT:?}; find out which process holds it",
                        self.store.0.path.display()
                    )));
                }
                None => tokio::time::sleep(jittered(LOCK_POLL)).await,
            }
        }
    }

    async fn give_back(&self) {
        let held = Arc::clone(&self.held);
        let giving = self.store.blocking(move |_| {
            drop(held.lock().unwrap_or_else(PoisonError::into_inner).take());
            Ok(())
        });
        // Where the runtime is shutting down, it is given back when it is dropped.
        let _ = giving.await;
    }
}

/// An error of the file system, with what to do about it. Its own text is the cause; it quotes nothing.
fn failed(path: &Path, doing: &str, error: io::Error) -> StoreError {
    let advice = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "the disk is full; make room",
        io::ErrorKind::ReadOnlyFilesystem => "the file system is read-only; give a path that can be written",
        io::ErrorKind::PermissionDenied => {
            "permission is denied; give a path that this user may read and write"
        }
        io::ErrorKind::NotADirectory => "a part of the path is not a directory; give another path",
        _ => "the operating system refused; see the cause",
    };
    let what = format!("{} cannot be {doing}: {advice}", path.display());
    let lasting = matches!(
        error.kind(),
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied | io::ErrorKind::NotADirectory
    );
    let failure = if lasting { StoreError::permanent(what) } else { StoreError::new(what) };
    failure.with_source(error)
}
