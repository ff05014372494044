//! Keys that outlive the process: written down by one, read by the next, which then starts without the issuer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::Remote;
use crate::defaults;
use crate::guard::Guard;
use crate::health::Health;
use crate::issuer::IssuerState;

/// The key sets of a guard's issuers as they were last fetched, to be kept in a file or a shared cache as any serde
/// format. They are public keys and no secret, but whoever can change them can sign tokens: keep them where only the
/// service can write.
///
/// ```
/// # use oauth_guard::{Guard, Issuer, KeyExport};
/// # let guard = Guard::builder().issuer(Issuer::new("https://auth.example.com").audience("orders-api")).build()?;
/// let text = serde_json::to_string(&guard.export_keys())?;
/// // … the next start …
/// let taken = guard.preload_keys(&serde_json::from_str::<KeyExport>(&text)?);
/// assert_eq!(taken, 0); // nothing had been fetched yet
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyExport(Vec<ExportedSet>);

/// One issuer's key set and when it was fetched.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ExportedSet {
    issuer: String,
    /// Seconds since the Unix epoch.
    fetched_at: u64,
    keys: serde_json::Value,
}

impl ExportedSet {
    fn preload(&self, remote: &Remote) -> bool {
        remote.preload(self.fetched_at, self.keys.to_string().into())
    }
}

/// Sets of issuers that nobody has asked for yet: they are found at run time, and their keys wait for that.
#[derive(Default)]
pub(crate) struct Waiting(Mutex<HashMap<Box<str>, ExportedSet>>);

impl Waiting {
    /// As many as issuers are remembered; of two sets of one issuer, the newer.
    fn hold(&self, set: &ExportedSet) -> bool {
        let mut sets = self.sets();
        let is_news = match sets.get(set.issuer.as_str()) {
            Some(held) => held.fetched_at < set.fetched_at,
            None => u64::try_from(sets.len()).is_ok_and(|count| count < defaults::TENANTS),
        };
        if is_news {
            sets.insert(set.issuer.as_str().into(), set.clone());
        }
        is_news
    }

    /// Hands the set of an issuer that has been found to its keys.
    pub(crate) fn deliver(&self, issuer: &IssuerState) {
        let set = self.sets().remove(issuer.name());
        if let (Some(set), Some(remote)) = (set, issuer.keys.remote()) {
            set.preload(remote);
        }
    }

    /// Takes over what another holds.
    pub(crate) fn take_over(&self, other: &Self) {
        let theirs = other.sets().clone();
        self.sets().extend(theirs);
    }

    fn sets(&self) -> MutexGuard<'_, HashMap<Box<str>, ExportedSet>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Send + Sync + 'static> Guard<T> {
    /// The key sets held now, those included that were preloaded for an issuer not found yet. Keys that came with the
    /// configuration are not among them.
    #[must_use]
    pub fn export_keys(&self) -> KeyExport {
        let policy = self.policy();
        let mut sets: Vec<_> = policy
            .all_issuers()
            .iter()
            .filter_map(|issuer| {
                let (fetched_at, document) = issuer.keys.remote()?.exported()?;
                let keys = serde_json::from_slice(&document).ok()?;
                Some(ExportedSet { issuer: issuer.name().to_owned(), fetched_at, keys })
            })
            .collect();
        if let Some(tenants) = &policy.tenants {
            sets.extend(tenants.waiting.sets().values().cloned());
        }
        sets.sort_by(|one, two| one.issuer.cmp(&two.issuer));
        KeyExport(sets)
    }

    /// Takes over key sets, and says how many. Those of unknown issuers are passed over, and so are those older than
    /// what is held, older than `max_stale`, or from the future. A set that is due is refreshed as ever.
    ///
    /// With [`resolve_issuers`](crate::GuardBuilder::resolve_issuers) nobody knows yet which issuers there are: their
    /// sets are held, 1,000 at most, and looked at when the issuer is found.
    pub fn preload_keys(&self, export: &KeyExport) -> usize {
        let policy = self.policy();
        let taken = export.0.iter().filter(|set| {
            let given = policy.issuers.get(set.issuer.as_str()).cloned();
            let known = given.or_else(|| policy.tenants.as_ref()?.known_as(&set.issuer));
            match (known, &policy.tenants) {
                (Some(issuer), _) => issuer.keys.remote().is_some_and(|remote| set.preload(remote)),
                (None, Some(tenants)) => tenants.waiting.hold(set),
                (None, None) => false,
            }
        });
        taken.count()
    }

    /// Fetches the keys of all issuers that have none yet, or none that are good, so that no request has to wait for them, and says how that
    /// went. Optional: without it, the first request of each issuer fetches them. A failure is no error; later
    /// requests try again.
    pub async fn warm_up(&self) -> Health {
        let policy = Arc::clone(&*self.policy());
        let now = policy.clock.now();
        let flights: Vec<_> = policy
            .all_issuers()
            .iter()
            .filter_map(|issuer| issuer.keys.remote()?.fetch_if_due(now))
            .collect();
        for flight in flights {
            // Lost with its runtime or not: the keys tell.
            let _ = flight.landed().await;
        }
        self.health()
    }
}
