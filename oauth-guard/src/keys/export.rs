//! Key sets that outlive the process: exported by one, preloaded by the next, which then starts without the issuer.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::Remote;
use crate::defaults;

/// The key sets of a guard's issuers as last fetched, for a file or a shared cache, in any serde format. They are public
/// keys and not secret, but a process that can change them can sign tokens: store them where only the service can write.
/// A set names where it was fetched from, with a hash in place of a query, and a guard that fetches that issuer's keys elsewhere does not take it; one without
/// that name, by an earlier version, is taken wherever the keys are.
///
/// ```
/// # use oauth_guard::{Guard, Issuer, KeyExport};
/// # let guard = Guard::builder().issuer(Issuer::new("https://auth.example.com").audience("orders-api")).build()?;
/// let text = serde_json::to_string(&guard.export_keys())?;
/// // … the next start …
/// let taken = guard.preload_keys(&serde_json::from_str::<KeyExport>(&text)?);
/// assert_eq!(taken, 0); // nothing was fetched yet
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyExport(Vec<ExportedSet>);

impl KeyExport {
    pub(crate) fn new(mut sets: Vec<ExportedSet>) -> Self {
        sets.sort_by(|one, two| one.issuer.cmp(&two.issuer));
        Self(sets)
    }

    pub(crate) fn sets(&self) -> &[ExportedSet] {
        &self.0
    }
}

/// One issuer's key set and when it was fetched.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ExportedSet {
    issuer: String,
    /// Seconds since the Unix epoch.
    fetched_at: u64,
    /// As [`Remote::location_name`] has it. Earlier exports are without it.
    #[serde(default)]
    location: Option<String>,
    keys: serde_json::Value,
}

impl ExportedSet {
    /// The set that was fetched last, if any.
    pub(crate) fn of(issuer: &str, remote: &Remote) -> Option<Self> {
        let (fetched_at, document) = remote.exported()?;
        let keys = serde_json::from_slice(&document).ok()?;
        let location = Some(remote.location_name().into_owned());
        Some(Self { issuer: issuer.to_owned(), fetched_at, location, keys })
    }

    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    pub(crate) fn preload(&self, remote: &Remote) -> bool {
        // At another location there may be other keys.
        let is_from_there =
            self.location.as_deref().is_none_or(|location| *location == *remote.location_name());
        is_from_there && remote.preload(self.fetched_at, self.keys.to_string().into())
    }
}

/// Sets of issuers that are not resolved yet, kept until they are.
#[derive(Default)]
pub(crate) struct Preloaded(Mutex<HashMap<Box<str>, ExportedSet>>);

impl Preloaded {
    /// Keeps at most as many sets as resolved issuers are kept; of two sets of one issuer, the newer.
    pub(crate) fn insert(&self, set: &ExportedSet) -> bool {
        let mut sets = self.sets();
        let is_newer = match sets.get(set.issuer.as_str()) {
            Some(kept) => kept.fetched_at < set.fetched_at,
            None => sets.len() < defaults::TENANTS,
        };
        if is_newer {
            sets.insert(set.issuer.as_str().into(), set.clone());
        }
        is_newer
    }

    /// Moves the set of an issuer that is resolved now to its keys.
    pub(crate) fn apply(&self, issuer: &str, remote: Option<&Remote>) {
        let set = self.sets().remove(issuer);
        if let (Some(set), Some(remote)) = (set, remote) {
            set.preload(remote);
        }
    }

    /// Copies the sets that another one keeps.
    pub(crate) fn take_over(&self, other: &Self) {
        let theirs = other.sets().clone();
        self.sets().extend(theirs);
    }

    pub(crate) fn all(&self) -> Vec<ExportedSet> {
        self.sets().values().cloned().collect()
    }

    fn sets(&self) -> MutexGuard<'_, HashMap<Box<str>, ExportedSet>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
