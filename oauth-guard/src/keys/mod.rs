//! Step 3: which keys may have signed it? The keys of each issuer, static or fetched.

mod export;
mod fetching;
mod flight;
mod probation;
mod remote;
mod skipped;
mod static_key;
mod unknown;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use oauth_client::clock::Now;

pub use self::export::KeyExport;
pub(crate) use self::export::{ExportedSet, Preloaded};
pub(crate) use self::fetching::Fetching;
pub(crate) use self::flight::{Flight, Lost};
pub(crate) use self::probation::{Probation, ProbationBudget};
pub(crate) use self::remote::{Arrival, JwksLocation, Remote, UnknownKey, must_be_public};
pub(crate) use self::skipped::log_skipped;
pub(crate) use self::static_key::StaticKey;
use crate::defaults;
pub(crate) use oauth_client::jose::{KeySet, VerifyingKey};

/// When and how key sets are fetched, for every issuer of a guard.
///
/// ```
/// use std::time::Duration;
/// use oauth_guard::KeyPolicy;
///
/// let policy = KeyPolicy { max_age: Duration::from_secs(300), ..KeyPolicy::default() };
/// assert_eq!(policy.cooldown, Duration::from_secs(30));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPolicy {
    /// How often tokens with unknown key ids may cause a fetch: a budget of two, a sixth of this apart, of which one comes
    /// back per cool-down. By default 30 seconds, so that one forged token delays a key rotation by 5 seconds at most,
    /// and a lasting flood of them by 30.
    pub cooldown: Duration,
    /// How long a key set is fresh; it is refreshed after 80 % of that. A shorter `Cache-Control: max-age` of the
    /// server is followed, down to the cool-down; a longer one is not. By default 600 seconds.
    pub max_age: Duration,
    /// The maximum age of a key set while no newer one is available. By default 24 hours.
    pub max_stale: Duration,
    /// The time limit of a fetch, discovery included. By default 5 seconds.
    pub timeout: Duration,
    /// The largest key set that is read, in bytes. By default 512 KiB.
    pub max_bytes: usize,
    /// How many keys of a set are used. By default 100.
    pub max_keys: usize,
}

impl Default for KeyPolicy {
    fn default() -> Self {
        Self {
            cooldown: defaults::KEY_COOLDOWN,
            max_age: defaults::KEY_MAX_AGE,
            max_stale: defaults::KEY_MAX_STALE,
            timeout: defaults::KEY_TIMEOUT,
            max_bytes: defaults::KEY_SET_BYTES,
            max_keys: defaults::KEYS_PER_SET,
        }
    }
}

/// The keys of one issuer.
pub(crate) enum IssuerKeys {
    Static(ArcSwap<KeySet>),
    Remote(Arc<Remote>),
}

/// Whether the keys at hand are fresh enough to validate with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    Fresh,
    /// Usable, but newer ones are fetched before they are used.
    Overdue,
    /// There are none, or they are too old.
    Missing,
}

impl IssuerKeys {
    pub(crate) fn fixed(set: KeySet) -> Self {
        Self::Static(ArcSwap::from_pointee(set))
    }

    pub(crate) fn current(&self) -> arc_swap::Guard<Arc<KeySet>> {
        match self {
            Self::Static(set) => set.load(),
            Self::Remote(remote) => remote.current(),
        }
    }

    /// The keys' freshness. Costs two atomic reads unless a refresh is due; then it starts one.
    pub(crate) fn freshness(&self, now: Now) -> Freshness {
        match self {
            Self::Static(_) => Freshness::Fresh,
            Self::Remote(remote) => remote.freshness(now),
        }
    }

    /// Whether there are keys, and they are not too old.
    pub(crate) fn are_usable(&self, now: Now) -> bool {
        !self.current().is_empty() && self.remote().is_none_or(|remote| remote.status(now).usable)
    }

    /// Whether both have the same keys, now and after every refresh.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Static(one), Self::Static(other)) => one.load().is_same(&other.load()),
            (Self::Remote(one), Self::Remote(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    pub(crate) fn remote(&self) -> Option<&Arc<Remote>> {
        match self {
            Self::Static(_) => None,
            Self::Remote(remote) => Some(remote),
        }
    }
}
