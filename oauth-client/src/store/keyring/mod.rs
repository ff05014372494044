//! The store in the keychain of the operating system.

mod access;
mod entry;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, mpsc};
use std::time::Duration;

use tokio::sync::OnceCell;

use self::access::{Failure, Keychain};
use super::file::FileStore;
use super::{Lease, Revision, StoreError, StoreKey, Stored, Swap, TokenStore};
use crate::token::TokenSet;

/// The name of the entries, in the keychain's own program.
const SERVICE: &str = "oauth-client";
/// How long a caller waits for the keychain, which may be asking its user for a password.
const PATIENCE: Duration = Duration::from_millis(2500);
/// How often the lock of another process is tried for, 10 ms apart.
const LOCK_TRIES: u32 = 150;
const LOCK_POLL: Duration = Duration::from_millis(10);

/// A store in the keychain of the operating system, for programs that run as one person: the Secret Service (GNOME Keyring,
/// `KWallet`, `KeePassXC`) on Linux and the BSDs, Keychain Services on macOS, the Credential Manager on Windows. The tokens
/// are encrypted at rest and unlocked with the person's login.
///
/// ```no_run
/// # use oauth_client::{Client, grant};
/// use oauth_client::store::KeyringStore;
///
/// # async fn run(client: Client) -> Result<(), Box<dyn std::error::Error>> {
/// let store = KeyringStore::new();
/// store.unlock().await?; // may ask for the keychain's password
/// let source = client.source(grant::login().scope(["openid"])).store(store).build()?;
/// # Ok(()) }
/// ```
///
/// Each entry of the store is one of the keychain, of the service `oauth-client`; what does not fit the 2,560 bytes that
/// Windows allows is divided. Any program of the same user can read an unlocked keychain (on macOS after a question):
/// it protects against a copied disk and against other users of the machine. After a [log-out](crate::store#log-outs) an
/// entry stays that says so, and holds no token.
///
/// # Without a keychain
/// On a server, in a container and over SSH there usually is none. Then calls fail at once with an error that says so, and
/// that the [`FileStore`] is for such places. [`or_file`](Self::or_file) uses one by itself.
///
/// A locked keychain asks its user for the password. A call waits 2.5 s for that, and then fails; the question stays. For a
/// program with a person in front, [`unlock`](Self::unlock) waits as long as the person takes.
///
/// # Several processes
/// A keychain has no compare-and-swap and no leases. Both are made by locks of the operating system on files in
/// `oauth-client` below the user's state folder (`$XDG_STATE_HOME`, else `~/.local/state`; `~/Library/Application Support`;
/// `%LOCALAPPDATA%`), or where [`lock_directory`](Self::lock_directory) says; they hold no tokens. Everything that
/// [`FileStore`] says of its locks and of crashes holds here.
#[derive(Clone)]
pub struct KeyringStore(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    keychain: Keychain,
    service: String,
    lock_directory: Option<PathBuf>,
    /// The lock and lease files, as those of a file store that holds no tokens.
    locks: OnceLock<FileStore>,
    /// How long a caller waits.
    patience: Duration,
    fallback: Option<Fallback>,
}

#[derive(Clone)]
struct Fallback {
    path: PathBuf,
    file: FileStore,
    /// Whether it is used, once that is known. It holds for as long as the process lives.
    chosen: Arc<OnceCell<bool>>,
}

impl KeyringStore {
    /// A store in the keychain of this user. Nothing is touched yet.
    #[must_use]
    pub fn new() -> Self {
        Self::of(Keychain::native())
    }

    fn of(keychain: Keychain) -> Self {
        let service = SERVICE.to_owned();
        let locks = OnceLock::new();
        let patience = PATIENCE;
        Self(Arc::new(Inner { keychain, service, lock_directory: None, locks, patience, fallback: None }))
    }

    /// Another name for the entries than `oauth-client`. Programs share a login only under the same name.
    #[must_use]
    pub fn service(self, name: impl Into<String>) -> Self {
        self.with(|inner| inner.service = name.into())
    }

    /// Another folder for the lock files. All processes that share the entries need the same.
    #[must_use]
    pub fn lock_directory(self, path: impl Into<PathBuf>) -> Self {
        self.with(|inner| (inner.lock_directory, inner.locks) = (Some(path.into()), OnceLock::new()))
    }

    /// Where there is no keychain, or its user does not unlock it, the tokens go to this file instead, in the clear and
    /// readable to the user alone, as [`FileStore`] says. One warning names the file.
    ///
    /// The first call decides which of the two is used for the life of the process. The two do not share entries: a
    /// person who has logged in at a desktop logs in once more over SSH.
    ///
    /// ```
    /// use oauth_client::store::KeyringStore;
    ///
    /// let store = KeyringStore::new().or_file("/home/ada/.local/state/orders/tokens.json");
    /// # drop(store);
    /// ```
    #[must_use]
    pub fn or_file(self, path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let file = FileStore::new(path.clone());
        self.with(|inner| inner.fallback = Some(Fallback { path, file, chosen: Arc::default() }))
    }

    fn with(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    /// Unlocks the keychain, and waits for its user to give the password, however long that takes. Calls after it find the
    /// keychain open. With [`or_file`](Self::or_file), a keychain that is not unlocked is replaced by the file.
    ///
    /// # Errors
    /// When there is no keychain, or it stays locked.
    pub async fn unlock(&self) -> Result<(), StoreError> {
        let opened = self.run(None, probe).await;
        match &self.0.fallback {
            Some(fallback) => fallback.choose(opened).await.map(|_| ()),
            None => opened.map_err(StoreError::from),
        }
    }

    /// The file that is used instead of the keychain, if it is.
    async fn file(&self) -> Result<Option<&FileStore>, StoreError> {
        let Some(fallback) = &self.0.fallback else { return Ok(None) };
        let chosen = match fallback.chosen.get() {
            Some(chosen) => *chosen,
            None => fallback.choose(self.run(Some(self.0.patience), probe).await).await?,
        };
        Ok(chosen.then_some(&fallback.file))
    }

    fn locks(&self) -> Result<FileStore, StoreError> {
        if let Some(locks) = self.0.locks.get() {
            return Ok(locks.clone());
        }
        let directory = match &self.0.lock_directory {
            Some(directory) => directory.clone(),
            None => state_directory().ok_or_else(|| {
                StoreError::permanent(
                    "there is no folder for the lock files of the keychain; set HOME (LOCALAPPDATA on Windows), or give one \
                     with KeyringStore::lock_directory",
                )
            })?,
        };
        Ok(self.0.locks.get_or_init(|| FileStore::new(directory.join("keyring"))).clone())
    }

    /// Runs work on the keychain with the lock held: in a thread of its own, since a keychain that asks its user for a
    /// password blocks for as long as the user thinks, and must not hold up the end of the runtime for that long. One call at
    /// a time, so that there is one question.
    async fn run<T: Send + 'static>(
        &self,
        patience: Option<Duration>,
        work: impl Fn(&entry::Entries<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let locks = self.locks()?;
        let Some(turn) = locks.turn().await else { return Err(busy().into()) };
        let inner = Arc::clone(&self.0);
        let (sender, receiver) = mpsc::sync_channel(1);
        let job = move || {
            let done = locked(&locks, || inner.keychain.with(|chain, can| work(&inner.entries(chain, can))));
            locks.tidy();
            drop(turn);
            // The caller may have left.
            let _ = sender.send(done);
        };
        let waiting = move || {
            let job = std::thread::Builder::new().name("oauth-keychain".to_owned()).spawn(job);
            if let Err(error) = job {
                return Err(StoreError::new("no thread could be started for the keychain")
                    .with_source(error)
                    .into());
            }
            let done = match patience {
                Some(patience) => receiver.recv_timeout(patience),
                None => receiver.recv().map_err(Into::into),
            };
            done.unwrap_or_else(|error| match error {
                mpsc::RecvTimeoutError::Timeout => Err(busy().into()),
                mpsc::RecvTimeoutError::Disconnected => {
                    Err(StoreError::new("the library of the keychain failed; ask again").into())
                }
            })
        };
        match tokio::task::spawn_blocking(waiting).await {
            Ok(done) => done,
            Err(_) => Err(StoreError::new("the runtime is shutting down; ask again in another").into()),
        }
    }

    async fn patiently<T: Send + 'static>(
        &self,
        work: impl Fn(&entry::Entries<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.run(Some(self.0.patience), work).await.map_err(Into::into)
    }
}

impl Inner {
    fn entries<'a>(&'a self, chain: &'a access::Chain, can: access::Abilities) -> entry::Entries<'a> {
        entry::Entries { chain, service: &self.service, can }
    }
}

impl Fallback {
    /// Decides by how the keychain was opened.
    async fn choose(&self, opened: Result<(), Failure>) -> Result<bool, StoreError> {
        let choosing = async {
            match opened {
                Ok(()) => Ok(false),
                Err(Failure::Unavailable(error)) => {
                    tracing::warn!(
                        target: "oauth_client",
                        path = %self.path.display(),
                        reason = %error,
                        "the keychain cannot be used; tokens are kept in the file instead, unencrypted and readable to this user"
                    );
                    Ok(true)
                }
                Err(other) => Err(StoreError::from(other)),
            }
        };
        self.chosen.get_or_try_init(|| choosing).await.copied()
    }
}

impl Default for KeyringStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for KeyringStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { service, lock_directory, fallback, .. } = &*self.0;
        f.debug_struct("KeyringStore")
            .field("service", service)
            .field("lock_directory", lock_directory)
            .field("or_file", &fallback.as_ref().map(|fallback| &fallback.path))
            .finish_non_exhaustive()
    }
}

impl TokenStore for KeyringStore {
    async fn load(&self, key: &StoreKey) -> Result<Option<Stored>, StoreError> {
        match self.file().await? {
            Some(file) => file.load(key).await,
            None => {
                let key = key.clone();
                self.patiently(move |entries| entries.load(&key)).await
            }
        }
    }

    async fn compare_and_swap(
        &self,
        key: &StoreKey,
        expected: Option<Revision>,
        tokens: Option<&TokenSet>,
    ) -> Result<Swap, StoreError> {
        match self.file().await? {
            Some(file) => file.compare_and_swap(key, expected, tokens).await,
            None => {
                let (key, tokens) = (key.clone(), tokens.cloned());
                self.patiently(move |entries| entries.swap(&key, expected, tokens.as_ref())).await
            }
        }
    }

    async fn lease(&self, key: &StoreKey, longest: Duration) -> Result<Option<Lease>, StoreError> {
        match self.file().await? {
            Some(file) => file.lease(key, longest).await,
            None => self.locks()?.lease(key, longest).await,
        }
    }

    fn is_for_one_user(&self) -> bool {
        true
    }
}

/// Whether the keychain is there and can be written to. A locked one is unlocked by it.
fn probe(entries: &entry::Entries<'_>) -> Result<(), Failure> {
    entries.probe()
}

/// Waits for the lock of the other processes, and works.
fn locked<T>(locks: &FileStore, work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    for _ in 0..LOCK_TRIES {
        if let Some(_lock) = locks.try_lock()? {
            return work();
        }
        std::thread::sleep(LOCK_POLL);
    }
    Err(busy().into())
}

fn busy() -> StoreError {
    StoreError::new(
        "the keychain is busy: it may be asking its user for a password, here or for another process; unlock it, and ask \
         again (a program with a person in front waits for that with KeyringStore::unlock)",
    )
}

/// The folder of this user for what outlives a program and is none of its documents.
fn state_directory() -> Option<PathBuf> {
    let folder = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = if cfg!(windows) {
        folder("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        folder("HOME").map(|home| home.join("Library/Application Support"))
    } else {
        folder("XDG_STATE_HOME").or_else(|| folder("HOME").map(|home| home.join(".local/state")))
    };
    base.map(|base| base.join("oauth-client"))
}
