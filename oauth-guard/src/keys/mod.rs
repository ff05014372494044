//! Step 4: whose signature could it be? The keys of each issuer, given or fetched.

mod export;
mod flight;
mod remote;
mod skipped;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use oauth_client::clock::Now;

pub use self::export::KeyExport;
pub(crate) use self::export::Waiting;
pub(crate) use self::flight::Flight;
pub(crate) use self::remote::{Remote, Unknown, Where};
pub(crate) use self::skipped::log_skipped;
use crate::defaults;
pub(crate) use oauth_client::jose::{KeySet, VerifyingKey};

/// When key sets are fetched again, for every issuer of a guard.
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
    /// Between two fetches that tokens with an unknown key id cause. By default 30 seconds.
    pub cooldown: Duration,
    /// How long a key set is good; it is fetched anew after 80 % of that. A shorter `Cache-Control: max-age` of
    /// the server is followed, down to the cool-down; a longer one is not. By default 600 seconds.
    pub max_age: Duration,
    /// How old a key set may become while no new one can be had. By default 24 hours.
    pub max_stale: Duration,
    /// How long a fetch may take, discovery included. By default 5 seconds.
    pub timeout: Duration,
    /// The largest key set that is read, in bytes. By default 512 KiB.
    pub max_bytes: usize,
    /// How many keys of a set are taken. By default 100.
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
    Given(ArcSwap<KeySet>),
    Remote(Arc<Remote>),
}

/// Whether the keys at hand are good enough to judge with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Good,
    /// Usable, but it is time to look for newer ones before they are used.
    Overdue,
    /// There are none, or they are too old.
    Missing,
}

impl IssuerKeys {
    pub(crate) fn given(set: KeySet) -> Self {
        Self::Given(ArcSwap::from_pointee(set))
    }

    pub(crate) fn current(&self) -> arc_swap::Guard<Arc<KeySet>> {
        match self {
            Self::Given(set) => set.load(),
            Self::Remote(remote) => remote.current(),
        }
    }

    /// How the keys stand, which costs two atomic reads unless a refresh is due; then one is started.
    pub(crate) fn standing(&self, now: Now) -> Standing {
        match self {
            Self::Given(_) => Standing::Good,
            Self::Remote(remote) => remote.standing(now),
        }
    }

    /// There are some, and none too old.
    pub(crate) fn are_usable(&self, now: Now) -> bool {
        !self.current().is_empty() && self.remote().is_none_or(|remote| remote.report(now).usable)
    }

    /// The same keys, now and later.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Given(one), Self::Given(other)) => one.load().is_same(&other.load()),
            (Self::Remote(one), Self::Remote(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    pub(crate) fn remote(&self) -> Option<&Arc<Remote>> {
        match self {
            Self::Given(_) => None,
            Self::Remote(remote) => Some(remote),
        }
    }
}

/// A name that others chose, cut and in ASCII, fit for a log line.
pub(crate) fn escaped(text: &str) -> String {
    text.chars().take(defaults::LOGGED_CHARS).flat_map(char::escape_default).collect()
}
