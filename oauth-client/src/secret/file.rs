//! A secret in a file that another process may replace at any time.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use zeroize::Zeroizing;

use crate::clock::Now;
use crate::config::tree::absolute;
use crate::error::{Error, Kind};
use crate::token::Secret;

/// How long a check of the file is relied on.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The most that a secret can be: keys are a few KiB, and a wrong path may lead to anything.
const MAX_BYTES: u64 = 64 * 1024;

pub(super) struct SecretFile {
    path: PathBuf,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    secret: Option<Secret>,
    stamp: Option<Stamp>,
    /// When the file was last checked, on the monotonic clock.
    looked: Option<Duration>,
    /// Whether the last look failed, so that it is logged once.
    failing: bool,
}

/// What is different when a file was written or replaced.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    inode: u64,
}

enum Look {
    Same,
    New(Secret, Stamp),
}

impl SecretFile {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), held: Mutex::default() }
    }

    pub(super) fn known(path: &Path, content: Secret) -> Self {
        let held = Held { secret: Some(content), ..Held::default() };
        Self { path: path.to_owned(), held: Mutex::new(held) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What was in the file when it was last looked at, if that is not long ago.
    pub(super) fn recent(&self, now: Now) -> Option<Secret> {
        let held = self.held();
        let is_recent = held.looked.is_some_and(|at| now.monotonic.saturating_sub(at) < LOOK_EVERY);
        held.secret.as_ref().filter(|_| is_recent).cloned()
    }

    pub(super) async fn latest(&self, field: &str, now: Now) -> Result<Secret, Error> {
        // Without a secret there is no stamp either.
        let stamp = self.held().stamp;
        self.look(field, now, stamp).await
    }

    pub(super) async fn read(&self, field: &str, now: Now) -> Result<Secret, Error> {
        self.look(field, now, None).await
    }

    /// What is in the file now, whatever was there before.
    pub(super) async fn now(&self, field: &str) -> Result<Secret, Error> {
        let path = self.path.clone();
        let looking = tokio::task::spawn_blocking(move || look(&path, None));
        match looking.await.map_err(|_| Error::new(Kind::Interrupted))? {
            Ok(Look::New(secret, _)) => Ok(secret),
            Ok(Look::Same) => Err(Error::new(Kind::Interrupted)),
            Err(error) => Err(Error::config(field, format!("{} {}", self.path.display(), reason(&error)))),
        }
    }

    #[cfg(feature = "reqwest")]
    pub(super) fn read_at_once(&self, field: &str, now: Now) -> Result<Secret, Error> {
        self.take(field, now, look(&self.path, None))
    }

    async fn look(&self, field: &str, now: Now, known: Option<Stamp>) -> Result<Secret, Error> {
        let path = self.path.clone();
        let looking = tokio::task::spawn_blocking(move || look(&path, known));
        self.take(field, now, looking.await.map_err(|_| Error::new(Kind::Interrupted))?)
    }

    fn take(&self, field: &str, now: Now, seen: io::Result<Look>) -> Result<Secret, Error> {
        let mut held = self.held();
        held.looked = Some(now.monotonic);
        match seen {
            Ok(look) => {
                held.failing = false;
                if let Look::New(secret, stamp) = look {
                    held.stamp = Some(stamp);
                    held.secret = Some(secret);
                }
            }
            Err(error) if held.secret.is_some() => {
                // It may be in the middle of being replaced.
                if !std::mem::replace(&mut held.failing, true) {
                    tracing::warn!(field, path = %self.path.display(), reason = %reason(&error), "the file of a secret cannot be read; the last one is kept");
                }
            }
            Err(error) => {
                let path = absolute(&self.path);
                return Err(Error::config(field, format!("{} {}", path.display(), reason(&error))));
            }
        }
        // It is there in each case that leads here.
        held.secret.clone().ok_or_else(|| Error::new(Kind::Interrupted))
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn look(path: &Path, known: Option<Stamp>) -> io::Result<Look> {
    // A FIFO would be waited for, and a device never ends: only what is a file is opened.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let file = File::open(path)?;
    // Of the file that is open, not of what has taken its name meanwhile.
    let stamp = Stamp::of(&file.metadata()?);
    if known == Some(stamp) {
        return Ok(Look::Same);
    }
    if stamp.length > MAX_BYTES {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    // Room for all of it from the start: a buffer that grows leaves copies behind.
    let room = usize::try_from(stamp.length).unwrap_or_default() + 1;
    let mut octets = Zeroizing::new(Vec::with_capacity(room));
    file.take(MAX_BYTES).read_to_end(&mut octets)?;
    let text = std::str::from_utf8(&octets).map_err(|_| io::ErrorKind::InvalidData)?;
    // Editors of some platforms put a byte order mark in front.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Look::New(Secret::from(text), stamp))
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::Unsupported => "is not a file".to_owned(),
        io::ErrorKind::FileTooLarge => "is larger than any secret (64 KiB)".to_owned(),
        io::ErrorKind::InvalidData => "is not UTF-8 text".to_owned(),
        io::ErrorKind::UnexpectedEof => "is empty".to_owned(),
        _ => format!("cannot be read: {error}; check path and permissions"),
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(metadata);
        #[cfg(not(unix))]
        let inode = 0;
        Self { modified: metadata.modified().ok(), length: metadata.len(), inode }
    }
}
