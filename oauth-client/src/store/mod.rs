//! Token stores, where tokens outlive the source that obtained them: another task, another process, the next start.
//!
//! A [`TokenStore`] knows three things: load an entry, replace it unless another process did in the meantime
//! (compare-and-swap), and lend out the right to refresh it (lease). With those a source keeps the promise that a
//! rotated refresh token is neither lost nor used twice, however many processes share the store. [`conformance`] tests
//! a store of your own; the package `tower-oauth-client-redis` has one for a fleet of machines, and the feature
//! `keyring` adds `KeyringStore`, which keeps a person's tokens in the keychain of the operating system.
//!
//! # Whose tokens
//! An entry is found by the server, the client and the request. Of two users, only the
//! [`subject`](crate::grant::TokenRequest::subject) of the request differs, so a source over a store needs one, or building it is
//! an error. [`FileStore`] and `KeyringStore` do without: one file or keychain, one user. A service that keeps several users
//! in one file gives each a subject all the same.
//!
//! # Log-outs
//!
//! A source that is [logged out](crate::TokenSource::log_out) does not remove its entry: it writes a set in its place
//! that holds no token and [says that the login has ended](TokenSet::is_ended). Every other source of that entry, in this
//! process and in others, finds it before its next refresh, forgets the login, and fails with `reauthorization_required`;
//! the server may well keep its refresh token alive. The next login writes over it.
//!
//! An entry that is not there is no log-out: a store can lose its entries, and sources that hold a login put it back. So
//! to remove an entry by hand logs no running process out. A store keeps a log-out as it keeps other sets, for as long
//! as a process may be idle and then come back with the login in memory: those of this library keep one for 180 days.
//!
//! # An example
//!
//! ```
//! # use oauth_client::{Client, ClientAuth, grant};
//! use oauth_client::store::MemoryStore;
//!
//! # fn run(client: Client) -> Result<(), oauth_client::Error> {
//! let store = MemoryStore::new();
//! let one = client.source(grant::client_credentials()).store(store.clone()).build()?;
//! let two = client.source(grant::client_credentials()).store(store).build()?; // the two share one token
//! # Ok(()) }
//! ```

pub mod conformance;
mod file;
mod key;
#[cfg(feature = "keyring")]
mod keyring;
mod lease;
mod memory;

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

pub use self::file::FileStore;
pub use self::key::StoreKey;
#[cfg(feature = "keyring")]
pub use self::keyring::KeyringStore;
pub use self::lease::{Lease, LeaseGuard};
pub use self::memory::MemoryStore;
use crate::error::{BoxError, Kind};
use crate::token::TokenSet;

/// How long a log-out is kept: as long as a process may be idle with the login in memory.
const KEPT_LOG_OUT: Duration = Duration::from_secs(180 * 24 * 3600);

/// A place for token sets, shared by all who are given it.
pub trait TokenStore: fmt::Debug + Send + Sync + 'static {
    /// The entry under this key, with its revision.
    ///
    /// # Errors
    /// When the store cannot be read, or what it holds is not understood. "Nothing there" is `Ok(None)`.
    fn load(&self, key: &StoreKey) -> impl Future<Output = Result<Option<Stored>, StoreError>> + Send;

    /// Writes an entry if its revision is still the expected one; `None` expects that there is none yet, and
    /// `tokens: None` removes it. A write for which it returned `Ok(Swap::Done)` must survive a crash.
    ///
    /// A log-out is a write, too, of a set that [has ended](TokenSet::is_ended); see the [module](crate::store#log-outs).
    ///
    /// Where the leases of this store are [numbered](Lease::fenced), [`TokenSet::fence`] is the number of the lease
    /// under which a set was obtained. A set with a smaller number than the entry has is a conflict.
    ///
    /// # Errors
    /// When it cannot be written. The entry is then as it was.
    fn compare_and_swap(
        &self,
        key: &StoreKey,
        expected: Option<Revision>,
        tokens: Option<&TokenSet>,
    ) -> impl Future<Output = Result<Swap, StoreError>> + Send;

    /// Takes the right to refresh this entry; `None` when another holder has it, or when this is not known yet; the
    /// caller then waits and tries again. The lease ends `longest` after it was taken or last
    /// [renewed](LeaseGuard::renew): a source asks for 15 s and renews it every 5 s while its request is pending, so
    /// that a holder that died delays the others for 15 s.
    ///
    /// A user's refresh token is never sent without the lease. The default always grants it, which is right only for a
    /// store that a single source uses.
    ///
    /// # Errors
    /// When the store cannot decide.
    fn lease(
        &self,
        key: &StoreKey,
        longest: Duration,
    ) -> impl Future<Output = Result<Option<Lease>, StoreError>> + Send {
        let _ = (key, longest);
        async { Ok(Some(Lease::new(()))) }
    }

    /// Whether all its entries are one user's, as those of a file in that user's home are. A source over such a store may
    /// hold a login that does not say [whose it is](crate::grant::TokenRequest::subject). The default is `false`.
    fn is_for_one_user(&self) -> bool {
        false
    }
}

impl<S: TokenStore> TokenStore for Arc<S> {
    fn load(&self, key: &StoreKey) -> impl Future<Output = Result<Option<Stored>, StoreError>> + Send {
        (**self).load(key)
    }

    fn compare_and_swap(
        &self,
        key: &StoreKey,
        expected: Option<Revision>,
        tokens: Option<&TokenSet>,
    ) -> impl Future<Output = Result<Swap, StoreError>> + Send {
        (**self).compare_and_swap(key, expected, tokens)
    }

    fn lease(
        &self,
        key: &StoreKey,
        longest: Duration,
    ) -> impl Future<Output = Result<Option<Lease>, StoreError>> + Send {
        (**self).lease(key, longest)
    }

    fn is_for_one_user(&self) -> bool {
        (**self).is_for_one_user()
    }
}

/// An entry as it was loaded.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The tokens.
    pub tokens: TokenSet,
    /// Which version of the entry this is.
    pub revision: Revision,
}

/// The version of an entry: it changes with every write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Revision(pub u64);

/// How a compare-and-swap ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swap {
    /// Written; this is the new revision.
    Done(Revision),
    /// Another writer came first, so nothing was written.
    Conflict,
}

/// Why a store failed: what happened, and what to do about it. The text must hold no secret.
#[derive(Debug)]
pub struct StoreError {
    what: String,
    source: Option<BoxError>,
    permanent: bool,
}

impl StoreError {
    /// An error that says what happened and what to do.
    #[must_use]
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), source: None, permanent: false }
    }

    /// The same, for a failure that another try cannot fix: a damaged file, a foreign value, a wrong key. Callers then
    /// do not wait for further tries, which go on in the background: they get a token that needs no person at once, and
    /// a person's grant fails at once.
    ///
    /// ```
    /// use oauth_client::store::StoreError;
    ///
    /// let error = StoreError::permanent("row 7 of the table tokens is damaged; restore it, or delete it");
    /// assert!(error.is_permanent());
    /// ```
    #[must_use]
    pub fn permanent(what: impl Into<String>) -> Self {
        Self { permanent: true, ..Self::new(what) }
    }

    /// Whether another try cannot fix it.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        self.permanent
    }

    /// The same, with its cause. A cause that quotes the stored bytes must stay out.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    pub(crate) fn into_kind(self) -> Kind {
        Kind::Store { what: self.what, source: self.source, permanent: self.permanent }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl StdError for StoreError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

pub(crate) mod dynamic {
    //! The same contract as an object, so that a source needs no type parameter.

    use std::fmt;
    use std::future::Future;
    use std::pin::Pin;
    use std::time::Duration;

    use super::{Lease, Revision, StoreError, StoreKey, Stored, Swap};
    use crate::token::TokenSet;

    type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

    pub(crate) trait TokenStore: fmt::Debug + Send + Sync {
        fn load<'a>(&'a self, key: &'a StoreKey) -> BoxFuture<'a, Option<Stored>>;
        fn compare_and_swap<'a>(
            &'a self,
            key: &'a StoreKey,
            expected: Option<Revision>,
            tokens: Option<&'a TokenSet>,
        ) -> BoxFuture<'a, Swap>;
        fn lease<'a>(&'a self, key: &'a StoreKey, longest: Duration) -> BoxFuture<'a, Option<Lease>>;
        fn is_for_one_user(&self) -> bool;
    }

    impl<S: super::TokenStore> TokenStore for S {
        fn load<'a>(&'a self, key: &'a StoreKey) -> BoxFuture<'a, Option<Stored>> {
            Box::pin(async move { super::TokenStore::load(self, key).await })
        }

        fn compare_and_swap<'a>(
            &'a self,
            key: &'a StoreKey,
            expected: Option<Revision>,
            tokens: Option<&'a TokenSet>,
        ) -> BoxFuture<'a, Swap> {
            Box::pin(async move { super::TokenStore::compare_and_swap(self, key, expected, tokens).await })
        }

        fn lease<'a>(&'a self, key: &'a StoreKey, longest: Duration) -> BoxFuture<'a, Option<Lease>> {
            Box::pin(async move { super::TokenStore::lease(self, key, longest).await })
        }

        fn is_for_one_user(&self) -> bool {
            super::TokenStore::is_for_one_user(self)
        }
    }
}
