//! Which proofs of possession were used: each is good for one request (RFC 9449 section 11.1).
//!
//! A guard with [`Dpop`](crate::Dpop) remembers the proofs it accepted for as long as they could be accepted again. By
//! default in memory ([`MemoryReplayStore`]), which is right for one process. Several processes behind one address share
//! a [`ReplayStore`] of another kind ([`Dpop::replay_store`](crate::Dpop::replay_store)); otherwise a proof can be used
//! once at each.
//!
//! ```
//! use std::time::Duration;
//! use oauth_guard::clock::SystemClock;
//! use oauth_guard::replay::{Insertion, MemoryReplayStore, ProofId, ReplayStore};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = MemoryReplayStore::new(100_000, SystemClock)?;
//! let thumbprint = [7; 32]; // of the client's key
//! let proof = ProofId::new(&thumbprint, "e1j3V_bKic8-LAEB");
//! assert_eq!(store.insert(proof, Duration::from_secs(65)).await?, Insertion::Inserted);
//! assert_eq!(store.insert(proof, Duration::from_secs(65)).await?, Insertion::Present); // a replay
//! # Ok(()) }
//! ```
//!
//! A store of your own is right if it passes the [`conformance`] suite (feature `testing`).

#[cfg(feature = "testing")]
pub mod conformance;
mod index;
mod memory;
mod shard;

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;

pub use self::memory::MemoryReplayStore;
use crate::defaults::REPLAY_STORE_TIMEOUT;
use crate::sync::within;

/// A place for used proofs, shared by all guards that are given it.
pub trait ReplayStore: fmt::Debug + Send + Sync + 'static {
    /// Notes that a proof is used, unless it is noted already: one atomic step, so that of any number of callers with the
    /// same proof, in all processes, exactly one gets [`Insertion::Inserted`].
    ///
    /// The entry lives at least for `keep` and not much longer. It never leaves earlier to make room for another; a store
    /// without room fails with [`ReplayError::Full`]. An entry that is [`Insertion::Present`] keeps its own end.
    ///
    /// # Errors
    /// When the store cannot decide. The request is then rejected with 503, never accepted. The same happens when there
    /// is no decision within [3 seconds](crate::defaults::REPLAY_STORE_TIMEOUT).
    fn insert(
        &self,
        proof: ProofId<'_>,
        keep: Duration,
    ) -> impl Future<Output = Result<Insertion, ReplayError>> + Send;

    /// The state of the store, for [`Guard::health`](crate::Guard::health). By default: it works.
    ///
    /// A store that is not [`ok`](ReplayHealth::ok) has to become so again without an [`insert`](Self::insert): a service
    /// that is not ready gets no requests, so this call is all that reaches the store. It must not wait; start what finds
    /// out in the background.
    fn health(&self) -> ReplayHealth {
        ReplayHealth::default()
    }

    /// Names the place where the proofs are: equal for all handles that lead to the same place, and for no others. By
    /// default `None`, which says nothing; an `Arc` of a store is equal to its clones.
    ///
    /// Two guards behind one another, such as a layer on a route inside of a layer on the router, may have a handle each.
    /// By this name the inner one sees that the outer one has noted the proof there, for the same request, so that it
    /// is not a replay; without it the request is rejected. A reload also uses it to see whether the store is another
    /// one, which has not seen the proofs of the last minute: then both are asked.
    fn identity(&self) -> Option<String> {
        None
    }
}

/// What names a proof: the thumbprint of its key, and its `jti`.
///
/// Two proofs are the same if both are equal. The caller chose `jti` (1 to 256 bytes, any characters), so a store that
/// writes it into keys of its own is better off with [`digest`](Self::digest).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ProofId<'a> {
    thumbprint: &'a [u8; 32],
    jti: &'a str,
}

impl<'a> ProofId<'a> {
    /// Of this key (RFC 7638, SHA-256, the bytes of `cnf.jkt`) and with this `jti`.
    #[must_use]
    pub fn new(thumbprint: &'a [u8; 32], jti: &'a str) -> Self {
        Self { thumbprint, jti }
    }

    /// The key's thumbprint.
    #[must_use]
    pub fn thumbprint(self) -> &'a [u8; 32] {
        self.thumbprint
    }

    /// The proof's identifier, unique for this key.
    #[must_use]
    pub fn jti(self) -> &'a str {
        self.jti
    }

    /// SHA-256 over both: a key of fixed size, and the same in all processes.
    #[must_use]
    pub fn digest(self) -> [u8; 32] {
        let mut context = digest::Context::new(&digest::SHA256);
        // The first part has a fixed length, so that no two proofs spell the same text.
        context.update(self.thumbprint);
        context.update(self.jti.as_bytes());
        let mut bytes = [0; 32];
        bytes.copy_from_slice(context.finish().as_ref());
        bytes
    }
}

/// The caller chose the identifier, and it says nothing to a reader.
impl fmt::Debug for ProofId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProofId").finish_non_exhaustive()
    }
}

/// Whether a proof was used before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Insertion {
    /// It was not, and is noted now.
    Inserted,
    /// It was: a replay.
    Present,
}

/// Why a store could not decide.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReplayError {
    /// There is no room: for any key, or for this one alone.
    Full,
    /// The store is not reachable, or failed. The text says what happened and holds no secret.
    Away(Box<dyn StdError + Send + Sync>),
}

impl ReplayError {
    /// An [`Away`](Self::Away) with its cause.
    pub fn away(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Away(cause.into())
    }
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the store of used proofs is full",
            Self::Away(_) => "the store of used proofs is unavailable",
        })
    }
}

impl StdError for ReplayError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Full => None,
            Self::Away(cause) => Some(&**cause),
        }
    }
}

/// The state of a replay store, part of [`Health`](crate::Health).
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct ReplayHealth {
    /// Whether proofs can be noted now. While it is `false`, requests with bound tokens get 503.
    pub ok: bool,
    /// Proofs noted, where the store knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entries: Option<u64>,
    /// How many it can note, where it has a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity: Option<u64>,
    /// Proofs that found no room since the start.
    pub full: u64,
    /// What went wrong last, while it is not `ok`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

impl Default for ReplayHealth {
    fn default() -> Self {
        Self { ok: true, entries: None, capacity: None, full: 0, last_error: None }
    }
}

impl ReplayHealth {
    /// A store that cannot be used, and why.
    #[must_use]
    pub fn away(why: impl Into<String>) -> Self {
        Self { ok: false, last_error: Some(why.into()), ..Self::default() }
    }
}

/// The store of one guard. The one in memory is called without a detour: no box, no allocation.
#[derive(Clone, Debug)]
pub(crate) enum Replay {
    Memory(Arc<MemoryReplayStore>),
    Foreign(Foreign),
}

/// A store of the user's own.
#[derive(Clone, Debug)]
pub(crate) struct Foreign {
    store: Arc<dyn dynamic::ReplayStore>,
    identity: Option<Arc<str>>,
}

impl Replay {
    pub(crate) fn foreign(store: impl ReplayStore) -> Self {
        let identity = store.identity().map(Into::into);
        Self::Foreign(Foreign { store: Arc::new(store), identity })
    }

    /// Whether both lead to the same place.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Memory(one), Self::Memory(other)) => Arc::ptr_eq(one, other),
            (Self::Foreign(one), Self::Foreign(other)) => {
                Arc::ptr_eq(&one.store, &other.store)
                    || one.identity.is_some() && one.identity == other.identity
            }
            _ => false,
        }
    }

    /// Whether they are known to lead to two places. A handle without a name may lead to any.
    pub(crate) fn is_another_than(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Foreign(one), Self::Foreign(other)) => {
                one.identity.is_some() && other.identity.is_some() && one.identity != other.identity
            }
            _ => !self.is_same(other),
        }
    }

    /// Notes a proof, within the time that a request waits for it.
    pub(crate) async fn insert(&self, proof: ProofId<'_>, keep: Duration) -> Result<Insertion, ReplayError> {
        let store = match self {
            Self::Memory(store) => return store.insert_now(proof, keep),
            Self::Foreign(Foreign { store, .. }) => store,
        };
        let inserted = within(REPLAY_STORE_TIMEOUT, store.insert(proof, keep)).await;
        inserted.unwrap_or_else(|| Err(ReplayError::away("no response in time")))
    }

    pub(crate) fn health(&self) -> ReplayHealth {
        match self {
            Self::Memory(store) => store.health(),
            Self::Foreign(Foreign { store, .. }) => store.health(),
        }
    }
}

mod dynamic {
    //! The same contract as an object, so that a guard needs no type parameter.

    use std::fmt;
    use std::future::Future;
    use std::pin::Pin;
    use std::time::Duration;

    use super::{Insertion, ProofId, ReplayError, ReplayHealth};

    type BoxFuture<'a> = Pin<Box<dyn Future<Output = Result<Insertion, ReplayError>> + Send + 'a>>;

    pub(crate) trait ReplayStore: fmt::Debug + Send + Sync {
        fn insert<'a>(&'a self, proof: ProofId<'a>, keep: Duration) -> BoxFuture<'a>;
        fn health(&self) -> ReplayHealth;
    }

    impl<S: super::ReplayStore> ReplayStore for S {
        fn insert<'a>(&'a self, proof: ProofId<'a>, keep: Duration) -> BoxFuture<'a> {
            Box::pin(super::ReplayStore::insert(self, proof, keep))
        }

        fn health(&self) -> ReplayHealth {
            super::ReplayStore::health(self)
        }
    }
}

impl<S: ReplayStore> ReplayStore for Arc<S> {
    fn insert(
        &self,
        proof: ProofId<'_>,
        keep: Duration,
    ) -> impl Future<Output = Result<Insertion, ReplayError>> + Send {
        (**self).insert(proof, keep)
    }

    fn health(&self) -> ReplayHealth {
        (**self).health()
    }

    fn identity(&self) -> Option<String> {
        // The address is this store's for as long as a guard holds it.
        (**self).identity().or_else(|| Some(format!("Arc at {:p}", Arc::as_ptr(self))))
    }
}
