//! Starting with keys at hand: exported by one process, preloaded by the next, or fetched before the first request.

use std::sync::Arc;

use oauth_client::clock::Clock;

use super::handle::Guard;
use super::health::Health;
use crate::keys::{ExportedSet, KeyExport};

impl<T: Send + Sync + 'static> Guard<T> {
    /// The current key sets, including those preloaded for an issuer that is not resolved yet. Static keys from the
    /// configuration are not exported, nor keys of a resolved issuer of which no token was verified yet.
    #[must_use]
    pub fn export_keys(&self) -> KeyExport {
        let snapshot = self.snapshot();
        // Tenants without one verified token may be invented ones.
        let tenants = snapshot.tenants.iter().flat_map(|tenants| tenants.known());
        let mut sets: Vec<_> = snapshot
            .issuers
            .values()
            .cloned()
            .chain(tenants)
            .filter_map(|issuer| ExportedSet::of(issuer.name(), issuer.keys.remote()?))
            .collect();
        if let Some(tenants) = &snapshot.tenants {
            sets.extend(tenants.preloaded.all());
        }
        KeyExport::new(sets)
    }

    /// Takes over exported key sets, and returns how many. Sets of unknown issuers are skipped, and so are sets
    /// fetched from another location, older than the current one, older than `max_stale`, or from the future. A set that is due for a refresh is refreshed
    /// as usual.
    ///
    /// With [`resolve_issuers`](crate::GuardBuilder::resolve_issuers), sets of issuers that are not resolved yet are
    /// kept, 1,000 at most, and used when the issuer is resolved.
    pub fn preload_keys(&self, export: &KeyExport) -> usize {
        let snapshot = self.snapshot();
        let taken = export.sets().iter().filter(|set| {
            let configured = snapshot.issuers.get(set.issuer()).cloned();
            let known = configured.or_else(|| snapshot.tenants.as_ref()?.member(set.issuer()));
            match (known, &snapshot.tenants) {
                (Some(issuer), _) => issuer.keys.remote().is_some_and(|remote| set.preload(remote)),
                (None, Some(tenants)) => tenants.preloaded.insert(set),
                (None, None) => false,
            }
        });
        taken.count()
    }

    /// Fetches the keys of all issuers that have none, or none that are fresh, so that no request waits for them.
    /// Returns the guard's health afterwards. Optional: without it, the first request of each issuer fetches its keys.
    /// A failed fetch is not an error; later requests retry.
    pub async fn warm_up(&self) -> Health {
        let snapshot = Arc::clone(&*self.snapshot());
        let now = snapshot.clock.now();
        let flights: Vec<_> = snapshot
            .all_issuers()
            .iter()
            .filter_map(|issuer| issuer.keys.remote()?.fetch_if_due(now))
            .collect();
        for flight in flights {
            // Whether it landed or was lost with its runtime: the health below reports the keys.
            let _ = flight.landed().await;
        }
        self.health()
    }
}
