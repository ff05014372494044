//! The keychain itself: opened when it is needed, once for the process, and its failures as ours.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use keyring_core::Error;
use keyring_core::api::CredentialStore;

use crate::clock::{Clock, SystemClock};
use crate::store::StoreError;

pub(super) type Chain = CredentialStore;

/// How long a keychain whose user said no is left alone: a refresh that is tried again would ask every few seconds.
const REFUSED_FOR: Duration = Duration::from_secs(60);
/// What the keychain of this operating system can do.
const NATIVE: Abilities = Abilities {
    // Windows: CRED_MAX_CREDENTIAL_BLOB_SIZE.
    most: if cfg!(windows) { 5 * 512 } else { 64 * 1024 },
    labels: cfg!(all(unix, not(any(target_os = "macos", target_os = "ios", target_os = "android")))),
};

/// What a keychain can do.
#[derive(Clone, Copy)]
pub(super) struct Abilities {
    /// The most that one entry holds, in bytes.
    pub(super) most: usize,
    /// Whether entries have a label, which the keychain's own program shows.
    pub(super) labels: bool,
}

/// Why the keychain did not do what was asked.
#[derive(Debug)]
pub(super) enum Failure {
    /// There is none, or its user keeps it locked. The error says nothing of the file that may be used instead.
    Unavailable(StoreError),
    Other(StoreError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Other(error)
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unavailable(mut error) => {
                error.what.push_str(OR_A_FILE);
                error
            }
            Failure::Other(error) => error,
        }
    }
}

impl Failure {
    /// What a library's error means. Those that hold bytes of the entry are not chained.
    pub(super) fn of(error: Error) -> Self {
        match error {
            Error::NoStorageAccess(cause) => Self::Unavailable(locked().with_source(cause)),
            Error::PlatformFailure(cause) => Self::Other(
                StoreError::new("the keychain failed; see the cause, and ask again").with_source(cause),
            ),
            Error::TooLong(what, limit) => Self::Other(StoreError::permanent(format!(
                "the {what} is longer than the {limit} that this keychain allows; use a store in a file"
            ))),
            Error::Ambiguous(_) => Self::Other(StoreError::permanent(
                "the keychain has the entry twice; remove one of them with the keychain's own program",
            )),
            Error::NotSupportedByStore(_) => Self::Other(StoreError::permanent(
                "this keychain does not support what a token store needs; use a store in a file",
            )),
            _ => Self::Other(StoreError::permanent(
                "the keychain has an entry that is not as it was written; remove it with the keychain's own program",
            )),
        }
    }
}

/// What helps as well where no file is used yet.
const OR_A_FILE: &str = ", or use a store in a file: store.kind = \"file\", or KeyringStore::or_file";

fn locked() -> StoreError {
    StoreError::permanent(
        "the keychain is locked, and was not unlocked; unlock it (KeyringStore::unlock waits for that)",
    )
}

fn absent() -> StoreError {
    StoreError::permanent(
        "there is no keychain here; on Linux that is a Secret Service on the session's D-Bus, such as gnome-keyring. Run the \
         program in a desktop session",
    )
}

type Open = dyn Fn() -> Result<Arc<Chain>, Error> + Send + Sync;

/// A keychain that is opened when it is needed, and again when it has failed.
#[derive(Clone)]
pub(super) struct Keychain {
    open: Arc<Open>,
    state: Arc<Mutex<State>>,
    abilities: Abilities,
}

#[derive(Default)]
struct State {
    opened: Option<Arc<Chain>>,
    /// Until when its user is not asked again, on the monotonic clock.
    refused_until: Option<Duration>,
}

impl Keychain {
    /// That of this user. All stores of the process share one connection to it.
    pub(super) fn native() -> Self {
        static OPENED: Mutex<Option<Keychain>> = Mutex::new(None);
        let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
        opened.get_or_insert_with(|| Self::new(NATIVE, native_store)).clone()
    }

    pub(super) fn new(
        abilities: Abilities,
        open: impl Fn() -> Result<Arc<Chain>, Error> + Send + Sync + 'static,
    ) -> Self {
        Self { open: Arc::new(open), state: Arc::default(), abilities }
    }

    /// Works on it. A connection that breaks, because the keychain was started again, is made once more.
    pub(super) fn with<T>(
        &self,
        work: impl Fn(&Chain, Abilities) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let now = SystemClock.now().monotonic;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.refused_until.is_some_and(|until| now < until) {
            return Err(Failure::Unavailable(locked()));
        }
        let was_open = state.opened.is_some();
        let mut done = self.attempt(&mut state, &work);
        if was_open && matches!(&done, Err(Failure::Other(error)) if !error.is_permanent()) {
            state.opened = None;
            done = self.attempt(&mut state, &work);
        }
        match &done {
            Err(Failure::Unavailable(_)) if state.opened.is_some() => {
                state.refused_until = Some(now.saturating_add(REFUSED_FOR));
            }
            Err(Failure::Other(error)) if !error.is_permanent() => state.opened = None,
            _ => {}
        }
        done
    }

    fn attempt<T>(
        &self,
        state: &mut State,
        work: &impl Fn(&Chain, Abilities) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let chain = match &state.opened {
            Some(chain) => Arc::clone(chain),
            None => {
                let opened = (self.open)().map_err(|error| match error {
                    Error::NoStorageAccess(cause) => Failure::Unavailable(locked().with_source(cause)),
                    Error::PlatformFailure(cause) => Failure::Unavailable(absent().with_source(cause)),
                    _ => Failure::Unavailable(absent()),
                })?;
                Arc::clone(state.opened.insert(opened))
            }
        };
        work(&*chain, self.abilities)
    }
}

#[cfg(all(unix, not(any(target_os = "macos", target_os = "ios", target_os = "android"))))]
fn native_store() -> Result<Arc<Chain>, Error> {
    Ok(zbus_secret_service_keyring_store::Store::new()?)
}

#[cfg(target_os = "macos")]
fn native_store() -> Result<Arc<Chain>, Error> {
    Ok(apple_native_keyring_store::keychain::Store::new()?)
}

#[cfg(windows)]
fn native_store() -> Result<Arc<Chain>, Error> {
    Ok(windows_native_keyring_store::Store::new()?)
}

#[cfg(not(any(
    windows,
    target_os = "macos",
    all(unix, not(any(target_os = "ios", target_os = "android")))
)))]
fn native_store() -> Result<Arc<Chain>, Error> {
    Err(Error::NotSupportedByStore("no keychain is known for this operating system".to_owned()))
}
